"""What every verb that runs a scenario accepts, written down once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec
import typer

from loadtest.cli.failure import usage
from loadtest.scenario.form import Scenario
from loadtest.scenario.load import BadScenario, load

Out = Annotated[Path | None, typer.Option(help="folder of the run; default: runs/NAME-TIME")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON on standard output")]

_KEYS: Final = {
    "target": "target.address",
    "metrics": "target.metrics_url",
    "transport": "target.transport",
    "connections": "target.connections",
    "bundle": "workload.bundle",
    "requests": "workload.requests",
    "labels": "workload.labels",
    "model": "workload.model",
    "seed": "workload.seed",
    "rate": "rate_per_s",
    "budget_ms": "slo.budget_ms",
    "processes": "client.processes",
}
"""Shorthand options and the scenario's keys that they set."""


def _shared(
    scenario: Annotated[str, typer.Argument(help="a .toml file, or a shipped name")] = "steady",
    target: Annotated[str | None, typer.Option(help="host:port of the server")] = None,
    bundle: Annotated[
        str | None, typer.Option(help="folder of the exported model: requests, labels, budget")
    ] = None,
    requests: Annotated[
        str | None, typer.Option(help="request set to replay, instead of the bundle's")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="its labels.npz: measure nDCG@10")] = None,
    model: Annotated[str | None, typer.Option(help="model to ask, instead of the messages' own")] = None,
    rate: Annotated[float | None, typer.Option(help="requests per second at load 1")] = None,
    budget_ms: Annotated[float | None, typer.Option(help="what an answer may take")] = None,
    duration: Annotated[float | None, typer.Option(help="seconds of each measured phase")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="seconds of each phase that is not measured; 0 = none")
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="the server's metrics page, read once a second")] = None,
    seed: Annotated[int | None, typer.Option(help="same seed, same schedule")] = None,
    transport: Annotated[
        str | None, typer.Option(help="the door: http2 (Rank), stream (RankStream), grpcio (Rank, by grpcio)")
    ] = None,
    connections: Annotated[int | None, typer.Option(help="TCP connections per client process")] = None,
    processes: Annotated[int | None, typer.Option(help="client processes")] = None,
    cores: Annotated[str | None, typer.Option(help="CPU ids for them, as 1,2")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="any key of the scenario: a.b=value")
    ] = None,
) -> None:
    """Only its signature is used."""


def with_scenario(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the shared options; it gets the `Scenario` that they make as its first argument."""
    own = [entry for entry in inspect.signature(verb).parameters.values() if entry.name != "scenario"]
    shared = list(inspect.signature(_shared).parameters.values())

    @functools.wraps(verb)
    def wrapped(**given: Any) -> None:
        name = given.pop("scenario")
        said = {entry.name: given.pop(entry.name) for entry in shared if entry.name != "scenario"}
        try:
            scenario = make(name, said)
        except BadScenario as error:
            usage(str(error))
        verb(scenario, **given)

    hints = {**get_type_hints(verb, include_extras=True), **get_type_hints(_shared, include_extras=True)}
    wrapped.__annotations__ = {**{entry.name: hints[entry.name] for entry in [*shared, *own]}, "return": None}
    wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            entry.replace(annotation=hints[entry.name], kind=inspect.Parameter.KEYWORD_ONLY)
            for entry in [*shared, *own]
        ]
    )
    return wrapped


def make(name: str, said: dict[str, Any]) -> Scenario:
    """The named scenario with the options over it.

    Raises:
        BadScenario: no such scenario, or an option does not fit.
    """
    settings = [
        f"{key}={_literal(said[option])}" for option, key in _KEYS.items() if said.get(option) is not None
    ]
    if said.get("cores"):
        settings.append(f"client.cores=[{said['cores']}]")
    scenario = load(name, [*settings, *(said.get("settings") or ())])
    phases = []
    for phase in scenario.phases:
        seconds = said.get("duration") if phase.measure else said.get("warmup")
        if (seconds is not None and seconds < 0) or (phase.measure and seconds == 0):
            raise BadScenario("--duration must be above 0, --warmup 0 or more")
        if seconds != 0:
            phases.append(phase if seconds is None else msgspec.structs.replace(phase, duration_s=seconds))
    return msgspec.structs.replace(scenario, phases=tuple(phases))


def _literal(value: object) -> str:
    """As TOML writes it. A string's quotes keep "1.2" a string."""
    return msgspec.json.encode(value).decode() if isinstance(value, str) else str(value)
