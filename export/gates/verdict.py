"""What a gate says: a result with its numbers, or a refusal with a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Number = float | int | str | bool | None


class GateResult(msgspec.Struct, kw_only=True, frozen=True):
    """A gate that let a variant pass.

    Attributes:
        verdict: "inconclusive" and "warning" do not block; they are shown.
        sentence: for a person.
        numbers: what was measured and the thresholds it was held against.
    """

    gate: str
    variant: str
    verdict: Literal["pass", "inconclusive", "warning"] = "pass"
    sentence: str
    numbers: Mapping[str, Number] = {}


class GateFailed(Exception):
    """A gate refused; no bundle is written.

    Attributes:
        gate_name: the gate's NAME.
        sentence: why, for a person.
        details: the numbers.
    """

    def __init__(self, gate_name: str, sentence: str, details: Mapping[str, Number]) -> None:
        super().__init__(f"gate {gate_name}: {sentence}")
        self.gate_name = gate_name
        self.sentence = sentence
        self.details = dict(details)
