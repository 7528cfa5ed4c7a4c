"""From a file or a shipped name to a `Scenario`; every fault names the file and the key."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtest.scenario.form import Scenario

SHIPPED: Final = Path(__file__).resolve().parents[1] / "scenarios"
SCHEMA_FILE: Final = SHIPPED / "schema.json"


class BadScenario(ValueError):
    """One sentence that names the file and the key."""


def shipped() -> list[str]:
    """Names of the scenarios that come with Podium."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name: str, settings: Sequence[str] = ()) -> Scenario:
    """Read a scenario.

    Args:
        name: path of a TOML file, or a shipped name.
        settings: "a.b=value" each, over the file; a list's entry by its number ("phases.0.duration_s=5").

    Raises:
        BadScenario: no such file or name, not TOML, or not a scenario.
    """
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadScenario(f"{name}: no such scenario; shipped: {', '.join(shipped())}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadScenario(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadScenario(f"{path}: is not TOML: {error}") from error
    for setting in settings:
        _apply(document, setting)
    try:
        return msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise BadScenario(f"{path}: {error}") from error


def schema() -> bytes:
    """The published JSON Schema of a scenario."""
    described = {"$id": "podium-loadtest-scenario-1", **msgspec.json.schema(Scenario)}
    return msgspec.json.format(msgspec.json.encode(described, order="deterministic"), indent=2) + b"\n"


def _apply(document: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise BadScenario(f"--set {setting}: must read key=value")
    *parents, last = key.split(".")
    at: Any = document
    for name in parents:
        at = _entry(at, name, setting)
    if isinstance(at, list):
        at[_index(at, last, setting)] = _value(text)
    else:
        at[last] = _value(text)


def _entry(at: Any, name: str, setting: str) -> Any:
    if isinstance(at, list):
        return at[_index(at, name, setting)]
    entry = at.setdefault(name, {})
    if not isinstance(entry, dict | list):
        raise BadScenario(f"--set {setting}: {name} holds a value, not keys")
    return entry


def _index(entries: list[Any], name: str, setting: str) -> int:
    if not name.isdecimal() or int(name) >= len(entries):
        raise BadScenario(f"--set {setting}: {name} is not one of the {len(entries)} entries (from 0)")
    return int(name)


def _value(text: str) -> Any:
    """As TOML reads it; what TOML cannot read is a string, so that paths and addresses need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
