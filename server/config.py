"""Configuration: typed, frozen, composed, read once. One TOML file, then PODIUM_A__B=v, then --set a.b=v.

Rule: an unknown key or a bad value stops the start with the key's path; nothing is accepted and ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
AboveZero = Annotated[float, Meta(gt=0, le=1e9)]
"""Bounded, because TOML knows `inf`, and nothing here waits for ever."""

ENV_PREFIX = "PODIUM_"
_T = TypeVar("_T")


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: strict by construction."""


class Listen(_Section, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    grpc_port: Port = 50051
    ops_port: Port = 8002
    keepalive_s: AboveZero = 30.0
    """After so long a gRPC connection's peer is pinged; if it is silent as long again, it is hung up on.

    A message that has not come whole in between is given up likewise.
    """


class Batch(_Section, frozen=True, kw_only=True):
    rows_max: Positive = 512
    """Most rows of a run. 512: larger runs cost more per row here (docs/decisions.md, batch.rows_max)."""
    requests_max: Positive = 64
    chunk_ms_max: NonNegative = 0.0
    """Requests of pointwise models whose run would be longer are split, so that large ones give way to urgent
    ones; 0 = a quarter of the smallest budget served."""


class Fifo(_Section, frozen=True, kw_only=True):
    """The baseline's queue."""

    queue_max: Positive = 64
    timeout_ms: NonNegative = 0.0
    """Who has waited longer is given up; 0 = nobody is."""
    delay_ms: NonNegative = 0.0
    """So long a run that is not full waits for company."""


class Admission(_Section, frozen=True, kw_only=True):
    policy: Literal["plan", "fifo"] = "plan"
    """plan: who cannot be answered in time is refused at once. fifo: a queue, for comparison."""
    margin_ms: NonNegative = 1.0
    """Least time kept free before each deadline for the reply's way out; what more is needed is learned."""
    queue_max: Positive = 10_000
    fifo: Fifo = msgspec.field(default_factory=Fifo)


class Fake(_Section, frozen=True, kw_only=True):
    """Script of the fake engine."""

    overhead_ms: NonNegative = 0.1
    row_us: NonNegative = 1.0
    fail_runs: list[int] = []
    """Runs (0 = the first after warm-up) that raise."""
    stall_runs: dict[int, NonNegative] = {}
    """Run number -> milliseconds that it takes longer."""


class Engine(_Section, frozen=True, kw_only=True):
    kind: Literal["ort", "fake"] = "ort"
    providers: list[str] = msgspec.field(default_factory=lambda: ["CPUExecutionProvider"])
    executors: Positive = 1
    intra_op_threads: Annotated[int, Meta(ge=0)] = 0
    """0 = max(1, usable cores - 1), from affinity and cgroup quota; the start log says which."""
    warm_up_s_max: AboveZero = 0.5
    fake: Fake = msgspec.field(default_factory=Fake)


class Limits(_Section, frozen=True, kw_only=True):
    message_bytes_max: Positive = 8 << 20
    candidates_max: Positive = 4096
    context_tensors_max: Positive = 64
    string_bytes_max: Positive = 8 << 10
    request_id_bytes_max: Positive = 64
    in_flight_bytes_max: Positive = 256 << 20
    connection_streams_max: Positive = 1024
    """Calls open at once on one connection. A client queues what is beyond, where nobody sees it."""
    stream_in_flight_max: Positive = 1024
    """Requests of one RankStream that have no answer yet; what is beyond is refused STREAM_FULL."""
    unread_bytes_max: Positive = 1 << 20
    """Answers that one RankStream's client has not made room for; beyond, its requests are refused."""


class ModelFiles(_Section, frozen=True, kw_only=True):
    """What a bundle's files may be, and what a first look at them may take (docs/exporting.md)."""

    operators: list[str] = []
    """Operators allowed besides those of `protos/operators.py`, as `Type` or `domain:Type`."""
    graph_bytes_max: Positive = (2 << 30) - 1
    """Of an .onnx file; weights beyond lie in files of their own."""
    nodes_max: Positive = 50_000
    tensors_max: Positive = 50_000
    elements_max: Positive = 1 << 34
    """Of one tensor."""
    rank_max: Positive = 8
    attribute_bytes_max: Positive = 1 << 20
    memory_mib_extra: Positive = 2048
    """What a check may take beside four times the bundle's files."""
    cpu_s_max: Positive = 120
    wall_s_max: AboveZero = 300.0


class Drain(_Section, frozen=True, kw_only=True):
    lame_duck_s: NonNegative = 2.0
    """Keep answering this long after health says NOT_SERVING; must outlast the balancer's detection."""
    finish_s_max: AboveZero = 30.0


class Logs(_Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Model(_Section, frozen=True, kw_only=True):
    versions: Literal["latest"] | list[Positive] = "latest"
    budget_ms: AboveZero | None = None
    budget_ms_critical: AboveZero | None = None
    budget_ms_sheddable: AboveZero | None = None


class Models(_Section, frozen=True, kw_only=True):
    required: list[str] | None = None
    """Models without which the server is not ready; None = every name found."""
    named: dict[str, Model] = {}

    def of(self, name: str) -> Model:
        """The section of one model; defaults when it has none."""
        return self.named.get(name, Model())


class Config(_Section, frozen=True, kw_only=True):
    state_dir: str = ""
    """Folder in which learned cost models outlive the process; "" = they do not."""
    listen: Listen = msgspec.field(default_factory=Listen)
    batch: Batch = msgspec.field(default_factory=Batch)
    admission: Admission = msgspec.field(default_factory=Admission)
    engine: Engine = msgspec.field(default_factory=Engine)
    limits: Limits = msgspec.field(default_factory=Limits)
    model_files: ModelFiles = msgspec.field(default_factory=ModelFiles)
    drain: Drain = msgspec.field(default_factory=Drain)
    logs: Logs = msgspec.field(default_factory=Logs)
    models: Models = msgspec.field(default_factory=Models)


class ConfigError(ValueError):
    """One sentence with the key's path."""


def load(toml: str, environ: Mapping[str, str], sets: Sequence[str]) -> Config:
    """Compose the configuration; later sources win: TOML, then environment, then `--set`.

    Raises:
        ConfigError: a key is unknown, a value is bad, or the TOML does not parse.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration file: {error}") from error
    for key, value in environ.items():
        if key.startswith(ENV_PREFIX) and "__" in key:
            _assign(raw, key[len(ENV_PREFIX) :].lower().split("__"), value)
    for entry in sets:
        path, found, value = entry.partition("=")
        if not found or not all(path.split(".")):
            raise ConfigError(f"--set {entry}: expected a.b=value")
        _assign(raw, path.split("."), value)
    models = raw.get("models")
    if isinstance(models, dict):
        # On disk a model's section stands beside `required`; in the struct it has a home of its own.
        named = {key: value for key, value in models.items() if key != "required"}
        sections = {name: _convert(value, Model, f"models.{name}") for name, value in named.items()}
        raw["models"] = {key: models[key] for key in models.keys() - named.keys()} | {"named": sections}
    return _convert(raw, Config, "")


def _convert(raw: Any, kind: type[_T], path: str) -> _T:
    try:
        return msgspec.convert(raw, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigError(_sentence(str(error), path)) from error


def _assign(raw: dict[str, Any], path: Sequence[str], text: str) -> None:
    at = raw
    for key in path[:-1]:
        at = at.setdefault(key, {})
        if not isinstance(at, dict):
            raise ConfigError(f"{'.'.join(path)}: {key} is a value, not a section")
    try:
        at[path[-1]] = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        at[path[-1]] = text  # a bare word is a string


def _sentence(message: str, section: str) -> str:
    """Turn msgspec's "... - at `$.a.b`", or "... - at `key` in `$.a.b`", into "a.b: ..."."""
    text, _, at = message.partition(" - at `")
    key = f"{section}.{at.rpartition('$')[2].strip('.`')}".strip(".")
    unknown = "Object contains unknown field `"
    if text.startswith(unknown):
        key = f"{key}.{text[len(unknown) :].rstrip('`')}".removeprefix(".")
        text = "unknown configuration key"
    return f"{key or 'configuration'}: {text[0].lower()}{text[1:]}"
