"""A process with a data layer that a test kills: ``python -m tests.writes.killed_process JSON``.

It prints a word when it reaches a point, and exits when its input closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from chainlit.element import File

from chainlit_sqla import BlobSource, LocalStorage, SQLADataLayer

MIB = 1024 * 1024


def say(word: str) -> None:
    print(word, flush=True)


class Stuck(LocalStorage):
    """A folder that stops answering halfway, as a lost network drive does."""

    async def delete(self, keys: Sequence[str]) -> None:
        await super().delete(keys[:1])
        say("deleting")
        await asyncio.Event().wait()

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        if source.size > MIB:
            source = Endless()
        return await super().put(key, source, mime=mime, name=name)


class Endless(BlobSource):
    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        yield cast("BinaryIO", self)

    def read(self, size: int) -> bytes:
        if not hasattr(state, "begun"):
            state.begun = True
            return b"x" * size
        say("halfway")
        threading.Event().wait()
        return b""


state = threading.local()


def file(id: str, content: bytes) -> File:
    return File(id=id, thread_id="t", for_id="s", name=id, content=content)


async def main(about: dict[str, Any]) -> None:
    layer = SQLADataLayer(about["database"], storage=Stuck(Path(about["folder"])))
    user_message: Any = {"id": "s", "threadId": "t", "type": "user_message", "output": "kept"}
    await layer.create_step(user_message)
    for number in range(about.get("files", 0)):
        await layer.create_element(file(f"e{number}", b"old"))
    match about["do"]:
        case "delete":
            await layer.delete_thread("t")
        case "replace":
            await layer.create_element(file("e0", b"new"))
        case "upload":
            await layer.create_element(file("large", b"x" * 12 * MIB))
    say("done")
    await asyncio.Event().wait()


def end_with_the_test() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_test, daemon=True).start()
    asyncio.run(main(json.loads(sys.argv[1])))
