"""Whatever a caller sends, it alone is refused, in words that name the field; its neighbours are not hurt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from podium.v1 import ranking_pb2 as pb
from protos.tensor import to_message
from tests.bundles.tiny import STRICT, TINY, WORDS, TinyRanker
from tests.e2e.calls import Caller, Pending, Refused
from tests.e2e.rawclient import framed, raw, reason
from tests.e2e.running import RunningServer, Start
from tests.e2e.streams import DOORS, Asker, Door, knock

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
Change = Callable[[pb.RankRequest], object]

ROWS = 6
EXAMPLE = TINY.example(ROWS, seed=1)


def good(ranker: TinyRanker = TINY) -> pb.RankRequest:
    """A request that is answered."""
    return ranker.message(ranker.example(ROWS, seed=1))


def changed(change: Change, ranker: TinyRanker = TINY) -> pb.RankRequest:
    """A good request after one change."""
    request = good(ranker)
    change(request)
    return request


def setting(path: str, value: Any) -> Change:
    """Set a field of the request, as `candidates.count`."""

    def change(request: pb.RankRequest) -> None:
        *parents, last = path.split(".")
        owner: Any = request
        for name in parents:
            owner = getattr(owner, name)
        setattr(owner, last, value)

    return change


def context(array: np.ndarray[Any, Any]) -> Change:
    """Send this array as the history."""
    return lambda request: request.context[0].CopyFrom(to_message("history", array))


def column(name: str, array: np.ndarray[Any, Any]) -> Change:
    """Send this array as a column."""

    def change(request: pb.RankRequest) -> None:
        at = ("features", "price").index(name)
        request.candidates.columns[at].CopyFrom(to_message(name, array))

    return change


def weighing(head: str, weight: float) -> Change:
    """Give a head a weight."""
    return lambda request: request.head_weights.update({head: weight})


def returning(*heads: str) -> Change:
    """Ask for the scores of these heads."""
    return lambda request: request.return_heads.extend(heads)


def features(value: float) -> Change:
    """Put a value into one cell of the features."""
    array = EXAMPLE.features.copy()
    array[2, 1] = value
    return column("features", array)


def prior(value: float) -> Change:
    """Put a value into the prior scores."""
    return setting("candidates.prior_scores", np.full(ROWS, value, np.float32).tobytes())


UNSPECIFIED = pb.Tensor(name="price", shape=[ROWS], data=bytes(4 * ROWS))
DEEP = pb.Tensor(name="history", dtype=pb.DTYPE_INT64, shape=[1] * 70, data=bytes(8))
VAST = pb.Tensor(name="history", dtype=pb.DTYPE_INT64, shape=[2**62, 2**62, 0], data=b"")
NEGATIVE = pb.Tensor(name="history", dtype=pb.DTYPE_INT64, shape=[-1], data=b"")

TENSOR_ROWS: list[tuple[str, Change, str]] = [
    ("missing context", lambda r: r.context.pop(), "context[history]"),
    ("missing column", lambda r: r.candidates.columns.pop(), "candidates.columns[price]"),
    ("extra context", lambda r: r.context.append(to_message("age", np.zeros(1, np.float32))), "context[1]"),
    (
        "extra column",
        lambda r: r.candidates.columns.append(to_message("age", np.zeros(ROWS, np.float32))),
        "candidates.columns[2]",
    ),
    ("repeated context", lambda r: r.context.append(r.context[0]), "context[history]"),
    (
        "repeated column",
        lambda r: r.candidates.columns.append(r.candidates.columns[1]),
        "candidates.columns[price]",
    ),
    ("context of wrong dtype", context(np.zeros(2, np.float32)), "context[history]"),
    (
        "column of wrong dtype",
        column("features", np.zeros((ROWS, 3), np.float16)),
        "candidates.columns[features]",
    ),
    (
        "column without dtype",
        lambda r: r.candidates.columns[1].CopyFrom(UNSPECIFIED),
        "candidates.columns[price]",
    ),
    ("context of wrong rank", context(np.zeros((1, 2), np.int64)), "context[history]"),
    ("context too long", context(np.zeros(5, np.int64)), "context[history]"),
    ("context of 70 axes", lambda r: r.context[0].CopyFrom(DEEP), "context[history]"),
    ("context of a vast empty shape", lambda r: r.context[0].CopyFrom(VAST), "context[history]"),
    ("context of negative size", lambda r: r.context[0].CopyFrom(NEGATIVE), "context[history]"),
    (
        "column of wrong width",
        column("features", np.zeros((ROWS, 4), np.float32)),
        "candidates.columns[features]",
    ),
    ("column one row short", column("price", np.zeros(ROWS - 1, np.float32)), "candidates.columns[price]"),
    (
        "column one byte short",
        lambda r: setattr(r.candidates.columns[1], "data", bytes(4 * ROWS - 1)),
        "candidates.columns[price]",
    ),
    ("no ids", setting("candidates.int_ids", b""), "candidates.int_ids"),
    ("one id short", setting("candidates.int_ids", bytes(8 * (ROWS - 1))), "candidates.int_ids"),
    ("ids of a broken size", setting("candidates.int_ids", bytes(8 * ROWS - 3)), "candidates.int_ids"),
    ("two kinds of ids", lambda r: r.candidates.string_ids.append("x"), "candidates.int_ids"),
    ("one prior short", setting("candidates.prior_scores", bytes(4 * ROWS - 4)), "candidates.prior_scores"),
]

FIELD_ROWS: list[tuple[str, pb.RankRequest | bytes, grpc.StatusCode, str, str]] = [
    ("unknown model", changed(setting("model", "other")), NOT_FOUND, "MODEL_NOT_FOUND", "model"),
    ("empty message", b"", NOT_FOUND, "MODEL_NOT_FOUND", "model"),
    ("unknown version", changed(setting("version", 9)), NOT_FOUND, "VERSION_NOT_FOUND", "version"),
    ("negative version", changed(setting("version", -1)), NOT_FOUND, "VERSION_NOT_FOUND", "version"),
    ("unknown variant", changed(setting("variant", "fp8")), NOT_FOUND, "VARIANT_NOT_FOUND", "variant"),
    ("no protobuf", b"\xff\xff\xff\xff", INVALID, "MALFORMED_REQUEST", ""),
    ("truncated", good().SerializeToString()[:-3], INVALID, "MALFORMED_REQUEST", ""),
    ("no candidates", changed(setting("candidates.count", 0)), INVALID, "NO_CANDIDATES", "candidates.count"),
    (
        "too many candidates",
        changed(setting("candidates.count", 301)),
        INVALID,
        "TOO_MANY_CANDIDATES",
        "candidates.count",
    ),
    ("NaN feature", changed(features(np.nan)), INVALID, "NON_FINITE_INPUT", "candidates.columns[features]"),
    (
        "infinite feature",
        changed(features(-np.inf)),
        INVALID,
        "NON_FINITE_INPUT",
        "candidates.columns[features]",
    ),
    ("NaN prior", changed(prior(np.nan)), INVALID, "NON_FINITE_INPUT", "candidates.prior_scores"),
    ("infinite prior", changed(prior(np.inf)), INVALID, "NON_FINITE_INPUT", "candidates.prior_scores"),
    (
        "unknown id, strictly",
        changed(setting("candidates.int_ids", np.full(ROWS, 5, np.int64).tobytes()), STRICT),
        INVALID,
        "UNKNOWN_ID",
        "candidates.int_ids",
    ),
    (
        "unknown history, strictly",
        changed(context(np.array([5])), STRICT),
        INVALID,
        "UNKNOWN_ID",
        "context[history]",
    ),
    (
        "numbers for words",
        changed(setting("candidates.int_ids", bytes(8)), WORDS),
        INVALID,
        "INVALID_TENSOR",
        "candidates.string_ids",
    ),
    (
        "string id too long",
        changed(lambda r: r.candidates.string_ids.__setitem__(0, "x" * 8193), WORDS),
        INVALID,
        "INVALID_FIELD",
        "candidates.string_ids",
    ),
    ("long request_id", changed(setting("request_id", "x" * 65)), INVALID, "INVALID_FIELD", "request_id"),
    ("long tenant", changed(setting("tenant", "x" * 8193)), INVALID, "INVALID_FIELD", "tenant"),
    ("no such importance", changed(setting("importance", 9)), INVALID, "INVALID_FIELD", "importance"),
    ("no such step", changed(setting("floor", 9)), INVALID, "INVALID_FIELD", "floor"),
    ("weight of no head", changed(weighing("other", 1.0)), INVALID, "INVALID_FIELD", "head_weights"),
    ("weight NaN", changed(weighing("score", np.nan)), INVALID, "INVALID_FIELD", "head_weights[score]"),
    ("weight infinite", changed(weighing("score", -np.inf)), INVALID, "INVALID_FIELD", "head_weights[score]"),
    ("no weight left", changed(weighing("score", 0.0)), INVALID, "INVALID_FIELD", "head_weights"),
    ("weight beyond float32", changed(weighing("score", 3e38)), INVALID, "INVALID_FIELD", "head_weights"),
    ("no such head", changed(returning("other")), INVALID, "INVALID_FIELD", "return_heads"),
    ("a head twice", changed(returning("score", "score")), INVALID, "INVALID_FIELD", "return_heads"),
]

UNSUPPORTED_ROWS: list[tuple[str, Change]] = [
    ("query", setting("query", "which?")),
    ("candidates.texts", lambda r: r.candidates.texts.append("a text")),
    ("traceparent", setting("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
]

TABLE = [
    *(
        pytest.param(changed(change), INVALID, "INVALID_TENSOR", field, id=name)
        for name, change, field in TENSOR_ROWS
    ),
    *(
        pytest.param(request, code, reason, field, id=name)
        for name, request, code, reason, field in FIELD_ROWS
    ),
    *(
        pytest.param(
            changed(change), grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_OPTION", field, id=f"uses {field}"
        )
        for field, change in UNSUPPORTED_ROWS
    ),
]


def answer_among_good(asker: Asker, request: pb.RankRequest | bytes) -> Refused:
    """Send the request between good ones, all at once; the good ones must get their exact scores.

    At the stream's door all of them share one stream.
    """
    examples = [TINY.example(rows, seed=rows) for rows in (1, 40, 7, 100, 3, 12)]
    messages: list[pb.RankRequest | bytes] = [TINY.message(example) for example in examples]
    messages.insert(3, request)
    pending: list[Pending] = [*asker.send_all(messages)]
    refused = pending.pop(3).refused()
    for example, call in zip(examples, pending, strict=True):
        assert TINY.scores(example).tolist() == call.ranked().scores.tolist()
    return refused


@pytest.mark.parametrize(("request_", "code", "reason", "field"), TABLE)
def test_a_bad_request_is_refused_by_name_and_alone(
    asker: Asker, request_: pb.RankRequest | bytes, code: grpc.StatusCode, reason: str, field: str
) -> None:
    """Kind, reason, gRPC code, the field's path and no retry; its neighbours get exact scores."""
    refused = answer_among_good(asker, request_)
    assert (code, "invalid", reason, field, asker.never, None) == (
        refused.code,
        refused.kind,
        refused.reason,
        refused.field,
        refused.pushback_ms,
        refused.retry_after_s,
    )


