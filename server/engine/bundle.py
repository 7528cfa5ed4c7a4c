"""Open a bundle: read its manifest, verify every file, load its vocabularies. Damage is found here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protos import manifest as manifests
from protos.manifest import Manifest
from protos.request_set import read_messages
from server.domain import Scores
from server.engine import references
from server.engine.layout import Layout, UnsupportedBundle, Vocabulary

_PATH_MAX = 1024
_REASON_MAX = 200


class BadBundle(Exception):
    """The bundle is damaged or not for this server. One sentence that names the file or key."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    Attributes:
        golden: the golden requests, serialised.
        golden_scores: variant -> float32, all golden candidates in order.
    """

    path: Path
    manifest: Manifest
    layout: Layout
    vocabs: Mapping[str, Vocabulary]
    golden: tuple[bytes, ...]
    golden_scores: Mapping[str, Scores]

    def graph(self, variant: str) -> Path:
        """The fused graph of a variant.

        Raises:
            BadBundle: the variant has none.
        """
        relative = self.manifest.variants[variant].graphs.get("fused")
        if relative is None:
            raise BadBundle(f"variant {variant!r} has no fused graph")
        return self.path / relative


def open_bundle(path: Path) -> Bundle:
    """Read and verify the bundle in folder `path` (NAME/VERSION).

    Raises:
        BadBundle: a file is missing, damaged or outside the folder, or the manifest is not one we can serve.
    """
    try:
        manifest = manifests.decode(_read_manifest(path))
        if [manifest.model, str(manifest.version)] != [path.parent.name, path.name]:
            raise BadBundle(
                f"{manifests.MANIFEST_FILE} says {manifest.model}/{manifest.version}, "
                f"but the folder is {path.parent.name}/{path.name}"
            )
        layout = Layout.of(manifest)
        references.check(manifest)
        _verify_files(path, manifest)
        bundle = Bundle(
            path=path,
            manifest=manifest,
            layout=layout,
            vocabs=_load_vocabs(path, manifest),
            golden=tuple(read_messages(path / manifest.golden.messages)),
            golden_scores=_load_golden(path, manifest),
        )
    except OSError as error:
        raise BadBundle(f"{error.filename or path.name} cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedBundle, references.LooseEnd) as error:
        raise BadBundle(str(error)) from error
    if not bundle.golden:
        raise BadBundle(f"{manifest.golden.messages} holds no golden request")
    return bundle


def _read_manifest(path: Path) -> bytes:
    try:
        return (path / manifests.MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise BadBundle(f"{manifests.MANIFEST_FILE} cannot be read: {error.strerror}") from error


def _verify_files(path: Path, manifest: Manifest) -> None:
    listed = {entry.path for entry in manifest.files}
    needed = {graph for variant in manifest.variants.values() for graph in variant.graphs.values()}
    needed |= {vocab.file for vocab in manifest.vocabs.values()}
    needed |= {manifest.golden.file, manifest.golden.messages}
    if needed - listed:
        raise BadBundle(f"files does not list {', '.join(sorted(needed - listed))}")
    for entry in manifest.files:
        if not entry.path.isprintable() or not 0 < len(entry.path) <= _PATH_MAX:
            raise BadBundle(f"files names {entry.path[:_PATH_MAX]!a}, which is no path; export it again")
        relative = Path(entry.path)
        if relative.is_absolute() or ".." in relative.parts:
            raise BadBundle(f"files names {entry.path!r}, which is outside the bundle")
        file = path / relative
        if not file.is_file():
            if entry.path in needed:
                raise BadBundle(f"{entry.path} is missing")
            continue  # a report or request set that was left out of the image is no damage
        size = file.stat().st_size
        if size != entry.bytes:
            raise BadBundle(f"{entry.path} has {size} bytes, the manifest says {entry.bytes}")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != entry.sha256:
            raise BadBundle(f"{entry.path} is damaged: its sha256 is not the manifest's")


def _load_vocabs(path: Path, manifest: Manifest) -> dict[str, Vocabulary]:
    vocabs: dict[str, Vocabulary] = {}
    for name, entry in manifest.vocabs.items():
        table = _read_arrays(path, entry.file)
        kind = "i" if entry.key == "int64" else "U"
        if not isinstance(table, np.ndarray) or table.shape != (entry.rows,) or table.dtype.kind != kind:
            raise BadBundle(f"{entry.file} is not {entry.rows} keys of type {entry.key}")
        vocabs[name] = Vocabulary.of(
            np.array(table), unknown_row=entry.unknown_row, refuse_unknown=entry.unknown == "invalid"
        )
    return vocabs


def _load_golden(path: Path, manifest: Manifest) -> dict[str, Scores]:
    name = manifest.golden.file
    arrays = _read_arrays(path, name)
    if isinstance(arrays, np.ndarray):
        raise BadBundle(f"{name} is not an .npz archive")
    scores: dict[str, Scores] = {}
    with arrays:
        for variant in manifest.variants:
            if f"scores/{variant}" not in arrays:
                raise BadBundle(f"{name} has no scores of variant {variant!r}")
            scores[variant] = _read_scores(arrays, name, variant)
    return scores


def _read_scores(arrays: Any, name: str, variant: str) -> Scores:
    try:
        found = arrays[f"scores/{variant}"]
    except Exception as error:  # unzipping and reading headers: no common base
        raise BadBundle(
            f"{name} has damaged scores of variant {variant!r} ({_line(error)}); export again"
        ) from error
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind != "f":
        raise BadBundle(f"{name} has scores of variant {variant!r} that are no list of numbers")
    return found.astype(np.float32)


def _read_arrays(path: Path, name: str) -> Any:
    """An array or an archive. A lone array is mapped: a header that claims too much takes no memory."""
    try:
        return np.load(path / name, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy evaluates headers: what it raises has no common base
        raise BadBundle(f"{name} is no NumPy file ({_line(error)}); export the model again") from error


def _line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).partition("\n")[0][:_REASON_MAX]
    # numpy's advice is to trust the file; it quotes headers as they are.
    return "it holds Python objects" if "pickle" in text else ascii(text)[1:-1]
