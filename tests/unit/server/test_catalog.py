"""Which version and variant answers a request, and why none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.catalog import Catalog, RefusedVersion, ServedVersion
from server.config import Limits
from server.core.decisions import Lane
from server.domain import Importance
from server.engine.bundle import open_bundle
from server.errors import Reason, Refused
from server.wire import Decoder
from tests.bundles.tiny import TinyRanker


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("models")
    versions = {number: _served(folder, number) for number in (2, 10)}
    refused = (RefusedVersion("tiny", 11, "damaged"), RefusedVersion("broken", 1, "damaged"))
    return Catalog({"tiny": versions}, refused, frozenset({"tiny", "broken"}))


def _served(folder: Path, version: int) -> ServedVersion:
    ranker = TinyRanker(version=version)
    bundle = open_bundle(ranker.write(folder))
    return ServedVersion(
        bundle=bundle,
        decoder=Decoder(bundle.layout, bundle.vocabs, Limits(), ranker.candidates_max),
        lanes={variant: Lane("tiny", version, variant) for variant in ranker.variants},
        default_variant="int8",
        refused_variants={},
        budget_ns=dict.fromkeys(Importance, 1),
    )


@pytest.mark.parametrize(
    ("version", "variant", "expected"),
    [
        (0, "", Lane("tiny", 10, "int8")),
        (0, "fp32", Lane("tiny", 10, "fp32")),
        (2, "", Lane("tiny", 2, "int8")),
        (2, "fp32", Lane("tiny", 2, "fp32")),
    ],
)
def test_zero_and_empty_mean_the_newest_and_its_default(
    catalog: Catalog, version: int, variant: str, expected: Lane
) -> None:
    """Version 0 is the newest serving one by number, not by text; variant "" is its default."""
    served, lane = catalog.find("tiny", version, variant)
    assert (expected, expected.version) == (lane, served.bundle.manifest.version)


@pytest.mark.parametrize(
    ("name", "version", "variant", "reason", "field"),
    [
        ("other", 0, "", Reason.MODEL_NOT_FOUND, "model"),
        ("", 0, "", Reason.MODEL_NOT_FOUND, "model"),
        ("broken", 0, "", Reason.MODEL_REFUSED, "model"),
        ("tiny", 3, "", Reason.VERSION_NOT_FOUND, "version"),
        ("tiny", 11, "", Reason.VERSION_NOT_FOUND, "version"),
        ("tiny", -2, "", Reason.VERSION_NOT_FOUND, "version"),
        ("tiny", 0, "fp16", Reason.VARIANT_NOT_FOUND, "variant"),
    ],
)
def test_what_is_not_here_is_refused_by_field(
    catalog: Catalog, name: str, version: int, variant: str, reason: Reason, field: str
) -> None:
    """Never known, known but refused, no such version, no such variant: four different answers."""
    with pytest.raises(Refused) as caught:
        catalog.find(name, version, variant)
    assert (reason, field) == (caught.value.refusal.reason, caught.value.refusal.field)


def test_missing_names_the_required_models_that_do_not_serve(catalog: Catalog) -> None:
    """Empty means ready."""
    assert ["broken"] == catalog.missing()
    assert [] == Catalog(catalog.serving, catalog.refused, frozenset({"tiny"})).missing()


def test_served_lists_every_version(catalog: Catalog) -> None:
    """For ListModels and the metrics."""
    assert [2, 10] == sorted(served.bundle.manifest.version for served in catalog.served())
