"""Writes the frozen databases of our own revisions: ``python -m tests.frozen.make [name …]``.

The migrations make the tables, `ours` fills them, and the text that makes such a database again
goes into ``files/``: readable, and the same whenever it is made. Rows are in the order of their
text, one statement a table, so keys within a table hold. Without names: those that have no file
yet. The files of Chainlit's layers were written through these layers, and never change.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.frozen import ours
from tests.frozen.catalog import CATALOG, FILES, names
from tests.frozen.conversations import LONG
from tests.frozen.load import Shelf, rows, started_once

_LINE = LONG.splitlines(keepends=True)[0]
_REPEAT = len(LONG) // len(_LINE)


@dataclass(frozen=True)
class _Syntax:
    """How a dialect writes what its standard literals cannot, and what is around a name."""

    long: str
    odd: str  # A character that a file cannot hold, between two pieces of a text.
    whole: str = "{}"  # A text that has such a character.
    binary: str = "X'{}'"
    quote: str = '"'


_MYSQL = _Syntax("REPEAT({line}, {count})", "', CHAR({} USING utf8mb4), '", "CONCAT({})", quote="`")
_SYNTAX = {
    "sqlite": _Syntax("replace(hex(zeroblob({count})), '00', {line})", "' || char({}) || '"),
    "postgresql": _Syntax("repeat({line}, {count})", "' || chr({}) || '", binary="'\\x{}'"),
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
}


async def text_of(url: str, name: str) -> str:
    """Fill an empty database, and give the text that makes it again."""
    entry = CATALOG[name]
    await ours.write(url, entry.revision)
    stored, dialect = await rows(url), entry.dialect
    inserts = (_insert(table, stored.get(table, []), dialect) for table in ours.ROWS)
    tables = ours.tables_as_sql(entry.revision, dialect)
    return f"-- {name}: made by our migrations\n\n{tables}{''.join(inserts)}"


def _insert(table: str, rows: Sequence[Mapping[str, Any]], dialect: str) -> str:
    """One statement for the rows of a table; nothing where it has none."""
    if not rows:
        return ""
    lines = sorted(
        "    (" + ", ".join(_literal(value, dialect) for value in row.values()) + ")"
        for row in rows
    )
    quote = _SYNTAX[dialect].quote
    columns = ", ".join(f"{quote}{name}{quote}" for name in rows[0])
    return f"\nINSERT INTO {table} ({columns}) VALUES\n" + ",\n".join(lines) + ";\n"


def _literal(value: Any, dialect: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value, dialect)
    if isinstance(value, bytes):
        return _SYNTAX[dialect].binary.format(value.hex())
    assert isinstance(value, (UUID, datetime))
    return f"'{value}'"


def _text(value: str, dialect: str) -> str:
    syntax = _SYNTAX[dialect]
    if value == LONG:
        return syntax.long.format(line=_text(_LINE, dialect), count=_REPEAT)
    quoted = "'" + value.replace("'", "''") + "'"
    if syntax is _MYSQL:
        quoted = quoted.replace("\\", "\\\\")
    # A file's line ends are changed by editors and by version control.
    whole = quoted
    for odd in "\r\0":
        whole = whole.replace(odd, syntax.odd.format(ord(odd)))
    return whole if whole == quoted else syntax.whole.format(whole)


def make(wanted: Iterable[str], into: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shelf = Shelf(Path(folder), started_once(stack))
        stack.callback(shelf.close)
        for name in wanted:
            text = asyncio.run(text_of(shelf.empty(CATALOG[name].dialect), name))
            (into / f"{name}.sql").write_text(text, encoding="utf-8", newline="\n")
            print(name, f"{len(text):,} characters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.frozen.make")
    parser.add_argument("names", nargs="*", choices=[*names("ours"), []], metavar="name")
    parser.add_argument("--into", type=Path, default=FILES)
    options = parser.parse_args()
    missing = [name for name in names("ours") if not (options.into / f"{name}.sql").exists()]
    make(options.names or missing, options.into)


if __name__ == "__main__":
    main()
