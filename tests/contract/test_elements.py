"""Elements: every key comes back, and the bytes behind a fresh address, wherever they come from."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import (
    Audio,
    CustomElement,
    File,
    Image,
    Pdf,
    Task,
    TaskList,
    TaskStatus,
    Text,
    Video,
)

from chainlit_sqla.errors import ChainlitSqlaError
from tests.contract.backends import Backend
from tests.contract.build import (
    ELEMENT_KEYS,
    element_as_read,
    elements_of,
    file_element,
    message,
    new_id,
    read,
    said,
    same,
    steps_of,
    thread,
    without_place,
)
from tests.contract.fixtures import Site

MADE: dict[str, Any] = {
    "file": lambda **at: File(name="a b.txt", content=b"x", mime="text/plain", **at),
    "image": lambda **at: Image(name="i", content=b"png", size="large", display="side", **at),
    "text": lambda **at: Text(name="ü", content="text", language="python", display="page", **at),
    "pdf": lambda **at: Pdf(name="p", content=b"%PDF", page=3, **at),
    "audio": lambda **at: Audio(name="a", content=b"wav", auto_play=True, **at),
    "silent": lambda **at: Audio(name="a", content=b"wav", auto_play=False, **at),
    "video": lambda **at: Video(
        name="v", content=b"mp4", size="small", player_config={"youtube": {"a": 1}}, **at
    ),
    "plain video": lambda **at: Video(name="v", content=b"mp4", **at),
    "custom": lambda **at: CustomElement(name="C", props={"a": [1, {"b": None}], "é": True}, **at),
    "bare custom": lambda **at: CustomElement(name="C", props={}, **at),
    "keyed": lambda **at: File(name="f", content=b"x", chainlit_key="key-1", **at),
    "no type": lambda **at: File(name="", content=b"x", mime=None, **at),
}


@pytest.mark.parametrize("kind", MADE)
async def test_an_element_comes_back_as_sent(layer: Any, backend: Backend, kind: str) -> None:
    thread_id = await thread(layer)
    step_id = await said(layer, thread_id)
    element = MADE[kind](thread_id=thread_id, for_id=step_id)
    await layer.create_element(element)
    for _ in range(2):
        (found,) = (await read(layer, thread_id))["elements"]
        assert same(without_place(found), element_as_read(element))
        assert found.keys() >= ELEMENT_KEYS - {"path"}
        one = await layer.get_element(thread_id, element.id)
        assert same(without_place(one), element_as_read(element))
        for url in (found["url"], one["url"]):
            if isinstance(element, CustomElement) and url is None:
                continue  # Its content is its props.
            content = element.content
            sent = content.encode() if isinstance(content, str) else content
            assert await backend.fetch(url) == sent
        layer = await backend.reopen(layer)


@pytest.mark.parametrize(
    "content",
    ["ünï ☺ text", b"\x00\xff\x80 bytes", "\x00", "x" * 3_000_000, bytes(range(256)) * 4000],
    ids=["text", "bytes", "nul", "long text", "long bytes"],
)
async def test_content_is_stored_as_it_is(layer: Any, backend: Backend, content: Any) -> None:
    thread_id = await thread(layer)
    element = file_element(thread_id, await said(layer, thread_id), content=content)
    await layer.create_element(element)
    url = (await elements_of(layer, thread_id))[element.id]["url"]
    assert await backend.fetch(url) == (content.encode() if isinstance(content, str) else content)


async def test_a_task_list_is_kept_and_replaced(layer: Any, backend: Backend) -> None:
    # Its for_id is "": it belongs to the thread, and is shown again on resume.
    thread_id = await thread(layer)
    tasks = TaskList(thread_id=thread_id, for_id="", mime="application/json")
    task = Task(title="Cook", status=TaskStatus.RUNNING)
    await tasks.add_task(task)
    for status in (TaskStatus.RUNNING, TaskStatus.DONE):
        task.status = status
        await tasks.preprocess_content()
        await layer.create_element(tasks)
        (found,) = (await read(layer, thread_id))["elements"]
        assert same(without_place(found), element_as_read(tasks))
        assert (found["forId"], found["type"]) == ("", "tasklist")
        content = json.loads(await backend.fetch(found["url"]))
        assert content["tasks"] == [{"title": "Cook", "status": status.value, "forId": None}]


async def test_an_element_before_its_step_waits_for_it(layer: Any) -> None:
    thread_id = new_id()
    step = message(thread_id)
    element = file_element(thread_id, step["id"])
    await layer.create_element(element)
    await layer.create_step(step)
    found = await read(layer, thread_id)
    assert [one["id"] for one in found["steps"]] == [step["id"]]
    assert [one["forId"] for one in found["elements"]] == [step["id"]]


class Hologram(File):
    """An element of a future release: another type and another key."""

    type = "hologram"  # type: ignore[misc]

    def to_dict(self) -> Any:
        return {**super().to_dict(), "depth": {"layers": [1, 2]}, "spin": False}


async def test_an_element_of_the_future_comes_back(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    element = Hologram(
        thread_id=thread_id, for_id=await said(layer, thread_id), name="h", content=b"3d"
    )
    element.glitter = object()  # type: ignore[attr-defined]
    await layer.create_element(element)
    layer = await backend.reopen(layer)
    (found,) = (await read(layer, thread_id))["elements"]
    assert same(without_place(found), element_as_read(element))
    assert (found["depth"], found["spin"]) == ({"layers": [1, 2]}, False)
    assert await backend.fetch(found["url"]) == b"3d"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b\\c", "", "x" * 300, 'q"u;o\r\nte', "ü☺"])
async def test_a_name_is_only_a_name(layer: Any, backend: Backend, name: str) -> None:
    thread_id = "../" + new_id()
    element = file_element(thread_id, new_id(), name=name, id="../../" + new_id())
    await layer.create_element(element)
    found = (await elements_of(layer, thread_id))[element.id]
    assert found["name"] == name
    assert await backend.fetch(found["url"]) == b"some bytes"
    assert len(backend.blobs()) == 1, "the blob is where blobs belong"


@pytest.mark.ours
async def test_none_in_an_element_that_is_sent_again_changes_nothing(layer: Any) -> None:
    """It keeps its file, too; a link in its place does not."""
    thread_id = await thread(layer)
    sent = file_element(thread_id, "s", display="side", size="large", language="fr", name="notes")
    await layer.create_element(sent)
    [before] = (await elements_of(layer, thread_id)).values()
    again = File(thread_id=thread_id, id=sent.id, name="renamed", content=b"x", for_id=None)
    again.content = again.url = again.display = again.mime = None  # type: ignore[assignment]
    await layer.create_element(again)
    [after] = (await elements_of(layer, thread_id)).values()
    assert after["name"] == "renamed"
    kept = before.keys() - {"name", "url"}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    again.url = "https://example.org/x"
    await layer.create_element(again)
    [link] = (await elements_of(layer, thread_id)).values()
    assert (link["url"], link["objectKey"]) == (again.url, None)


async def test_a_link_stays_a_link_and_is_never_fetched(
    layer: Any, backend: Backend, site: Site
) -> None:
    thread_id = await thread(layer)
    url = f"{site.url}/picture.png?token=a%20b&x=1#frag"
    element = Image(thread_id=thread_id, for_id=await said(layer, thread_id), name="link", url=url)
    await layer.create_element(element)
    for _ in range(2):
        found = (await elements_of(layer, thread_id))[element.id]
        assert (found["url"], found["objectKey"]) == (url, None)
        one = await layer.get_element(thread_id, element.id)
        assert (one["url"], one["objectKey"]) == (url, None)
        layer = await backend.reopen(layer)
    await layer.delete_element(element.id, thread_id)
    assert site.requests == [], "the server was asked for an address that a user gave"
    assert backend.blobs() == set()


async def test_a_file_may_vanish_once_the_call_was_made(
    layer: Any, backend: Backend, tmp_path: Path
) -> None:
    # Chainlit drops the task and later deletes the folder of the session.
    path = tmp_path / "upload"
    path.write_bytes(b"precious" * 400_000)
    thread_id = await thread(layer)
    element = file_element(thread_id, await said(layer, thread_id), path=str(path))
    writing = asyncio.create_task(layer.create_element(element))
    await asyncio.sleep(0)  # The task runs up to its first await.
    path.unlink()
    await writing
    url = (await elements_of(layer, thread_id))[element.id]["url"]
    assert await backend.fetch(url) == b"precious" * 400_000


@pytest.mark.parametrize("path", ["missing.txt", "."])
async def test_a_file_that_cannot_be_read_is_an_error(
    layer: Any, tmp_path: Path, path: str
) -> None:
    thread_id = await thread(layer)
    step_id = await said(layer, thread_id)
    broken = file_element(thread_id, step_id, path=str(tmp_path / path))
    good = file_element(thread_id, step_id)
    results = await asyncio.gather(
        layer.create_element(broken), layer.create_element(good), return_exceptions=True
    )
    assert isinstance(results[0], ChainlitSqlaError), results[0]
    assert results[1] is None
    assert list(await steps_of(layer, thread_id)) == [step_id]
    assert list(await elements_of(layer, thread_id)) == [good.id]


async def test_content_changed_after_the_call_is_stored_as_it_was(
    layer: Any, backend: Backend
) -> None:
    # A TaskList is one object that changes while its writes are under way.
    thread_id = await thread(layer)
    element = file_element(thread_id, new_id(), content=b"one", name="one")
    first = asyncio.create_task(layer.create_element(element))
    await asyncio.sleep(0)
    element.content, element.name = b"two", "two"
    await first
    found = (await elements_of(layer, thread_id))[element.id]
    assert (found["name"], await backend.fetch(found["url"])) == ("one", b"one")


@pytest.mark.ours
async def test_a_signed_address_is_never_stored(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    element = file_element(thread_id, new_id())
    await layer.create_element(element)
    (row,) = await backend.rows(f"SELECT url FROM elements WHERE id = '{element.id}'")
    assert row["url"] is None
