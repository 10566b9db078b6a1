"""Each frozen database loads, is read by the layer it was made for, and is made the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frozen import conversations as said
from tests.frozen import original
from tests.frozen.catalog import CATALOG, names
from tests.frozen.load import Shelf


@pytest.mark.parametrize("name", names("chainlit", "wild"))
async def test_chainlits_own_layer_reads_it(frozen: Shelf, name: str) -> None:
    found = await original.read(frozen, name)
    assert set(found["users"]) == {user["identifier"] for user in said.USERS}
    whole = found["threads"][said.thread_id(1)]
    assert whole["user"] == said.ADA
    assert whole["tags"] == said.THREADS[0]["tags"]
    assert whole["metadata"] == said.THREADS[0]["metadata"]
    [tool] = whole["steps"][said.step_id(1, 3)]
    assert tool["metadata"]["nested"]["big"] == said.BIG
    [long] = found["threads"][said.thread_id(2)]["steps"][said.step_id(2, 2)]
    assert long["output"] == said.LONG
    [first] = whole["steps"][said.step_id(1, 1)]
    assert first["output"] == said.AWKWARD
    assert {key[0]["feedback"]["id"] for key in whole["steps"].values() if key[0]["feedback"]} >= {
        said.feedback_id(2)
    }
    picture = whole["elements"][said.element_id(1)]
    assert picture[0]["objectKey"].endswith(said.ELEMENTS[0]["name"])
    forms = found["threads"][said.thread_id(6)]["steps"]
    assert [forms[said.step_id(6, n)][0]["start"] is None for n in (1, 6, 9, 10, 11, 12)] == [
        False,
        False,
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("dialect", sorted({entry.dialect for entry in CATALOG.values()}))
def test_made_anew_it_is_the_same(frozen: Shelf, tmp_path: Path, dialect: str) -> None:
    wanted = names(dialect=dialect)
    into = tmp_path / "files"
    into.mkdir()
    environment = dict(os.environ)
    if dialect == "postgresql":
        environment["TEST_POSTGRES_URL"] = frozen.server.url
        environment["TEST_POSTGRES_RUNG"] = "url"
    command = [sys.executable, "-m", "tests.frozen.make", "--into", str(into), *wanted]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for name in wanted:
        assert (into / f"{name}.sql").read_bytes() == CATALOG[name].file.read_bytes(), name
