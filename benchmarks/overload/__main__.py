"""`make bench-overload`: the proof that the budget holds under overload.

    python -m benchmarks.overload all|capacity|sweep|others|throttled|fifo|stalls|storm|idle|figure|model
        [--admitted 10000] [--out build/overload]

The server is pinned to core 0, the client to core 1. Each part prints a Markdown table and keeps it with its
JSON under --out; later parts use the capacity that the first one kept. Exit code 1 when a must was missed,
each with a sentence. Fewer than 2,000 admitted per point make a smoke run, which proves nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

NAMES = ("capacity", "sweep", "others", "throttled", "fifo", "stalls", "storm", "idle", "figure")


def main() -> int:
    """Run one part, or all in order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload")
    parser.add_argument("what", choices=("all", "model", *NAMES))
    parser.add_argument("--admitted", type=int, default=10_000, help="per point of the sweep")
    parser.add_argument("--out", type=Path, default=Path("build/overload"))
    arguments = parser.parse_args()
    # Imported here: the load test's client processes import this module anew, and need none of it.
    from benchmarks.overload import workloads
    from benchmarks.overload.parts import PARTS, Order, Proof

    bundle = workloads.built("overload")
    if arguments.what == "model":
        print(bundle)
        return 0
    proof = Proof(Order(arguments.admitted, arguments.out))
    chosen = NAMES if arguments.what == "all" else (arguments.what,)
    lengths = {name: proof.seconds(name) for name in chosen}
    parts = ", ".join(f"{name} {length / 60:.1f}" for name, length in lengths.items())
    print(f"about {sum(lengths.values()) / 60:.0f} minutes ({parts})", flush=True)
    for name in chosen:
        PARTS[name](proof)
    print("\n".join(f"missed: {sentence}" for sentence in proof.missed) or "nothing missed")
    return 1 if proof.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
