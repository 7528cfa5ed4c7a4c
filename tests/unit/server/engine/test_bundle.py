"""A folder is a bundle or a BadBundle: whatever is in it, nothing else comes out."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos import manifest as manifests
from server.config import Limits
from server.engine.bundle import BadBundle, open_bundle
from server.engine.tensors import Packer
from server.errors import Refused
from server.wire import Decoder, parse
from tests.bundles.tiny import TINY, TinyRanker, seal

REPLACEMENTS = st.sampled_from(
    [None, 0, -1, 1, 7, "N", "x", "", [], {}, [1], ["R", "N"], {"x": 1}, 2.5, True]
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of a JSON value, by path; hashes and provenance aside."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if key not in ("files", "created", "source", "requests"):
            found += _paths(inner, (*path, key))
    return found


def _replace(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TINY.write(tmp_path_factory.mktemp("models"))


def _decode_golden(path: Path) -> int:
    """Use the bundle as the loader does, up to the graph; return how many golden requests there are."""
    opened = open_bundle(path)
    decoder = Decoder(opened.layout, opened.vocabs, Limits(), opened.manifest.axes["N"].max)
    packer = Packer(opened.layout, 64)
    for message in opened.golden:
        packer.pack([decoder.decode(parse(message)).payload] * 2)
    return len(opened.golden)


def test_a_sound_bundle_opens(bundle: Path) -> None:
    """Manifest, vocabularies, golden requests and scores are all there."""
    assert 3 == _decode_golden(bundle)
    opened = open_bundle(bundle)
    assert {"item", "shelf"} == opened.vocabs.keys()
    assert [38, 38] == [len(scores) for scores in opened.golden_scores.values()]
    assert bundle / "fp32/fused.onnx" == opened.graph("fp32")


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_manifest_breaks_the_loader(bundle: Path, data: st.DataObject) -> None:
    """Any key set to anything: the bundle opens and its golden requests decode, or BadBundle says why."""
    path = bundle / manifests.MANIFEST_FILE
    before = path.read_bytes()
    raw = json.loads(before)
    _replace(raw, data.draw(st.sampled_from(_paths(raw))), data.draw(REPLACEMENTS))
    path.write_text(json.dumps(raw))
    try:
        with suppress(BadBundle, Refused):
            assert 3 == _decode_golden(bundle)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("path", ["/etc/hostname", "../../other/1/graph.onnx", "int8/../../x"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    """A manifest cannot make the server read what is not the bundle's."""
    folder = TINY.write(tmp_path)
    manifest = manifests.decode((folder / manifests.MANIFEST_FILE).read_bytes())
    manifest.files.append(manifests.File(path=path, bytes=1, sha256="0"))
    (folder / manifests.MANIFEST_FILE).write_bytes(manifests.encode(manifest))
    with pytest.raises(BadBundle, match="outside the bundle"):
        open_bundle(folder)


def test_a_file_that_the_server_needs_must_be_listed(tmp_path: Path) -> None:
    """An unlisted graph has no hash, so nothing vouches for it."""
    folder = TINY.write(tmp_path)
    manifest = manifests.decode((folder / manifests.MANIFEST_FILE).read_bytes())
    manifest.files = [entry for entry in manifest.files if entry.path != "int8/fused.onnx"]
    (folder / manifests.MANIFEST_FILE).write_bytes(manifests.encode(manifest))
    with pytest.raises(BadBundle, match=r"files does not list int8/fused\.onnx"):
        open_bundle(folder)


def test_what_serving_does_not_need_may_be_left_out(tmp_path: Path) -> None:
    """An image without the request set is no damaged bundle."""
    folder = TINY.write(tmp_path)
    (folder / "requests/eval.podium").unlink()
    (folder / "requests/labels.npz").unlink()
    assert 3 == _decode_golden(folder)


def test_the_folder_s_name_must_be_the_manifest_s(tmp_path: Path) -> None:
    """A copied folder does not serve under a version that it is not."""
    folder = TINY.write(tmp_path)
    renamed = folder.rename(folder.parent / "5")
    with pytest.raises(BadBundle, match="says tiny/1, but the folder is tiny/5"):
        open_bundle(renamed)


def test_a_variant_without_a_fused_graph_is_refused(tmp_path: Path) -> None:
    """The pair of a chunkable model is not served yet."""
    ranker = TinyRanker()
    folder = ranker.write(tmp_path)
    manifest = ranker.manifest()
    manifest.variants["int8"].graphs = {"score": "int8/fused.onnx"}
    seal(folder, manifest)
    with pytest.raises(BadBundle, match="variant 'int8' has no fused graph"):
        open_bundle(folder).graph("int8")
