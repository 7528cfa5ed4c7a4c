"""One comparison of what was injected with what was measured, and the error that it states beforehand."""

from __future__ import annotations

import msgspec

Value = float | str | None
"""A number, a word ("inf" = never answered, a verdict's name), or None = too few to say."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the selftest.

    Attributes:
        experiment: the run that it belongs to.
        below, above: how far `measured` may lie from `injected`; both 0 = it must be equal.
        why: where that error comes from, or what the row shows.
    """

    experiment: str
    name: str
    injected: Value
    measured: Value
    below: float = 0.0
    above: float = 0.0
    why: str = ""

    @property
    def ok(self) -> bool:
        """True when the harness tells the truth."""
        if isinstance(self.injected, float | int) and isinstance(self.measured, float | int):
            return self.injected - self.below <= self.measured <= self.injected + self.above
        return self.injected == self.measured


class Sheet:
    """Collects the checks of one experiment."""

    def __init__(self, experiment: str) -> None:
        self.checks: list[Check] = []
        self._experiment = experiment

    def near(
        self, name: str, injected: float, measured: Value, error: tuple[float, float], why: str = ""
    ) -> None:
        """Within `error`: how far below and above."""
        below, above = error
        self.checks.append(
            Check(
                experiment=self._experiment,
                name=name,
                injected=injected,
                measured=measured,
                below=below,
                above=above,
                why=why,
            )
        )

    def same(self, name: str, injected: Value, measured: Value, why: str = "") -> None:
        """Equal."""
        self.checks.append(
            Check(experiment=self._experiment, name=name, injected=injected, measured=measured, why=why)
        )
