"""The trained movies ranker and what it was made from; trains once, then reads `build/movies`.

The cached weights' name holds a hash of the data, of this package's source and of PyTorch's version: whatever
could change the weights changes the name.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from examples.data import REPOSITORY
from examples.movies.baselines import CoOccurrence
from examples.movies.batches import Material
from examples.movies.data import load
from examples.movies.features import Features
from examples.movies.model import MovieRanker
from examples.movies.protocol import Protocol, split
from examples.movies.train import TrainConfig, train_ranker
from examples.ratings import Dataset

CACHE = REPOSITORY / "build" / "movies"
_SOURCES = ("baselines", "batches", "embeddings", "features", "histories", "model", "protocol", "train")


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained ranker with its data.

    Attributes:
        data_sha256: of ratings and catalogue keys.
    """

    dataset: Dataset
    protocol: Protocol
    material: Material
    model: MovieRanker
    config: TrainConfig
    data_sha256: str


@functools.cache
def trained() -> Trained:
    """The ranker of the data that `examples.movies.data.load` finds, trained if no run before this did."""
    return train_or_read(load(), TrainConfig(), CACHE)


def train_or_read(dataset: Dataset, config: TrainConfig, cache: Path) -> Trained:
    """Train on `dataset`, or read the weights that an earlier call left in `cache`."""
    protocol = split(dataset)
    rows = len(dataset.catalogue)
    material = Material(
        protocol.train,
        protocol.counts,
        CoOccurrence(protocol.train, rows),
        Features(protocol.train, dataset.catalogue),
    )
    data_sha256 = _hash_data(dataset)
    path = cache / f"ranker-{_hash_all(data_sha256, config)[:16]}.pt"
    if path.is_file():
        model = MovieRanker(rows).eval()
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        model = train_ranker(material, config)
        cache.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a run that was stopped leaves no half file to be read.
        partial = path.with_suffix(".partial")
        torch.save(model.state_dict(), partial)
        partial.replace(path)
    return Trained(dataset, protocol, material, model.requires_grad_(False), config, data_sha256)


def _hash_data(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    ratings = dataset.ratings
    for array in (ratings.user, ratings.item, ratings.rating, ratings.unix_s, dataset.catalogue.keys):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(dataset.catalogue.titles).encode())
    return digest.hexdigest()


def _hash_all(data_sha256: str, config: TrainConfig) -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256(f"{data_sha256} {config} {torch.__version__}".encode())
    for source in _SOURCES:
        digest.update((here / f"{source}.py").read_bytes())
    digest.update((here.parent / "ratings.py").read_bytes())
    return digest.hexdigest()
