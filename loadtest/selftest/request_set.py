"""The selftest's request set: so small that every nDCG can be worked out by hand.

Four candidates, one of them relevant: the one with the largest id, at another place in every message. The
prior has it second. So its rank is 1 in a straight answer, 2 in the prior order and 4 in a reversed one, and
nDCG is 1 / log2(rank + 1).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from loadtest.selftest.mock import MODEL
from podium.v1 import ranking_pb2 as pb
from protos.request_set import write_labels, write_messages

MESSAGES: Final = 40
CANDIDATES: Final = 4
STRAIGHT: Final = 1.0
PRIOR: Final = 1 / math.log2(3)
REVERSED: Final = 1 / math.log2(5)

_REQUESTS: Final = "selftest.podium"
_LABELS: Final = "labels.npz"


def write(folder: Path) -> tuple[Path, Path]:
    """Write messages and labels; return their paths."""
    messages, labels = [], []
    for number in range(MESSAGES):
        # Turned by one place from message to message: an answer taken for another message's ranks otherwise.
        ids = np.roll(np.array([40, 30, 20, 10], np.int64) + number, number)
        prior = np.roll(np.array([0.3, 0.4, 0.2, 0.1], np.float32), number)
        candidates = pb.Candidates(
            count=CANDIDATES, int_ids=ids.astype("<i8").tobytes(), prior_scores=prior.astype("<f4").tobytes()
        )
        message = pb.RankRequest(model=MODEL, request_id=f"selftest-{number}", candidates=candidates)
        messages.append(message.SerializeToString())
        labels.append((ids == ids.max()).astype(np.float32))
    write_messages(folder / _REQUESTS, messages)
    write_labels(folder / _LABELS, labels)
    return folder / _REQUESTS, folder / _LABELS
