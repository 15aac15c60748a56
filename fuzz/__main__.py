"""`python -m fuzz`: bundles, then archives; prints counts by outcome and the failures. Exit 1 when there is one."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from fuzz import archives, campaign

ARCHIVES_S = 1800


def main() -> int:
    """Run and report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="stop after this time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutants", type=int, default=100_000_000, help="stop after this many")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--archives", type=int, default=10_000, help="mutants of archives; 0 for none")
    options = parser.parse_args()
    failed = _bundles(options)
    return int(_archives(options) or failed) if options.archives else int(failed)


def _bundles(options: argparse.Namespace) -> bool:
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
    return bool(tally.failures) or not count


def _archives(options: argparse.Namespace) -> bool:
    started = time.monotonic()
    tally = archives.run_all(options.seed, options.archives, ARCHIVES_S, options.workers)
    elapsed, count = time.monotonic() - started, tally.outcomes.total()
    print(f"\n{'archive':28}{'mutants':>10}")
    for outcome, number in tally.outcomes.most_common():
        print(f"{outcome:28}{number:>10,}")
    print(f"\nseed {options.seed}: {count:,} mutants of archives in {elapsed:.0f} s, {count / elapsed:.0f} a second")
    print(f"largest memory growth of a worker: {tally.growth_kib / 1024:.0f} MiB")
    for (number, why), path in zip(tally.failures, archives.keep(options.seed, tally, Path("var/fuzz")), strict=True):
        print(f"FAILED mutant {number}: {why}; kept as {path}")
    if count < options.archives:
        print(f"only {count:,} of {options.archives:,} in {ARCHIVES_S} s")
    return bool(tally.failures) or not count


if __name__ == "__main__":
    sys.exit(main())
