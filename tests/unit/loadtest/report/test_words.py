"""Numbers and sentences of a report."""

from typing import Any

import msgspec
import pytest

from loadtest.report import tables, words
from loadtest.result import Guard, Tail
from loadtest.scenario.form import Closed, Gate, Transport
from tests.unit.loadtest.report import example


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "too few"), ("inf", "∞"), (0.0, "0"), (0.0815, "0.0815"), (0.01034, "0.0103"),
     (0.00002, "0.000020"), (5.226, "5.23"), (25.141, "25.1"),
     (1234.5, "1,234")],
)  # fmt: skip
def test_a_time_is_shown_with_three_digits_or_in_words(value: Any, shown: str) -> None:
    """Never answered is ∞, too few requests is said, and no number pretends to more than three digits."""
    assert shown == words.milliseconds(value)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.41, "41.0 %"), (0.9996, "99.96 %"), (0.99999, "> 99.99 %"),
     (0.00001, "< 0.01 %"), (0.0035, "0.35 %")],
)  # fmt: skip
def test_a_share_never_rounds_to_all_or_nothing(share: float, shown: str) -> None:
    """100 % and 0 % are said only of all and of nothing."""
    assert shown == words.percent(share)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(1.0, 2.0, "1.00 to 2.00"), (None, 2.0, "at most 2.00"), (1.0, None, "at least 1.00"),
     (1.0, "inf", "1.00 to ∞"), (None, None, "")],
)  # fmt: skip
def test_an_interval_says_what_is_known(low: Any, high: Any, shown: str) -> None:
    """A side that is not bounded is not made up."""
    tail = Tail(percentile=99.0, value_ms=1.5, low_ms=low, high_ms=high, method="order statistics")

    assert shown == words.interval(tail)


def test_a_loss_has_a_sign_and_no_negative_zero() -> None:
    """Losses are negative, gains positive, and what rounds to nothing has no sign."""
    assert ["−0.0012", "+0.0012", "0.0000"] == [words.signed(value) for value in (-0.0012, 0.0012, -0.00001)]


def test_the_promise_names_the_range_of_the_judged_loads() -> None:
    """One load is a number, several are a range; a warm-up's load is not among them."""
    passed, failed = example.passed()[0], example.failed()[0]

    assert "p99 within 25 ms at 300 requests/s" == words.promise(passed)
    assert "p99 within 25 ms at 150 to 1,500 requests/s" == words.promise(failed)


def test_a_run_that_offered_nothing_promises_no_rate() -> None:
    """`at 0 requests/s` would be a promise that any server keeps."""
    assert "p99 within 25 ms" == words.promise(example.empty()[0])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("the run ended", "The run ended."),
        ("p99 is high", "p99 is high."),
        ("5x up: late!", "5x up: late!"),
        ("", ""),
    ],
)
def test_a_sentence_begins_and_ends_like_one(given: str, shown: str) -> None:
    """Names such as p99 keep their form, and a full stop is not doubled."""
    assert shown == words.as_sentence(given)


def test_a_closed_loop_does_not_promise_a_rate() -> None:
    """It has none of its own: the server sets it."""
    run, _ = example.passed()
    phase = msgspec.structs.replace(run.scenario.phases[1], arrivals=Closed(in_flight=16))
    scenario = msgspec.structs.replace(run.scenario, phases=(phase,))

    assert "16 in flight (closed loop)" == words.load(msgspec.structs.replace(run, scenario=scenario))


def test_classes_with_budgets_of_their_own_are_not_given_the_runs() -> None:
    """A mix with several budgets has no single one to promise."""
    run, _ = example.passed()
    (entry,) = run.scenario.workload.mix
    mix = (entry, msgspec.structs.replace(entry, name="slow", budget_ms=60.0))
    workload = msgspec.structs.replace(run.scenario.workload, mix=mix)
    scenario = msgspec.structs.replace(run.scenario, workload=workload)

    assert "its class's budget" == words.budget(msgspec.structs.replace(run, scenario=scenario))


def test_of_each_guard_the_worst_phase_is_shown_and_the_tripped_first() -> None:
    """A guard that is not a number is tripped, and worse than any other."""
    run, _ = example.failed()
    broken = Guard(name="steal", value=float("nan"), limit=0.02, unit="", says="unknown")
    tight = Guard(name="late sends", value=0.0099, limit=0.01, unit="", says="")
    phases = list(run.phases)
    phases[2] = msgspec.structs.replace(phases[2], guards=[broken])
    phases[3] = msgspec.structs.replace(phases[3], guards=[tight])
    found = tables.guards(msgspec.structs.replace(run, phases=phases))

    assert [("steal", "1x up"), ("late sends", "2x up")] == [
        (entry.name, phase) for entry, phase in found[:2]
    ]
    assert "TRIPPED" in tables.guard_row(*found[0])
    assert 7 == len(found)


def test_the_gates_own_limits_are_named() -> None:
    """What `--gate` asks beside the verdict stands in the report; what it does not ask does not."""
    run, _ = example.passed()
    gate = Gate(refused_ratio_max=0.01, goodput_ratio_min=0.9)
    scenario = msgspec.structs.replace(run.scenario, gate=gate)

    assert ["refused at most 1.0 %", "goodput at least 90.0 %"] == words.gate(
        msgspec.structs.replace(run, scenario=scenario)
    )


@pytest.mark.parametrize(
    ("transport", "said"),
    [
        ("http2", "Rank, by our own client; 2 connections per process"),
        ("stream", "RankStream, by our own client; 2 connections per process"),
        ("grpcio", "Rank, by grpcio's client; 2 connections per process"),
    ],
)
def test_a_report_names_its_door(transport: Transport, said: str) -> None:
    """Method and client: two doors of one server are two results."""
    run, _ = example.passed()
    target = msgspec.structs.replace(run.scenario.target, transport=transport)
    changed = msgspec.structs.replace(run, scenario=msgspec.structs.replace(run.scenario, target=target))
    assert said == words.door(changed)
    assert ("door", said) in tables.provenance(changed)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "After 5x up, goodput did not come back during 2x down (59.0 % came in time before)."),
        (0.0, "After 5x up, goodput was back at once in 2x down (59.0 % came in time before)."),
        (1.5, "After 5x up, goodput was back 1.5 s into 2x down (59.0 % came in time before)."),
    ],
)
def test_a_recovery_is_said_with_its_phases(seconds: float | None, said: str) -> None:
    """Never, at once and after a while are three different sentences."""
    run, _ = example.failed()
    changed = [msgspec.structs.replace(entry, seconds=seconds) for entry in run.recoveries]

    assert [said] == words.recoveries(msgspec.structs.replace(run, recoveries=changed))


def test_flipped_orders_are_not_hidden() -> None:
    """Determinism is claimed only when neither an order nor a score differs."""
    run, _ = example.passed()
    assert run.determinism is not None
    flipped = msgspec.structs.replace(run.determinism, flipped=3, score_delta_max=0.25)

    assert "equal" in words.determinism(run)
    assert words.determinism(msgspec.structs.replace(run, determinism=flipped)).startswith("3 of 1,764")
