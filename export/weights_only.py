"""The `int8-weights` variant: weights in 8 bits, a quarter of the bytes on disk and in memory; no
calibration.

Each product becomes one `MatMulNBits` (com.microsoft) with 8 bits and a scale per 32 weights of an output
column. Its CPU kernel rounds activations to int8 as well, with a scale per row and 32 columns
(`accuracy_level` 4): a candidate's own row and nobody else's, so scores do not depend on the batch, and an
outlier spoils 32 values, not a tensor. Blocks of 32, because with 128 they were found to drift with the
padded length; fp32 activations (level 0) take up to five times fp32's time on few rows. Weights dequantised
when the graph is loaded would be exact to the weights, but then memory is more than fp32's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.quantize import DOMAIN, replace_products
from export.sites import Site
from export.spec import Array

OPERATOR = "MatMulNBits"
BLOCK = 32
BITS = 8
_ZERO = 128
_ACTIVATIONS_INT8 = 4


def to_int8_weights(model: onnx.ModelProto, sites: Sequence[Site]) -> onnx.ModelProto:
    """Store the weights of these sites of an fp32 graph in 8 bits; the rest stays as it is."""
    constants: dict[str, onnx.TensorProto] = {}

    def constant(name: str, array: Array) -> str:
        constants[name] = numpy_helper.from_array(array, name)
        return name

    def write(site: Site) -> list[onnx.NodeProto]:
        codes, scales = quantize_blocks(site.weight)
        inputs = [
            site.x,
            constant(f"{site.name}/weight", codes),
            constant(f"{site.name}/weight_scales", scales),
        ]
        if site.bias is not None:
            inputs += ["", "", constant(f"{site.name}/bias", site.bias)]  # no zero points: 128; no order
        k, n = site.weight.shape
        return [
            helper.make_node(
                OPERATOR,
                inputs,
                [site.name],
                name=f"{site.name}/nbits",
                domain=DOMAIN,
                K=k,
                N=n,
                bits=BITS,
                block_size=BLOCK,
                accuracy_level=_ACTIVATIONS_INT8,
            )
        ]

    return replace_products(model, sites, write, constants)


def quantize_blocks(weight: Array) -> tuple[Array, Array]:
    """A weight in the layout of `MatMulNBits`.

    Args:
        weight: float32 [K, N].

    Returns:
        uint8 [N, ceil(K / BLOCK), BLOCK] around 128, and float32 [N, ceil(K / BLOCK)]: weight = (code -
        128) * scale.
    """
    k, n = weight.shape
    blocks = -(-k // BLOCK)
    padded = np.zeros((n, blocks * BLOCK), np.float32)
    padded[:, :k] = weight.T
    padded = padded.reshape(n, blocks, BLOCK)
    reach = np.abs(padded).max(axis=2)
    scales = np.where(reach > 0, reach / 127.0, 1.0).astype(np.float32)
    codes = np.clip(np.rint(padded / scales[:, :, None]), -127, 127) + _ZERO
    return codes.astype(np.uint8), scales
