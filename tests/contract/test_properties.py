"""Properties: whatever is written comes back, and models of a few lines agree with the layer."""

from __future__ import annotations

import asyncio
import copy
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.build import (
    as_read,
    listed,
    message,
    new_id,
    person,
    said,
    same,
    steps_of,
    tool,
)

# The example tests say the same to layers that fail here; failing slowly tells no more.
pytestmark = pytest.mark.ours

PROPERTY = settings(max_examples=25)

# Surrogates and NUL are replaced on purpose: test_values.
text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(text, json, max_size=3)
flags = st.none() | st.booleans()
instants = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
contents = st.fixed_dictionaries(
    {},
    optional={
        "name": text,
        "type": st.sampled_from(["run", "tool", "user_message", "assistant_message"]) | text,
        "parentId": st.none() | text,
        "command": st.none() | text,
        "modes": st.none() | st.dictionaries(text, text, max_size=2),
        "streaming": st.booleans(),
        "waitForAnswer": flags,
        "isError": flags,
        "metadata": documents,
        "tags": st.none() | st.lists(text, max_size=3),
        "input": text,
        "output": text,
        "createdAt": instants,
        "start": st.none() | instants,
        "end": st.none() | instants,
        "generation": st.none() | documents,
        "showInput": st.none() | st.booleans() | text,
        "defaultOpen": flags,
        "autoCollapse": flags,
        "language": st.none() | text,
        "icon": st.none() | text,
        "a key of next year": json,
    },
)


def near(one: Any, other: Any) -> bool:
    """Like `same`; a float may come back as the integer next to it."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return {type(one), type(other)} <= {int, float} and math.isclose(one, other, rel_tol=1e-15)
    return same(one, other)


@PROPERTY
@given(first=contents, changes=st.lists(contents, max_size=3), at_once=st.booleans())
async def test_a_step_is_the_union_of_its_writes(
    layer: Any, first: dict[str, Any], changes: list[dict[str, Any]], at_once: bool
) -> None:
    key = {"id": new_id(), "threadId": new_id()}
    sent = tool(key["threadId"], **(first | key))
    writes = [layer.create_step(copy.deepcopy(sent))]
    writes += [layer.update_step(copy.deepcopy(change | key)) for change in changes]
    if at_once:
        await asyncio.gather(*writes)
    else:
        for write in writes:
            await write
    expected = as_read(sent, *changes)
    assert near((await steps_of(layer, key["threadId"]))[key["id"]], expected)


actions = st.lists(
    st.tuples(
        st.sampled_from(["open", "say", "rename", "delete", "list", "list", "look"]),
        st.integers(0, 5),
    ),
    min_size=4,
    max_size=25,
)


@PROPERTY
@given(story=actions, size=st.integers(1, 4))
async def test_the_list_agrees_with_a_model(
    layer: Any, story: list[tuple[str, int]], size: int
) -> None:
    owner = await person(layer)
    threads = [new_id() for _ in range(6)]
    model: list[str] = []
    for what, which in story:
        one = threads[which]
        if what == "open":
            await layer.update_thread(one, user_id=owner.id)
            if one not in model:
                model.insert(0, one)
        elif what == "say" and one in model:
            await said(layer, one)
            model.remove(one)
            model.insert(0, one)
        elif what == "rename" and one in model:
            await layer.update_thread(one, name=str(which))
        elif what == "delete":
            await layer.delete_thread(one)
            model = [other for other in model if other != one]
        elif what == "look":
            await layer.get_thread(one)
        else:
            assert await listed(layer, owner, page=size) == model
    assert await listed(layer, owner, page=size) == model


@PROPERTY
@given(texts=st.lists(text, min_size=1, max_size=4), needle=text)
async def test_search_finds_what_contains(layer: Any, texts: list[str], needle: str) -> None:
    owner = await person(layer)
    needle = needle[:2]
    threads = {}
    for one in texts:
        thread_id = new_id()
        await layer.update_thread(thread_id, user_id=owner.id)
        await layer.create_step(message(thread_id, one))
        threads[thread_id] = one
    found = set(await listed(layer, owner, search=needle))
    # Letters whose cases are not one to one ("ß", "İ") may be found or not.
    surely = {key for key, one in threads.items() if needle in one}
    perhaps = {key for key, one in threads.items() if needle.casefold() in one.casefold()}
    assert surely <= found
    assert found <= perhaps | surely or not needle.isascii()
