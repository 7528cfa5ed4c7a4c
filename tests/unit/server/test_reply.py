"""The answer's bytes are framed by hand: they say what protobuf's own would say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.order import rank_order
from podium.v1 import ranking_pb2 as pb
from server import reply
from server.domain import Payload, RankingRequest, RunStamps

IDENTITY = reply.Identity("tiny", 7, "int8")
MICROSECONDS = st.integers(0, 2**32 - 1) | st.integers(0, 300)


def request(
    rows: int,
    *,
    request_id: str = "",
    prior: Any = None,
    invalid: Any = None,
    flags: Any = None,
    top_k: int = 0,
) -> RankingRequest:
    """A request as the decoder would leave it, without its tensors."""
    return RankingRequest(
        payload=Payload((), (), rows),
        request_id=request_id,
        prior=prior,
        invalid=invalid,
        flags=flags,
        top_k=min(top_k or rows, rows),
    )


def by_protobuf(ranked: RankingRequest, scores: Any) -> pb.RankResponse:
    """The same answer, every field set by protobuf's own library."""
    rows, invalid = ranked.payload.rows, ranked.invalid
    excluded = 0
    response = pb.RankResponse(
        request_id=ranked.request_id, model="tiny", version=7, variant="int8", step=pb.STEP_FULL
    )
    if invalid is not None:
        scores = np.where(invalid, np.float32(np.nan), scores)
        excluded = int(invalid.sum())
        response.outcomes = bytes(pb.OUTCOME_INVALID if one else pb.OUTCOME_SCORED for one in invalid)
    if ranked.flags is not None:
        response.flags = bytes(ranked.flags.tolist())
    response.order.extend(rank_order(scores, ranked.prior)[: ranked.top_k].tolist())
    response.scores = scores.astype("<f4").tobytes()
    response.coverage.CopyFrom(pb.Coverage(candidates=rows, scored=rows - excluded, invalid=excluded))
    return response


@given(data=st.data())
def test_the_bytes_mean_what_protobuf_would_have_written(data: st.DataObject) -> None:
    """Any size, with and without priors, invalid candidates, flags, ids and top_k: equal after parsing."""
    rows = data.draw(st.integers(1, 300) | st.sampled_from([127, 128, 129, 4096, 16_384, 20_000]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ranked = request(
        rows,
        request_id=data.draw(st.text(max_size=64)),
        prior=rng.random(rows, np.float32) if data.draw(st.booleans()) else None,
        invalid=rng.random(rows) < 0.3 if data.draw(st.booleans()) else None,
        flags=rng.integers(0, 8, rows).astype(np.uint8) if data.draw(st.booleans()) else None,
        top_k=data.draw(st.integers(0, rows)),
    )
    scores = (
        rng.integers(-3, 3, rows).astype(np.float32)
        if data.draw(st.booleans())
        else rng.random(rows, np.float32)
    )
    answer = reply.encode(ranked, scores, IDENTITY)
    expected = by_protobuf(ranked, scores)
    assert expected == pb.RankResponse.FromString(answer.body)
    assert (expected.coverage.scored, expected.coverage.invalid) == (answer.scored, answer.invalid)


@given(times=st.tuples(*[MICROSECONDS] * 6), rows=st.integers(1, 10**6), together=st.integers(1, 64))
def test_the_timings_come_last(times: tuple[int, ...], rows: int, together: int) -> None:
    """Appended to an answer they are its field 12, and nothing else changes."""
    body = reply.encode(request(2), np.array([1.0, 2.0], np.float32), IDENTITY).body
    stamps = RunStamps(0, 1, 2, rows, together)
    expected = pb.RankResponse.FromString(body)
    names = ("decode_us", "queue_us", "form_us", "run_us", "split_us", "total_us")
    timings = dict(zip(names, times, strict=True))
    expected.timings.CopyFrom(pb.Timings(**timings, batch_rows=rows, batch_requests=together))
    data = body + reply.encode_timings(reply.Timings(*times), stamps)
    assert expected == pb.RankResponse.FromString(data)


def test_an_invalid_candidate_may_score_anything() -> None:
    """What the graph made of an excluded row is not looked at, and is NaN in the answer."""
    ranked = request(3, invalid=np.array([False, True, False]))
    answer = reply.encode(ranked, np.array([1.0, np.inf, 2.0], np.float32), IDENTITY)
    response = pb.RankResponse.FromString(answer.body)
    assert [2, 0, 1] == list(response.order)
    np.testing.assert_array_equal([1.0, np.nan, 2.0], np.frombuffer(response.scores, "<f4"))


def test_a_slice_of_a_batch_is_encoded_as_it_is() -> None:
    """Scores that are a view into a run's output are not taken for their neighbours."""
    whole = np.arange(10, dtype=np.float32)
    response = pb.RankResponse.FromString(reply.encode(request(3), whole[4:7], IDENTITY).body)
    assert [4.0, 5.0, 6.0] == np.frombuffer(response.scores, "<f4").tolist()


def test_a_negative_time_is_no_answer() -> None:
    """A clock that ran backwards must not be told as four thousand seconds."""
    with pytest.raises(ValueError, match="byte must be in range"):
        reply.encode_timings(reply.Timings(1, -2, 3, 4, 5, 6), RunStamps(0, 1, 2, 3, 1))
