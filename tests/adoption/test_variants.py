"""Every frozen database is adopted and given back; no word of a conversation changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.adoption.corrections import given_back
from tests.adoption.ways import adopt, digests, set_aside, settings_of, unadopt
from tests.frozen import original
from tests.frozen.catalog import names
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf

ALL = names("chainlit", "wild")


@pytest.mark.parametrize("name", ALL)
async def test_our_layer_reads_what_chainlits_did_and_that_one_again_after_the_way_back(
    frozen: Shelf, name: str
) -> None:
    url, settings = frozen.load(name), settings_of(name)
    expected = await original.read(frozen, name)
    report = await adopt(url, **settings)
    assert differences(expected, await original.read_ours(url, **settings)) == []
    for kind, rows in report.rows.items():
        assert rows == report.kept[kind] + report.set_aside(kind)
    before, aside = await digests(url, **settings), await set_aside(url, **settings)
    twice = 1 if name.endswith("_duplicates") else 0  # A row that was there twice exactly so.
    assert aside.total() + twice == report.aside.total() + report.partly.total()
    await unadopt(url, **settings)
    found = await original.read_at(frozen, name, url)
    assert found == given_back(name, expected, found)
    report = await adopt(url, **settings)
    assert await digests(url, **settings) == before
    assert await set_aside(url, **settings) == aside
    assert report.notes == []


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8", "sqlite_v1", "postgres_v1"])
async def test_a_rehearsal_reports_the_same_and_changes_nothing(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    before = await original.read_at(frozen, name, url)
    rehearsed = await adopt(url, dry=True)
    assert await original.read_at(frozen, name, url) == before
    done = await adopt(url)
    assert _facts(rehearsed) == _facts(done)
    again = await adopt(url)
    assert again.nothing is not None
    assert "adopted already" in again.nothing


def _facts(report: Any) -> Any:
    return replace(report, seconds=0, rehearsed=False)
