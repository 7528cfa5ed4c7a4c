"""`podium rank`: send one request of a request set, or one written as JSON, and show the ranking."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from podium.cli.failure import fail

if TYPE_CHECKING:
    from podium.client import Client, Ranked
    from podium.v1 import ranking_pb2 as pb


def add_to(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command(
        epilog="example: podium rank --target 127.0.0.1:50051 --index 3 movies "
        "models/movies/1/requests/eval.podium"
    )
    def rank(
        model: Annotated[str, typer.Argument(metavar="MODEL", help="model to ask")],
        requests: Annotated[Path, typer.Argument(metavar="REQUESTS", help="request set, or a .json file")],
        target: Annotated[str, typer.Option(help="host:port of the server")],
        index: Annotated[int, typer.Option(help="which request of the set, from 0", min=0)] = 0,
        top: Annotated[int, typer.Option(help="lines to show; 0 = all", min=0)] = 10,
        deadline_ms: Annotated[float, typer.Option(help="how long to wait, in all", min=1)] = 1000.0,
        stream: Annotated[bool, typer.Option("--stream", help="send over RankStream")] = False,
        weight: Annotated[
            list[str] | None,
            typer.Option(metavar="HEAD=WEIGHT", help="a head's weight in place of the model's; repeatable"),
        ] = None,
        head: Annotated[
            list[str] | None, typer.Option(metavar="HEAD", help="show this head's scores too; repeatable")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    ) -> None:
        """Rank one request and show the candidates, best first.

        A .json file holds {"ids": [...], "context": {name: array}, "columns": {name: array},
        "prior_scores": [...], "head_weights": {head: weight}, "return_heads": [...]}; dtypes come from the
        model.
        """
        from podium.client import Client, RankRefused

        try:
            with Client(target, stream=stream) as client:
                message = _message(client, model, requests, index)
                _ask_heads(message, weight or (), head or ())
                ranked = client.rank_message(message, deadline_s=deadline_ms / 1e3)
        except (RankRefused, ValueError, OSError) as error:
            fail("rank", error)
        rows = _rows(ranked, message, top)
        if as_json:
            sys.stdout.write(
                msgspec.json.format(msgspec.json.encode(_result(ranked, rows)), indent=2).decode()
            )
            sys.stdout.write("\n")
        else:
            _print(ranked, rows)


def _message(client: Client, model: str, path: Path, index: int) -> pb.RankRequest:
    from podium.cli import json_request
    from podium.client.channel import parsed
    from protos import manifest as manifests
    from protos.request_set import read_messages

    if path.suffix == ".json":
        known = client.models(model, with_manifest=True)
        chosen = next((entry for entry in known if entry.is_default and entry.manifest_json), None)
        if chosen is None:
            raise ValueError(f"the server serves no model {model!r}")
        return json_request.decode(path.read_bytes(), manifests.decode(chosen.manifest_json))
    messages = read_messages(path)
    if index >= len(messages):
        raise ValueError(f"{path} holds {len(messages)} requests; there is no --index {index}")
    message = parsed(messages[index])
    message.model = model
    return message


def _ask_heads(message: pb.RankRequest, weights: Sequence[str], heads: Sequence[str]) -> None:
    """Write what the options want of the heads into the request, over what it says itself."""
    for option in weights:
        name, _, value = option.rpartition("=")
        try:
            weight = float(value)
        except ValueError:
            name = ""
        if not name:
            raise ValueError(f"--weight {option} is not HEAD=WEIGHT, as click=0.5")
        message.head_weights[name] = weight
    message.return_heads.extend(one for one in dict.fromkeys(heads) if one not in message.return_heads)


def _rows(ranked: Ranked, message: pb.RankRequest, top: int) -> list[dict[str, Any]]:
    import numpy as np

    from measures.order import rank_order

    data = message.candidates.prior_scores
    prior = np.frombuffer(data, "<f4") if data else None
    prior_order = rank_order(np.full(len(ranked.scores), np.nan, np.float32), prior)
    prior_rank = np.empty(len(prior_order), np.int64)
    prior_rank[prior_order] = np.arange(1, len(prior_order) + 1)
    shown = ranked.order[: top or None]
    heads = ranked.heads.items()
    return [
        {
            "rank": place,
            "id": identity,
            "index": at,
            "score": _number(ranked.scores[at]),
            "prior_rank": int(prior_rank[at]),
            **({"heads": {name: _number(scores[at]) for name, scores in heads}} if heads else {}),
        }
        for place, (identity, at) in enumerate(
            zip(ranked.ids[: len(shown)].tolist(), shown.tolist(), strict=True), 1
        )
    ]


def _number(score: float) -> float | None:
    """JSON has no NaN; a candidate without a score has none."""
    return None if score != score else float(score)


def _result(ranked: Ranked, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": ranked.model,
        "version": ranked.version,
        "variant": ranked.variant,
        "step": ranked.step.name.lower(),
        "coverage": ranked.coverage,
        "timings": ranked.timings,
        "ranking": rows,
    }


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"


def _print(ranked: Ranked, rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("rank", "id", "score", "prior rank", *map(escape, ranked.heads)):
        table.add_column(column, justify="right")
    for row in rows:
        heads = [_shown(score) for score in row.get("heads", {}).values()]
        prior_rank = str(row["prior_rank"])
        table.add_row(str(row["rank"]), escape(str(row["id"])), _shown(row["score"]), prior_rank, *heads)
    console = Console()
    console.print(table)
    coverage, timings = ranked.coverage, ranked.timings
    console.print(
        f"{ranked.model} {ranked.version} {ranked.variant}, step {ranked.step.name.lower()}: "
        f"{coverage.scored} of {coverage.candidates} candidates scored in {timings.total_us / 1e3:.2f} ms "
        f"(queue {timings.queue_us / 1e3:.2f}, run {timings.run_us / 1e3:.2f})",
        soft_wrap=True,
        highlight=False,
    )
