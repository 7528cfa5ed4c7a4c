"""A request set is made ready once: budget and model written into every message."""

from pathlib import Path

import numpy as np
import pytest

from loadtest.plan import Plan
from loadtest.workload import load, load_judgement
from podium.v1 import ranking_pb2 as pb
from protos.request_set import write_labels, write_messages


def message(candidates: int, prior: list[float] | None = None) -> bytes:
    """A request for `movies` with its own timeout."""
    made = pb.Candidates(count=candidates, prior_scores=np.array(prior or [], "<f4").tobytes())
    data: bytes = pb.RankRequest(model="movies", timeout_us=1, candidates=made).SerializeToString()
    return data


def plan(folder: Path, model: str = "") -> Plan:
    """A plan for the request set in `folder`, budget 12.5 ms."""
    return Plan(
        target="127.0.0.1:1",
        requests=str(folder / "eval.podium"),
        labels=str(folder / "labels.npz"),
        rate_per_s=1,
        duration_s=1,
        budget_ms=12.5,
        model=model,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two requests of 3 and 2 candidates, the first with a prior, and their labels."""
    write_messages(tmp_path / "eval.podium", [message(3, [0.1, 0.9, 0.5]), message(2)])
    write_labels(tmp_path / "labels.npz", [np.array([1, 0, 0], np.float32), np.array([0, 1], np.float32)])
    return tmp_path


def test_messages_carry_the_budget_and_the_model(folder: Path) -> None:
    """timeout_us is the budget in every message; the model is replaced only when one is named."""
    sent = [pb.RankRequest.FromString(data) for data in load(plan(folder)).messages]
    renamed = [pb.RankRequest.FromString(data) for data in load(plan(folder, "other")).messages]

    assert [(12_500, "movies")] * 2 == [(each.timeout_us, each.model) for each in sent]
    assert [(12_500, "other")] * 2 == [(each.timeout_us, each.model) for each in renamed]
    assert [3, 2] == load(plan(folder)).candidates.tolist()


def test_the_digest_is_of_what_is_sent(folder: Path) -> None:
    """Another model is another workload; the same plan is the same."""
    assert load(plan(folder)).sha256 == load(plan(folder)).sha256
    assert load(plan(folder)).sha256 != load(plan(folder, "other")).sha256


def test_the_prior_order_is_what_the_request_came_with(folder: Path) -> None:
    """By prior score where there is one, else the order given."""
    judgement = load_judgement(plan(folder), load(plan(folder)))

    assert [[1, 2, 0], [0, 1]] == [order.tolist() for order in judgement.prior_orders]
    assert [[1, 0, 0], [0, 1]] == [labels.tolist() for labels in judgement.labels]


def test_labels_of_another_request_set_are_refused(folder: Path) -> None:
    """Labels whose lengths are not the requests' cannot be theirs."""
    write_labels(folder / "labels.npz", [np.zeros(2, np.float32), np.zeros(3, np.float32)])

    with pytest.raises(ValueError, match="not the labels of"):
        load_judgement(plan(folder), load(plan(folder)))


def test_an_empty_or_foreign_request_set_is_refused(tmp_path: Path) -> None:
    """Nothing to send, or something that is no request: said before the run."""
    write_messages(tmp_path / "eval.podium", [])
    with pytest.raises(ValueError, match="holds no requests"):
        load(plan(tmp_path))

    write_messages(tmp_path / "eval.podium", [b"\xff\xff"])
    with pytest.raises(ValueError, match=r"no podium\.v1\.RankRequest"):
        load(plan(tmp_path))
