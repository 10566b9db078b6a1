"""A copy of a SQLite file, made without leaving a trace beside it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_WAL = b"\x02\x02"
"""The two bytes after 18 of a file in WAL mode (https://www.sqlite.org/fileformat2.html)."""


def copy(path: Path, folder: Path) -> Path:
    """Copy a database, with what is in its journal.

    A file that somebody has open is read as SQLite reads it. One in WAL mode that nobody has
    open would get two files beside it by that, which who only reads cannot take away again;
    and one whose writer was killed cannot be read without repairing it. These are copied byte
    by byte, journals included, and SQLite repairs the copy.

    Args:
        path: The file.
        folder: Where its copy goes.

    Raises:
        OSError: It cannot be read, or there is no room.
    """
    to = folder / path.name
    with path.open("rb") as file:
        header = file.read(20)
    unopened = header[18:20] == _WAL and not _beside(path, "-shm").exists()
    if unopened or not _read(path, to):
        for ending in ("", "-wal", "-journal"):
            if (one := _beside(path, ending)).exists():
                shutil.copyfile(one, _beside(to, ending))
    return to


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _read(path: Path, to: Path) -> bool:
    """Copy by SQLite; whether it could be read."""
    file = f"file:{quote(str(path))}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(file, uri=True)) as source,
            closing(sqlite3.connect(to)) as target,
        ):
            source.backup(target)
    except sqlite3.Error:
        to.unlink(missing_ok=True)
        return False
    return True
