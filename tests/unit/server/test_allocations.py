"""No Python object per candidate, from a request's bytes to its answer's: counted, not believed.

A message's cost must be numpy's, whose loops are in C, and not the interpreter's. Two instruments: how many
blocks Python's allocator has lent at most at any call or return, and how many steps the interpreter makes.
numpy's own memory is in neither. (Strings are objects: a model with string ids pays for them in the library.)
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from podium.v1 import ranking_pb2 as pb
from server import reply, wire
from server.config import Limits
from server.domain import RunStamps
from server.engine.bundle import open_bundle
from server.engine.fake import FakeEngine, Script
from server.engine.tensors import Packer, split
from tests.bundles.tiny import TinyRanker

FEW, MANY = 20, 4000
SLACK = 100
"""Blocks that the interpreter may hold for itself in one call and not in the next: 1/40 of a candidate's."""
RANKER = TinyRanker(candidates_max=MANY)
IDENTITY = reply.Identity("tiny", 1, "int8")
TIMINGS = reply.Timings(1, 2, 3, 4, 5, 6)


class Route:
    """Everything that a request goes through, without what is shared by all: sockets, scheduler, clocks."""

    def __init__(self, folder: Path) -> None:
        bundle = open_bundle(RANKER.write(folder))
        self._decoder = wire.Decoder(bundle.layout, bundle.vocabs, Limits(), MANY)
        self._packer = Packer(bundle.layout, 3 * MANY)
        self._engine = FakeEngine(bundle.layout, Script())
        self._weights = bundle.manifest.combine.weights

    def serve(self, messages: Sequence[bytes]) -> list[bytes]:
        """The answers of requests that share a run."""
        requests = [self._decoder.decode(wire.parse(message)) for message in messages]
        batch = self._packer.pack([request.payload for request in requests])
        parts = split(self._engine.run(batch), [request.payload.rows for request in requests])
        answers = []
        for request, heads in zip(requests, parts, strict=True):
            scores = reply.combine(heads, self._weights)
            answer = reply.encode(request, scores, IDENTITY)
            stamps = RunStamps(1, 2, 3, batch.rows, len(requests))
            answers.append(answer.body + reply.encode_timings(TIMINGS, stamps))
        return answers


@pytest.fixture(scope="module")
def route(tmp_path_factory: pytest.TempPathFactory) -> Route:
    return Route(tmp_path_factory.mktemp("models"))


def blocks_at_most(act: Callable[[], object]) -> int:
    """How many blocks more than before are lent at any call or return within `act`."""
    most = 0

    def look(_frame: FrameType, _event: str, _arg: Any) -> None:
        nonlocal most
        most = max(most, sys.getallocatedblocks())

    gc.collect()
    gc.disable()
    before, began = sys.getprofile(), sys.getallocatedblocks()
    sys.setprofile(look)
    try:
        act()
    finally:
        sys.setprofile(before)
        gc.enable()
    return most - began


def steps(act: Callable[[], object]) -> int:
    """How many instructions the interpreter executes in `act`."""
    count = 0

    def step(frame: FrameType, _event: str, _arg: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += 1
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def message(rows: int, kind: str) -> bytes:
    """A request that takes a certain way through the code."""
    example = RANKER.example(rows, seed=1, prior=kind != "no prior")
    if kind == "invalid candidates":
        example.price[::3] = np.nan
    if kind == "unknown ids":
        example.items[::2] = 7
    if kind == "ties":
        example.features[:] = 0
        example.price[:] = 0
    return RANKER.message(example).SerializeToString()


KINDS = ["plain", "no prior", "invalid candidates", "unknown ids", "ties"]


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_request_costs_in_objects_does_not_depend_on_its_candidates(
    route: Route, kind: str, together: int
) -> None:
    """20 or 4,000, alone or with others: as many blocks, and not one step more per candidate.

    A few steps more there are: longer lengths, and other ways that are cheaper for large arrays.
    """
    few, many = ([message(rows, kind)] * together for rows in (FEW, MANY))
    for _ in range(3):  # buffers, caches and the interpreter's own specialisation
        route.serve(few)
        route.serve(many)
    assert blocks_at_most(lambda: route.serve(many)) <= blocks_at_most(lambda: route.serve(few)) + SLACK
    assert steps(lambda: route.serve(many)) < steps(lambda: route.serve(few)) + MANY - FEW


def test_the_answers_are_answers(route: Route) -> None:
    """What was measured ranks all candidates, and counts the bad ones."""
    for kind in KINDS:
        response = pb.RankResponse.FromString(route.serve([message(MANY, kind)])[0])
        assert sorted(response.order) == list(range(MANY))
        assert (MANY - len(range(0, MANY, 3)) if kind == "invalid candidates" else MANY) == (
            response.coverage.scored
        )
        assert (kind == "unknown ids") is bool(response.flags)


@pytest.mark.parametrize(
    "wasteful",
    [
        lambda array: array.tolist(),
        lambda array: pb.RankResponse(order=array.tolist()),
        lambda array: [float(one) for one in array],
        lambda array: dict(enumerate(array)),
    ],
    ids=["tolist", "protobuf's own order", "a loop", "a dict"],
)
def test_the_instruments_see_objects(wasteful: Callable[[Any], object]) -> None:
    """Each of these makes an object per element, and is caught."""
    few, many = np.arange(1000, 1000 + FEW), np.arange(1000, 1000 + MANY)
    assert blocks_at_most(lambda: wasteful(many)) > blocks_at_most(lambda: wasteful(few)) + MANY / 2


def test_the_instruments_see_a_loop_that_keeps_nothing() -> None:
    """Objects that are gone before anyone looks have cost steps."""

    def loop(rows: int) -> None:
        for one in np.arange(rows):
            float(one)

    assert steps(lambda: loop(MANY)) > steps(lambda: loop(FEW)) + MANY
