"""The operators that really run are counted, and a difference stops the export."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from export.operators import Expected, expected_of, require
from export.tracing import ExportFailed


def test_counts_as_expected_pass() -> None:
    """Exact counts may be spread over the names that a product goes by."""
    require("fp32", {"Gemm": 2, "FusedGemm": 1, "Relu": 9}, Expected({"Gemm, FusedGemm": 3}, ("BiasGelu",)))


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"MatMulIntegerToFloat": 11}, "int8: ONNX Runtime runs 11 x MatMulIntegerToFloat, 12 were written"),
        ({"MatMulIntegerToFloat": 12, "DequantizeLinear": 1}, "int8: ONNX Runtime runs 1 x DequantizeLinear"),
    ],
)
def test_a_product_that_fell_back_stops_the_export(counts: dict[str, int], sentence: str) -> None:
    """Whether it is missing from the int8 ones or its weights are dequantised on every run."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], []))

    with pytest.raises(ExportFailed, match=sentence):
        require("int8", counts, expected_of(model, quantized=12, rewritten=False))


def test_a_fusion_that_slows_down_stops_the_export() -> None:
    """In a rewritten transformer SkipLayerNormalization must not come back."""
    node = helper.make_node("Attention", ["q", "q", "q"], ["y"], q_num_heads=1, kv_num_heads=1)
    model = helper.make_model(helper.make_graph([node], "g", [], []))

    expected = expected_of(model, quantized=0, rewritten=True)
    with pytest.raises(ExportFailed, match="1 x SkipLayerNormalization, which is slower"):
        require("fp32", {"Attention": 1, "SkipLayerNormalization": 1}, expected)
