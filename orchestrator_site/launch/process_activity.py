"""Whether a process and what it started still do anything, as the kernel counts it in /proc."""

from __future__ import annotations

from pathlib import Path

# In /proc/PID/stat, counted behind the process's name, which may hold anything: see proc_pid_stat(5).
SESSION, USER_TICKS, SYSTEM_TICKS = 3, 11, 12


def processor_ticks(session: int) -> int:
    """The processor time that all live processes of a session have used so far.

    It moves down too, when one of them ends: a difference means that something happened, not how much.

    Args:
        session: the session's number, which is the pid of the process that began it.

    Returns:
        Clock ticks, mostly hundredths of a second.
    """
    total = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[SESSION]) == session:
            total += int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])
    return total
