"""Writing a bundle: everything into a hidden folder beside the target, flushed, then one rename.

The version is the next free positive integer. A crash or a failure leaves at most a hidden folder that nobody
reads; never half a bundle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import onnx

from export import weights
from export.gates.evidence import Evidence
from export.reference import Scores
from export.request_set import message_of
from protos import manifest as manifests
from protos.manifest import File, Golden, Manifest, RequestSet
from protos.request_set import write_labels, write_messages

GOLDEN_FILE = "golden.npz"
GOLDEN_MESSAGES = "golden.podium"
REQUESTS_FILE = "requests/eval.podium"
LABELS_FILE = "requests/labels.npz"


def write_graph(
    folder: Path, variant: str, model: onnx.ModelProto, inline_bytes_max: int = weights.INLINE_BYTES_MAX
) -> str:
    """Write a variant's fused graph, large weights beside it; return the graph's path inside the bundle."""
    relative = f"{variant}/fused.onnx"
    (folder / variant).mkdir()
    weights.write(model, folder / relative, inline_bytes_max)
    return relative


def bytes_of(evidence: Evidence, models: Iterable[onnx.ModelProto]) -> int:
    """About how large a bundle will be."""
    requests = sum(
        np.asarray(array).nbytes
        for request in evidence.spec.requests
        for array in (*request.context.values(), *request.candidates.values())
    )
    vocabs = sum(np.asarray(vocab.keys).nbytes for vocab in evidence.spec.vocabs.values())
    return requests + vocabs + sum(weights.weight_bytes(model) for model in models)


def write_vocabs(folder: Path, evidence: Evidence) -> dict[str, manifests.Vocab]:
    """Write the vocabularies and describe them."""
    vocabs: dict[str, manifests.Vocab] = {}
    for name, spec in evidence.spec.vocabs.items():
        (folder / "vocabs").mkdir(exist_ok=True)
        keys = np.asarray(spec.keys)
        integers = keys.dtype.kind == "i"
        np.save(folder / f"vocabs/{name}.npy", keys.astype("<i8") if integers else keys)
        vocabs[name] = manifests.Vocab(
            file=f"vocabs/{name}.npy",
            key="int64" if integers else "string",
            rows=len(keys),
            unknown=spec.unknown,
            unknown_row=spec.unknown_row,
        )
    return vocabs


def write_golden(
    folder: Path, evidence: Evidence, rows: list[int], scores: Mapping[str, list[Scores]]
) -> None:
    """Write the golden requests and every variant's scores of them."""
    messages = [message_of(evidence.spec, evidence.raw[row], f"golden-{at}") for at, row in enumerate(rows)]
    write_messages(folder / GOLDEN_MESSAGES, messages)
    arrays = {f"scores/{variant}": np.concatenate(values) for variant, values in scores.items()}
    np.savez(folder / GOLDEN_FILE, allow_pickle=False, **arrays)


def write_requests(folder: Path, evidence: Evidence) -> RequestSet:
    """Write the labelled requests as the bundle's request set; unlabelled ones among them get NaN labels."""
    (folder / "requests").mkdir()
    spec = evidence.spec
    messages = (message_of(spec, request, f"eval-{at}") for at, request in enumerate(spec.requests))
    count = write_messages(folder / REQUESTS_FILE, messages)
    labels = [
        np.full(one.count, np.nan, np.float32) if one.labels is None else np.asarray(one.labels, np.float32)
        for one in spec.requests
    ]
    write_labels(folder / LABELS_FILE, labels)
    return RequestSet(file=REQUESTS_FILE, labels=LABELS_FILE, count=count)


def golden_entry(rows: list[int], max_abs: float, order_exact: bool) -> Golden:
    """The manifest's entry for the golden files."""
    return Golden(
        file=GOLDEN_FILE,
        messages=GOLDEN_MESSAGES,
        requests=len(rows),
        max_abs=max_abs,
        order_exact=order_exact,
    )


@contextmanager
def staging(models: Path, name: str) -> Iterator[Path]:
    """A hidden folder in `models/NAME` to build a bundle in; removed if it was not published."""
    parent = models / name
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # gone already when it was published
        with suppress(OSError):
            parent.rmdir()  # a first export that failed leaves no empty model behind


def publish(folder: Path, seal: Callable[[int], Manifest]) -> tuple[Path, Manifest]:
    """Rename a staged folder to the next free version.

    Args:
        folder: from `staging`.
        seal: writes into the folder what depends on the version, and returns the manifest of that version;
            called again when another export took the version meanwhile.

    Returns:
        the bundle's folder and its manifest.
    """
    folder.chmod(0o755)  # mkdtemp's 0700 would hide the bundle from the server's user
    while True:
        version = next_version(folder.parent)
        manifest = seal(version)
        (folder / manifests.MANIFEST_FILE).write_bytes(manifests.encode(manifest))
        _flush(folder)
        target = folder.parent / str(version)
        try:
            folder.rename(target)
        except OSError:
            if not target.exists():
                raise
            continue
        _flush_folder(folder.parent)
        return target, manifest


def next_version(parent: Path) -> int:
    """One more than the greatest version in `models/NAME`."""
    return 1 + max((int(entry.name) for entry in parent.iterdir() if entry.name.isdecimal()), default=0)


def list_files(folder: Path) -> list[File]:
    """Every file of a staged bundle with its size and hash; the manifest cannot list itself."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != manifests.MANIFEST_FILE:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            relative = path.relative_to(folder).as_posix()
            files.append(File(path=relative, bytes=path.stat().st_size, sha256=digest))
    return files


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
