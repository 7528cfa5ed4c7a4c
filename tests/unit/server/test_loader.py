"""What counts as a version of a model on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from protos.manifest import Manifest, Variant
from server.engine.bundle import BadBundle
from server.loader import default_of, find_versions, require_provider_of
from tests.bundles.tiny import TINY

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def manifest_with(**variants: Variant) -> Manifest:
    return msgspec.structs.replace(TINY.manifest(), variants=variants)


def variant(*providers: str, told: bool = False) -> Variant:
    return Variant(graphs={}, providers=list(providers), quantization="none", depends_on_batch_mates=told)


def test_versions_are_positive_integers_in_folders_newest_first(tmp_path: Path) -> None:
    """By number, not by text; names that are no model's and folders that are no version's are passed over."""
    for name in ("a/2", "a/10", "a/1", "b/7", "a/02", "a/0", "a/-3", "a/3.partial", "a/٣", "A/1", "c", "d/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/99").write_text("a file")
    (tmp_path / "e").write_text("a file")
    (tmp_path / "a" / ("9" * 19)).mkdir()
    assert {"a": [10, 2, 1], "b": [7]} == find_versions(tmp_path)


def test_an_absent_folder_has_no_versions(tmp_path: Path) -> None:
    """Whoever starts a server there is told so, rather than shown a traceback."""
    assert {} == find_versions(tmp_path / "absent")


def test_a_variant_for_other_providers_is_refused_by_name() -> None:
    """One provider in common is enough, and "*" is any."""
    manifest = manifest_with(any=variant("*"), cpu=variant(CPU), gpu=variant(CUDA))
    for name, providers in (("any", [CUDA]), ("cpu", [CUDA, CPU]), ("gpu", [CUDA, CPU]), ("cpu", [CPU])):
        require_provider_of(manifest, name, providers)

    with pytest.raises(BadBundle, match=f"variant 'gpu' is for '{CUDA}'; engine.providers has {CPU}"):
        require_provider_of(manifest, "gpu", [CPU])


def test_scores_that_depend_on_batch_mates_are_nobodys_default() -> None:
    """Even where nothing else could be loaded: then the version is refused."""
    manifest = manifest_with(fp32=variant("*"), dynamic=variant(CPU, told=True))

    assert "fp32" == default_of(manifest, ["dynamic", "fp32"])
    assert default_of(manifest, ["dynamic"]) is None
