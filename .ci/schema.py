"""Print the schema of a database in a form that can be compared line by line."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers.mysql import query
from tests.servers.postgres_process import find_binaries


def sqlite_schema(path: str) -> str:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
        return "\n".join(f"-- {kind} {name}\n{sql}" for kind, name, sql in rows)


def postgres_schema(url: str) -> str:
    binaries = find_binaries()
    if binaries is None:
        sys.exit("pg_dump is missing; run: apt install postgresql")
    command = [binaries / "pg_dump", "--schema-only", "--no-owner", url]
    dump = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    # A random key is written on these lines.
    lines = [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unres"))]
    return "\n".join(line for line in lines if line and line != "--")


def mysql_schema(url: str) -> str:
    tables = query(url, "SHOW TABLES")
    made = [query(url, f"SHOW CREATE TABLE {next(iter(row.values()))}")[0] for row in tables]
    triggers = query(url, "SHOW TRIGGERS")
    lines = [row["Create Table"] for row in made]
    return "\n".join(lines + [f"{row['Trigger']}: {row['Statement']}" for row in triggers])


def main(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        print(sqlite_schema(rest.removeprefix("/")))
    else:
        print(mysql_schema(url) if scheme in ("mysql", "mariadb") else postgres_schema(url))


main(sys.argv[1])
