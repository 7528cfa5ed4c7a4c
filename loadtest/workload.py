"""What is sent: a request set, made ready once. During a run its messages are bytes and stay so."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from loadtest.plan import Plan
from measures.order import rank_order
from podium.v1 import ranking_pb2 as pb
from protos.request_set import read_labels, read_messages


@dataclass(frozen=True, slots=True)
class Workload:
    """Messages ready to send.

    Attributes:
        candidates: int64 [messages], how many candidates each has.
        sha256: of the messages as sent.
    """

    messages: tuple[bytes, ...]
    candidates: NDArray[np.int64]
    sha256: str


def load(plan: Plan) -> Workload:
    """Read the plan's request set, with the budget as `timeout_us` and the plan's model.

    Raises:
        ValueError: it is empty, or holds something that is no RankRequest.
        OSError: it cannot be read.
    """
    messages = [_parse(data, plan.requests) for data in read_messages(Path(plan.requests))]
    if not messages:
        raise ValueError(f"{plan.requests}: holds no requests")
    for message in messages:
        message.timeout_us = round(plan.budget_ms * 1e3)
        message.model = plan.model or message.model
    sent = tuple(message.SerializeToString() for message in messages)
    counts = np.array([message.candidates.count for message in messages], np.int64)
    return Workload(sent, counts, hashlib.sha256(b"".join(sent)).hexdigest())


@dataclass(frozen=True, slots=True)
class Judgement:
    """Per message of the request set: its labels, and the order a caller falls back to."""

    labels: Sequence[NDArray[np.float32]]
    prior_orders: Sequence[NDArray[np.int64]]


def load_judgement(plan: Plan, workload: Workload) -> Judgement:
    """Read the plan's labels.

    Raises:
        ValueError: they are not those of the request set.
        OSError: they cannot be read.
    """
    labels = read_labels(Path(plan.labels))
    if [len(row) for row in labels] != workload.candidates.tolist():
        raise ValueError(f"{plan.labels}: not the labels of {plan.requests}")
    return Judgement(labels, [_prior_order(data) for data in workload.messages])


def _parse(data: bytes, path: str) -> pb.RankRequest:
    try:
        message: pb.RankRequest = pb.RankRequest.FromString(data)
    except DecodeError as error:
        raise ValueError(f"{path}: holds something that is no podium.v1.RankRequest") from error
    return message


def _prior_order(data: bytes) -> NDArray[np.int64]:
    candidates = pb.RankRequest.FromString(data).candidates
    prior = np.frombuffer(candidates.prior_scores, "<f4") if candidates.prior_scores else None
    return rank_order(np.full(candidates.count, np.nan, np.float32), prior)
