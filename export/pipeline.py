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
    bundle,
    context_share,
    golden,
    head_calibration,
    int8_report,
    latency,
    memory,
    operators,
    picture,
    report_html,
)
from export.codec import Codec
from export.describe import Parts, manifest_of
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
from export.gates.slices import SliceReport
from export.gates.speed import feeds_of
from export.head_calibration import Fitted
from export.head_report import heads_of
from export.int8 import build, build_transformer
from export.latency import LatencyPoint
from export.memory import Memory
from export.provenance import source_of
from export.quantised import Quantised
from export.reference import Reference
from export.report import Report, VariantReport, encode
from export.runtime import optimized_op_counts
from export.spec import ExportSpec
from export.tracing import trace
from export.transformer.rewrite import Rewritten, rewrite
from export.variant_search import SEARCH_SECONDS
from export.variants import KINDS, OPTIONAL, build_optional
from export.weights import INLINE_BYTES_MAX, require_room, total_bytes, weight_bytes
from protos.manifest import Agreement, BatchInvariance, Manifest, Quality, Variant

VARIANTS = ("fp32", "int8")
STEPS = ("reference", "trace", "fp32 gates", "quantise", "int8 gates", "speed", *OPTIONAL, "measure", "write")
"""What `progress` is called with, in order; the steps of variants that are not asked for are left out."""


@dataclass(slots=True)
class _Judged:
    """A variant with what its gates found."""

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
        return _write(
            run, evidence, judged, _Choice(out, source, default, share, transformer, inline_bytes_max)
        )


def _judge_fp32(run: _Run, evidence: Evidence, subject: Subject) -> _Judged:
    with run.step("fp32 gates"):
        run.gates += calibration.check(run.fitted)
        run.gates.append(parity.check(evidence, subject))
        run.gates.append(context_once.check(evidence, subject))
        run.gates.append(shapes.check(evidence, subject))
        return _judge_ranking(run, evidence, subject)


def _judge_int8(run: _Run, evidence: Evidence, int8: Quantised, fp32: Subject) -> _Judged:
    subject = int8.subject
    with run.step("int8 gates"):
        judged = _judge_made(run, evidence, int8, fp32)
    with run.step("speed"):
        result, judged.speedup, faster = speed.check(evidence, subject, fp32)
        run.gates.append(result)
        # With nothing quantised it is the fp32 graph under another name.
        judged.worth_serving = faster and bool(int8.quantized)
    return judged


def _judge_optional(run: _Run, evidence: Evidence, made: Quantised, fp32: Subject) -> _Judged:
    judged = _judge_made(run, evidence, made, fp32)
    if KINDS[made.subject.variant].timed:
        result, judged.speedup, judged.worth_serving = speed.check(evidence, made.subject, fp32)
        run.gates.append(result)
    judged.worth_serving = judged.worth_serving and bool(made.quantized)
    return judged


def _judge_made(run: _Run, evidence: Evidence, made: Quantised, fp32: Subject) -> _Judged:
    """The gates of a variant made from fp32."""
    with int8_report.explaining(made.search):
        judged = _judge_ranking(run, evidence, made.subject)
    run.gates.append(distance.check(evidence, made.subject, fp32))
    judged.made = made
    return judged


def _judge_ranking(run: _Run, evidence: Evidence, subject: Subject) -> _Judged:
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
    return _Judged(subject, agreed, found, invariance, sliced)


@dataclass(frozen=True, slots=True)
class _Choice:
    out: Path
    source: str
    default_variant: str
    context_share: float
    transformer: Rewritten | None
    inline_bytes_max: int


