"""What a fleet wants done: the closed list of what the shells carry out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

from podium.client.refused import RankRefused
from podium.client.stream.conversation import Conversation, T
from podium.v1 import ranking_pb2 as pb


@dataclass(frozen=True, slots=True)
class Settle(Generic[T]):
    """A request has ended; its caller gets the outcome."""

    token: T
    outcome: pb.RankResponse | RankRefused


@dataclass(frozen=True, slots=True)
class Open:
    """Connect to the conversation's address and begin a stream."""

    conversation: Conversation[Any]


@dataclass(frozen=True, slots=True)
class Wake:
    """There is something to say on the stream, or nothing any more: its writer should look."""

    conversation: Conversation[Any]


@dataclass(frozen=True, slots=True)
class Abort:
    """Cancel the stream, if it has been opened."""

    conversation: Conversation[Any]


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look the target's names up and tell."""


Effect = Settle[T] | Open | Wake | Abort | Resolve