def test_a_score_that_overflows_fails_its_own_request(asker: Asker) -> None:
    """Finite features whose score is infinite: FAILED, and the neighbours get exact scores."""
    refused = answer_among_good(asker, changed(_overflow))
    assert (grpc.StatusCode.INTERNAL, "failed", "NON_FINITE_OUTPUT") == (
        refused.code,
        refused.kind,
        refused.reason,
    )


def _overflow(request: pb.RankRequest) -> None:
    column("features", np.full((ROWS, 3), 3e38, np.float32) * np.array([1, -1, 1], np.float32))(request)


def test_a_deadline_that_has_passed_expires_on_arrival(asker: Asker) -> None:
    """A microsecond is over before the request is read: EXPIRED, and no retry can help."""
    refused = answer_among_good(asker, changed(setting("timeout_us", 1)))
    assert (grpc.StatusCode.DEADLINE_EXCEEDED, "expired", "EXPIRED_ON_ARRIVAL", "", asker.never) == (
        refused.code,
        refused.kind,
        refused.reason,
        refused.field,
        refused.pushback_ms,
    )


def test_the_time_that_a_request_takes_to_arrive_counts(server: RunningServer) -> None:
    """A deadline begins with the call: whoever sends the message after it has no time left."""
    message = framed(good().SerializeToString())
    with raw(server.target) as client:
        late = client.open("/podium.v1.Ranker/Rank", [("grpc-timeout", "100m")])
        prompt = client.open("/podium.v1.Ranker/Rank", [("grpc-timeout", "20S")])
        client.put(prompt, message, last=True)
        client.flush()
        assert "0" == client.read_to_end(prompt)["grpc-status"]
        client.pause(0.1)
        client.put(late, message, last=True)
        client.flush()
        trailers = client.read_to_end(late)
    code = str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    assert (code, "EXPIRED_ON_ARRIVAL") == (trailers["grpc-status"], reason(trailers))


