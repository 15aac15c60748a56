"""`python -m fuzz`: run, print counts by code and the failures. Exit 1 when there is a failure."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from fuzz import campaign


def main() -> int:
    """Run and report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="stop after this time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutants", type=int, default=100_000_000, help="stop after this many")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    options = parser.parse_args()
    started = time.monotonic()
    tally = campaign.run(options.seed, options.mutants, options.seconds, options.workers)
    elapsed, count = time.monotonic() - started, tally.codes.total()
    print(f"{'verdict':28}{'mutants':>10}{'re-signed':>12}")
    for code, number in tally.codes.most_common():
        print(f"{code:28}{number:>10,}{tally.resigned[code]:>12,}")
    print(f"\nseed {options.seed}: {count:,} mutants in {elapsed:.0f} s, {count / elapsed:.0f} a second")
    print(f"largest memory growth of a worker: {tally.growth_kib / 1024:.0f} MiB")
    for (number, why), path in zip(tally.failures, campaign.keep(options.seed, tally, Path("var/fuzz")), strict=True):
        print(f"FAILED mutant {number}: {why}; kept as {path}")
    return 1 if tally.failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
