"""The request set: a file of real requests with their labels, inside a bundle.

`requests/eval.podium` is a sequence of serialised `podium.v1.RankRequest`s, each behind its length as a
protobuf varint (the framing of protobuf's own `writeDelimitedTo`). `requests/labels.npz` holds `labels`
(float32, all candidates of all requests in file order) and `offsets` (int64, [requests + 1]).

Messages are bytes here: a load generator must be able to replay them without decoding them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MESSAGE_BYTES_MAX = 64 << 20
"""A length above this is damage, not a request (the server's default message limit is 8 MiB)."""


def write_messages(path: Path, messages: Iterable[bytes]) -> int:
    """Write serialised messages to `path`; return how many."""
    count = 0
    with path.open("wb") as file:
        for message in messages:
            file.write(_varint(len(message)))
            file.write(message)
            count += 1
    return count


def read_messages(path: Path) -> list[bytes]:
    """Read every message of `path`.

    Raises:
        ValueError: the file is truncated or is not length-delimited.
    """
    data = path.read_bytes()
    messages: list[bytes] = []
    at = 0
    while at < len(data):
        length, at = _read_varint(data, at, path)
        if length > MESSAGE_BYTES_MAX or at + length > len(data):
            raise ValueError(f"{path.name}: message {len(messages)} is truncated")
        messages.append(data[at : at + length])
        at += length
    return messages


def write_labels(path: Path, labels: Sequence[NDArray[np.float32]]) -> None:
    """Write one label array ([N] float32, candidate order) per request."""
    offsets = np.zeros(len(labels) + 1, np.int64)
    np.cumsum([len(row) for row in labels], out=offsets[1:])
    flat = np.concatenate(labels).astype(np.float32) if labels else np.zeros(0, np.float32)
    np.savez(path, labels=flat, offsets=offsets)


def read_labels(path: Path) -> list[NDArray[np.float32]]:
    """Read the label arrays of a request set, one [N] float32 per request."""
    with np.load(path, allow_pickle=False) as file:
        labels, offsets = file["labels"], file["offsets"]
    return [labels[a:b] for a, b in pairwise(offsets)]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int, path: Path) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError(f"{path.name}: a message length is truncated at byte {at}")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
