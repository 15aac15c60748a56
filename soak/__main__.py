"""`python -m soak PART`: run one part, or each with its defaults; exit 1 when a rule was broken."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from soak import chaos, killpoints, simulation

# A part's name, what it does, its options, and what runs it and says whether all held.
Part = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], bool]]
PARTS: dict[str, Part] = {
    "simulation": ("the queue's rules under a seeded driver", simulation.options, simulation.run),
    "killpoints": ("a worker killed before and after each call that matters", killpoints.options, killpoints.run),
    "chaos": ("real workers, killed, frozen, cut off, without room", chaos.options, chaos.run),
}


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    named = parser.add_subparsers(dest="part", metavar="PART", help="each with its defaults unless given")
    parsers = {}
    for name, (what, options, _) in PARTS.items():
        parsers[name] = named.add_parser(name, help=what)
        options(parsers[name])
    given = parser.parse_args()
    if given.part:
        held = [PARTS[given.part][2](given)]
    else:
        held = [run(parsers[name].parse_args([])) for name, (_, _, run) in PARTS.items()]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
