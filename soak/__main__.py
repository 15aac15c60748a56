"""`python -m soak PART`: run one part, or each with its defaults. Exit 1 when a rule was broken."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from soak import chaos, killpoints, simulation

# What a part does, the function that adds its options, and the function that runs it and returns whether all held.
Part = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], bool]]
PARTS: dict[str, Part] = {
    "simulation": ("the queue's rules under a seeded simulation", simulation.options, simulation.run),
    "killpoints": (
        "a worker killed before and after each call that changes files or the database",
        killpoints.options,
        killpoints.run,
    ),
    "chaos": ("real workers that are killed, frozen, cut off or out of disk space", chaos.options, chaos.run),
}


def main() -> int:
    """Run the chosen parts; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    named = parser.add_subparsers(dest="part", metavar="PART", help="each with its defaults unless given")
    parsers = {}
    for name, (what, options, _) in PARTS.items():
        parsers[name] = named.add_parser(name, help=what)
        options(parsers[name])
    given = parser.parse_args()
    if given.part:
        outcomes = [PARTS[given.part][2](given)]
    else:
        outcomes = [run(parsers[name].parse_args([])) for name, (_, _, run) in PARTS.items()]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
