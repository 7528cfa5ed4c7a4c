"""`podium models`: what a server has loaded."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from podium.cli.failure import fail

_STATE_STYLE = {"serving": "green", "refused": "red"}


def add_to(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command(epilog="example: podium models --target 127.0.0.1:50051")
    def models(
        target: Annotated[str, typer.Option(help="host:port of the server")],
        model: Annotated[str, typer.Option(help="only this one")] = "",
        deadline_s: Annotated[float, typer.Option(help="how long to wait")] = 5.0,
        as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    ) -> None:
        """List a server's model versions: state, variants, budget, and why one is refused."""
        from podium.client import Client, RankRefused

        try:
            with Client(target) as client:
                versions = client.models(model, deadline_s=deadline_s)
        except RankRefused as refused:
            fail("models", refused)
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(versions), indent=2).decode() + "\n")
            return
        table = Table(
            "model", "version", "state", "variants", "budget ms", "reason", box=None, pad_edge=False
        )
        for entry in versions:
            variants = (f"{v} (default)" if v == entry.default_variant else v for v in entry.variants)
            table.add_row(
                entry.model,
                f"{entry.version} (default)" if entry.is_default else str(entry.version),
                f"[{_STATE_STYLE.get(entry.state, 'yellow')}]{entry.state}[/]",
                ", ".join(variants),
                f"{entry.budget_ms:g}" if entry.budget_ms else "-",
                escape(entry.reason),
            )
        Console().print(table)
