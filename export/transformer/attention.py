"""Multi-head attention, found in a traced graph and replaced by one `Attention` operator (ONNX opset 23).

What is looked for is the textbook's form, written out or as `scaled_dot_product_attention` decomposes:
softmax(q k^T * scale + mask) v over [N, heads, S, S], with q, k, v split into heads by views of [N, S, H] and
the result merged back by a Transpose and a Reshape. With three axes in and out the operator splits and merges
the heads itself, and the Transposes go. In a grid the same views also spread candidates out over [R, C] and
bring them together again. What deviates from that is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from export.transformer.graph import VIEWS, Graph, Shape, attribute

OPERATOR = "Attention"
OPSET = 23
"""The first with Attention. Between 20, what is traced, and this one, only GroupNormalization changed its
meaning."""
CHANGED_SINCE_TRACE = frozenset({"GroupNormalization"})


@dataclass(frozen=True, slots=True)
class _Scores:
    """`left @ right * scale + sum(masks)`, the softmax's input."""

    left: str
    right: str
    scale: float
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """One attention; q, k and v are values of three axes, `merge` is the Reshape that reads its result."""

    q: str
    k: str
    v: str
    heads: int
    scale: float
    masks: tuple[str, ...]
    merge: onnx.NodeProto


def fuse_attention(graph: Graph) -> int:
    """Replace every attention found; returns how many."""
    count = 0
    for node in [node for node in graph.nodes if node.op_type == "Softmax"]:
        found = _match(graph, node)
        if found is not None:
            _replace(graph, found)
            count += 1
    return count


def widen_masks(graph: Graph) -> None:
    """Give every mask a row per query: the CPU's kernel does not repeat a single one."""
    widened: dict[tuple[str, str], str] = {}
    for node in [node for node in graph.nodes if node.op_type == OPERATOR and len(node.input) > 3]:
        q, mask = node.input[0], node.input[3]
        queries = graph.shape(q)[1]
        if graph.shape(mask)[-2] != 1 or queries == 1:
            continue
        key = (mask, str(queries) if queries is not None else q)
        if key not in widened:
            widened[key] = _widen(graph, mask, q)
        node.input[3] = widened[key]
    graph.sort()


def _match(graph: Graph, softmax: onnx.NodeProto) -> _Found | None:
    if attribute(softmax, "axis", -1) not in (-1, 3):
        return None
    scores = _scores(graph, softmax.input[0])
    product = _times_values(graph, softmax.output[0])
    if scores is None or product is None:
        return None
    shape = graph.shape(product.output[0])  # [N, heads, S, d]
    if len(shape) != 4 or not isinstance(shape[1], int) or not isinstance(shape[3], int):
        return None
    heads, width = shape[1], shape[1] * shape[3]
    queries, keys = shape[2], (graph.shape(product.input[0]) or (None,))[-1]
    merge = _merge(graph, product.output[0], width)
    roots = [
        _root(graph, name, (shape[0], length, width))
        for name, length in ((scores.left, queries), (scores.right, keys), (product.input[1], keys))
    ]
    if merge is None or None in roots:
        return None
    (q, q_scale), (k, k_scale), (v, v_scale) = (root for root in roots if root is not None)
    if v_scale != 1.0:
        return None
    if len(output := graph.shape(merge.output[0])) == 3 and not _agree(output, (shape[0], queries, width)):
        return None
    if any(not 2 <= len(graph.shape(mask)) <= 4 or graph.shape(mask)[-1] == 1 for mask in scores.masks):
        return None
    return _Found(q, k, v, heads, scores.scale * q_scale * k_scale, scores.masks, merge)


def _agree(one: Shape, other: Shape) -> bool:
    """The same sizes, as far as they are known."""
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in zip(one, other, strict=True))


def _scores(graph: Graph, name: str) -> _Scores | None:
    """Follow the softmax's input up to the product of queries and keys."""
    node = graph.maker(name)
    if node is None:
        return None
    if node.op_type == "MatMul":
        return _Scores(node.input[0], node.input[1], 1.0)
    if node.op_type in ("Mul", "Div"):
        inner = _scaled(graph, node)
        found = _scores(graph, inner[0]) if inner is not None else None
        if inner is None or found is None or found.masks:  # scaled after the mask: not the textbook's
            return None
        return _Scores(found.left, found.right, found.scale * inner[1])
    if node.op_type == "Add":
        for scores, mask in (tuple(node.input), tuple(node.input)[::-1]):
            found = _scores(graph, scores)
            if found is not None:
                return _Scores(found.left, found.right, found.scale, (*found.masks, mask))
    if node.op_type == "Where":
        return _filled(graph, node)
    return None


