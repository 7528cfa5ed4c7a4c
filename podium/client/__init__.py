"""The Python client: numpy in, ranked candidates out.

    from podium.client import Client

Two thin shells, `Client` (blocking) and `AsyncClient`, around pure parts: `encode`, `decode`, `retry` and
`attempts` know no socket and no clock.
"""

from podium.client.aio import AsyncClient
from podium.client.blocking import Client
from podium.client.ranked import Coverage, ModelVersion, Ranked, Timings
from podium.client.refused import RankRefused
from podium.client.request import RankingRequest
from podium.client.retry import RetryPolicy
from podium.client.throttle import ThrottlePolicy
from podium.client.wire_enums import Flag, Importance, Outcome, Step

__all__ = [
    "AsyncClient",
    "Client",
    "Coverage",
    "Flag",
    "Importance",
    "ModelVersion",
    "Outcome",
    "RankRefused",
    "Ranked",
    "RankingRequest",
    "RetryPolicy",
    "Step",
    "ThrottlePolicy",
    "Timings",
]
