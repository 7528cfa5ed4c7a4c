"""The last step of an export: count what really runs, then write bundle, report and manifest at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export import bundle, context_share, golden, int8_report, operators, picture, report_html
from export.describe import Parts, manifest_of
from export.gates import quality
from export.gates.evidence import Evidence
from export.head_report import heads_of
from export.judged import Findings, Judged
from export.provenance import source_of
from export.report import Report, VariantReport, encode
from export.runtime import optimized_op_counts
from export.spec import ExportSpec
from export.transformer.rewrite import Rewritten
from export.variants import KINDS
from export.weights import require_room, total_bytes
from protos.manifest import Manifest, Variant


@dataclass(frozen=True, slots=True)
class Choice:
    """What the judgement led to.

    Attributes:
        out: folder of models.
        source: the spec's address, `module:function`.
        default_variant: the one that servers run unless told otherwise.
        context_share: of a run's time, the context side's.
        transformer: what was rewritten; None for other graphs.
        inline_bytes_max: a graph with more bytes of weights has them in a file beside it.
    """

    out: Path
    source: str
    default_variant: str
    context_share: float
    transformer: Rewritten | None
    inline_bytes_max: int


def write(evidence: Evidence, judged: Mapping[str, Judged], choice: Choice, findings: Findings) -> Report:
    """Write the bundle to `out/NAME/VERSION`, with its report.

    Args:
        judged: variant -> what its gates found; fp32 among them.

    Raises:
        GateFailed: ONNX Runtime does not run the operators that were written.
        ExportFailed: the disk is full.
    """
    spec = evidence.spec
    rows = golden.pick(evidence)
    max_abs = golden.max_abs(evidence, judged)
    scores = {name: golden.scores_of(evidence, one.subject, rows) for name, one in judged.items()}
    exact = all(golden.order_is_exact(values, max_abs) for values in scores.values())
    op_counts = {name: _counted(one, choice) for name, one in judged.items()}
    report = _report(evidence, judged, choice, findings)
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
            calibrations={head: one.entry for head, one in findings.fitted.items()},
        )

        def seal(version: int) -> Manifest:
            report.version = version
            (folder / "report.json").write_bytes(encode(report))
            (folder / "report.html").write_text(report_html.render(report), encoding="utf-8")
            return manifest_of(parts, version, bundle.list_files(folder))

        path, _ = bundle.publish(folder, seal)
    report.path = str(path)
    return report


def _counted(judged: Judged, choice: Choice) -> dict[str, int]:
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


def _variant(judged: Judged, graph: str, op_counts: dict[str, int]) -> Variant:
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


def _source(spec: ExportSpec, choice: Choice, judged: Mapping[str, Judged]) -> dict[str, object]:
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


def _report(evidence: Evidence, judged: Mapping[str, Judged], choice: Choice, findings: Findings) -> Report:
    prior = quality.prior_quality(evidence)
    return Report(
        model=evidence.spec.name,
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
        heads=heads_of(evidence, [one.subject for one in judged.values()], findings.fitted),
        reliability=picture.reliability(evidence, judged[choice.default_variant].subject),
        gates=findings.gates,
        seconds=findings.seconds,
    )
