"""Mutated bundles are refused with a sentence or pass their golden checks: never a crash, a hang or a flood.

The hashes are right after every mutation, so what is found is found by the checks behind them. The seed is
printed; PODIUM_FUZZ_SEED repeats a run, PODIUM_FUZZ_S sets its seconds (`make fuzz`).
"""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from server import logs
from server.catalog import Catalog
from server.config import load
from server.first_sight.texts import UNFORESEEN
from server.loader import Loader
from server.policies import policy
from tests.bundles.mutations import mutate
from tests.bundles.tiny import TinyRanker

SECONDS = float(os.environ.get("PODIUM_FUZZ_S", "20"))
SOUND = TinyRanker(name="sound", variants=("fp32",))
BATCH = [TinyRanker(name=f"mutant-{number}", variants=("fp32",)) for number in range(24)]
MEMORY_GROWTH_MIB_MAX = 256
SENTENCE_MAX = 1500
WORDS_OF_FAILURE = (UNFORESEEN, "Traceback", "checking process ended", "took more than", "took longer")
SETTINGS = [
    "engine.warm_up_s_max=0.001",
    "model_files.cpu_s_max=5",
    "model_files.wall_s_max=20",
    "logs.level=error",
]


def catalog_of(models: Path) -> Catalog:
    """What a server makes of a folder."""
    config = load("", {}, SETTINGS)
    return Loader(config, policy(config), logs.configure(config.logs)).load(models).catalog


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_mutated_bundles_are_refused_or_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every outcome is a refusal sentence or a load that passed its golden checks; who is sound serves on."""
    seed = int(os.environ.get("PODIUM_FUZZ_SEED", secrets.randbits(32)))
    for ranker in (SOUND, *BATCH):
        ranker.write(tmp_path / "templates")
    assert not catalog_of(tmp_path / "templates").refused
    before_mib = peak_mib()
    ends, rounds, refused = time.monotonic() + SECONDS, 0, 0
    while not rounds or time.monotonic() < ends:
        models = tmp_path / f"models-{rounds}"
        shutil.copytree(tmp_path / "templates", models)
        done = {
            ranker.name: mutate(models / ranker.name / "1", np.random.default_rng([seed, rounds, number]))
            for number, ranker in enumerate(BATCH)
        }
        catalog = catalog_of(models)
        said = {entry.model: entry.reason for entry in catalog.refused}
        assert "sound" in catalog.serving, f"seed {seed}, round {rounds}: {said}"
        assert {"sound", *done} == catalog.serving.keys() | said.keys()
        for name, sentence in said.items():
            where = f"seed {seed}, round {rounds}, {name}: {done[name]}: {sentence}"
            assert 10 < len(sentence) < SENTENCE_MAX, where
            assert sentence.isprintable(), where
            assert not [word for word in WORDS_OF_FAILURE if word in sentence], where
        refused += len(said)
        rounds += 1
        shutil.rmtree(models)
    with capsys.disabled():
        print(f"\nfuzz seed {seed}: {rounds * len(BATCH)} mutants, {refused} refused, the others sound")
    assert peak_mib() - before_mib < MEMORY_GROWTH_MIB_MAX
    assert refused > rounds * len(BATCH) // 4
