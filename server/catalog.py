"""The models this server knows: which versions serve, which were refused and why."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.core.decisions import Lane
from server.domain import Importance
from server.engine.bundle import Bundle
from server.errors import Reason, Refusal, Refused
from server.wire import Decoder


class State(enum.Enum):
    SERVING = "serving"
    REFUSED = "refused"


class RefusedBy(enum.Enum):
    """Which check refused a version or variant; a metric label."""

    GOLDEN = "golden"  # it loads and runs, and scores otherwise here than where it was exported
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that answers.

    Attributes:
        lanes: variant -> lane, of the variants that passed their golden check.
        default_variant: the first of them.
        refused_variants: variant -> why not.
        golden_missed: those of them that ran, and missed their golden scores.
        budget_ns: per importance class.
    """

    bundle: Bundle
    decoder: Decoder
    lanes: Mapping[str, Lane]
    default_variant: str
    refused_variants: Mapping[str, str]
    budget_ns: Mapping[Importance, int]
    golden_missed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RefusedVersion:
    """A version that does not answer, with the sentence that says why."""

    model: str
    version: int
    reason: str
    by: RefusedBy = RefusedBy.OTHER


@dataclass(frozen=True, slots=True)
class Catalog:
    """All versions by name; immutable, so that a reader never sees a half-made change."""

    serving: Mapping[str, Mapping[int, ServedVersion]] = field(default_factory=dict)
    refused: tuple[RefusedVersion, ...] = ()
    required: frozenset[str] = frozenset()

    def find(self, model: str, version: int, variant: str) -> tuple[ServedVersion, Lane]:
        """The version and lane for a request; version 0 = newest serving, variant "" = its default.

        Raises:
            Refused: there is no such model, version or variant here.
        """
        versions = self.serving.get(model)
        if not versions:
            if any(entry.model == model for entry in self.refused):
                raise Refused(
                    Refusal(Reason.MODEL_REFUSED, "No version of this model is serving here.", "model")
                )
            raise Refused(Refusal(Reason.MODEL_NOT_FOUND, "There is no such model here.", "model"))
        served = versions.get(version or max(versions))
        if served is None:
            raise Refused(
                Refusal(
                    Reason.VERSION_NOT_FOUND,
                    f"Version {version} of this model is not serving here.",
                    "version",
                )
            )
        lane = served.lanes.get(variant or served.default_variant)
        if lane is None:
            known = ", ".join(served.lanes)
            raise Refused(Refusal(Reason.VARIANT_NOT_FOUND, f"variant must be one of: {known}.", "variant"))
        return served, lane

    def missing(self) -> list[str]:
        """Required models without a serving version; empty = ready."""
        return sorted(name for name in self.required if not self.serving.get(name))

    def served(self) -> Iterable[ServedVersion]:
        """Every serving version."""
        return (version for versions in self.serving.values() for version in versions.values())
