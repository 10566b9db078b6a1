"""Each frozen database loads and is read by the layer it was made for; ours are made the same."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.database.revision import REVISIONS
from chainlit_sqla.errors import SchemaUnknown
from tests.frozen import conversations as said
from tests.frozen import original, ours
from tests.frozen.catalog import CATALOG, DIALECTS, FILES, names
from tests.frozen.comparable import Conversations, differences
from tests.frozen.load import Shelf, rows


def test_no_file_is_missing_or_of_an_unknown_revision() -> None:
    kinds = Counter(entry.kind for entry in CATALOG.values())
    ours = len(DIALECTS) * len(REVISIONS)
    assert kinds == {"chainlit": 16, "wild": 10, "prisma": 2, "foreign": 2, "ours": ours}
    assert {path.name for path in FILES.iterdir()} == {e.file.name for e in CATALOG.values()}


@pytest.mark.parametrize("name", names("chainlit", "wild", "prisma"))
async def test_chainlits_own_layer_reads_it(frozen: Shelf, name: str) -> None:
    found = await original.read(frozen, name)
    assert set(found["users"]) == {user["identifier"] for user in said.USERS}
    whole, second = (found["threads"][said.thread_id(number)] for number in (1, 2))
    assert (whole["user"], whole["metadata"]) == (said.ADA, said.THREADS[0]["metadata"])
    if name != "postgres_prisma_without_tags":
        assert whole["tags"] == said.THREADS[0]["tags"]
    steps = {**whole["steps"], **second["steps"]}
    assert steps[said.step_id(1, 1)][0]["output"] == said.AWKWARD
    assert steps[said.step_id(1, 3)][0]["metadata"]["nested"]["big"] == said.BIG
    assert steps[said.step_id(2, 2)][0]["output"] == said.LONG
    values = [step["feedback"]["value"] for step in steps[said.step_id(1, 6)]]
    assert sorted(values) == [0, 1], "either of two feedbacks"
    [picture] = whole["elements"][said.element_id(1)]
    assert picture["name"] == said.ELEMENTS[0]["name"]
    assert picture["objectKey"]
    assert found["threads"][said.thread_id(3)]["name"] is None
    assert found["threads"][said.thread_id(4)]["user"] is None


@pytest.mark.parametrize("name", names("chainlit", "wild"))
async def test_the_forms_of_time_are_all_read_but_what_is_none(frozen: Shelf, name: str) -> None:
    found = await original.read(frozen, name)
    forms = found["threads"][said.thread_id(6)]["steps"]
    starts = [forms[said.step_id(6, number)][0]["start"] for number in range(1, 13)]
    assert [(start or "")[:19] for start in starts] == [
        *(f"2025-02-06T11:00:0{second}" for second in range(10)),
        "",
        "",
    ]


@pytest.mark.parametrize("prefix", ["sqlite", "postgres"])
async def test_a_users_table_of_another_application_is_no_schema_of_ours(
    frozen: Shelf, prefix: str
) -> None:
    database = Database(frozen.load(f"{prefix}_foreign_users"))
    with pytest.raises(SchemaUnknown, match="users"):
        await migrations.upgrade(database)
    await database.close()


STEP, ELEMENT = said.step_id(1, 6), said.element_id(1)
LOSSES: dict[str, Callable[[Conversations, dict[str, Any]], Any]] = {
    "thread": lambda found, _: found["threads"].pop(said.thread_id(7)),
    "user": lambda found, _: found["users"].pop(said.QUIET),
    "step": lambda _, thread: thread["steps"].pop(said.step_id(1, 5)),
    "tag": lambda _, thread: thread["tags"].pop(),
    "feedback": lambda _, thread: thread["steps"][STEP][0].update(feedback=None),
    "flag": lambda _, thread: thread["steps"][STEP][0].update(isError=None),
    "time": lambda _, thread: thread["steps"][STEP][0].update(createdAt="2025-02-01T10:00:06Z"),
    "element": lambda _, thread: thread["elements"][ELEMENT].append({"name": "another"}),
}


@pytest.mark.parametrize("what", LOSSES)
def test_a_loss_is_a_difference(what: str) -> None:
    expected, found = ours.conversations(), copy.deepcopy(ours.conversations())
    assert differences(expected, found) == []
    LOSSES[what](found, found["threads"][said.thread_id(1)])
    assert len(differences(expected, found)) == 1


@pytest.mark.parametrize("name", names("ours"))
async def test_each_column_of_ours_has_a_value_in_some_row(frozen: Shelf, name: str) -> None:
    """A revision that adds a column also adds rows to be frozen with it."""
    for table, lines in (await rows(frozen.load(name))).items():
        assert lines, f"{table} is empty in {name}: add to ROWS in tests/frozen/ours.py"
        empty = [key for key in lines[0] if all(line[key] is None for line in lines)]
        assert not empty, f"{table}: {empty} in {name}: add to ROWS in tests/frozen/ours.py"


@pytest.mark.full
@pytest.mark.parametrize("dialect", sorted(set(DIALECTS.values())))
def test_made_anew_it_is_the_same(frozen: Shelf, tmp_path: Path, dialect: str) -> None:
    wanted = names("ours", dialect=dialect)
    into = tmp_path / "files"
    into.mkdir()
    environment = os.environ | {"TZ": "Asia/Kolkata"}  # Which clock does not matter.
    if dialect == "postgresql":
        environment |= {"TEST_POSTGRES_URL": frozen.server.url, "TEST_POSTGRES_RUNG": "url"}
    command = [sys.executable, "-m", "tests.frozen.make", "--into", str(into), *wanted]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for name in wanted:
        assert (into / f"{name}.sql").read_bytes() == CATALOG[name].file.read_bytes(), name
