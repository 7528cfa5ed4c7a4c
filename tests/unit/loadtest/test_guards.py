"""Each guard trips on what it is for, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.client.sender import Seen
from loadtest.guards import Side, check, cpu, littles_law, loop_lag_p99_ms
from loadtest.records import DTYPE, ENDINGS, NEVER_NS, Records
from loadtest.result import Guard
from loadtest.scenario.form import Limits

SECOND = 1_000_000_000
COUNT = 2000


def probes(cpu_share: float, lag_ns: int = 10_000) -> np.ndarray:
    """One probe every 10 ms for 10 s, of a process that uses this share of its core."""
    at = np.arange(1, 1001) * 10_000_000
    return np.stack([at, (at * cpu_share).astype(np.int64), np.full(1000, lag_ns)], axis=1)


def sent(lag_ns: int = 0, *, unsent: int = 0, clump_ns: int = 0) -> Records:
    """2,000 Poisson requests in 10 s, answered a millisecond later; each sent so late, or in clumps."""
    rng = np.random.default_rng(0)
    rows = np.zeros(COUNT, DTYPE)
    rows["intended_ns"] = np.sort(rng.integers(0, 10 * SECOND, COUNT))
    rows["sent_ns"] = rows["intended_ns"] + lag_ns
    if clump_ns:
        rows["sent_ns"] = -(-rows["intended_ns"] // clump_ns) * clump_ns
    rows["done_ns"] = rows["sent_ns"] + 1_000_000
    rows["ending"] = ENDINGS.index("answered")
    if unsent:
        rows["sent_ns"][:unsent] = rows["done_ns"][:unsent] = NEVER_NS
        rows["ending"][:unsent] = ENDINGS.index("unsent")
    return Records(rows, ("",))


def side(
    cpu_share: float = 0.3, *, steal: float = 0.0, law: float = 0.0, judged: float | None = 500.0
) -> Side:
    return Side(0, 10 * SECOND, [Seen([""], probes(cpu_share), COUNT * 1_000_000)], steal, law, judged)


def tripped(records: Records, at: Side, budget_ms: float = 20.0) -> set[str]:
    return {guard.name for guard in check(records, at, Limits(), budget_ms) if guard.tripped}


def test_a_client_that_did_its_part_trips_nothing() -> None:
    """And every guard is shown with its value all the same."""
    found = check(sent(), side(), Limits(), 20.0)
    assert set() == tripped(sent(), side())
    assert 9 == len(found) == len({guard.name for guard in found})


@pytest.mark.parametrize(
    ("records", "at", "names"),
    [
        (sent(lag_ns=600_000), side(), {"send lag p99"}),
        (sent(lag_ns=1_200_000), side(), {"send lag p99", "sends late by over 1 ms"}),
        (sent(unsent=30), side(), {"offered rate"}),
        (sent(clump_ns=900_000), side(), {"send lag p99", "arrivals"}),
        (sent(), side(0.85), {"client CPU"}),
        (sent(), side(steal=0.05), {"steal"}),
        (sent(), side(law=0.06), {"Little's law"}),
        (sent(), side(judged=150.0), {"rate per client process"}),
        (sent(), side(judged=None), set()),
    ],
    ids=["lag", "late", "unsent", "clumps", "cpu", "steal", "little", "range", "uncalibrated"],
)
def test_each_guard_trips_on_its_own_fault(records: Records, at: Side, names: set[str]) -> None:
    """By name."""
    assert names == tripped(records, at)


def test_a_longer_budget_allows_a_longer_lag() -> None:
    """2 % of the budget, at least half a millisecond."""
    assert {"send lag p99"} == tripped(sent(lag_ns=600_000), side(), budget_ms=20)
    assert set() == tripped(sent(lag_ns=600_000), side(), budget_ms=40)


def test_nothing_sent_is_as_late_as_can_be() -> None:
    """A phase of which nothing was sent must not look punctual."""
    assert {"send lag p99", "sends late by over 1 ms", "offered rate"} <= tripped(sent(unsent=COUNT), side())


def test_cpu_is_the_busiest_process_s_in_the_phase() -> None:
    """Not the mean, and not what was used before or after."""
    quiet, busy = Seen([""], probes(0.1), 0), Seen([""], probes(0.6), 0)
    assert cpu([quiet, busy], 0, 10 * SECOND) == pytest.approx(0.6, rel=1e-3)
    late = probes(0.0)
    late[500:, 1] = (late[500:, 0] - late[500, 0]) * 0.9
    assert cpu([Seen([""], late, 0)], 0, 4 * SECOND) == 0.0
    assert cpu([Seen([""], late, 0)], 6 * SECOND, 10 * SECOND) == pytest.approx(0.9, rel=1e-3)


def test_littles_law_notices_lost_records() -> None:
    """The processes counted 2,000 ms in flight; without a tenth of the records only 1,800 are there."""
    counted = [Seen([""], probes(0.1), COUNT * 1_000_000)]
    assert 0.0 == littles_law(sent(), counted)
    assert littles_law(Records(sent().rows[200:], ("",)), counted) == pytest.approx(0.1)


def test_a_value_that_is_no_number_trips() -> None:
    """What could not be computed is not fine."""
    assert Guard(name="g", value=float("nan"), limit=1, unit="", says="").tripped


def test_loop_lag_is_the_probes_p99() -> None:
    """In milliseconds."""
    assert 0.01 == loop_lag_p99_ms(Seen([""], probes(0.1), 0))
