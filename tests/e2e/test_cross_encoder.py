"""A cross-encoder from PyTorch to answer: token ids as candidate tensors, both precisions, both doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.entities.bm25 import Bm25
from examples.entities.data import simulate
from examples.entities.spec import spec_of
from examples.entities.train import Example, TrainConfig, train_ranker
from examples.entities.trained import Trained
from export.codec import Codec
from export.pipeline import export
from export.reference import Reference, combine
from export.spec import ExportSpec
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.request_set import read_messages
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock


@pytest.fixture(scope="module")
def spec() -> ExportSpec:
    """The entity ranker, trained for a moment on simulated titles."""
    data = simulate(seed=5, queries=75)
    collection = Bm25(data.titles())
    every = [Example.of(query, collection) for query in data.queries]
    config = TrainConfig(epochs=2, candidates_max=16)
    model = train_ranker(every[:15], config).requires_grad_(False)
    found = Trained(model, tuple(every[:15]), tuple(every[15:]), data.source, config)
    return replace(spec_of(found), budget_ms=2000.0)


@pytest.fixture(scope="module")
def bundle(spec: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Through every gate."""
    models = tmp_path_factory.mktemp("cross_encoder") / "models"
    return Path(export(spec, models, source="x:y").path)


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[RunningServer]:
    running = RunningServer.start(bundle.parents[1], bundle.parents[2] / "stderr.txt", [])
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


def test_the_bundle_says_what_was_rewritten(bundle: Path) -> None:
    """Two attentions, the last with one query; as many products run in int8 as were quantised."""
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    int8 = manifest.variants["int8"]

    assert (2, 1) == tuple(manifest.source["transformer"][key] for key in ("attentions", "one_query"))
    assert 1 < int8.op_counts["fused"]["MatMulIntegerToFloat"] == len(manifest.source["int8"]["quantized"])
    assert not {"SkipLayerNormalization", "BiasGelu"} & set(int8.op_counts["fused"])
    assert int8.batch_invariance is not None
    assert int8.batch_invariance.relative_to_std < 5e-2  # the width varies with the batch, too
    assert ["N*S"] == manifest.cost_axes


def test_the_server_ranks_as_pytorch_does(bundle: Path, spec: ExportSpec, asker: Asker) -> None:
    """fp32's scores are PyTorch's; int8's are near them, near enough for its gates."""
    codec = Codec(spec)
    reference = Reference(spec, codec)
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    messages = list(read_messages(bundle / manifest.requests.file))[:20]
    for request, data in zip(spec.requests, messages, strict=False):
        expected = combine(spec, reference.heads(codec.encode(request)))
        message = pb.RankRequest.FromString(data)
        message.variant = "fp32"
        np.testing.assert_allclose(asker.send(message).ranked().scores, expected, rtol=1e-4, atol=1e-4)
        message.variant = "int8"
        int8 = asker.send(message).ranked().scores
        assert np.abs(int8 - expected).max() < 0.3 * max(1.0, float(expected.std()))


def test_a_score_is_the_same_in_any_batch(bundle: Path, asker: Asker) -> None:
    """int8: each request alone, and all at once, within what the gate allows where widths differ."""
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    messages = []
    for data in list(read_messages(bundle / manifest.requests.file))[:20]:
        message = pb.RankRequest.FromString(data)
        message.variant = "int8"
        messages.append(message)
    alone = [asker.send(message).ranked().scores for message in messages]
    together = [call.ranked().scores for call in asker.send_all(messages)]
    drift = np.abs(np.concatenate(alone) - np.concatenate(together))
    std = float(np.mean([scores.std() for scores in alone]))

    assert drift.max() <= 5e-2 * std
    assert (drift > 1e-4 * std).mean() <= 0.01