@pytest.mark.parametrize("door", DOORS)
def test_a_deadline_shorter_than_the_work_is_refused_at_once(tmp_path: Any, start: Start, door: Door) -> None:
    """20 ms where the reply alone is given 50: DEADLINE_TOO_SHORT, before anything is queued."""
    TINY.write(tmp_path / "models")
    server = start(tmp_path / "models", "--set", "admission.margin_ms=50")
    with knock(server.target, door) as asker:
        refused = answer_among_good(asker, changed(setting("timeout_us", 20_000)))
    assert (grpc.StatusCode.DEADLINE_EXCEEDED, "expired", "DEADLINE_TOO_SHORT") == (
        refused.code,
        refused.kind,
        refused.reason,
    )


def test_a_message_over_the_limit_is_refused_at_the_door(caller: Caller) -> None:
    """More than limits.message_bytes_max is not read: RESOURCE_EXHAUSTED without an ErrorInfo."""
    refused = answer_among_good(caller, bytes((8 << 20) + 1))
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "", "") == (refused.code, refused.kind, refused.reason)


def test_a_candidate_with_a_bad_number_is_left_unscored(asker: Asker) -> None:
    """Under `invalid_candidate` NaN and infinity cost one candidate its score and put it last; no other."""
    price = EXAMPLE.price.copy()
    price[[1, 4]] = np.nan, np.inf
    example = replace(EXAMPLE, price=price)
    ranked = asker.send(TINY.message(example)).ranked()
    expected = TINY.scores(EXAMPLE)
    expected[[1, 4]] = np.nan
    np.testing.assert_array_equal(expected, ranked.scores)
    scored, invalid = pb.OUTCOME_SCORED, pb.OUTCOME_INVALID
    assert [scored, invalid, scored, scored, invalid, scored] == ranked.outcomes
    assert {1, 4} == set(ranked.response.order[-2:])
    assert pb.Coverage(candidates=6, scored=4, invalid=2) == ranked.response.coverage


