"""A scenario made ready: processes, cores and what cannot be planned."""

import os
from pathlib import Path

import msgspec
import pytest

from loadtest.plan import BadPlan, prepare
from loadtest.result import Calibration
from loadtest.scenario.form import Client, Phase, Scenario, Slo, Target, Unique, Workload
from protos.request_set import write_messages
from tests.unit.loadtest.test_workload import message


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """A hundred requests a second for two seconds, three messages."""
    write_messages(tmp_path / "eval.podium", [message(4), message(2), message(9)])
    return Scenario(
        version=1,
        name="s",
        rate_per_s=100,
        target=Target(address="127.0.0.1:1"),
        slo=Slo(budget_ms=10),
        workload=Workload(requests=str(tmp_path / "eval.podium")),
        phases=(Phase(name="p", duration_s=2),),
    )


def calibrated(judged_per_s_max: float) -> Calibration:
    return Calibration(
        created="now",
        key="k",
        ceiling_per_s=100,
        judged_per_s_max=judged_per_s_max,
        lag_p99_ms=[],
        request_bytes=1,
        candidates=1,
    )


def test_a_plan_says_what_will_be_sent(scenario: Scenario) -> None:
    """Facts of the messages; every request of the schedule goes to the one process."""
    plan = prepare(scenario, lambda size, target: None)
    facts = plan.facts
    assert (3, 2, 4, 9) == (
        facts.messages,
        facts.candidates_least,
        facts.candidates_median,
        facts.candidates_most,
    )
    assert (1, {0}) == (plan.processes, set(plan.schedule.process.tolist()))
    assert 2.0 == plan.duration_s


def test_as_many_processes_as_the_rate_needs(scenario: Scenario) -> None:
    """By the calibration of messages of this size; one core each, and one is left to the server."""
    asked: list[int] = []

    def find(size: int, target: Target) -> Calibration:
        asked.append(size)
        return calibrated(judged_per_s_max=0.0)

    usable = sorted(os.sched_getaffinity(0))
    assert max(len(usable) - 1, 1) == prepare(scenario, find).processes
    given = msgspec.structs.replace(scenario, client=Client(cores=(usable[-1],)))
    assert 1 == prepare(given, find).processes
    assert 1 == prepare(scenario, lambda size, target: calibrated(1000.0)).processes
    three = msgspec.structs.replace(scenario, client=Client(processes=3))
    assert {0, 1, 2} == set(prepare(three, lambda size, target: None).schedule.process.tolist())
    assert [len(message(4)) + 3] * len(asked) == asked or asked[0] > 0


def test_the_client_takes_the_last_cores_unless_told(scenario: Scenario) -> None:
    """Servers tend to be pinned to the first."""
    usable = sorted(os.sched_getaffinity(0))
    assert (usable[-1],) == prepare(scenario, lambda size, target: None).cores
    told = msgspec.structs.replace(scenario, client=Client(cores=(usable[0],), processes=2))
    assert (usable[0], usable[0]) == prepare(told, lambda size, target: None).cores
    loose = msgspec.structs.replace(scenario, client=Client(pin=False))
    assert () == prepare(loose, lambda size, target: None).cores


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": Target()}, r"target\.address is not set: give --target"),
        ({"client": Client(cores=(999,))}, r"client\.cores: 999 is not usable here"),
        ({"workload": Workload(requests="absent.podium")}, r"absent\.podium"),
        ({"rate_per_s": 0.0}, "give --rate"),
        ({"rate_per_s": 0.001}, "nothing is planned"),
    ],
)
def test_what_cannot_be_planned_is_said(scenario: Scenario, change: dict[str, object], said: str) -> None:
    """By the key, before anything is sent."""
    with pytest.raises(BadPlan, match=said):
        prepare(msgspec.structs.replace(scenario, **change), lambda size, target: None)


def test_too_few_messages_for_unique_are_said(scenario: Scenario) -> None:
    """Rather than repeated."""
    work = msgspec.structs.replace(scenario.workload, order=Unique())
    with pytest.raises(BadPlan, match=r"workload\.order = unique"):
        prepare(msgspec.structs.replace(scenario, workload=work), lambda size, target: None)


def test_another_look_is_another_schedule_of_the_same_scenario(scenario: Scenario) -> None:
    """The first look is the plan itself."""
    plan = prepare(scenario, lambda size, target: None)
    assert plan.look(0) is plan
    assert plan.look(1).schedule.digest != plan.schedule.digest
    assert plan.look(1).schedule.ends_ns == plan.schedule.ends_ns
