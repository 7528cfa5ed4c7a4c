"""Results as Markdown, ready for docs/measuring.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.overload.law import goodput_share
from benchmarks.overload.point import Point
from loadtest.result import Milliseconds

if TYPE_CHECKING:
    from benchmarks.overload.capacity import Capacity
    from benchmarks.overload.fifo import Setting, Trial
    from benchmarks.overload.idle import Idle
    from benchmarks.overload.stalls import Stall
    from benchmarks.overload.storm import Recovery

MUST_RATIO, GOAL_RATIO = 0.85, 0.92
"""Measured capacity over C(D)."""
GOODPUT_MUST = 0.95
"""Goodput over y(L) x capacity, at twice capacity and more."""
GOODPUT_FROM = 2.0
LOADS_OF_Y = (1.2, 2.0, 3.0, 5.0)


def capacity(found: Sequence[Capacity]) -> str:
    """What capacities stand on, one row per workload."""
    head = (
        "workload",
        "budget ms",
        "raw T(1), mix | mean size, ms",
        "front end ms",
        "C(D), requests a run",
        "all mean size",
        "at saturation /s (offered)",
        "of C(D)",
        "in candidates",
        "must, goal",
        "99 % of all asked /s",
        "queueing allows /s",
        "s | r ms",
        "y(1.2), y(2), y(3), y(5)",
    )
    rows = []
    for one in found:
        ratio = one.reference.refusal_ratio
        rows.append(
            (
                one.workload,
                f"{one.mixed.budget_ms:g}",
                f"{one.times.mixed_ms[1]:.2f} / {one.times.mean_ms[1]:.2f}",
                f"{one.costs.front_end_ms:.2f}",
                f"{one.mixed.per_s:.0f}, {one.mixed.batch}",
                f"{one.mean.per_s:.0f}, {one.mean.batch}",
                _saturation(one.saturation),
                f"{one.ratio:.3f}",
                f"{one.work_ratio:.3f}",
                f"{MUST_RATIO}, {GOAL_RATIO}: {_met(one.ratio, MUST_RATIO)}",
                f"{_number(one.all_per_s)} [{_number(one.all_low_per_s)}, {_number(one.all_high_per_s)}]"
                if one.steps
                else "-",
                f"{one.first_come_per_s:.0f} first come, {one.fewest_per_s:.0f} best choice",
                f"{one.served_ms:.2f} / {one.costs.refused_ms:.3f}",
                ", ".join(f"{goodput_share(load, ratio):.3f}" for load in LOADS_OF_Y),
            )
        )
    return markdown(head, rows)


def points(found: Sequence[Point], *, judged: bool = True) -> str:
    """A sweep, one row per point.

    Args:
        judged: say whether goodput's must is met; the baseline has none.
    """
    head = (
        "workload",
        "door",
        "load",
        "offered /s",
        "admitted",
        "verdict",
        "p50 | p99 of admitted [95 %], ms",
        "goodput /s",
        "of y(L) x capacity",
        "in candidates",
        "candidates, of y(L) x C(D)",
        "refused",
        "expired later / too short",
        "refusals p50 | p99 ms (at most)",
        "core",
    )
    rows = [
        (
            one.workload,
            one.door,
            f"{one.load:.2g}x",
            f"{one.offered_per_s:.0f}",
            f"{one.admitted:,}",
            one.verdict,
            f"{ms(one.p50_ms)} / {ms(one.p99_ms)} [{ms(one.p99_low_ms)}, {ms(one.p99_high_ms)}]",
            f"{one.goodput_per_s:.1f}",
            _goodput(one, judged=judged),
            _share(one.work_ratio),
            _share(one.law_ratio),
            f"{one.refused:,}",
            f"{one.expired:,} / {one.too_short:,}",
            f"{ms(one.refusal_p50_ms)} / {ms(one.refusal_p99_ms)} ({one.refusal_ms_max:g})",
            "-" if one.core is None else f"{one.core:.0%}",
        )
        for one in found
    ]
    return markdown(head, rows)


def beside(plan: Sequence[Point], fifo: Sequence[Point]) -> str:
    """Podium and the baseline at the same loads."""
    head = ("load", "Podium goodput /s", "p99 ms", "FIFO goodput /s", "p99 ms", "Podium / FIFO")
    rows = []
    for ours in plan:
        theirs = [one for one in fifo if one.door == ours.door and abs(one.load - ours.load) < 0.01]
        if not theirs:
            continue
        ratio = ours.goodput_per_s / theirs[0].goodput_per_s if theirs[0].goodput_per_s else float("inf")
        rows.append(
            (
                f"{ours.load:.2g}x",
                f"{ours.goodput_per_s:.1f}",
                ms(ours.p99_ms),
                f"{theirs[0].goodput_per_s:.1f}",
                ms(theirs[0].p99_ms),
                f"{ratio:.2f}",
            )
        )
    return markdown(head, rows)


def trials(found: Sequence[Trial], chosen: Setting) -> str:
    """The baseline's grid, the best first."""
    ranked = sorted(found, key=lambda one: -one.goodput_per_s)
    rows = [
        (one.setting.words + (" **chosen**" if one.setting == chosen else ""), f"{one.goodput_per_s:.1f}")
        for one in ranked[:10]
    ]
    return markdown(("baseline, best ten of the grid", "goodput /s at 2x"), rows)


