"""The verbs that live in other parts: export, serve, health, loadtest. Arguments, --help included, go
through as they came, so that `podium serve` and `python -m server` cannot drift apart.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import typer

from podium.cli.failure import fail

_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""

    @app.command(context_settings=_THROUGH)
    def export(context: typer.Context) -> None:
        """Export a PyTorch ranker: graph, variants, gates, bundle."""
        for module in ("torch", "onnxscript"):
            if find_spec(module) is None:
                fail("export", f"{module} is not installed; it comes with the extra podium[export]")
        _run("export.cli", context)

    @app.command(context_settings=_THROUGH)
    def serve(context: typer.Context) -> None:
        """Serve every model of a folder over gRPC."""
        _run("server.app", context)

    @app.command(context_settings=_THROUGH)
    def health(context: typer.Context) -> None:
        """Ask a server whether it takes requests; the exit code says."""
        _run("podium.health", context)

    @app.command(context_settings=_THROUGH)
    def loadtest(context: typer.Context) -> None:
        """Measure a server: open-loop load, honest tails, a verdict as the exit code."""
        if find_spec("scipy") is None:
            fail("loadtest", "scipy is not installed; it comes with the extra podium[loadtest]")
        _run("loadtest.cli", context)


def _run(module: str, context: typer.Context) -> None:
    raise typer.Exit(import_module(module).main(context.args))
