"""What the server asks its checking child, and what it is told: one line of JSON each way."""

from __future__ import annotations

import msgspec

from server.config import Config


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Look at one bundle.

    Attributes:
        bundle: its folder.
    """

    bundle: str
    config: Config


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        refused: a sentence about the whole bundle; "" = it can be opened.
        variants: variant -> the sentence that refuses it.
    """

    refused: str = ""
    variants: dict[str, str] = {}

    @property
    def sound(self) -> bool:
        """Nothing was refused."""
        return not self.refused and not self.variants
