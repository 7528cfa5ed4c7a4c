"""What an export reports: `report.json` in the bundle, and the value that `export` returns."""

from __future__ import annotations

import msgspec

from export.gates.slices import SliceReport
from export.gates.verdict import GateResult
from export.head_report import HeadReport
from export.int8_report import SearchReport
from export.latency import LatencyPoint
from export.memory import Memory
from export.picture import Reliability, ScorePicture
from protos.manifest import Quality


class VariantReport(msgspec.Struct, kw_only=True):
    """One variant.

    Attributes:
        speedup_over_fp32: batch shape -> fp32 time / this variant's time.
        quantized: products that run in int8.
        kept_fp32: product -> why it did not become int8.
        operators: what ONNX Runtime runs after its own optimisations.
        search: for products that must stay in fp32.
        notes: as in the manifest.
        slices: quality and agreement per group of requests.
        latency: one thread of the exporting machine; `memory`: of a process of its own, None off Linux.
        scores: beside PyTorch's.
    """

    variant: str
    worth_serving: bool
    graph_bytes: int
    quality: Quality
    speedup_over_fp32: dict[str, float] = {}
    quantized: list[str] = []
    kept_fp32: dict[str, str] = {}
    operators: dict[str, int] = {}
    search: SearchReport | None = None
    notes: list[str] = []
    slices: list[SliceReport] = []
    latency: list[LatencyPoint] = []
    memory: Memory | None = None
    scores: ScorePicture | None = None


class Report(msgspec.Struct, kw_only=True):
    """An accepted export.

    Attributes:
        path: the bundle's folder as it was asked for; empty in `report.json`, which travels with the bundle.
        prior_ndcg: nDCG@10 of the order that the requests came with; None without labels.
        context_share: time of the context side over a whole run at 1 context and 200 candidates.
        seconds: step -> wall time.
        heads: one per head, of a ranker with several or with an activation.
        reliability: of every labelled head with a sigmoid, of the default variant.
    """

    model: str
    version: int
    path: str
    default_variant: str
    requests: int
    labelled: int
    prior_ndcg: float | None
    context_share: float
    variants: list[VariantReport]
    gates: list[GateResult]
    seconds: dict[str, float]
    heads: list[HeadReport] = []
    reliability: list[Reliability] = []


def encode(report: Report) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
