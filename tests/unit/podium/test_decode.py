"""Wire answers become arrays that mean the same."""

from typing import Any

import numpy as np

from podium.client import Coverage, Flag, ModelVersion, Outcome, Step, Timings
from podium.client.decode import decode, decode_models
from podium.v1 import ranking_pb2 as pb

NAN = float("nan")


def request() -> pb.RankRequest:
    """Three candidates with ids 10, 11, 12."""
    ids = np.array([10, 11, 12], "<i8").tobytes()
    return pb.RankRequest(model="movies", candidates=pb.Candidates(count=3, int_ids=ids))


def response(**fields: Any) -> pb.RankResponse:
    """An answer that ranks 12 before 10, and leaves 11 unscored."""
    return pb.RankResponse(
        model="movies",
        version=4,
        variant="int8",
        request_id="r",
        step=pb.STEP_FEWER_CANDIDATES,
        order=[2, 0],
        scores=np.array([0.5, NAN, 0.75], "<f4").tobytes(),
        coverage=pb.Coverage(candidates=3, scored=2, by_ladder=1),
        timings=pb.Timings(
            decode_us=1,
            queue_us=2,
            form_us=3,
            run_us=4,
            split_us=5,
            total_us=15,
            batch_rows=9,
            batch_requests=2,
        ),
        **fields,
    )


def test_ids_come_in_ranked_order() -> None:
    """`ids` are the request's own, best first, as many as `order`."""
    ranked = decode(request(), response())

    assert [2, 0] == ranked.order.tolist()
    assert [12, 10] == ranked.ids.tolist()


def test_without_ids_the_indices_stand_in() -> None:
    """A request without ids is answered with candidate indices."""
    ranked = decode(pb.RankRequest(candidates=pb.Candidates(count=3)), response())

    assert [2, 0] == ranked.ids.tolist()


def test_string_ids_come_back_as_strings() -> None:
    """Ids sent as strings are ranked as strings."""
    message = pb.RankRequest(candidates=pb.Candidates(count=3, string_ids=["a", "b", "c"]))

    assert ["c", "a"] == decode(message, response()).ids.tolist()


def test_the_rest_is_read_as_sent() -> None:
    """Identity, scores, coverage and timings arrive unchanged."""
    ranked = decode(request(), response())

    np.testing.assert_array_equal(np.array([0.5, NAN, 0.75], np.float32), ranked.scores)
    assert ("movies", 4, "int8", "r") == (ranked.model, ranked.version, ranked.variant, ranked.request_id)
    assert Step.FEWER_CANDIDATES is ranked.step
    assert Coverage(candidates=3, scored=2, by_ladder=1, by_deadline=0, invalid=0) == ranked.coverage
    assert 2 / 3 == ranked.coverage.share
    assert Timings(1, 2, 3, 4, 5, 15, 9, 2) == ranked.timings


def test_absent_outcomes_mean_scored_and_absent_flags_none() -> None:
    """The wire leaves out arrays that hold only the default; the answer has them all the same."""
    ranked = decode(request(), response())

    assert [Outcome.SCORED] * 3 == ranked.outcomes.tolist()
    assert [0, 0, 0] == ranked.flags.tolist()


def test_outcomes_flags_and_heads_are_read() -> None:
    """When they are there, they are read."""
    head = pb.Tensor(name="watch", data=np.array([1, 2, 3], "<f4").tobytes())
    ranked = decode(request(), response(outcomes=b"\1\2\1", flags=b"\0\0\4", heads=[head]))

    assert [Outcome.SCORED, Outcome.PRIOR_ONLY, Outcome.SCORED] == ranked.outcomes.tolist()
    assert [0, 0, Flag.ID_UNKNOWN] == ranked.flags.tolist()
    assert [1.0, 2.0, 3.0] == ranked.heads["watch"].tolist()


def test_model_versions_are_read() -> None:
    """ListModels' answer becomes plain values, state in lower case, budget in ms."""
    entry = pb.ModelVersion(
        model="movies",
        version=2,
        state=pb.ModelVersion.STATE_SERVING,
        is_default=True,
        variants=["int8", "fp32"],
        default_variant="int8",
        budget_us=2500,
        manifest_json=b"{}",
    )

    assert [
        ModelVersion("movies", 2, "serving", "", True, ("int8", "fp32"), "int8", 2.5, b"{}")
    ] == decode_models(pb.ListModelsResponse(models=[entry]))
