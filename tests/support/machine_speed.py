"""`python -m tests.support.machine_speed`: prints `1` on a machine too slow for the whole suite, else an empty line.

It times a loop and a hash on every core at once, as the suite uses all cores. On an ordinary idle machine that takes
about two seconds; a machine that takes more than four times as long should run `make test CORE=1`.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import time

ORDINARY_S = 1.6
MOST_TIMES_SLOWER = 4
ROUNDS = 20  # each about 0.05 s of the loop and 0.05 s of the hash
LOOP = 600_000
BLOCK = bytes(1 << 20)
BLOCKS = 40


def work(_: int) -> float:
    """Seconds that one core takes for its share."""
    began = time.monotonic()
    for _round in range(ROUNDS):
        total = 0
        for number in range(LOOP):
            total += number & 7
        digest = hashlib.sha256()
        for _block in range(BLOCKS):
            digest.update(BLOCK)
    return time.monotonic() - began


def times_slower() -> float:
    """The mean time of all cores, as a multiple of an ordinary machine's."""
    cores = len(os.sched_getaffinity(0))
    with multiprocessing.Pool(cores) as pool:
        return sum(pool.map(work, range(cores))) / cores / ORDINARY_S


def main() -> None:
    """Report the speed to stderr and print the decision to stdout."""
    slower = times_slower()
    sys.stderr.write(f"this machine is {slower:.1f} times as slow as an ordinary idle one\n")
    sys.stdout.write("1\n" if slower > MOST_TIMES_SLOWER else "\n")


if __name__ == "__main__":
    main()
