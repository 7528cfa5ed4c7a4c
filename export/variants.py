"""The variants that an export can make: what they are, where they run, and what must be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from export.dynamic import to_dynamic_int8
from export.gates.evidence import Evidence
from export.half import to_half
from export.quantised import Quantised, too_small
from export.sites import find_sites
from export.variant_search import Write, search_products
from export.weights_only import to_int8_weights

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of variant.

    Attributes:
        providers: execution providers that may run it; "*" = any.
        quantization: the manifest's word for it.
        notes: sentences that manifest and report carry wherever the variant is shown.
        depends_on_batch_mates: a score depends on who else is in the run.
        timed: its speed is measured on the exporting CPU.
    """

    providers: Sequence[str]
    quantization: str
    notes: Sequence[str] = ()
    depends_on_batch_mates: bool = False
    timed: bool = True


KINDS: Mapping[str, Kind] = {
    "fp32": Kind(providers=("*",), quantization="none", timed=False),
    "int8": Kind(providers=(CPU,), quantization="static_u8s8"),
    "int8-weights": Kind(
        providers=(CPU,),
        quantization="weights_s8_block32",
        notes=("weights in 8 bits; for memory and disk, not for speed",),
    ),
    "int8-dynamic": Kind(
        providers=(CPU,),
        quantization="dynamic_u8s8",
        notes=("scores depend on batch-mates",),
        depends_on_batch_mates=True,
    ),
    "fp16": Kind(providers=(CUDA,), quantization="float16", notes=("not run on a GPU",), timed=False),
}
OPTIONAL = ("int8-weights", "int8-dynamic", "fp16")
"""Made when asked for, and never the default."""


def build_optional(name: str, model: onnx.ModelProto, evidence: Evidence, search_seconds: float) -> Quantised:
    """Make one of OPTIONAL from the fp32 graph; as many products as the gates allow.

    Raises:
        ExportFailed: the graph cannot be written in that precision.
    """
    if name == "fp16":
        return _build_half(model, evidence, search_seconds)
    sites = find_sites(model)
    chosen = {site.name: site for site in sites if site.pays}
    transform = {"int8-weights": to_int8_weights, "int8-dynamic": to_dynamic_int8}[name]

    def write(names: Sequence[str]) -> onnx.ModelProto:
        return transform(model, [chosen[one] for one in names])

    kept = {site.name: too_small(site) for site in sites if not site.pays}
    return _searched(name, list(chosen), write, evidence, search_seconds, kept)


def _build_half(model: onnx.ModelProto, evidence: Evidence, search_seconds: float) -> Quantised:
    products = to_half(model).products
    kept = {
        site.name: "narrow, behind all wide products, or with constants that float16 cannot hold"
        for site in find_sites(model)
        if not {site.name, model.graph.node[site.nodes[0]].output[0]} & set(products)
    }

    def write(names: Sequence[str]) -> onnx.ModelProto:
        return to_half(model, names).model

    return _searched("fp16", products, write, evidence, search_seconds, kept)


def _searched(
    name: str,
    names: Sequence[str],
    write: Write,
    evidence: Evidence,
    search_seconds: float,
    kept: Mapping[str, str],
) -> Quantised:
    found = search_products(name, names, write, evidence, search_seconds)
    return Quantised(
        subject=found.subject,
        quantized=found.quantized,
        kept_fp32={**kept, **found.search.excluded},
        search=found.search,
    )
