"""A fetch that is killed goes on where it was; `make large` does the same with 2 GB."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys

from tests.support.large_source import LargeSource, collecting

SIZE_MIB = int(os.environ.get("LARGE_FETCH_MIB", "200"))
KILLS = 10
MOST_TWICE = 0.05
MOST_RSS_MIB = 96


def test_a_large_fetch_that_is_killed_ten_times_asks_for_hardly_anything_twice(tmp_path):
    running: list[subprocess.Popen[str]] = []
    deaths = [number * SIZE_MIB * 2**20 // (KILLS + 1) for number in range(1, KILLS + 1)]

    def kill_at(sent_bytes: int) -> None:
        if deaths and sent_bytes >= deaths[0]:
            deaths.pop(0)
            running[-1].kill()

    with LargeSource(SIZE_MIB, rate_mib_s=100, when=kill_at) as source:
        for _ in range(KILLS):
            running.append(collecting(source, tmp_path))
            assert running[-1].wait() == -signal.SIGKILL
        running.append(collecting(source, tmp_path))
        told, _ = running[-1].communicate()
    assert running[-1].returncode == 0
    said = json.loads(told)
    assert said["artifacts"] == [[source.size_bytes, source.sha256]]
    assert said["rss_mib"] <= MOST_RSS_MIB
    twice = source.sent_bytes - source.size_bytes
    sys.stdout.write(
        f"{twice / source.size_bytes:.2%} of {SIZE_MIB} MiB asked for twice, RSS {said['rss_mib']:.0f} MiB\n"
    )
    assert 0 <= twice <= MOST_TWICE * source.size_bytes
    assert sum(path.endswith("/content") for path, _ in source.asked) == KILLS + 1
    assert [path for path, _ in source.asked].count("/query/alerts") == 1, "what was read to its end is kept"
    (kept,) = (tmp_path / "contents").iterdir()
    with kept.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == source.sha256
