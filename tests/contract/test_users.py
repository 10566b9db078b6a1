"""Users: made at log-in, found at each request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from chainlit.user import User

from tests.contract.backends import Backend
from tests.contract.build import INSTANT, new_id, same


@pytest.mark.parametrize(
    "identifier",
    ["alice@example.org", "Ünï ☺", 'o\'neil "x" \\ %_', "東京", " padded ", "x" * 300, "CN=a,O=b"],
)
async def test_a_user_comes_back(layer: Any, backend: Backend, identifier: str) -> None:
    metadata = {"role": "admin", "provider": "credentials", "n": {"a": [1, None, True]}}
    made = await layer.create_user(User(identifier=identifier, metadata=metadata))
    assert made.identifier == identifier
    assert INSTANT.fullmatch(made.createdAt)
    assert same(made.metadata, metadata)
    layer = await backend.reopen(layer)
    assert await layer.get_user(identifier) == made


async def test_the_display_name_comes_back(layer: Any) -> None:
    made = await layer.create_user(
        User(identifier="a", display_name="Alice Ä", metadata={"role": "x"})
    )
    found = await layer.get_user("a")
    for user in (made, found):
        assert (user.display_name, user.metadata) == ("Alice Ä", {"role": "x"})


async def test_a_second_login_replaces_the_metadata_only(layer: Any) -> None:
    first = await layer.create_user(User(identifier="a", metadata={"role": "x", "old": 1}))
    second = await layer.create_user(User(identifier="a", metadata={"role": "y"}))
    assert (second.id, second.createdAt) == (first.id, first.createdAt)
    assert second.metadata == {"role": "y"}
    assert await layer.get_user("a") == second
    third = await layer.create_user(User(identifier="a"))
    assert (third.id, third.metadata) == (first.id, {})


async def test_identifiers_are_case_sensitive(layer: Any) -> None:
    small = await layer.create_user(User(identifier="kim", metadata={"n": 1}))
    large = await layer.create_user(User(identifier="Kim", metadata={"n": 2}))
    assert small.id != large.id
    assert (await layer.get_user("kim")).metadata == {"n": 1}
    assert (await layer.get_user("Kim")).metadata == {"n": 2}
    assert await layer.get_user("KIM") is None


async def test_eight_logins_at_once_make_one_user(layer: Any, backend: Backend) -> None:
    layers = [layer, backend.open()]
    users = await asyncio.gather(
        *(layers[i % 2].create_user(User(identifier="a", metadata={"n": 1})) for i in range(8))
    )
    assert len({user.id for user in users}) == 1
    assert (await layer.get_user("a")).id == users[0].id


async def test_metadata_that_is_not_json(layer: Any) -> None:
    sent = {"nan": float("nan"), "nul": "a\x00", "set": {1}, "none": None}
    made = await layer.create_user(User(identifier=new_id(), metadata=sent))
    for user in (made, await layer.get_user(made.identifier)):
        assert same(user.metadata, {"nan": None, "nul": "a\u2400", "set": [1], "none": None})
