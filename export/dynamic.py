"""The `int8-dynamic` variant: activation scales are taken from each run, so no calibration is needed.

And so a candidate's score depends on whoever else is in its run: the variant is made only when asked for,
says so in manifest and report, and is never the default. As `export.quantize`, but each product's input
goes through `DynamicQuantizeLinear`: one scale for the whole tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper, numpy_helper

from export.calibrate import quantize_weight
from export.quantize import DOMAIN, OPERATOR, replace_products
from export.sites import Site
from export.spec import Array


def to_dynamic_int8(model: onnx.ModelProto, sites: Sequence[Site]) -> onnx.ModelProto:
    """Quantise these sites of an fp32 graph with scales of the moment; the rest stays as it is."""
    constants: dict[str, onnx.TensorProto] = {}
    quantised: set[str] = set()

    def constant(name: str, array: Array) -> str:
        constants[name] = numpy_helper.from_array(array, name)
        return name

    def write(site: Site) -> list[onnx.NodeProto]:
        codes, scale, zero_point = (f"{site.x}/dynamic/{part}" for part in ("codes", "scale", "zero_point"))
        nodes = []
        if site.x not in quantised:
            quantised.add(site.x)
            outputs = [codes, scale, zero_point]
            nodes.append(helper.make_node("DynamicQuantizeLinear", [site.x], outputs, name=codes))
        weight, scales = quantize_weight(site.weight)
        inputs = [
            codes,
            constant(f"{site.name}/weight", weight),
            scale,
            constant(f"{site.name}/weight_scales", scales),
            zero_point,
        ]
        if site.bias is not None:
            inputs += ["", constant(f"{site.name}/bias", site.bias)]
        name = f"{site.name}/int8"
        nodes.append(helper.make_node(OPERATOR, inputs, [site.name], name=name, domain=DOMAIN))
        return nodes

    return replace_products(model, sites, write, constants)
