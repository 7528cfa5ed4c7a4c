"""The ONNX operators that a bundle's graph may use: export refuses others while writing, the server at load.

Derived from what the exporter writes and from what rankers are built of: dense and embedding layers,
attention, convolutions and recurrent cells over a history, int8 products. Left out on purpose: what runs a
graph of its own (its size cannot be seen from outside), what draws random numbers (a score would not repeat),
strings, sequences, images, shapes that depend on values, and every custom domain but the operators of
com.microsoft named here. To allow one more everywhere, add it here; on one server, `model_files.operators`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

MICROSOFT: Final = "com.microsoft"

_ARITHMETIC = """
    Abs Acos Acosh Add Asin Asinh Atan Atanh Ceil Clip Cos Cosh CumProd CumSum Div Erf Exp Floor Log Max
    Mean Min Mod Mul Neg Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan Tanh
"""
_LOGIC = """
    And BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Equal Greater GreaterOrEqual IsInf IsNaN
    Less LessOrEqual Not Or Where Xor
"""
_ACTIVATIONS = """
    Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid
    Softmax Softplus Softsign Swish ThresholdedRelu
"""
_LAYERS = """
    Attention AveragePool BatchNormalization Conv Einsum GRU Gemm GlobalAveragePool GlobalMaxPool
    GroupNormalization InstanceNormalization LSTM LayerNormalization LpNormalization MatMul MaxPool
    MeanVarianceNormalization RMSNormalization RNN RotaryEmbedding SimplifiedLayerNormalization
"""
_REDUCTIONS = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare TopK
"""
_SHAPES = """
    Cast CastLike Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND
    Identity OneHot Pad Range Reshape Scatter ScatterElements ScatterND Shape Size Slice Split Squeeze
    Tile Transpose Trilu Unsqueeze
"""
_INT8 = """
    ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul
    QuantizeLinear
"""
_MICROSOFT = """
    Attention BiasGelu DequantizeLinear DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedGemm
    FusedMatMul Gelu MatMulIntegerToFloat MatMulNBits MultiHeadAttention QAttention QGemm QLinearAdd
    QLinearMul QLinearSigmoid QuantizeLinear QuickGelu RotaryEmbedding SkipLayerNormalization
    SkipSimplifiedLayerNormalization
"""

_DEFAULT_DOMAIN = " ".join((_ARITHMETIC, _LOGIC, _ACTIVATIONS, _LAYERS, _REDUCTIONS, _SHAPES, _INT8))
ALLOWED: Final = frozenset(_DEFAULT_DOMAIN.split()) | {f"{MICROSOFT}:{name}" for name in _MICROSOFT.split()}
"""`Type` for the default domain, `domain:Type` for others."""

WITH_BODIES: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})
RANDOM: Final = frozenset(
    {
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
"""Dropout among them: a graph that still has one was not exported for serving."""


def qualified(domain: str, kind: str) -> str:
    """An operator's name as the table has it."""
    return kind if domain in ("", "ai.onnx") else f"{domain}:{kind}"


def why_not(domain: str, kind: str, more: Collection[str] = ()) -> str | None:
    """Why an operator is not allowed, as the end of a sentence about it; None when it is.

    Args:
        more: what whoever runs the server allows besides, as `qualified` names it. What runs a graph of its
            own is refused all the same.
    """
    name = qualified(domain, kind)
    if name in WITH_BODIES:
        return "runs a graph of its own, which is never allowed: write the model without branches and loops"
    if name in ALLOWED or name in more:
        return None
    if name in RANDOM:
        return "draws random numbers, so that a score would not repeat: export the model in eval mode"
    return "is not among the allowed operators: write the model without it"
