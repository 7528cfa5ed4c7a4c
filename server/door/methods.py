"""Every method of the gRPC port by its path."""

from __future__ import annotations

from server.config import Limits
from server.door import list_models, rank, rank_stream, reflect
from server.door.call import Method
from server.door.health import RANKER, SERVICE, Health
from server.ranking import Ranking


def methods(ranking: Ranking, health: Health, limits: Limits) -> dict[str, Method]:
    """The table."""
    return {
        f"/{RANKER}/Rank": rank.method(ranking),
        f"/{RANKER}/RankStream": rank_stream.method(ranking, limits),
        f"/{RANKER}/ListModels": list_models.method(ranking),
        **health.methods(),
        **reflect.methods([RANKER, SERVICE]),
    }
