"""A wire that keeps what its call says, as the other end reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpack import Decoder


@dataclass
class Spoken:
    """One call's connection.

    Attributes:
        messages: with their prefix; `heads`: how many of them came with headers.
        end_: the last word's headers, and whether it took the place of unread messages.
        unread_bytes: what the peer leaves unread.
    """

    messages: list[bytes] = field(default_factory=list)
    heads: int = 0
    end_: tuple[dict[str, str], bool] | None = None
    unread_bytes: int = 0

    def answer(self, stream: int, message: bytes) -> None:
        """See `call.Wire`."""
        self.send(stream, message, first=True)
        self.end_ = ({"grpc-status": "0"}, False)

    def send(self, stream: int, message: bytes, *, first: bool) -> None:
        """See `call.Wire`."""
        assert self.end_ is None
        self.messages.append(message)
        self.heads += first

    def end(self, stream: int, trailers: bytes, *, at_once: bool) -> None:
        """See `call.Wire`."""
        assert self.end_ is None
        self.end_ = ({str(name): str(value) for name, value in Decoder().decode(trailers)}, at_once)

    def unsent_bytes(self, stream: int) -> int:
        """See `call.Wire`."""
        return self.unread_bytes

    @property
    def code(self) -> str | None:
        """The status with which the call ended."""
        return None if self.end_ is None else self.end_[0]["grpc-status"]
