"""Candidates of mixed lengths through a real server: grouped, padded little, and scored as one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.length_traffic import Traffic
from export.pipeline import export
from export.spec import ExportSpec, candidate, prior
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.tensor import to_message
from server.config import Config
from server.engine import by_length
from server.engine.buckets import WASTE_MAX
from server.loader import Loader
from server.policies import policy
from tests.e2e.calls import Refused
from tests.e2e.running import RunningServer, Start
from tests.e2e.streams import knock
from tests.export_specs import cross_encoder

LONGEST = 48
SHAPE = cross_encoder.Shape(length=LONGEST)
WITHIN = {"fp32": 1e-6, "int8": 5e-2}
"""How far padding may move a score, in spreads of the scores: what the exporter's gate allows int8, and less
than a hundredth of what it allows fp32. Sums of another length add in another order."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder whose mask tells the lengths, through every gate."""
    model = cross_encoder.model(SHAPE)

    def score(state: object, tokens: object, prior: object) -> object:
        return model.score({}, tokens, (tokens > 0).sum(1), prior)  # type: ignore[arg-type,operator]

    spec = ExportSpec(
        name="mixed",
        context=model.context,
        score=score,  # type: ignore[arg-type]
        inputs=[candidate("tokens", "int64", "S"), prior("prior", when_absent=0.0)],
        axes={"S": LONGEST},
        lengths={"S": "tokens"},
        requests=_examples(30, seed=1),
        unlabelled=_examples(980, seed=2),
        calibration=_examples(40, seed=3),
        budget_ms=2000.0,
    )
    return Path(export(spec, tmp_path_factory.mktemp("lengths") / "models", source="x:y").path)


def _examples(count: int, seed: int) -> list[cross_encoder.ExampleRequest]:
    """Requests of the tests' cross-encoder, without the lengths that its tokens tell as well."""
    found = []
    for one in cross_encoder.requests(count, seed, labelled=seed == 1):
        columns = {"tokens": one.candidates["tokens"]}
        found.append(replace(one, candidates=columns))
    return found


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[RunningServer]:
    running = RunningServer.start(bundle.parents[1], bundle.parents[2] / "stderr.txt", [])
    try:
        yield running
    finally:
        code = running.stop()
    assert 0 == code


def _load(requests: int, variant: str, seed: int) -> list[pb.RankRequest]:
    """A seeded load with the lengths of the counted traffic; each request as wide as its own longest."""
    traffic, rng = Traffic("entity titles, 88 a query", seed), np.random.default_rng(seed)
    made = []
    for number in range(requests):
        lengths = np.minimum(traffic.request(), LONGEST)
        tokens = rng.integers(1, SHAPE.words, (len(lengths), int(lengths.max())))
        tokens[np.arange(tokens.shape[1]) >= lengths[:, None]] = 0
        message = pb.RankRequest(model="mixed", variant=variant, request_id=str(number))
        message.candidates.count = len(lengths)
        message.candidates.columns.append(to_message("tokens", tokens))
        made.append(message)
    return made


def _one_by_one(message: pb.RankRequest) -> list[pb.RankRequest]:
    """Every candidate in a request of its own, no wider than itself."""
    (tensor,) = message.candidates.columns
    tokens = np.frombuffer(tensor.data, np.int64).reshape(tensor.shape[:])
    made = []
    for row in tokens:
        one = pb.RankRequest(model=message.model, variant=message.variant)
        one.candidates.count = 1
        one.candidates.columns.append(to_message("tokens", row[None, : int((row > 0).sum())]))
        made.append(one)
    return made


def test_the_manifest_says_what_costs(bundle: Path) -> None:
    """The axis, where lengths come from, and that tokens are what a run's time grows with."""
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    assert manifests.Axis(max=LONGEST, pad="right", lengths="tokens") == manifest.axes["S"]
    assert ["N*S"] == manifest.cost_axes
    assert "length_axis" in manifest.format.requires
    assert ["N", "S"] == manifest.input("tokens").shape


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_mixed_lengths_score_as_one_by_one(server: RunningServer, variant: str) -> None:
    """Grouped, padded, in company: every score is that of the candidate alone, without any padding."""
    with knock(server.target, "stream") as asker:
        load = _load(6, variant, seed=5)
        together = [call.ranked().scores for call in asker.send_all(load)]
        for message, scores in zip(load, together, strict=True):
            alone = [float(call.ranked().scores[0]) for call in asker.send_all(_one_by_one(message))]
            assert np.abs(scores - alone).max() <= WITHIN[variant] * float(np.std(alone))


def test_parts_by_tokens_score_as_the_whole(bundle: Path, server: RunningServer, start: Start) -> None:
    """A request that is cut into several runs by its tokens gets the scores that it gets in one."""
    load = _load(4, "fp32", seed=6)
    with knock(server.target, "stream") as asker:
        whole = [call.ranked().scores for call in asker.send_all(load)]
    split = start(bundle.parents[1], "--set=batch.chunk_ms_max=0.5")
    with knock(split.target, "stream") as asker:
        parts = [call.ranked().scores for call in asker.send_all(load)]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_little_of_what_is_run_is_padding(bundle: Path, start: Start) -> None:
    """At most a tenth of the tokens that a server says it has run, over a seeded load; it counts them all."""
    server = start(bundle.parents[1])
    load = _load(40, "fp32", seed=7)
    sent = sum(
        int((np.frombuffer(message.candidates.columns[0].data, np.int64) > 0).sum()) for message in load
    )
    with knock(server.target, "stream") as asker:
        for call in asker.send_all(load):
            call.ranked()
    scrape = server.metrics()
    tokens = scrape.total("podium_tokens_total", model="mixed", variant="fp32")
    computed = scrape.total("podium_tokens_computed_total", model="mixed", variant="fp32")
    assert sent == tokens
    assert tokens <= computed
    assert 1 - tokens / computed <= WASTE_MAX


def test_a_wider_tensor_than_the_axis_is_refused(server: RunningServer) -> None:
    """The sentence names the tensor and what it may be."""
    message = _load(1, "fp32", seed=8)[0]
    message.candidates.columns[0].CopyFrom(
        to_message("tokens", np.ones((message.candidates.count, LONGEST + 1), np.int64))
    )
    with knock(server.target, "stream") as asker:
        answer = asker.send(message).answer()
    assert isinstance(answer, Refused)
    assert "INVALID_TENSOR" == answer.reason
    assert f"1 to {LONGEST}" in answer.message


def test_scores_in_the_wrong_places_do_not_load(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The golden requests are scored through the groups: scattered to wrong rows, the version is refused."""
    scatter = by_length.scatter
    config = Config()
    for mutant in (
        lambda heads, part, rows, count: scatter(heads, part, np.sort(rows), count),
        lambda heads, part, rows, count: scatter(heads, part, rows[::-1], count),
    ):
        monkeypatch.setattr(by_length, "scatter", mutant)
        loaded = Loader(config, policy(config), _Log()).load(bundle.parents[1])
        assert "missed golden request" in loaded.catalog.refused[0].reason
    monkeypatch.setattr(by_length, "scatter", scatter)
    loaded = Loader(config, policy(config), _Log()).load(bundle.parents[1])
    assert not loaded.catalog.refused


class _Log:
    def info(self, *_: object, **__: object) -> None: ...

    def error(self, *_: object, **__: object) -> None: ...
