"""What Linux tells about processes: their parents and the processor time they took."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def program_of(pid: int) -> str:
    """The name of a process's program; empty if it cannot be told, as on other machines."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int | None:
    """The parent of a process."""
    fields = _fields(pid)
    return int(fields[1]) if fields else None


def family_seconds(pid: int) -> float:
    """The processor time of a process and its children, those that have ended included.

    Args:
        pid: A server's first process, whose children serve a connection each.

    Returns:
        Seconds, in steps of 10 ms for each process.
    """
    own = _fields(pid)
    if not own:
        return 0.0
    # Of the process itself utime, stime, and cutime, cstime for the children that ended.
    ticks = sum(map(int, own[11:15]))
    for folder in _PROC.glob("[0-9]*"):
        fields = _fields(int(folder.name))
        if fields and int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def _fields(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the program's name, which may hold spaces."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
