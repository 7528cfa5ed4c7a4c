"""No request can be read off another's scores: on the graph, and through the server's own packing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from export.codec import Encoded
from export.gates import GateFailed, isolation, permutation
from export.gates.evidence import Evidence, Subject
from protos.manifest import Input
from server.domain import Payload
from server.engine.bundle import open_bundle
from server.engine.layout import Layout
from server.engine.ort import OrtEngine
from server.engine.tensors import Packer, split
from tests.unit.export import broken
from tests.unit.export.conftest import Exported

ROWS_MAX = 96
"""Of the packer's buffers; some batches below are larger."""
BATCHES = st.lists(st.tuples(st.integers(0, 1049), st.integers(1, 40)), min_size=2, max_size=8)
"""(request, candidates) each; candidates repeat where a request has fewer."""
UNHURRIED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def context_mean(graph: onnx.ModelProto, strength: float) -> onnx.ModelProto:
    """Every score gets a little of the mean over the batch's contexts: a batch norm that was left in."""
    nodes = [
        helper.make_node("ReduceMean", ["query"], ["leak"], keepdims=0),
        helper.make_node("Mul", ["leak", "strength"], ["trickle"]),
        helper.make_node("Add", ["raw", "trickle"], [broken.HEAD]),
    ]
    return broken.with_last_step(graph, nodes, {"strength": np.array(strength, np.float32)})


def candidate_softmax(graph: onnx.ModelProto, strength: float) -> onnx.ModelProto:
    """A softmax over all candidates of the run."""
    nodes = [
        helper.make_node("Softmax", ["raw"], ["share"], axis=0),
        helper.make_node("Mul", ["share", "strength"], ["trickle"]),
        helper.make_node("Add", ["raw", "trickle"], [broken.HEAD]),
    ]
    return broken.with_last_step(graph, nodes, {"strength": np.array(strength, np.float32)})