def stalls(found: Sequence[Stall]) -> str:
    """One row per stall."""
    head = (
        "stall",
        "silent s",
        "waiting",
        "told late | never",
        "worst ms (at most)",
        "who waited",
        "inside the run",
        "goodput before",
        "back after s",
        "verdict",
    )
    rows = [
        (
            one.kind,
            f"{one.silent_s:.2f}",
            f"{one.waiting:,}",
            f"{one.told_late} / {one.untold}",
            f"{one.worst_ms:+.1f} ({one.limit_ms:g})",
            _counts(one.endings),
            _counts(one.inside),
            f"{one.before:.1%}",
            seconds(one.back_s),
            "PASS" if one.passed else "FAIL",
        )
        for one in found
    ]
    return markdown(head, rows)


def storms(found: Sequence[Recovery]) -> str:
    """One row per trigger."""
    head = (
        "policy",
        "trigger",
        "good without retries",
        "good / failed attempts / attempts a request: before",
        "during",
        "last 5 s",
        "the same without trigger",
        "back after s: goodput, failures, attempts",
        "verdict",
    )
    rows = [
        (
            one.policy,
            one.trigger,
            f"{one.once:.1%}",
            _state(one.before),
            _state(one.during),
            _state(one.after),
            _state(one.untouched),
            ", ".join(seconds(part) for part in (one.goodput_s, one.failed_s, one.attempts_s)),
            "PASS" if one.passed else "FAIL",
        )
        for one in found
    ]
    return markdown(head, rows)


def idles(found: Sequence[Idle]) -> str:
    """One row per kind of request."""
    head = ("request", "blocks", "p50 with admission µs", "without µs", "ratio [95 %]", "verdict")
    rows = [
        (
            f"{one.workload}, {one.candidates} candidates",
            str(len(one.plan_us)),
            f"{_median(one.plan_us):.0f}",
            f"{_median(one.off_us):.0f}",
            f"{one.ratio:.3f} [{one.low:.3f}, {one.high:.3f}]",
            one.verdict,
        )
        for one in found
    ]
    return markdown(head, rows)


def missed(found: Sequence[Point]) -> list[str]:
    """What the proof asks of every point and a point does not give; one sentence each."""
    said = []
    for one in found:
        name = f"{one.workload} {one.door} {one.load:.2g}x"
        if one.verdict != "PASS":
            said.append(f"{name}: {one.verdict}, {one.sentence}")
        if one.load >= GOODPUT_FROM - 0.01 and not one.y:
            said.append(f"{name}: saying no alone takes the whole core (L r/s >= 1): clients must throttle")
        elif one.load >= GOODPUT_FROM - 0.01 and not one.ratio >= GOODPUT_MUST:
            said.append(f"{name}: goodput is {one.ratio:.3f} of y(L) x capacity, must be {GOODPUT_MUST}")
        if isinstance(one.refusal_p99_ms, float) and one.refusal_p99_ms > one.refusal_ms_max:
            said.append(
                f"{name}: refusals' p99 is {one.refusal_p99_ms:.2f} ms, at most {one.refusal_ms_max:g}"
            )
        if one.refusal_p99_ms == "inf":
            said.append(f"{name}: over 1 % of the refusals never came")
    return said


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def ms(value: Milliseconds) -> str:
    """A time that may be endless, or that too few requests were there to say."""
    if value is None:
        return "-"
    return "∞" if value == "inf" else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """A time that may not have come."""
    return "never" if value is None else f"{value:.1f}"


def _goodput(one: Point, *, judged: bool) -> str:
    if not one.y:
        return "-, L r/s >= 1"
    if not judged or one.load < GOODPUT_FROM - 0.01:
        return f"{one.ratio:.3f}"
    return f"{one.ratio:.3f} (must {GOODPUT_MUST}: {_met(one.ratio, GOODPUT_MUST)})"


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def _saturation(one: Point) -> str:
    return f"{one.goodput_per_s:.0f} ({one.offered_per_s:.0f}), {one.verdict}"


def _met(value: float, least: float) -> str:
    return "met" if value >= least else "missed"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "-"


def _state(state: tuple[float, float, float]) -> str:
    good, failed, attempts = state
    return f"{good:.1%} / {failed:.1%} / {attempts:.2f}"


def _median(values: Sequence[float]) -> float:
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
