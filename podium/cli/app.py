"""The verbs of `podium`, put together. Exit codes: 0 ok, 1 failed (one sentence on stderr), 2 usage."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from podium.cli import doctor, inspect_bundle, models, parts, rank

app = typer.Typer(
    name="podium",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an exception that reaches here is a bug: its plain traceback says most
    help="Podium ranks: trained PyTorch rankers over gRPC, inside a p99 budget.",
)

parts.add_to(app)
inspect_bundle.add_to(app)
rank.add_to(app)
models.add_to(app)
doctor.add_to(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code.

    Args:
        argv: arguments without the program's name; None = those of the process.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="podium")
    except SystemExit as end:  # typer's way of returning an exit code, after printing usage errors itself
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
