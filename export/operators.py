"""What ONNX Runtime must really run after its own optimisations: counted, because it changes graphs silently.

A fusion that no longer happens, or one that happens against our will, gives the same scores at another speed;
so does a quantised product that runs in fp32 with its weights dequantised on every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from export.quantize import OPERATOR as INT8_PRODUCT
from export.tracing import ExportFailed
from export.transformer.attention import OPERATOR as ATTENTION
from export.weights_only import OPERATOR as NBITS_PRODUCT

SLOW_ON_CPU = ("SkipLayerNormalization", "EmbedLayerNormalization", "BiasGelu")
"""Fused operators whose CPU kernels are slower than what they replace."""
FLOAT_PRODUCTS = "Gemm, MatMul, FusedGemm, FusedMatMul"
FALLEN_BACK = ("DequantizeLinear", "MatMulInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul")
"""Signs of a quantised product that is not run by its own kernel."""
DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul")
PRODUCTS = {
    "int8": INT8_PRODUCT,
    "int8-dynamic": f"{INT8_PRODUCT}, DynamicQuantizeMatMul",
    "int8-weights": NBITS_PRODUCT,
}
"""What a quantised product is run as."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Counts of operators: exact ones, and those that must not be there."""

    exactly: Mapping[str, int] = field(default_factory=dict)
    never: tuple[str, ...] = ()


def expected_of(
    model: onnx.ModelProto, *, quantized: int, rewritten: bool, variant: str = "int8"
) -> Expected:
    """What a variant's graph must become.

    Args:
        variant: which operator its quantised products are.
        quantized: products that were quantised.
        rewritten: the graph went through `export.transformer`.
    """
    exactly: dict[str, int] = {}
    never: tuple[str, ...] = ()
    if quantized:
        exactly[PRODUCTS[variant]] = quantized
        never += tuple(name for name in FALLEN_BACK if name not in DYNAMIC or variant != "int8-dynamic")
    if rewritten:
        exactly[ATTENTION] = sum(node.op_type == ATTENTION for node in model.graph.node)
        exactly[FLOAT_PRODUCTS] = sum(node.op_type in ("Gemm", "MatMul") for node in model.graph.node)
        never += SLOW_ON_CPU
    return Expected(exactly, never)


def require(variant: str, counts: Mapping[str, int], expected: Expected) -> None:
    """Compare counts of the optimised graph with what is expected.

    Args:
        counts: as `export.runtime.optimized_op_counts` gives them.

    Raises:
        ExportFailed: names the operator.
    """
    for names, wanted in expected.exactly.items():
        found = sum(counts.get(name, 0) for name in names.split(", "))
        if found != wanted:
            raise ExportFailed(
                f"{variant}: ONNX Runtime runs {found} x {names}, {wanted} were written: its optimiser "
                "changed the graph, and the variant would be slow; report this with its version"
            )
    for name in expected.never:
        if counts.get(name, 0):
            raise ExportFailed(
                f"{variant}: ONNX Runtime runs {counts[name]} x {name}, which is slower than what was "
                "written; report this with its version"
            )
