"""How a rewritten transformer's products become int8: one uint8 scale per product input, nothing clipped.

Residuals, LayerNorms, softmax and attention stay fp32: only what a product reads is ever quantised. Outlier
neurons of the FFN go through fp32, inputs are centred where that is free, and levelled; what an attention
gives is levelled for free, too. Weights are rounded for the inputs that calibration saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from export.calibrate import Quantization, to_uint8_parameters
from export.codec import Codec, Encoded
from export.sites import Site, find_sites
from export.spec import Array
from export.transformer.attention import OPERATOR
from export.transformer.centring import add_to_bias, centre_layer_norms, centre_of, has_bias
from export.transformer.graph import VIEWS, Graph
from export.transformer.levelling import factors_of
from export.transformer.outliers import find_feed_forward, outliers, take_out
from export.transformer.ranges import Columns, column_ranges, levelled, moved, without
from export.transformer.rounding import round_weight


@dataclass(frozen=True, slots=True)
class Prepared:
    """An fp32 graph with the same scores as before, ready for `to_int8`.

    Attributes:
        quantizations: site name -> how to quantise its input; for every site that pays.
        outliers: value between the layers of an FFN -> its neurons that stay in fp32.
    """

    model: onnx.ModelProto
    quantizations: dict[str, Quantization]
    outliers: dict[str, list[int]]


def prepare(model: onnx.ModelProto, codec: Codec, requests: Sequence[Encoded]) -> Prepared:
    """Choose scales from calibration requests, and take out and level what would waste them.

    Args:
        model: as `rewrite` returns it.
        requests: calibration requests.
    """
    graph = Graph(model)
    values = sorted({site.x for site in find_sites(model) if site.pays})
    ranges = dict(column_ranges(model, values, codec, requests))
    taken = _take_outliers(graph, ranges)
    centre_layer_norms(graph, ranges)
    _level_attentions(graph, ranges)
    prepared = graph.model()
    sites = [site for site in find_sites(prepared) if site.pays and site.x in ranges]
    by_input: dict[str, list[Site]] = defaultdict(list)
    for site in sites:
        by_input[site.x].append(site)
    quantizations: dict[str, Quantization] = {}
    for x, group in by_input.items():
        # Behind an activation it costs a multiplication per element of the widest value there is, and is
        # worth it: there columns are the most unlike (docs/decisions.md, BERT-like graphs).
        level = not _from_attention(graph, x)
        factors = factors_of(ranges[x], [site.weight for site in group]) if level else None
        columns = levelled(ranges[x], factors)
        quantizations.update({site.name: _quantization(site, columns, factors) for site in group})
    return Prepared(prepared, quantizations, taken)


def _quantization(site: Site, columns: Columns, factors: Array | None) -> Quantization:
    scale, zero_point = to_uint8_parameters(float(columns.low.min()), float(columns.high.max()))
    if columns.products is None:
        return Quantization(scale, zero_point, factors)
    weight = site.weight if factors is None else site.weight * factors[:, None]
    rounded = round_weight(weight, columns.products, columns.rows, scale)
    return Quantization(scale, zero_point, factors, rounded)


def _take_outliers(graph: Graph, ranges: dict[str, Columns]) -> dict[str, list[int]]:
    taken: dict[str, list[int]] = {}
    for ffn in find_feed_forward(graph):
        neurons = outliers(ranges[ffn.hidden]) if ffn.hidden in ranges else []
        if neurons:
            take_out(graph, ffn, neurons)
            ranges[ffn.hidden] = without(ranges[ffn.hidden], neurons)
            taken[ffn.hidden] = neurons
    return taken


def _level_attentions(graph: Graph, ranges: dict[str, Columns]) -> None:
    """An attention mixes tokens, never columns, with weights that sum to 1: its output is centred and
    levelled in the columns of its values.
    """
    for product in [node for node in graph.nodes if node.op_type == "Gemm" and node.input[0] in ranges]:
        x = product.input[0]
        attention = _from_attention(graph, x)
        values = _maker_behind_views(graph, attention.input[2]) if attention is not None else None
        weight = graph.constant(product.input[1])
        if attention is None or values is None or weight is None or len(graph.readers(x)) != 1:
            continue
        if not _levels(graph, values, attention) or product.attribute:
            continue
        if has_bias(graph, product):
            centre = centre_of(ranges[x])
            add_to_bias(graph, values, -centre)
            add_to_bias(graph, product, centre @ weight)
            ranges[x] = moved(ranges[x], centre)
        factors = factors_of(ranges[x], [weight])
        if factors is None:
            continue
        for node, place, array in (
            (values, 1, _constant(graph, values.input[1]) / factors),
            (values, 2, _constant(graph, values.input[2]) / factors),
            (product, 1, weight * factors[:, None]),
        ):
            name = f"{node.output[0]}/levelled/{place}"
            node.input[place] = graph.add_constant(name, array.astype(np.float32))
        ranges[x] = levelled(ranges[x], factors)
    graph.sort()


def _levels(graph: Graph, values: onnx.NodeProto, attention: onnx.NodeProto) -> bool:
    """The value projection is a plain Gemm that feeds this attention's values and nothing else."""
    if values.op_type != "Gemm" or values.attribute or len(values.input) != 3:
        return False
    if any(graph.constant(name) is None for name in values.input[1:]):
        return False
    name, reader = values.output[0], graph.only_reader(values.output[0])
    while reader is not None and reader.op_type in VIEWS:
        name = reader.output[0]
        reader = graph.only_reader(name)
    return list(attention.input).count(name) == 1 and reader is attention


def _from_attention(graph: Graph, x: str) -> onnx.NodeProto | None:
    node = _maker_behind_views(graph, x)
    return node if node is not None and node.op_type == OPERATOR else None


def _maker_behind_views(graph: Graph, name: str) -> onnx.NodeProto | None:
    while True:
        node = graph.maker(name)
        if node is None or node.op_type not in VIEWS:
            return node
        name = node.input[0]


def _constant(graph: Graph, name: str) -> Array:
    array = graph.constant(name)
    assert array is not None  # _levels
    return array
