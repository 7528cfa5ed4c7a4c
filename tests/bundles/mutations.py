"""Seeded damage to bundles, with the hashes put right again, so that the checks behind them are reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from protos import manifest as manifests
from tests.bundles.tiny import seal

Rng = np.random.Generator
NUMBERS = (
    -1,
    0,
    1,
    2,
    63,
    64,
    255,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    (1 << 62) - 1,
    (1 << 63) - 1,
    1 << 64,
    10**30,
)
TEXTS = ("", "N", "R", "L", "fp32", "../x", "/etc/passwd", "\0", "é" * 999, "golden.npz", "0" * 64)
GRAPH_TEXTS = (
    "score",
    "item",
    "table",
    "Add",
    "MatMul",
    "Expand",
    "ConstantOfShape",
    "Range",
    "Tile",
    "Loop",
    "a.b",
)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, 1e-300, 1e300, -1.0, 0.5, None, True, False, [], {})
LENGTHS = (
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff" * 10 + b"\x01",
    b"\x00",
    b"\x7f",
)
"""Varints that claim much, or nothing."""


def flip(data: bytes, rng: Rng) -> bytes:
    """Flip one to eight bits."""
    out = bytearray(data)
    for at in rng.integers(0, max(len(out), 1), rng.integers(1, 9)):
        if out:
            out[at] ^= 1 << rng.integers(8)
    return bytes(out)


def truncate(data: bytes, rng: Rng) -> bytes:
    """Cut the end off."""
    return data[: rng.integers(0, len(data) + 1)]


def splice(data: bytes, rng: Rng) -> bytes:
    """Copy a stretch over another place, or into it."""
    start, end = sorted(rng.integers(0, len(data) + 1, 2))
    at = int(rng.integers(0, len(data) + 1))
    over = at + int(rng.integers(0, 2)) * int(end - start)
    return data[:at] + data[start:end] + data[over:]


def claim(data: bytes, rng: Rng) -> bytes:
    """Put a length that is too large (or none) where some byte was."""
    at = int(rng.integers(0, len(data) + 1))
    return data[:at] + LENGTHS[rng.integers(len(LENGTHS))] + data[at + 1 :]


def noise(data: bytes, rng: Rng) -> bytes:
    """Replace a stretch by random bytes."""
    at = int(rng.integers(0, len(data) + 1))
    size = int(rng.integers(1, 33))
    return data[:at] + rng.bytes(size) + data[at + size :]


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (flip, flip, truncate, splice, claim, noise)


def mutate_file(bundle: Path, rng: Rng) -> str:
    """Damage one file of the bundle and put its hash right; say what was done."""
    files = ["fp32/fused.onnx", "vocabs/item.npy", "golden.npz", "golden.podium"]
    name = files[rng.choice(len(files), p=[0.6, 0.15, 0.1, 0.15])]
    how = BYTES[rng.integers(len(BYTES))]
    (bundle / name).write_bytes(how((bundle / name).read_bytes(), rng))
    seal(bundle, manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes()))
    return f"{how.__name__} {name}"


def mutate_manifest(bundle: Path, rng: Rng) -> str:
    """Change, drop or add keys of the manifest; hashes in it stay what they are unless hit."""
    path = bundle / manifests.MANIFEST_FILE
    document = json.loads(path.read_bytes())
    done = []
    for _ in range(rng.integers(1, 3)):
        places = list(_places(document))
        holder, key = places[rng.integers(len(places))]
        kind = rng.integers(4)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other_holder, other = places[rng.integers(len(places))]
            holder[key] = json.loads(
                json.dumps(other_holder.get(other) if isinstance(other_holder, dict) else None)
            )
        else:
            # Mostly of the same type: what has another one is refused by the first check.
            like = [value for value in VALUES if type(value) is type(holder[key])]
            pool = like if like and rng.random() < 0.8 else VALUES
            holder[key] = pool[rng.integers(len(pool))]
        done.append(f"{key}")
    path.write_text(json.dumps(document))
    return f"manifest {', '.join(done)}"


def mutate_manifest_bytes(bundle: Path, rng: Rng) -> str:
    """Damage the manifest as text."""
    path = bundle / manifests.MANIFEST_FILE
    how = BYTES[rng.integers(len(BYTES))]
    path.write_bytes(how(path.read_bytes(), rng))
    return f"{how.__name__} {manifests.MANIFEST_FILE}"


def mutate_graph(bundle: Path, rng: Rng) -> str:
    """Change fields of the graph's messages, whatever they mean; the file stays valid protobuf."""
    path = bundle / "fp32/fused.onnx"
    model = onnx.load(path)
    done = []
    for _ in range(rng.integers(1, 4)):
        places = list(_fields(model))
        message, field = places[rng.integers(len(places))]
        done.append(f"{type(message).__name__}.{field.name}")
        _change(message, field, rng)
    path.write_bytes(model.SerializePartialToString())
    seal(bundle, manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes()))
    return f"graph {', '.join(done)}"


MUTATIONS = (mutate_file, mutate_graph, mutate_manifest, mutate_manifest_bytes)


def mutate(bundle: Path, rng: Rng) -> str:
    """Damage a bundle of one variant, fp32; say what was done."""
    how = MUTATIONS[rng.choice(len(MUTATIONS), p=[0.35, 0.35, 0.25, 0.05])]
    return how(bundle, rng)


def _places(node: Any) -> Any:
    """Every (holder, key) of a JSON document."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _fields(message: Any) -> Any:
    """Every (message, field) that is set, with all messages within."""
    for field, value in message.ListFields():
        yield message, field
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                yield from _fields(inner)


def _change(message: Any, field: Any, rng: Rng) -> None:
    old = getattr(message, field.name)
    if field.type == field.TYPE_MESSAGE:
        if not field.is_repeated:
            message.ClearField(field.name)
        elif rng.random() < 0.5:
            old.add().CopyFrom(old[rng.integers(len(old))])
        else:
            del old[rng.integers(len(old))]
        return
    at = rng.integers(len(old)) if field.is_repeated else None
    new = _scalar(field, old if at is None else old[at], rng)
    with suppress(ValueError):  # protobuf itself refuses some numbers of an enum
        if at is None:
            setattr(message, field.name, new)
        else:
            old[at] = new


def _scalar(field: Any, old: Any, rng: Rng) -> Any:
    if isinstance(old, bytes):
        return BYTES[rng.integers(len(BYTES))](old, rng)
    if isinstance(old, str):
        return (*TEXTS[:-1], *GRAPH_TEXTS)[rng.integers(len(TEXTS) + len(GRAPH_TEXTS) - 1)]
    if isinstance(old, float):
        return (0.0, -1.0, float("nan"), float("inf"), 3e38)[rng.integers(5)]
    small = field.type in (field.TYPE_INT32, field.TYPE_ENUM)
    pool = [number for number in NUMBERS if -1 <= number < 1 << (31 if small else 63)]
    return old + 1 if rng.random() < 0.2 else pool[rng.integers(len(pool))]
