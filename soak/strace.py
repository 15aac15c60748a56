"""One process under strace: records its calls, and kills it before or after a chosen one.

strace counts each call by name in the traced thread from the moment it is attached; `Call.ordinal` is that count.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Every call that changes a file, a folder or the database; openat because it creates files.
CALLS = (
    "openat", "write", "pwrite64", "pwritev", "pwritev2", "writev", "fsync", "fdatasync", "sync_file_range", "fchmod",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
    "truncate", "ftruncate", "fallocate", "sendfile", "copy_file_range", "sendto", "sendmsg",
)  # fmt: skip
TRACED = "trace=" + ",".join(f"?{name}" for name in CALLS)  # "?": not every architecture has each
SHOWN = 200  # characters of a call that identify it
PATIENCE_S = 60.0
POLL_S = 0.002
HELD_US = 600_000_000  # longer than PATIENCE_S

_LINE = re.compile(r"(?:(?P<tid>\d+) +)?(?P<name>\w+)\((?P<given>.*)")
_STATEMENT = re.compile(
    r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SELECT|INSERT|UPDATE|DELETE|WITH|SET)\b(?:[^\"\\]|\\[^\d])*"
)
_VARIABLE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{24,}|(?<=\.extract-)[0-9a-f]+|:\[\d+(->\d+)?\]| ?(?<![\w-])-\d+|\d+"
)


class TracingError(Exception):
    """strace is missing, may not trace, or did not trace as expected."""


@dataclass(frozen=True)
class Call:
    """One system call of the traced thread.

    Attributes:
        thread: its id; 0 where only one thread was traced.
        name: of the call.
        ordinal: which call of this name in its thread, from 1.
        given: its arguments as strace prints them.
    """

    thread: int
    name: str
    ordinal: int
    given: str

    @property
    def shape(self) -> str:
        """What is the same in every run: name, paths without random parts, the start of the SQL statement."""
        shown = self.given
        if self.name in {"sendto", "sendmsg"}:
            found = _STATEMENT.search(shown)
            shown = found[0] if found else shown.partition(",")[0]
            shown = _VARIABLE.sub("#", shown)[:60]
        elif self.name.startswith(("write", "pwrite", "unlinkat")):
            shown = shown.partition(",")[0]  # what is written is random, as is the order in which a folder is emptied
        shown = _VARIABLE.sub("#", shown.partition(") = ")[0].removesuffix(")"))
        return f"{self.name}({shown[:SHOWN]})"

    @property
    def to_database(self) -> bool:
        """Whether it sends to a Unix socket; only PostgreSQL listens on one here."""
        return self.name in {"sendto", "sendmsg"} and "<UNIX" in self.given.partition(",")[0]

    @property
    def may_create_file(self) -> bool:
        """Whether an `openat` may create or truncate a file."""
        return "O_CREAT" in self.given or "O_TRUNC" in self.given


def calls_of(log: Path) -> list[Call]:
    """The calls in a log of strace, in the order in which they began."""
    seen: Counter[tuple[int, str]] = Counter()
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:  # a signal, an exit, or the end of a call whose beginning was seen
            continue
        thread, name = int(match["tid"] or 0), match["name"]
        seen[thread, name] += 1
        found.append(Call(thread, name, seen[thread, name], match["given"]))
    return found


@contextmanager
def attached(pid: int, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Trace a waiting process; yields once strace is attached.

    Raises:
        TracingError: it cannot be attached.
    """
    command = ["strace", "-yy", "-s", "160", "-o", str(log), "-p", str(pid), "-e", TRACED, *options]
    try:
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise TracingError("strace is not installed; deploy/setup-system.sh installs it.") from error
    try:
        shown = tracer.stderr.readline() if tracer.stderr else b""
        if b"attached" not in shown:
            raise TracingError(f"strace cannot trace: {shown.decode(errors='replace').strip()}")
        yield tracer
    finally:
        if tracer.poll() is None and not _ends(tracer):
            tracer.kill()
            tracer.wait()
        if tracer.stderr:
            tracer.stderr.close()


def killing_before(call: Call) -> list[str]:
    """Options of strace that kill the process when it enters the call, which the kernel then does not carry out."""
    return ["-e", f"inject={call.name}:signal=SIGKILL:when={call.ordinal}"]


def holding_after(call: Call) -> list[str]:
    """Options of strace that hold the process when the call has been carried out; see `kill_when_held`."""
    return ["-e", f"inject={call.name}:delay_exit={HELD_US}:when={call.ordinal}"]


def kill_when_held(pid: int, log: Path, tracer: subprocess.Popen[bytes]) -> None:
    """Kill a process once strace holds it after its call; returns if it ends before.

    The tracer is killed too: it would release the process only when the delay is over.

    Raises:
        TracingError: neither happened within `PATIENCE_S`.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        if b"(DELAYED)" in log.read_bytes():
            os.kill(pid, signal.SIGKILL)
            tracer.kill()
            return
        if _is_over(pid):
            return
        time.sleep(POLL_S)
    os.kill(pid, signal.SIGKILL)
    raise TracingError("the attempt neither reached its call nor ended")


def _is_over(pid: int) -> bool:
    """Whether a child has ended; it remains to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _ends(tracer: subprocess.Popen[bytes]) -> bool:
    try:
        tracer.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return False
    return True
