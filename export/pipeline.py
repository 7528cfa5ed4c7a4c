"""The export: trace, quantise, judge, write. Reads top to bottom in the order things happen.

Every gate runs before the first byte is written; a gate that refuses leaves no trace on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from export import (
    context_share,
    head_calibration,
    int8_report,
    latency,
    memory,
)
from export.codec import Codec
from export.encoding import OnDemand
from export.gates import (
    GateResult,
    agreement,
    batch_invariance,
    calibration,
    context_once,
    distance,
    heads,
    independence,
    isolation,
    parity,
    permutation,
    quality,
    shapes,
    slices,
    speed,
)
from export.gates.evidence import Evidence, Subject
from export.gates.speed import feeds_of
from export.head_calibration import Fitted
from export.int8 import build, build_transformer
from export.judged import Findings, Judged
from export.quantised import Quantised
from export.reference import Reference
from export.report import Report
from export.spec import ExportSpec
from export.tracing import trace
from export.transformer.rewrite import rewrite
from export.variant_search import SEARCH_SECONDS
from export.variants import KINDS, OPTIONAL, build_optional
from export.weights import INLINE_BYTES_MAX, require_room, weight_bytes
from export.writing import Choice, write

VARIANTS = ("fp32", "int8")
STEPS = ("reference", "trace", "fp32 gates", "quantise", "int8 gates", "speed", *OPTIONAL, "measure", "write")
"""What `progress` is called with, in order; the steps of variants that are not asked for are left out."""


@dataclass(slots=True)
class _Run:
    """One export while it runs."""

    spec: ExportSpec
    progress: Callable[[str], None] | None
    gates: list[GateResult] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    fitted: dict[str, Fitted] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and take its time."""
        if self.progress is not None:
            self.progress(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def export(
    spec: ExportSpec,
    out: Path,
    variants: Sequence[str] = VARIANTS,
    *,
    source: str,
    progress: Callable[[str], None] | None = None,
    search_seconds: float = SEARCH_SECONDS,
    inline_bytes_max: int = INLINE_BYTES_MAX,
) -> Report:
    """Export a ranker, judge it, and write its bundle to `out/NAME/VERSION`.

    Args:
        spec: the ranker.
        out: folder of models; created when missing.
        variants: "fp32", which is the base of all others, and any of the others of `export.variants.KINDS`.
        source: the spec's address, `module:function`, kept in the manifest.
        progress: called with each of STEPS as it starts.
        search_seconds: limit of the search for products that int8 must leave in fp32.
        inline_bytes_max: a graph with more bytes of weights has them in a file beside it.

    Raises:
        GateFailed: a gate refused the model or a variant; nothing is written.
        ExportFailed: PyTorch could not turn the model into a graph that servers load, or the disk is full.
        ValueError: the spec contradicts itself or its requests.
    """
    if "fp32" not in variants or set(variants) - set(KINDS):
        raise ValueError(
            f"variants must be fp32 and any of {', '.join([*KINDS][1:])}; not {','.join(variants)}"
        )
    run = _Run(spec, progress)
    with run.step("reference"):
        quality.require_labels(spec.requests)
        codec = Codec(spec)
        ranges = OnDemand(codec, spec.calibration, "calibration")
        run.fitted = head_calibration.fit(spec, codec)
        run.spec = spec = head_calibration.finished(spec, run.fitted)
        evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    with run.step("trace"):
        model = trace(spec, codec, evidence.requests[0])
        require_room(out, weight_bytes(model), "the fp32 graph")  # before minutes of gates
        transformer = rewrite(model, feeds_of(evidence, 8, 8))
        model = model if transformer is None else transformer.model
    judged = {"fp32": _judge_fp32(run, evidence, Subject("fp32", model))}
    if "int8" in variants:
        with run.step("quantise"):
            # A grid ranker has few products, each worth judging alone; BERT-like ones have dozens.
            quantise = build if transformer is None or spec.layout == "grid" else build_transformer
            int8 = quantise(model, evidence, ranges, search_seconds)
        judged["int8"] = _judge_int8(run, evidence, int8, judged["fp32"].subject)
    for name in [name for name in OPTIONAL if name in variants]:
        with run.step(name):
            made = build_optional(name, model, evidence, search_seconds)
            judged[name] = _judge_optional(run, evidence, made, judged["fp32"].subject)
    default = "int8" if "int8" in judged and judged["int8"].worth_serving else "fp32"
    with run.step("measure"):
        for one in judged.values():
            one.latency = latency.measure(evidence, one.subject)
            one.memory = memory.measure(evidence, one.subject)
    share = context_share.measure(evidence, judged[default].subject)
    with run.step("write"):
        choice = Choice(out, source, default, share, transformer, inline_bytes_max)
        return write(evidence, judged, choice, Findings(run.gates, run.seconds, run.fitted))


def _judge_fp32(run: _Run, evidence: Evidence, subject: Subject) -> Judged:
    with run.step("fp32 gates"):
        run.gates += calibration.check(run.fitted)
        run.gates.append(parity.check(evidence, subject))
        run.gates.append(context_once.check(evidence, subject))
        run.gates.append(shapes.check(evidence, subject))
        return _judge_ranking(run, evidence, subject)


def _judge_int8(run: _Run, evidence: Evidence, int8: Quantised, fp32: Subject) -> Judged:
    subject = int8.subject
    with run.step("int8 gates"):
        judged = _judge_made(run, evidence, int8, fp32)
    with run.step("speed"):
        result, judged.speedup, faster = speed.check(evidence, subject, fp32)
        run.gates.append(result)
        # With nothing quantised it is the fp32 graph under another name.
        judged.worth_serving = faster and bool(int8.quantized)
    return judged


def _judge_optional(run: _Run, evidence: Evidence, made: Quantised, fp32: Subject) -> Judged:
    judged = _judge_made(run, evidence, made, fp32)
    if KINDS[made.subject.variant].timed:
        result, judged.speedup, judged.worth_serving = speed.check(evidence, made.subject, fp32)
        run.gates.append(result)
    judged.worth_serving = judged.worth_serving and bool(made.quantized)
    return judged


def _judge_made(run: _Run, evidence: Evidence, made: Quantised, fp32: Subject) -> Judged:
    """The gates of a variant made from fp32."""
    with int8_report.explaining(made.search):
        judged = _judge_ranking(run, evidence, made.subject)
    run.gates.append(distance.check(evidence, made.subject, fp32))
    judged.made = made
    return judged


def _judge_ranking(run: _Run, evidence: Evidence, subject: Subject) -> Judged:
    """The gates that every variant passes, in order."""
    result, agreed = agreement.check(evidence, subject)
    run.gates.append(result)
    if (per_head := heads.check(evidence, subject)) is not None:
        run.gates.append(per_head)
    result, found = quality.check(evidence, subject)
    run.gates.append(result)
    result, sliced = slices.check(evidence, subject)
    run.gates.append(result)
    if (apart := independence.check(evidence, subject)) is not None:
        run.gates.append(apart)
    result, invariance = batch_invariance.check(evidence, subject)
    run.gates.append(result)
    run.gates.append(permutation.check(evidence, subject))
    run.gates.append(isolation.check(evidence, subject))
    return Judged(subject, agreed, found, invariance, sliced)
