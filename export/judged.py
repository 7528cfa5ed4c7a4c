"""What the gates have found, of one variant and of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from export.gates import GateResult
from export.gates.evidence import Subject
from export.gates.slices import SliceReport
from export.head_calibration import Fitted
from export.latency import LatencyPoint
from export.memory import Memory
from export.quantised import Quantised
from protos.manifest import Agreement, BatchInvariance, Quality


@dataclass(slots=True)
class Judged:
    """A variant with what its gates found.

    Attributes:
        made: how it was quantised; None for fp32.
        speedup: batch shape -> fp32's time over this one's.
        worth_serving: may be served by default.
    """

    subject: Subject
    agreement: Agreement
    quality: Quality
    invariance: BatchInvariance
    slices: list[SliceReport] = field(default_factory=list)
    made: Quantised | None = None
    speedup: dict[str, float] = field(default_factory=dict)
    worth_serving: bool = True
    latency: list[LatencyPoint] = field(default_factory=list)
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """Of the whole export.

    Attributes:
        gates: results, in the order of the gates.
        seconds: step -> seconds; still filled.
        fitted: head -> its calibration.
    """

    gates: list[GateResult]
    seconds: dict[str, float]
    fitted: Mapping[str, Fitted]
