"""MySQL's FULLTEXT index with the ngram parser, against none: what writing and finding cost.

The question was whether searches on MySQL should use it instead of the signatures of threads
(docs/architecture.md, "MySQL and MariaDB"). Rows are written in turns into two tables that
differ by the index alone; the same words are then sought by the index and by reading.

Run from the root of the repository::

    nice python -m benchmarks.fulltext --steps 20000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

import asyncmy

from tests.servers.mysql import start_mysql

WORDS = [f"{a}{b}{c}" for a in ("ba", "re", "lo", "ti") for b in "aeiou" for c in ("n", "st", "m")]
USERS, STEPS_OF_A_THREAD, PORTION = 20, 10, 500
TABLE = """CREATE TABLE {name} (threadId VARCHAR(64), id VARCHAR(64), userId VARCHAR(64),
  output LONGTEXT, PRIMARY KEY (threadId, id), KEY (userId){index})
  CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"""
INDEX = ", FULLTEXT KEY words (output) WITH PARSER ngram"


async def _measure(url: str, steps: int) -> None:
    parts = urlsplit(url)
    connection = await asyncmy.connect(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        password=parts.password or "",
        database=parts.path.lstrip("/"),
        autocommit=True,
    )
    async with connection.cursor() as cursor:
        await cursor.execute(TABLE.format(name="plain", index=""))
        await cursor.execute(TABLE.format(name="indexed", index=INDEX))
        ratios = await _write(cursor, steps)
        print(f"writing with the index: {statistics.median(ratios):.1f} times as long")
        for word in ("rare word", "batin", "needle", "xy"):
            found = {}
            for name, where in (
                ("indexed", "MATCH (output) AGAINST (%s IN BOOLEAN MODE)"),
                ("plain", "LOCATE(%s, output) > 0"),
            ):
                sought = f'"{word}"' if name == "indexed" else word
                query = f"SELECT DISTINCT threadId FROM {name} WHERE userId = %s AND {where}"
                began = time.perf_counter()
                await cursor.execute(query, ("u0", sought))
                rows = await cursor.fetchall()
                found[name] = (time.perf_counter() - began) * 1000, len(rows)
            (by_index, hits), (by_reading, there) = found["indexed"], found["plain"]
            print(
                f"{word!r} in one user's {steps // USERS:,} messages: by the index "
                f"{by_index:.1f} ms ({hits} found), by reading them {by_reading:.1f} ms ({there})"
            )
    connection.close()


async def _write(cursor: Any, steps: int) -> list[float]:
    chance = random.Random(1)
    ratios = []
    for start in range(0, steps, PORTION):
        rows = []
        for number in range(start, start + PORTION):
            text = " ".join(chance.choices(WORDS, k=80))
            if number % 4_000 == 1:  # In a thread of u0.
                text += " a rare word and a needle"
            thread = number // STEPS_OF_A_THREAD
            rows.append((f"t{thread}", f"s{number}", f"u{thread % USERS}", text))
        times = {}
        for name in chance.sample(("plain", "indexed"), 2):
            began = time.perf_counter()
            await cursor.executemany(
                f"INSERT INTO {name} VALUES (%s, %s, %s, %s)",
                rows,
            )
            times[name] = time.perf_counter() - began
        ratios.append(times["indexed"] / times["plain"])
    return ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    server = start_mysql("mysql")
    try:
        asyncio.run(_measure(server.create_database(), options.steps))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
