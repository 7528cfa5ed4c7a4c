"""A run whose every free text tries to become markup."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from loadtest.result import Run, Window

ATTACK: Final = "</script><img src=x onerror=\"window.broken=1\"><a href='http://e/'>|`*_x_*`&lt;"
_FREE: Final = {"description", "sentence", "reason", "says", "gap", "address", "requests", "unit"}
"""Keys of `run.json` whose value anyone may have written."""


def attacked(run: Run, windows: list[Window]) -> tuple[Run, list[Window]]:
    """The same run with the attack in every free text, phases' and guards' names included."""
    document = _changed(msgspec.to_builtins(run))
    for phase in [*document["phases"], *document["scenario"]["phases"]]:
        phase["name"] += ATTACK
    for phase in document["phases"]:
        for guard in phase["guards"]:
            guard["name"] += ATTACK
    document["notes"] = [ATTACK]
    document["environment"] = {ATTACK: ATTACK}
    document["anatomy"]["shares"] = {ATTACK: 1.0}
    changed = [msgspec.structs.replace(window, phase=window.phase + ATTACK) for window in windows]
    return msgspec.convert(document, Run), changed


def _changed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: ATTACK if key in _FREE and isinstance(entry, str) else _changed(entry)
            for key, entry in value.items()
        }
    return [_changed(entry) for entry in value] if isinstance(value, list | tuple) else value
