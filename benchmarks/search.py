"""Search and writes, with and without the index of ``chainlit-sqla search enable``.

Fills an empty database with 15,000 threads of 20 steps (300,000 steps), of which three users
have 100, 1,000 and 10,000, and prints the median time of a page of 20 threads for a rare word,
a common word and a word that nobody wrote, and the rates of writing.

Run from the root of the repository::

    nice python -m benchmarks.search postgresql://user:password@host/empty_database
    nice python -m benchmarks.search sqlite:////tmp/empty.db
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from chainlit.types import Pagination, ThreadFilter
from sqlalchemy import insert

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database, migrator
from chainlit_sqla.models import steps, threads, users
from chainlit_sqla.queries import search_index
from chainlit_sqla.settings import Settings

THREADS, STEPS, ROUNDS = 15_000, 20, 7
OWNERS = {100: "few", 1_000: "some", 10_000: "many"}
"""How many threads a user has, and the user's id; the other threads belong to others."""
WORDS = {"rare": "grainvat", "common": "tretgrim", "no hit": "shortrem"}
"""What is searched for: in 10 messages of each user, in a fifth of the threads, nowhere."""
TYPES = ("user_message", "run", "tool", "assistant_message")
SYLLABLES = [f"{a}{b}{c}" for a in "brchfglmprstw" for b in "aeiou" for c in ("n", "st", "m", "")]
VOCABULARY = ["".join(random.Random(n).choices(SYLLABLES, k=1 + n % 3)) for n in range(5_000)]
WEIGHTS = [1 / (rank + 10) for rank in range(len(VOCABULARY))]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def text(rng: random.Random, *words: str) -> str:
    said = rng.choices(VOCABULARY, WEIGHTS, k=80)
    for word in words:
        said[rng.randrange(80)] = word
    return " ".join(said)


def owners() -> Iterator[str]:
    """The owner of each thread, in a random order that is the same for every database."""
    names = [name for count, name in OWNERS.items() for _ in range(count)]
    names += ["others"] * (THREADS - len(names))
    random.Random(1).shuffle(names)
    return iter(names)


async def fill(database: Database) -> None:
    await migrator.upgrade(database)
    rng = random.Random(2)
    rare = dict.fromkeys(OWNERS.values(), 10)
    names = [*OWNERS.values(), "others"]
    async with database.write() as connection:
        rows = [{"id": name, "identifier": name, "metadata": {}} for name in names]
        await connection.execute(insert(users), rows)
    thread_rows: list[dict[str, Any]] = []
    step_rows: list[dict[str, Any]] = []
    for index, owner in enumerate(owners()):
        thread_id, at = f"thread-{index}", BEGIN + timedelta(minutes=index)
        row = {"id": thread_id, "name": text(rng)[:40], "userId": owner, "metadata": {}}
        thread_rows.append(row | {"createdAt": at, "updatedAt": at})
        is_common = rng.random() < 0.2
        is_rare = owner in rare and rare[owner] > 0 and rng.random() < 0.1
        if is_rare:
            rare[owner] -= 1
        for step in range(STEPS):
            words = [WORDS["common"]] * (is_common and step == 4)
            words += [WORDS["rare"]] * (is_rare and step == 8)
            row = {"threadId": thread_id, "id": f"{index}-{step}", "type": TYPES[step % 4]}
            row |= {"name": "bot", "metadata": {}, "output": text(rng, *words)}
            step_rows.append(row | {"createdAt": at, "ordinal": index * STEPS + step})
        if len(thread_rows) == 250 or index == THREADS - 1:
            async with database.write() as connection:
                await connection.execute(insert(threads), thread_rows)
                await connection.execute(insert(steps), step_rows)
            thread_rows, step_rows = [], []


async def search(layer: SQLADataLayer) -> dict[str, float]:
    """The median milliseconds of the first page by the number of threads and the word."""
    medians = {}
    for count, owner in OWNERS.items():
        for title, word in WORDS.items():
            seconds = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                filters = ThreadFilter(userId=owner, search=word)
                await layer.list_threads(Pagination(first=20), filters)
                seconds.append(time.perf_counter() - began)
            medians[f"{count:,} threads, {title}"] = 1000 * statistics.median(seconds)
    return medians


async def write(layer: SQLADataLayer, rng: random.Random) -> dict[str, float]:
    """The rate of messages of 50 sessions, and the turns a second of one session."""

    async def say(thread_id: str, kind: str) -> None:
        at = datetime.now(UTC).isoformat()
        step: Any = {"id": str(uuid.uuid4()), "threadId": thread_id, "type": kind, "createdAt": at}
        await layer.create_step(step | {"name": "bot", "output": text(rng)})

    async def session(messages: int) -> None:
        thread_id = str(uuid.uuid4())
        for number in range(messages):
            await say(thread_id, TYPES[number % 4])

    began = time.perf_counter()
    await asyncio.gather(*(session(20) for _ in range(50)))
    rate = 1_000 / (time.perf_counter() - began)
    began = time.perf_counter()
    await session(80)
    return {"50 sessions, writes/s": rate, "turns/s": 20 / (time.perf_counter() - began)}


async def main(url: str) -> None:
    database = Database(url, settings=Settings.load())
    await fill(database)
    layer = SQLADataLayer(database, settings=database.settings)
    rng, plain, indexed = random.Random(3), [], []
    without = await search(layer)
    began = time.perf_counter()
    print(await search_index.enable(database), f"({time.perf_counter() - began:.1f} s)")
    with_index = await search(layer)
    for _ in range(3):
        indexed.append(await write(layer, rng))
        await search_index.disable(database)
        plain.append(await write(layer, rng))
        await search_index.enable(database)
    for case, milliseconds in without.items():
        print(f"{case}: {milliseconds:.1f} ms, with the index {with_index[case]:.1f} ms")
    for case in plain[0]:
        ratio = statistics.median(b[case] / a[case] for a, b in zip(plain, indexed, strict=True))
        print(f"{case}: {plain[0][case]:.0f}, with the index {ratio:.2f} of it")
    await layer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
