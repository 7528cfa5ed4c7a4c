"""The int8 graph: static uint8 activations, int8 weights per output column, float32 results.

Each chosen product becomes `QuantizeLinear -> MatMulIntegerToFloat` (com.microsoft), with its bias. The
scales are constants, so a candidate's score cannot depend on its batch-mates, which is what dynamic
quantisation gets wrong.

The operator is written directly rather than as Q/DQ pairs for ONNX Runtime to fuse: its activation fusion
(Gemm + Relu) runs before its quantisation patterns, finds a float Gemm, and the weights are dequantised on
every run; a 20-128-64-1 ranker ran at half of fp32's speed that way, with no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.calibrate import Quantization, quantize_weight
from export.sites import Site
from export.spec import Array
from export.tracing import finish

OPERATOR = "MatMulIntegerToFloat"
DOMAIN = "com.microsoft"


def to_int8(
    model: onnx.ModelProto, sites: Sequence[Site], quantizations: Mapping[str, Quantization]
) -> onnx.ModelProto:
    """Quantise these sites of a graph; the rest stays as it is.

    Args:
        model: the fp32 graph that the sites were found in.
        sites: the products to quantise.
        quantizations: site name -> how to quantise its input.
    """
    writer = _Writer()
    return replace_products(
        model, sites, lambda site: writer.product(site, quantizations[site.name]), writer.constants
    )


def replace_products(
    model: onnx.ModelProto,
    sites: Sequence[Site],
    write: Callable[[Site], Iterable[onnx.NodeProto]],
    constants: Mapping[str, onnx.TensorProto],
) -> onnx.ModelProto:
    """The graph with these sites computed otherwise, and without the constants that nobody reads any more.

    Args:
        write: the nodes that compute `site.name` from `site.x`, makers before readers.
        constants: what those nodes read; may be filled by `write`.

    Raises:
        ExportFailed: the result is not a valid graph.
    """
    by_node = {site.nodes[-1]: site for site in sites}
    replaced = {index for site in sites for index in site.nodes}
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        if index in by_node:
            nodes += write(by_node[index])
        elif index not in replaced:
            nodes.append(node)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if sites:
        copy.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    _replace(copy.graph.node, nodes)
    used = {name for node in nodes for name in node.input} | {output.name for output in model.graph.output}
    made = {name for node in nodes for name in node.output}
    kept = [entry for entry in [*model.graph.initializer, *constants.values()] if entry.name in used]
    _replace(copy.graph.initializer, kept)
    _replace(copy.graph.value_info, [value for value in model.graph.value_info if value.name in made])
    finish(copy)
    return copy


class _Writer:
    """Writes the nodes of quantised products; products that read the same codes share one QuantizeLinear."""

    def __init__(self) -> None:
        self.constants: dict[str, onnx.TensorProto] = {}
        self._codes: dict[tuple[str, float, int, bytes], str] = {}

    def product(self, site: Site, how: Quantization) -> list[onnx.NodeProto]:
        """The nodes that compute `site.name`."""
        nodes, codes = self._codes_of(site, how)
        weight, scales = how.weight or quantize_weight(
            site.weight if how.smoothing is None else site.weight * how.smoothing[:, None]
        )
        inputs = [
            codes,
            self._constant(f"{site.name}/weight", weight),
            self._constant(f"{codes}/scale", np.array(how.scale, np.float32)),
            self._constant(f"{site.name}/weight_scales", scales),
            self._constant(f"{codes}/zero_point", np.array(how.zero_point, np.uint8)),
        ]
        if site.bias is not None:
            inputs += ["", self._constant(f"{site.name}/bias", site.bias)]  # "": the weights' zero point is 0
        name = f"{site.name}/int8"
        nodes.append(helper.make_node(OPERATOR, inputs, [site.name], name=name, domain=DOMAIN))
        return nodes

    def _codes_of(self, site: Site, how: Quantization) -> tuple[list[onnx.NodeProto], str]:
        smoothing = b"" if how.smoothing is None else how.smoothing.tobytes()
        key = (site.x, how.scale, how.zero_point, smoothing)
        if key in self._codes:
            return [], self._codes[key]
        codes = self._codes[key] = f"{site.name}/codes"
        nodes: list[onnx.NodeProto] = []
        x = site.x
        if how.smoothing is not None:
            x = f"{site.name}/levelled"
            inverse = self._constant(f"{x}/factors", (1.0 / how.smoothing).astype(np.float32))
            nodes.append(helper.make_node("Mul", [site.x, inverse], [x], name=x))
        scale = self._constant(f"{codes}/scale", np.array(how.scale, np.float32))
        zero_point = self._constant(f"{codes}/zero_point", np.array(how.zero_point, np.uint8))
        nodes.append(helper.make_node("QuantizeLinear", [x, scale, zero_point], [codes], name=codes))
        return nodes, codes

    def _constant(self, name: str, array: Array) -> str:
        self.constants[name] = numpy_helper.from_array(array, name)
        return name


def _replace(field: Any, messages: Iterable[Any]) -> None:
    """Set a repeated protobuf field, from messages that may live in it."""
    copies = [type(message).FromString(message.SerializeToString()) for message in messages]
    del field[:]
    field.extend(copies)