def _filled(graph: Graph, node: onnx.NodeProto) -> _Scores | None:
    """`scores.masked_fill(mask, number)`: adding the number there comes to the same."""
    condition, yes, no = node.input
    for scores, number, order in ((no, yes, (1, 0)), (yes, no, (0, 1))):
        found, fill = _scores(graph, scores), graph.scalar(number)
        if found is None or fill is None or fill > -1e3:
            continue
        zero = graph.add_constant(f"{node.output[0]}/zero", np.zeros((), np.float32))
        branches = [number if at else zero for at in order]
        mask = f"{node.output[0]}/mask"
        graph.add("Where", [condition, *branches], mask, graph.shape(condition))
        return _Scores(found.left, found.right, found.scale, (*found.masks, mask))
    return None


def _times_values(graph: Graph, probabilities: str) -> onnx.NodeProto | None:
    """The product with the values, past the guard that sets NaN to 0."""
    readers = graph.readers(probabilities)
    guards = [node for node in readers if node.op_type == "Where"]
    if len(readers) == 2 and len(guards) == 1 and any(node.op_type == "IsNaN" for node in readers):
        probabilities = guards[0].output[0]
    reader = graph.only_reader(probabilities)
    if reader is None or reader.op_type != "MatMul" or reader.input[0] != probabilities:
        return None
    return reader


def _root(graph: Graph, name: str, wanted: Shape) -> tuple[str, float] | None:
    """Follow views and multiplications by a number upwards.

    Returns:
        the furthest value of the wanted shape, and the product of the numbers up to there; None without one.
    """
    factor = 1.0
    found = (name, factor) if _agree(graph.shape(name), wanted) else None
    while (node := graph.maker(name)) is not None:
        if node.op_type in VIEWS:
            name = node.input[0]
        else:
            scaled = _scaled(graph, node) if node.op_type in ("Mul", "Div") else None
            if scaled is None:
                break
            name, factor = scaled[0], factor * scaled[1]
        if _agree(graph.shape(name), wanted):
            found = name, factor
    return found


def _scaled(graph: Graph, node: onnx.NodeProto) -> tuple[str, float] | None:
    """(x, number) of x * number or x / number."""
    left, right = node.input
    number = graph.scalar(right)
    if number is not None:
        return left, number if node.op_type == "Mul" else 1.0 / number
    number = graph.scalar(left)
    return (right, number) if number is not None and node.op_type == "Mul" else None


def _merge(graph: Graph, name: str, width: int) -> onnx.NodeProto | None:
    """The Reshape to [N, S, width], or to [N * S, width], after which the heads lie side by side again."""
    transpose = graph.only_reader(name)
    if (
        transpose is None
        or transpose.op_type != "Transpose"
        or attribute(transpose, "perm", ()) != [0, 2, 1, 3]
    ):
        return None
    reshape = graph.only_reader(transpose.output[0])
    if reshape is None or reshape.op_type != "Reshape":
        return None
    shape = graph.shape(reshape.output[0])
    return reshape if len(shape) in (2, 3) and shape[-1] == width else None


def _replace(graph: Graph, found: _Found) -> None:
    output, shape = found.merge.output[0], graph.shape(found.q)
    if len(graph.shape(output)) == 3:
        graph.drop([found.merge])
    else:
        output = f"{output}/three_axes"
        found.merge.input[0] = output
    inputs = [found.q, found.k, found.v]
    if found.masks:
        inputs.append(_summed(graph, found))
    graph.add(
        OPERATOR,
        inputs,
        output,
        shape,
        q_num_heads=found.heads,
        kv_num_heads=found.heads,
        scale=found.scale,
    )


def _summed(graph: Graph, found: _Found) -> str:
    """All masks as one of four axes; layers that share their masks share the result."""
    total = _four_axes(graph, found.masks[0])
    for mask in found.masks[1:]:
        other = _four_axes(graph, mask)
        name = f"{total}+{other}"
        if graph.maker(name) is None:
            pairs = zip(graph.shape(total), graph.shape(other), strict=True)
            graph.add("Add", [total, other], name, tuple(b if a == 1 else a for a, b in pairs))
        total = name
    return total


def _four_axes(graph: Graph, mask: str) -> str:
    shape = graph.shape(mask)
    missing = 4 - len(shape)
    if not missing:
        return mask
    name = f"{mask}/four_axes"
    if graph.maker(name) is None:
        axes = graph.add_constant(f"{name}/axes", np.arange(missing, dtype=np.int64))
        graph.add("Unsqueeze", [mask, axes], name, (1,) * missing + shape)
    return name


def _widen(graph: Graph, mask: str, q: str) -> str:
    shape, queries = graph.shape(mask), graph.shape(q)[1]
    name = f"{mask}/per_query"
    if isinstance(queries, int):
        sizes = graph.add_constant(f"{name}/sizes", np.array([1, 1, queries, 1], np.int64))
    else:
        one = graph.add_constant(f"{name}/one", np.ones(1, np.int64))
        ones = graph.add_constant(f"{name}/ones", np.ones(2, np.int64))
        length = graph.add("Shape", [q], f"{name}/length", (1,), start=1, end=2)
        sizes = graph.add("Concat", [ones, length, one], f"{name}/sizes", (4,), axis=0)
    return graph.add("Expand", [mask, sizes], name, (*shape[:2], queries, shape[3]))
