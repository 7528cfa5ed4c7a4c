"""BERT-like graphs take the form that a CPU runs best, with the same scores; others stay as they are."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export import operators
from export.runtime import Runner, optimized_op_counts
from export.tracing import ExportFailed
from export.transformer.rewrite import rewrite
from tests.export_specs.cross_encoder import Layer, Shape
from tests.unit.export.transformer.cases import ANY_SPEED, case, error

FORMS = [Shape(), Shape(written_out=True), Shape(pooled=True), Shape(width=96, heads=3, layers=3)]


@pytest.mark.parametrize("shape", FORMS)
def test_the_scores_stay(shape: Shape) -> None:
    """Only the order of additions differs; the batch holds candidates of every length."""
    found = case(shape)
    got = Runner(found.rewritten.model).run(found.feeds)["score"]

    assert error(got, found.exact()) < 1e-5


@pytest.mark.parametrize("shape", FORMS)
def test_every_attention_and_every_linear_layer_is_found(shape: Shape) -> None:
    """One Attention and six Gemms per layer, and the head's; no product is left over."""
    found = case(shape).rewritten
    ops = [node.op_type for node in found.model.graph.node]

    assert (shape.layers, 6 * shape.layers) == (found.attentions, found.linear)
    assert (shape.layers, 6 * shape.layers + 1) == (ops.count("Attention"), ops.count("Gemm"))
    assert not {"MatMul", "Softmax", "Transpose"} & set(ops)


@pytest.mark.parametrize("shape", FORMS)
def test_nothing_slow_is_fused_into_it(shape: Shape) -> None:
    """As traced, ONNX Runtime makes SkipLayerNormalization of it; rewritten, it runs what was written."""
    found = case(shape)
    before, after = optimized_op_counts(found.traced), optimized_op_counts(found.rewritten.model)
    expected = operators.expected_of(found.rewritten.model, quantized=0, rewritten=True)

    assert before["SkipLayerNormalization"] > 0
    operators.require("fp32", after, expected)
    with pytest.raises(ExportFailed):
        operators.require("fp32", before, expected)


def test_the_last_layer_computes_the_one_token_that_is_read() -> None:
    """With a head on [CLS] the last attention has one query per candidate; the ones before have all."""
    found = case(Shape())
    attentions = [node for node in found.rewritten.model.graph.node if node.op_type == "Attention"]
    queries = [node.input[0] for node in attentions]
    copy = onnx.ModelProto()
    copy.CopyFrom(found.rewritten.model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in queries)
    values = Runner(copy, optimize=False).run(found.feeds)

    assert 1 == found.rewritten.one_query
    assert [1, 12] == sorted(values[name].shape[1] for name in queries)


def test_a_head_that_reads_all_tokens_keeps_them() -> None:
    """Mean pooling needs the last layer's every token."""
    assert 0 == case(Shape(pooled=True)).rewritten.one_query


def test_the_given_graph_is_not_touched() -> None:
    """The caller may go on with it."""
    found = case(Shape())
    before = found.traced.SerializeToString(deterministic=True)
    rewrite(found.traced, found.feeds, slowdown_max=ANY_SPEED)

    assert before == found.traced.SerializeToString(deterministic=True)


def test_what_would_not_be_faster_is_left() -> None:
    """A bound that no graph can meet leaves the traced one."""
    found = case(Shape())

    assert rewrite(found.traced, found.feeds, slowdown_max=0.0) is None


def test_what_would_score_differently_is_left() -> None:
    """A NaN guard is taken for harmless; where the original's scores are not finite, nothing is proven."""
    found = case(Shape())
    feeds = dict(found.feeds)
    feeds["prior"] = np.full_like(feeds["prior"], np.inf)

    assert rewrite(found.traced, feeds, slowdown_max=ANY_SPEED) is None


def test_a_ranker_without_attention_is_left(graph: onnx.ModelProto) -> None:
    """The tiny ranker has no softmax at all."""
    assert rewrite(graph, {}) is None


@pytest.mark.parametrize("perm", [[0, 2, 1], [1, 0, 2]])
def test_a_softmax_that_is_no_multi_head_attention_is_left(perm: list[int]) -> None:
    """Attention over three axes, as rankers use over a history, has no heads to split."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 4])
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=perm),
        helper.make_node("MatMul", ["x", "t"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "x"], ["y"]),
    ]
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(
        helper.make_graph(nodes, "one_head", [x], [y]), opset_imports=opset, ir_version=10
    )

    assert rewrite(model, {"x": np.ones((4, 4, 4), np.float32)}) is None


class PyTorchs(nn.Module):  # type: ignore[misc]
    """PyTorch's own encoder layers, whose packed projection has another form than the textbook's."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[:, 0].sum(-1)


def test_another_form_of_attention_is_left_or_scores_the_same() -> None:
    """`nn.TransformerEncoder` exports as before, without an error."""
    torch.manual_seed(0)
    module = PyTorchs().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module,
            (torch.randn(3, 5, 64),),
            dynamic_shapes=({0: "N"},),
            input_names=["x"],
            output_names=["y"],
            dynamo=True,
            opset_version=20,
            verbose=False,
        )
    x = np.random.default_rng(0).normal(size=(7, 5, 64)).astype(np.float32)

    assert rewrite(program.model_proto, {"x": x}, slowdown_max=ANY_SPEED) is None


class Ragged(nn.Module):  # type: ignore[misc]
    """Two layers over embedded tokens [N, S, H], both sizes symbolic."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(Shape(written_out=True)) for _ in range(2)])
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, valid)
        return self.head(x[:, 0]).squeeze(-1)


def test_a_symbolic_length_stays_symbolic() -> None:
    """One rewritten graph serves every length, also those it was not traced with."""
    torch.manual_seed(0)
    module = Ragged().eval()
    example = (torch.randn(3, 5, 64), torch.ones(3, 5, dtype=torch.bool))
    symbols = ({0: "N", 1: "S"}, {0: "N", 1: "S"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module,
            example,
            dynamic_shapes=symbols,
            input_names=["x", "valid"],
            output_names=["y"],
            dynamo=True,
            opset_version=20,
            verbose=False,
        )
    rng = np.random.default_rng(0)
    rewritten = None
    for count, length in ((4, 5), (7, 11), (1, 1)):
        feeds = {
            "x": rng.normal(size=(count, length, 64)).astype(np.float32),
            "valid": np.arange(length) < rng.integers(1, length + 1, size=(count, 1)),
        }
        rewritten = rewritten or rewrite(program.model_proto, feeds, slowdown_max=ANY_SPEED)
        assert rewritten is not None
        with torch.inference_mode():
            exact = module(*(torch.from_numpy(feeds[name]) for name in ("x", "valid"))).numpy()
        assert error(Runner(rewritten.model).run(feeds)["y"], exact) < 1e-4


def test_a_value_that_depends_on_itself_is_refused() -> None:
    """Sorting notices a pass that went wrong."""
    from export.transformer.graph import Graph

    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    node = helper.make_node("Add", ["one", "one"], ["y"])
    graph = Graph(helper.make_model(helper.make_graph([node], "loop", [], [value], [one])))
    graph.nodes[0].input[0] = "z"
    graph.add("Neg", ["y"], "z", (1,))

    with pytest.raises(ValueError, match="depends on itself"):
        graph.sort()
