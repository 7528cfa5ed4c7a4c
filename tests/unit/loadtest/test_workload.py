"""A request set is made ready once: budget, model, importance and size written into every message."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadtest.scenario.form import Class, Phase, Scenario, Slo, Values, Workload
from loadtest.workload import complete, load, models, write
from podium.v1 import ranking_pb2 as pb
from protos.request_set import read_messages, write_labels, write_messages


def message(candidates: int, prior: list[float] | None = None) -> bytes:
    """A request for `movies` with its own timeout."""
    made = pb.Candidates(count=candidates, prior_scores=np.array(prior or [], "<f4").tobytes())
    data: bytes = pb.RankRequest(model="movies", timeout_us=1, candidates=made).SerializeToString()
    return data


def scenario(folder: Path, *mix: Class, model: str = "", messages_max: int = 0) -> Scenario:
    """A scenario over the request set in `folder`, budget 12.5 ms."""
    return Scenario(
        version=1,
        name="s",
        rate_per_s=1,
        slo=Slo(budget_ms=12.5),
        workload=Workload(
            requests=str(folder / "eval.podium"),
            labels=str(folder / "labels.npz"),
            model=model,
            mix=mix or (Class(),),
            messages_max=messages_max,
        ),
        phases=(Phase(name="p", duration_s=1),),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two requests of 3 and 2 candidates, the first with a prior, and their labels."""
    write_messages(tmp_path / "eval.podium", [message(3, [0.1, 0.9, 0.5]), message(2)])
    write_labels(tmp_path / "labels.npz", [np.array([1, 0, 0], np.float32), np.array([0, 1], np.float32)])
    return tmp_path


def sent(made: Scenario) -> list[pb.RankRequest]:
    return [pb.RankRequest.FromString(data) for data in load(made).messages]


def test_messages_carry_the_budget_and_the_model(folder: Path) -> None:
    """timeout_us is the budget in every message; the model is replaced only when one is named."""
    assert [(12_500, "movies")] * 2 == [(each.timeout_us, each.model) for each in sent(scenario(folder))]
    assert [(12_500, "other")] * 2 == [
        (each.timeout_us, each.model) for each in sent(scenario(folder, model="other"))
    ]
    assert [3, 2] == load(scenario(folder)).candidates.tolist()


def test_each_class_has_messages_of_its_own(folder: Path) -> None:
    """The whole set once per class: with its model, budget, importance and candidate counts."""
    made = scenario(
        folder,
        Class(name="feed"),
        Class(
            name="search", model="other", budget_ms=60, importance="critical", candidates=Values(values=(5,))
        ),
    )
    work = load(made)
    found = [pb.RankRequest.FromString(data) for data in work.messages]
    assert (2, [3, 2, 5, 5]) == (work.originals, work.candidates.tolist())
    assert [("movies", 12_500, 0)] * 2 + [("other", 60_000, pb.IMPORTANCE_CRITICAL)] * 2 == [
        (each.model, each.timeout_us, each.importance) for each in found
    ]
    assert ["movies", "other"] == models(made, work)


def test_labels_and_prior_follow_the_candidates(folder: Path) -> None:
    """Five of three candidates: 0, 1, 2, 0, 1, with the labels and prior scores of the originals."""
    work = load(scenario(folder, Class(candidates=Values(values=(5,)))))
    assert [1, 0, 0, 1, 0] == work.labels[0].tolist()
    assert [1, 4, 2, 0, 3] == work.prior_orders[0].tolist()


def test_the_digest_is_of_what_is_sent(folder: Path) -> None:
    """Another model is another workload; the same scenario is the same."""
    assert load(scenario(folder)).sha256 == load(scenario(folder)).sha256
    assert load(scenario(folder)).sha256 != load(scenario(folder, model="other")).sha256


def test_the_prior_order_is_what_the_request_came_with(folder: Path) -> None:
    """By prior score where there is one, else the order given."""
    work = load(scenario(folder))
    assert [[1, 2, 0], [0, 1]] == [order.tolist() for order in work.prior_orders]
    assert [[1, 0, 0], [0, 1]] == [labels.tolist() for labels in work.labels]


def test_part_of_a_set_has_part_of_its_labels(folder: Path) -> None:
    """`messages_max` takes the first."""
    work = load(scenario(folder, messages_max=1))
    assert (1, [[1, 0, 0]]) == (len(work.messages), [labels.tolist() for labels in work.labels])


def test_labels_of_another_request_set_are_refused(folder: Path) -> None:
    """Labels whose lengths are not the requests' cannot be theirs; neither can another kind of file."""
    write_labels(folder / "labels.npz", [np.zeros(2, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(ValueError, match="not the labels of"):
        load(scenario(folder))
    (folder / "labels.npz").write_text("labels")
    with pytest.raises(ValueError, match="holds no labels"):
        load(scenario(folder))


def test_an_empty_or_foreign_request_set_is_refused(tmp_path: Path) -> None:
    """Nothing to send, or something that is no request: said before the run."""
    write_messages(tmp_path / "eval.podium", [])
    with pytest.raises(ValueError, match="holds no requests"):
        load(scenario(tmp_path))

    write_messages(tmp_path / "eval.podium", [b"\xff\xff"])
    write_labels(tmp_path / "labels.npz", [np.zeros(1, np.float32)])
    with pytest.raises(ValueError, match=r"no podium\.v1\.RankRequest"):
        load(scenario(tmp_path))


def test_the_client_processes_read_what_was_made(folder: Path) -> None:
    """Byte for byte."""
    work = load(scenario(folder))
    write(work, folder / "part")
    assert list(work.messages) == read_messages(folder / "part")


def bundle(folder: Path) -> Path:
    """What a load test wants of an exported bundle, around the request set of `folder`."""
    manifest = {
        "model": "movies",
        "version": 3,
        "budget_ms": 25,
        "requests": {"file": "eval.podium", "labels": "labels.npz", "count": 2},
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_a_bundle_says_what_to_send_and_within_what(folder: Path) -> None:
    """Its request set, labels, name and budget; whatever the scenario says itself stays."""
    made = scenario(folder)
    empty = msgspec.structs.replace(made, slo=Slo(), workload=Workload(bundle=str(bundle(folder))))
    found = complete(empty)
    assert (25, "movies", str(folder / "eval.podium"), str(folder / "labels.npz")) == (
        found.slo.budget_ms,
        found.workload.model,
        found.workload.requests,
        found.workload.labels,
    )
    own = complete(
        msgspec.structs.replace(
            made, workload=Workload(bundle=str(folder), requests="mine.podium", model="other")
        )
    )
    assert (12.5, "other", "mine.podium", "") == (
        own.slo.budget_ms,
        own.workload.model,
        own.workload.requests,
        own.workload.labels,
    )


def test_what_is_not_named_is_asked_for(folder: Path) -> None:
    """The request set and the budget, by the options that give them; no bundle, by its file."""
    made = scenario(folder)
    with pytest.raises(ValueError, match=r"workload\.requests is not set: give --bundle or --requests"):
        complete(msgspec.structs.replace(made, workload=Workload()))
    with pytest.raises(ValueError, match=r"slo\.budget_ms is not set: give --budget-ms"):
        complete(msgspec.structs.replace(made, slo=Slo()))
    with pytest.raises(ValueError, match=r"workload\.bundle: .*bundle\.json is not a bundle's manifest"):
        complete(msgspec.structs.replace(made, workload=Workload(bundle=str(folder))))
