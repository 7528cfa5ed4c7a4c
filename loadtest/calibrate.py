"""What one client process can do on this machine: its ceiling, and the range in which it may judge.

Measured against a server that does nothing, on another core when there is one. The result is kept per user
and machine, and every later run with messages of that size is held to it.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
import msgspec

from loadtest import environment
from loadtest.plan import Plan, prepare
from loadtest.result import Calibration
from loadtest.run import execute
from loadtest.scenario.form import Closed, Phase, Poisson, Quality, Scenario, Target

CEILING_SHARE: Final = 0.7
"""Of the ceiling may be judged: nearer to it, queueing in the client shows."""
IN_FLIGHT: Final = 64
CEILING_S, STEP_S, WARM_UP_S = 4.0, 4.0, 1.0
STEPS: Final = (250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 4000.0, 6000.0, 8000.0)

Say = Callable[[str], None]


def default_path() -> Path:
    """Where calibrations of this user are kept."""
    return Path.home() / ".cache" / "podium" / "loadtest-calibrations.json"


def find(request_bytes: int, target: Target, path: Path) -> Calibration | None:
    """The calibration for messages of about so many bytes, sent in this way on this machine, or None."""
    return _read(path).get(key(request_bytes, target))


def keep(calibration: Calibration, path: Path) -> None:
    """Remember it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode({**_read(path), calibration.key: calibration}))


def key(request_bytes: int, target: Target) -> str:
    """Same key, same client: processor, cores, versions, transport, connections, rounded size."""
    size = 1 << max(request_bytes - 1, 1).bit_length()
    parts = (
        environment.cpu_model(),
        len(os.sched_getaffinity(0)),
        platform.python_version(),
        grpc.__version__,
        target.transport,
        target.connections,
        size,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def calibrate(scenario: Scenario, say: Say) -> Calibration:
    """Measure the client with the scenario's messages; takes about half a minute.

    Raises:
        BadPlan: the scenario does not say what to send.
        RunFailed: the null server or the client did not work.
    """
    base = msgspec.structs.replace(
        scenario,
        target=msgspec.structs.replace(scenario.target, kind="null", metrics_url=""),
        slo=msgspec.structs.replace(scenario.slo, looks_max=1),
        quality=Quality(sample=0.0, reference=False),
        client=msgspec.structs.replace(scenario.client, processes=1),
    )
    closed = _planned(
        base, (Phase(name="ceiling", duration_s=CEILING_S, arrivals=Closed(in_flight=IN_FLIGHT)),)
    )
    ceiling_per_s = execute(closed).run.summary.answered_per_s
    say(f"ceiling {ceiling_per_s:.0f}/s with {IN_FLIGHT} in flight")
    lags: list[tuple[float, float]] = []
    judged_per_s_max = 0.0
    for rate in STEPS:
        if rate > CEILING_SHARE * ceiling_per_s:
            break
        phases = (
            Phase(name="warm-up", duration_s=WARM_UP_S, measure=False),
            Phase(name="step", duration_s=STEP_S, arrivals=Poisson()),
        )
        run = execute(_planned(msgspec.structs.replace(base, rate_per_s=rate), phases)).run
        step = run.phases[1]
        tripped = [guard for guard in step.guards if guard.tripped]
        lag_ms = next(guard.value for guard in step.guards if guard.name == "send lag p99")
        lags.append((rate, lag_ms))
        said = f"tripped: {', '.join(guard.name for guard in tripped)}" if tripped else "ok"
        say(
            f"{rate:.0f}/s: send lag p99 {lag_ms:.3f} ms, "
            f"CPU {max(run.client.cpu, default=0.0):.0%} of a core, {said}"
        )
        if tripped:
            break
        judged_per_s_max = rate
    facts = closed.facts
    return Calibration(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        key=key(facts.bytes_median, scenario.target),
        ceiling_per_s=ceiling_per_s,
        judged_per_s_max=judged_per_s_max,
        lag_p99_ms=lags,
        request_bytes=facts.bytes_median,
        candidates=facts.candidates_median,
    )


def _planned(scenario: Scenario, phases: tuple[Phase, ...]) -> Plan:
    # Not held to an earlier calibration: that is what is being found out.
    return prepare(msgspec.structs.replace(scenario, phases=phases), lambda size, target: None)


def _read(path: Path) -> dict[str, Calibration]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Calibration])
    except (OSError, msgspec.DecodeError):
        # A calibration is a measurement that can be repeated: a damaged file is none.
        return {}