def neighbours_context(graph: onnx.ModelProto, strength: float) -> onnx.ModelProto:
    """A gather that is off by one: the score holds the next request's context length."""
    nodes = [
        helper.make_node("Shape", ["history_length"], ["contexts"]),
        helper.make_node("Add", ["row_to_context", "one"], ["next"]),
        helper.make_node("Mod", ["next", "contexts"], ["wrong"]),
        helper.make_node("Gather", ["history_length", "wrong"], ["theirs"]),
        helper.make_node("Cast", ["theirs"], ["length"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["length", "strength"], ["trickle"]),
        helper.make_node("Add", ["raw", "trickle"], [broken.HEAD]),
    ]
    constants = {"strength": np.array(strength, np.float32), "one": np.array(1, np.int64)}
    return broken.with_last_step(graph, nodes, constants)


LEAKS = [context_mean, candidate_softmax, neighbours_context]


def test_isolation_accepts_the_traced_graph(evidence: Evidence, fp32: Subject) -> None:
    """Contexts, ids, loud floats, NaN and infinity of a neighbour change no bit."""
    assert isolation.check(evidence, fp32).numbers["moved"] == 0


@pytest.mark.parametrize("strength", [1.0, 1e-5], ids=["loud", "whispered"])
@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_a_leak_is_refused(
    evidence: Evidence,
    graph: onnx.ModelProto,
    leak: Callable[[onnx.ModelProto, float], onnx.ModelProto],
    strength: float,
) -> None:
    """However little of another request reaches a score."""
    with pytest.raises(GateFailed) as refusal:
        isolation.check(evidence, Subject("fp32", leak(graph, strength)))

    assert "isolation" == refusal.value.gate_name
    assert "other people's requests" in refusal.value.sentence


def test_what_differs_by_bits_is_seen() -> None:
    """The last bit counts, the sign of zero counts, and a NaN is equal to itself."""
    a = np.array([1.0, 0.0, np.nan, 2.0], np.float32)
    b = np.array([np.nextafter(np.float32(1), np.float32(2)), -0.0, np.nan, 2.0], np.float32)

    assert [True, True, False, False] == isolation.different_bits(a, b).tolist()


def test_permutation_accepts_the_traced_graph(evidence: Evidence, fp32: Subject) -> None:
    """Candidates in another order keep their scores."""
    result = permutation.check(evidence, fp32)

    assert result.numbers["drift_over_std"] == pytest.approx(0.0, abs=1e-5)


def test_permutation_refuses_a_score_by_place(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """Scores that go to the wrong candidate, and scores that are not numbers."""
    for model in (broken.first_two_swapped(graph), broken.scaled(graph, float("nan"))):
        with pytest.raises(GateFailed) as refusal:
            permutation.check(evidence, Subject("fp32", model))
        assert "permutation" == refusal.value.gate_name


def sized(request: Encoded, count: int) -> Encoded:
    return request.take(np.arange(count) % request.count)


@UNHURRIED
@given(batch=BATCHES, data=st.data())
def test_no_bit_crosses_the_graph(
    evidence: Evidence, fp32: Subject, batch: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Any batch, any of its requests changed in any way: all others keep every bit."""
    requests = [sized(evidence.requests[row], count) for row, count in batch]
    changed, at = with_another(evidence, requests, data)
    before = fp32.runner.heads(evidence.codec, requests)[broken.HEAD]
    after = fp32.runner.heads(evidence.codec, changed)[broken.HEAD]
    others = np.repeat(np.arange(len(batch)), [count for _, count in batch]) != at

    assert not isolation.different_bits(before[others], after[others]).any()


def with_another(
    evidence: Evidence, requests: list[Encoded], data: st.DataObject
) -> tuple[list[Encoded], int]:
    """The batch with one request of the same size but other contents, and which."""
    at = data.draw(st.integers(0, len(requests) - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    poison = data.draw(st.sampled_from(isolation.POISONS))
    changed = [*requests]
    changed[at] = isolation.poisoned(evidence, requests[at], poison, rng)
    return changed, at


@pytest.fixture(scope="module", params=["fp32", "int8"])
def served(exported: Exported, request: pytest.FixtureRequest) -> tuple[Layout, OrtEngine]:
    """A variant of the written bundle as the server loads it."""
    bundle = open_bundle(exported.path)
    layout = Layout.of(bundle.manifest)
    engine = OrtEngine(bundle.graph(request.param), layout, ["CPUExecutionProvider"], 1)
    return layout, engine


def payload_of(layout: Layout, request: Encoded) -> Payload:
    """What the server's decoder would give for it: unpadded contexts."""

    def unpadded(entry: Input) -> np.ndarray:
        array = request.context[entry.name]
        length = layout.lengths.get(entry.name)
        return array if length is None else array[: int(request.context[length])]

    return Payload(
        tuple(unpadded(entry) for entry in layout.context),
        tuple(request.candidates[entry.name] for entry in layout.candidates),
        request.count,
    )


@UNHURRIED
@given(batch=BATCHES, data=st.data())
def test_no_bit_crosses_the_servers_packing(
    evidence: Evidence,
    served: tuple[Layout, OrtEngine],
    batch: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    """One packer, whose buffers are reused; one request of the second batch has changed."""
    layout, engine = served
    requests = [sized(evidence.requests[row], count) for row, count in batch]
    changed, at = with_another(evidence, requests, data)
    packer = Packer(layout, ROWS_MAX)
    counts = [request.count for request in requests]
    runs = []
    for asked in (requests, changed):
        heads = engine.run(packer.pack([payload_of(layout, request) for request in asked]))
        runs.append([dict(part) for part in split(heads, counts)])

    for place, (before, after) in enumerate(zip(*runs, strict=True)):
        assert len(before[broken.HEAD]) == counts[place]
        if place != at:
            assert not isolation.different_bits(before[broken.HEAD], after[broken.HEAD]).any()


@UNHURRIED
@given(batch=BATCHES)
def test_no_size_or_order_reaches_another_through_the_packing(
    evidence: Evidence,
    served: tuple[Layout, OrtEngine],
    batch: list[tuple[int, int]],
) -> None:
    """Neighbours of other sizes, in another order: each request gets the scores it gets alone.

    Kernels may round differently for another number of rows, so this is to 5 % of the spread for int8 (see
    `batch_invariance`), not to the bit; a neighbour's context or row in the wrong place is off by the spread.
    """
    layout, engine = served
    requests = [sized(evidence.requests[row], count) for row, count in batch]
    packer = Packer(layout, ROWS_MAX)
    together = engine.run(packer.pack([payload_of(layout, request) for request in requests]))
    parts = [part[broken.HEAD].copy() for part in split(together, [one.count for one in requests])]
    for request, part in zip(requests, parts, strict=True):
        alone = engine.run(packer.pack([payload_of(layout, request)]))[broken.HEAD]
        assert np.abs(alone - part).max() <= 0.05 * evidence.score_std
