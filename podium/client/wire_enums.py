"""The wire's enumerations as Python enums, so that callers need no generated code."""

from __future__ import annotations

import enum

from podium.v1 import ranking_pb2 as pb


class Importance(enum.IntEnum):
    """How much a request matters when not all can be answered."""

    CRITICAL = pb.IMPORTANCE_CRITICAL
    DEFAULT = pb.IMPORTANCE_DEFAULT
    SHEDDABLE = pb.IMPORTANCE_SHEDDABLE


class Step(enum.IntEnum):
    """The quality ladder, worst last; FULL = nothing was given up."""

    FULL = pb.STEP_FULL
    FEWER_CANDIDATES = pb.STEP_FEWER_CANDIDATES
    SMALLER_VARIANT = pb.STEP_SMALLER_VARIANT
    PRIOR_ORDER = pb.STEP_PRIOR_ORDER


class Outcome(enum.IntEnum):
    """What happened to one candidate."""

    NOT_SCORED = pb.OUTCOME_NOT_SCORED
    SCORED = pb.OUTCOME_SCORED
    PRIOR_ONLY = pb.OUTCOME_PRIOR_ONLY
    SKIPPED_DEADLINE = pb.OUTCOME_SKIPPED_DEADLINE
    INVALID = pb.OUTCOME_INVALID


class Flag(enum.IntFlag):
    """Bits of `Ranked.flags`."""

    CACHED = 1
    TEXT_TRUNCATED = 2
    ID_UNKNOWN = 4