def _write(run: _Run, evidence: Evidence, judged: dict[str, _Judged], choice: _Choice) -> Report:
    spec = run.spec
    rows = golden.pick(evidence)
    max_abs = golden.max_abs(evidence, judged)
    scores = {name: golden.scores_of(evidence, one.subject, rows) for name, one in judged.items()}
    exact = all(golden.order_is_exact(values, max_abs) for values in scores.values())
    op_counts = {name: _counted(one, choice) for name, one in judged.items()}
    report = _report(run, evidence, judged, choice)
    for entry in report.variants:
        entry.operators = op_counts[entry.variant]
    models = {name: one.subject.model for name, one in judged.items()}
    require_room(choice.out, bundle.bytes_of(evidence, models.values()), "the bundle")
    with bundle.staging(choice.out, spec.name) as folder:
        graphs = {
            name: bundle.write_graph(folder, name, model, choice.inline_bytes_max)
            for name, model in models.items()
        }
        bundle.write_golden(folder, evidence, rows, scores)
        parts = Parts(
            spec=spec,
            vocabs=bundle.write_vocabs(folder, evidence),
            variants={name: _variant(judged[name], graphs[name], op_counts[name]) for name in judged},
            default_variant=choice.default_variant,
            chunkable=choice.context_share < context_share.SHARE_MAX,
            golden=bundle.golden_entry(rows, max_abs, exact),
            requests=bundle.write_requests(folder, evidence),
            source=_source(spec, choice, judged),
            calibrations={head: one.entry for head, one in run.fitted.items()},
        )

        def seal(version: int) -> Manifest:
            report.version = version
            (folder / "report.json").write_bytes(encode(report))
            (folder / "report.html").write_text(report_html.render(report), encoding="utf-8")
            return manifest_of(parts, version, bundle.list_files(folder))

        path, _ = bundle.publish(folder, seal)
    report.path = str(path)
    return report


def _counted(judged: _Judged, choice: _Choice) -> dict[str, int]:
    """The operators that ONNX Runtime really runs, which must be those that were written."""
    model = judged.subject.model
    counts = optimized_op_counts(model)
    if judged.subject.variant == "fp16":
        return counts  # of the CPU, which has few float16 kernels and casts: nothing is expected of it
    expected = operators.expected_of(
        model,
        quantized=len(judged.made.quantized) if judged.made is not None else 0,
        rewritten=choice.transformer is not None,
        variant=judged.subject.variant,
    )
    operators.require(judged.subject.variant, counts, expected)
    return counts


def _variant(judged: _Judged, graph: str, op_counts: dict[str, int]) -> Variant:
    name = judged.subject.variant
    return Variant(
        graphs={"fused": graph},
        providers=list(KINDS[name].providers),
        quantization=KINDS[name].quantization,
        worth_serving=judged.worth_serving,
        batch_invariance=judged.invariance,
        agreement=judged.agreement,
        quality=judged.quality,
        speedup_over_fp32=judged.speedup,
        op_counts={"fused": op_counts},
        depends_on_batch_mates=KINDS[name].depends_on_batch_mates,
        notes=list(KINDS[name].notes),
    )


def _source(spec: ExportSpec, choice: _Choice, judged: dict[str, _Judged]) -> dict[str, object]:
    source = source_of(spec, choice.source)
    source["context_share"] = round(choice.context_share, 4)
    if (transformer := choice.transformer) is not None:
        source["transformer"] = {
            "attentions": transformer.attentions,
            "one_query": transformer.one_query,
            "linear": transformer.linear,
            "speedup": round(transformer.speedup, 2),
        }
    for name, one in judged.items():
        if one.made is not None:
            source[name] = int8_report.source_of(one.made, len(spec.calibration))
    return source


def _report(run: _Run, evidence: Evidence, judged: dict[str, _Judged], choice: _Choice) -> Report:
    prior = quality.prior_quality(evidence)
    return Report(
        model=run.spec.name,
        version=0,
        path="",
        default_variant=choice.default_variant,
        requests=len(evidence.requests),
        labelled=judged["fp32"].quality.requests,
        prior_ndcg=None if prior != prior else prior,
        context_share=choice.context_share,
        variants=[
            VariantReport(
                variant=name,
                worth_serving=one.worth_serving,
                graph_bytes=total_bytes(one.subject.model),
                quality=one.quality,
                speedup_over_fp32=one.speedup,
                slices=one.slices,
                latency=one.latency,
                memory=one.memory,
                scores=picture.scores(evidence, one.subject),
                quantized=list(one.made.quantized) if one.made else [],
                kept_fp32=dict(one.made.kept_fp32) if one.made else {},
                search=int8_report.search_of(one.made.search) if one.made else None,
                notes=list(KINDS[name].notes),
            )
            for name, one in judged.items()
        ],
        heads=heads_of(evidence, [one.subject for one in judged.values()], run.fitted),
        reliability=picture.reliability(evidence, judged[choice.default_variant].subject),
        gates=run.gates,
        seconds=run.seconds,
    )