def test_an_unknown_id_takes_the_default_row_and_is_flagged(asker: Asker) -> None:
    """Under `unknown: row` the candidate gets the unknown row's score and flag 4; the known ones none."""
    items = EXAMPLE.items.copy()
    items[[0, 3]] = 5, TINY.item_keys[0]  # the entry at the unknown row is not an id either
    example = replace(EXAMPLE, items=items)
    ranked = asker.send(TINY.message(example)).ranked()
    assert TINY.scores(example).tolist() == ranked.scores.tolist()
    assert [4, 0, 0, 4, 0, 0] == ranked.flags


def test_words_are_ids_too(asker: Asker) -> None:
    """A bundle with string keys scores string ids, and flags those it does not know, however long."""
    example = WORDS.example(ROWS)
    items = example.items.astype("U600")
    items[2] = str(items[2]) + "x" * 500
    example = replace(example, items=items)
    ranked = asker.send(WORDS.message(example)).ranked()
    assert WORDS.scores(example).tolist() == ranked.scores.tolist()
    assert [0, 0, 4, 0, 0, 0] == ranked.flags


def test_a_request_without_history_or_prior_is_scored(asker: Asker) -> None:
    """An empty ragged context is valid, and an absent prior is what the manifest says it is."""
    example = replace(EXAMPLE, history=EXAMPLE.history[:0], prior=None)
    ranked = asker.send(TINY.message(example)).ranked()
    assert TINY.scores(example).tolist() == ranked.scores.tolist()


def test_no_text_of_a_caller_is_quoted(server: RunningServer, asker: Asker) -> None:
    """Neither a refusal's message nor the log repeats what a caller wrote."""
    secret = "s3cret"
    requests = [
        changed(setting("model", secret)),
        changed(setting("variant", secret)),
        changed(setting("request_id", secret * 20)),
        changed(lambda r: setattr(r.context[0], "name", secret)),
        changed(lambda r: setattr(r.candidates.columns[0], "name", secret)),
        changed(lambda r: r.candidates.string_ids.append(secret)),
        changed(setting("query", secret)),
    ]
    refusals = [call.refused() for call in asker.send_all(requests)]
    assert [] == [refused for refused in refusals if secret in refused.message + refused.field]
    assert secret not in server.errors.read_text()
