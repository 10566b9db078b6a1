"""Every frozen database of Chainlit's layer is adopted and given back without a loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.frozen import original
from tests.frozen.catalog import names
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf, rows
from tests.in_place.changes import adopt, digests, quarantined, settings_of, unadopt

ALL = names("chainlit", "wild")


@pytest.mark.parametrize("name", ALL)
async def test_each_layer_reads_the_same_conversations(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url, settings = frozen.load(name), settings_of(name)
    expected, stored = await original.read(frozen, name), await rows(url)
    report = await adopt(url, **settings)
    assert differences(expected, await original.read_ours(url, **settings)) == []
    for kind, count in report.before.items():
        quarantined_rows = sum(n for (k, _), n in report.quarantined.items() if k == kind)
        assert count == report.after[kind] + quarantined_rows
    before, aside = await digests(url, **settings), await quarantined(url, **settings)
    given_back = await unadopt(url, tmp_path / "rest.jsonl", **settings)
    assert given_back.in_file == ({"quarantined": aside.total()} if aside else {})
    assert await original.read_at(frozen, name, url) == expected
    after = await rows(url)
    for table, lines in stored.items():
        columns = lines[0].keys()
        assert lines == [{key: row[key] for key in columns} for row in after[table]]
    await adopt(url, **settings)
    assert await digests(url, **settings) == before
    assert await quarantined(url, **settings) == aside


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v1"])
async def test_a_dry_run_reports_the_same_and_changes_nothing(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    before = await rows(url)
    planned = await adopt(url, dry_run=True)
    assert await rows(url) == before
    done = await adopt(url)
    assert replace(planned, seconds=0, dry_run=False) == replace(done, seconds=0)
    assert "already adopted" in ((await adopt(url)).nothing_to_do or "")
