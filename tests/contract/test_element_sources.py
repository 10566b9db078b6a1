"""Where an element's bytes come from: links are never fetched, files may vanish, errors show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import Image

from chainlit_sqla.errors import ChainlitSqlaError
from tests.contract.backends import Backend
from tests.contract.build import elements_of, file_element, new_id, said, steps_of, thread
from tests.contract.fixtures import Site


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
