"""Several heads over the wire: weights of a request's own, and the heads' scores, through both doors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from measures.order import rank_order
from podium.cli import main
from podium.client import Client, RankingRequest, RankRefused
from podium.v1 import ranking_pb2 as pb
from protos.request_set import write_messages
from tests.bundles.two_heads import TWO_HEADS
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock

EXAMPLE = TWO_HEADS.example(40, seed=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("heads")
    TWO_HEADS.write(folder / "models")
    running = RunningServer.start(folder / "models", folder / "stderr.txt", [])
    try:
        yield running
    finally:
        code = running.stop()
    assert 0 == code


@pytest.fixture(params=DOORS)
def asker(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Asker]:
    """Each door in turn."""
    with knock(server.target, request.param) as asker:
        yield asker


def asking(
    rows: int = 40,
    *,
    weights: dict[str, float] | None = None,
    heads: tuple[str, ...] = (),
) -> pb.RankRequest:
    """A request with these head_weights and return_heads."""
    message = TWO_HEADS.message(TWO_HEADS.example(rows, seed=3))
    message.head_weights.update(weights or {})
    message.return_heads.extend(heads)
    return message


def heads_of(response: pb.RankResponse) -> dict[str, list[float]]:
    """The answer's heads, each of which must be float32 [N]."""
    found = {}
    for tensor in response.heads:
        assert (pb.DTYPE_FLOAT32, [response.coverage.candidates]) == (tensor.dtype, list(tensor.shape))
        found[tensor.name] = np.frombuffer(tensor.data, "<f4").tolist()
    return found


@pytest.mark.parametrize(
    ("weights", "combined"),
    [
        ({}, (1.0, 0.5)),
        ({"like": 2.0}, (1.0, 2.0)),
        ({"watch": 0.0}, (0.0, 0.5)),
        ({"watch": -1.0, "like": 0.25}, (-1.0, 0.25)),
        ({"watch": 0.5, "like": 0.0}, (0.5, 0.0)),
    ],
)
def test_a_request_s_weights_replace_those_it_names(
    asker: Asker, weights: dict[str, float], combined: tuple[float, float]
) -> None:
    """Scores and order are those of the sum with these weights; a head not named keeps the bundle's."""
    ranked = asker.send(asking(weights=weights)).ranked()
    expected = TWO_HEADS.combined(EXAMPLE, combined)
    assert expected.tolist() == ranked.scores.tolist()
    assert rank_order(expected, EXAMPLE.prior).tolist() == list(ranked.response.order)
    assert {} == heads_of(ranked.response)


@pytest.mark.parametrize("heads", [("watch",), ("like", "watch")])
def test_the_heads_asked_for_come_back(asker: Asker, heads: tuple[str, ...]) -> None:
    """Bit for bit what the graph gave, in the order asked for, whatever the weights."""
    ranked = asker.send(asking(weights={"watch": 0.0}, heads=heads)).ranked()
    exact = TWO_HEADS.heads(EXAMPLE)
    assert [(head, exact[head].tolist()) for head in heads] == list(heads_of(ranked.response).items())


def test_requests_that_share_a_run_keep_their_own_wishes(asker: Asker) -> None:
    """Sent at once, with different weights and heads: none sees another's."""
    wishes = [({"like": float(at)}, ("like",) if at % 2 else ()) for at in range(12)]
    sizes = [rows % 37 + 1 for rows in range(0, 60, 5)]
    messages = [asking(rows=rows, weights=w, heads=h) for rows, (w, h) in zip(sizes, wishes, strict=True)]
    for call, rows, (weights, heads) in zip(asker.send_all(messages), sizes, wishes, strict=True):
        ranked, example = call.ranked(), TWO_HEADS.example(rows, seed=3)
        assert TWO_HEADS.combined(example, (1.0, weights["like"])).tolist() == ranked.scores.tolist()
        assert set(heads) == set(heads_of(ranked.response))


def test_a_candidate_that_is_not_scored_has_no_head(asker: Asker) -> None:
    """NaN in every head and in the score, and the outcome says so; its neighbours have theirs."""
    example = TWO_HEADS.example(6)
    example.price[2] = np.nan
    message = TWO_HEADS.message(example)
    message.return_heads.extend(["watch", "like"])
    ranked = asker.send(message).ranked()
    for scores in (*heads_of(ranked.response).values(), ranked.scores.tolist()):
        assert [at == 2 for at in range(6)] == np.isnan(scores).tolist()
    assert pb.OUTCOME_INVALID == ranked.outcomes[2]


@pytest.mark.parametrize(
    ("weights", "heads", "field"),
    [
        ({"share": 1.0}, (), "head_weights"),
        ({"like": float("nan")}, (), "head_weights[like]"),
        ({"watch": 0.0, "like": 0.0}, (), "head_weights"),
        ({}, ("share",), "return_heads"),
    ],
)
def test_a_bad_wish_is_refused_by_name(
    asker: Asker, weights: dict[str, float], heads: tuple[str, ...], field: str
) -> None:
    """INVALID, naming the field and the model's heads, not what was sent."""
    refused = asker.send(asking(weights=weights, heads=heads)).refused()
    assert ("invalid", "INVALID_FIELD", field) == (refused.kind, refused.reason, refused.field)
    assert "share" not in refused.message
    if "share" in weights or "share" in heads:
        assert "it has like, watch." in refused.message


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_asks_and_reads(server: RunningServer, stream: bool) -> None:
    """Arrays by head; a refusal names the field."""
    request = RankingRequest(
        model=TWO_HEADS.name,
        ids=EXAMPLE.items,
        columns={"features": EXAMPLE.features, "price": EXAMPLE.price},
        context={"history": EXAMPLE.history},
        prior_scores=EXAMPLE.prior,
        head_weights={"like": 2.0},
        return_heads=["like"],
    )
    with Client(server.target, stream=stream) as client:
        ranked = client.rank(request, deadline_s=10.0)
        with pytest.raises(RankRefused) as caught:
            client.rank(replace(request, head_weights={"share": 1.0}), deadline_s=10.0)
    assert TWO_HEADS.combined(EXAMPLE, (1.0, 2.0)).tolist() == ranked.scores.tolist()
    assert ["like"] == list(ranked.heads)
    assert TWO_HEADS.heads(EXAMPLE)["like"].tolist() == ranked.heads["like"].tolist()
    assert "INVALID_FIELD" == caught.value.reason


def test_rank_shows_heads_and_takes_weights(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`podium rank --weight like=2 --head like`: in JSON and in the table; a bad option is one sentence."""
    requests = tmp_path / "eval.podium"
    write_messages(requests, [TWO_HEADS.message(EXAMPLE).SerializeToString()])
    order = ["rank", "--target", server.target, "--weight", "like=2", "--head", "like"]
    assert 0 == main([*order, "--json", TWO_HEADS.name, str(requests)])
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    expected = TWO_HEADS.combined(EXAMPLE, (1.0, 2.0))
    assert sorted(expected.tolist(), reverse=True)[:10] == [row["score"] for row in ranking]
    like = TWO_HEADS.heads(EXAMPLE)["like"]
    assert [{"like": float(like[row["index"]])} for row in ranking] == [row["heads"] for row in ranking]
    assert 0 == main([*order, TWO_HEADS.name, str(requests)])
    shown = capsys.readouterr().out
    assert "like" in shown
    assert f"{float(like[ranking[0]['index']]):.4f}" in shown
    assert 1 == main([*order, "--weight", "2", TWO_HEADS.name, str(requests)])
    assert "--weight 2 is not HEAD=WEIGHT" in capsys.readouterr().err
