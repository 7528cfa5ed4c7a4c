"""What is sent: a request set, made ready once. During a run its messages are bytes and stay so."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from loadtest import candidates
from loadtest.scenario.form import Class, Scenario
from measures.order import rank_order
from podium.v1 import ranking_pb2 as pb
from protos.request_set import read_labels, read_messages, write_messages

CANDIDATES_MAX = 32_767
"""An index of a candidate has two bytes in the records."""
_RESIZE = 9
"""Stream of random numbers: apart from the schedule's (`loadtest.schedule.build`)."""


class _Manifest(msgspec.Struct):
    """What a load test wants of a bundle's manifest; an exported one has more."""

    model: str
    budget_ms: float
    requests: _RequestSet


class _RequestSet(msgspec.Struct):
    file: str
    labels: str


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Messages ready to send: those of the request set, once per class of the mix, class after class.

    Attributes:
        originals: how many messages the request set holds; message m of class c is number c * originals + m.
        candidates: int64 [messages], how many each has.
        prior_orders: per message, the order its caller falls back to.
        labels: per message, float32 [candidates]; empty = none are known.
    """

    messages: tuple[bytes, ...]
    originals: int
    candidates: NDArray[np.int64]
    prior_orders: Sequence[NDArray[np.int64]]
    labels: Sequence[NDArray[np.float32]]

    @property
    def sha256(self) -> str:
        """Of the messages as sent."""
        return hashlib.sha256(b"".join(self.messages)).hexdigest()


def complete(scenario: Scenario) -> Scenario:
    """The scenario with its bundle's request set, labels, model and budget, where it has none of its own.

    Raises:
        ValueError: the bundle cannot be read, or neither it nor the scenario says what to send or the budget.
    """
    work, slo = scenario.workload, scenario.slo
    if work.bundle:
        path = Path(work.bundle) / "bundle.json"
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise ValueError(f"workload.bundle: {path} is not a bundle's manifest: {error}") from error
        requests = Path(work.bundle) / manifest.requests.file
        labels = Path(work.bundle) / manifest.requests.labels
        own_set = bool(work.requests)
        work = msgspec.structs.replace(
            work,
            requests=work.requests or str(requests),
            labels=work.labels or ("" if own_set or not labels.is_file() else str(labels)),
            model=work.model or manifest.model,
        )
        slo = msgspec.structs.replace(slo, budget_ms=slo.budget_ms or manifest.budget_ms)
    if not work.requests:
        raise ValueError("workload.requests is not set: give --bundle or --requests")
    if not slo.budget_ms:
        raise ValueError("slo.budget_ms is not set: give --budget-ms, or --bundle to use the bundle's")
    return msgspec.structs.replace(scenario, workload=work, slo=slo)


def load(scenario: Scenario) -> Workload:
    """Read a completed scenario's request set and labels, with the budgets as `timeout_us`.

    Raises:
        ValueError: it is empty, holds something that is no RankRequest, or the labels are not its own.
        OSError: it cannot be read.
    """
    work = scenario.workload
    originals = read_messages(Path(work.requests))[: work.messages_max or None]
    if not originals:
        raise ValueError(f"{work.requests}: holds no requests")
    labels = _labels(scenario, originals)
    messages: list[bytes] = []
    kept_labels: list[NDArray[np.float32]] = []
    orders: list[NDArray[np.int64]] = []
    for number, entry in enumerate(work.mix):
        rng = np.random.default_rng([work.seed, _RESIZE, number])
        wanted = None if entry.candidates is None else candidates.draw(entry.candidates, len(originals), rng)
        for at, data in enumerate(originals):
            message = _parse(data, work.requests)
            have = message.candidates.count
            chosen = np.arange(have) if wanted is None else candidates.rows(have, int(wanted[at]), rng)
            if wanted is not None:
                candidates.resize(message, chosen)
            _address(message, entry, scenario)
            messages.append(message.SerializeToString())
            orders.append(_prior_order(message.candidates))
            if labels:
                kept_labels.append(labels[at][chosen])
    most = max(len(order) for order in orders)
    if most > CANDIDATES_MAX:
        raise ValueError(
            f"{work.requests}: a request of {most} candidates; at most {CANDIDATES_MAX} can be recorded"
        )
    return Workload(
        messages=tuple(messages),
        originals=len(originals),
        candidates=np.array([len(order) for order in orders], np.int64),
        prior_orders=orders,
        labels=kept_labels,
    )


def write(workload: Workload, path: Path) -> None:
    """Write the messages as they will be sent, for the client processes.

    Raises:
        OSError: they cannot be written.
    """
    write_messages(path, workload.messages)


def models(scenario: Scenario, workload: Workload) -> list[str]:
    """Names of the models that will be asked."""
    named = {entry.model or scenario.workload.model for entry in scenario.workload.mix}
    if "" in named:
        named |= {pb.RankRequest.FromString(data).model for data in workload.messages}
    return sorted(named - {""})


def _address(message: pb.RankRequest, entry: Class, scenario: Scenario) -> None:
    """Write what the scenario says over what the message says."""
    message.timeout_us = round((entry.budget_ms or scenario.slo.budget_ms) * 1e3)
    message.model = entry.model or scenario.workload.model or message.model
    if entry.importance:
        message.importance = pb.Importance.Value(f"IMPORTANCE_{entry.importance.upper()}")


def _labels(scenario: Scenario, originals: Sequence[bytes]) -> list[NDArray[np.float32]]:
    work = scenario.workload
    if not work.labels:
        return []
    try:
        labels = read_labels(Path(work.labels))[: len(originals)]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{work.labels}: holds no labels of a request set") from error
    counts = [_parse(data, work.requests).candidates.count for data in originals]
    if [len(row) for row in labels] != counts:
        raise ValueError(f"{work.labels}: not the labels of {work.requests}")
    return labels


def _parse(data: bytes, path: str) -> pb.RankRequest:
    try:
        message: pb.RankRequest = pb.RankRequest.FromString(data)
    except DecodeError as error:
        raise ValueError(f"{path}: holds something that is no podium.v1.RankRequest") from error
    return message


def _prior_order(candidates: pb.Candidates) -> NDArray[np.int64]:
    prior = np.frombuffer(candidates.prior_scores, "<f4") if candidates.prior_scores else None
    return rank_order(np.full(candidates.count, np.nan, np.float32), prior)
