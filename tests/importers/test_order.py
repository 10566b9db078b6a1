"""Files whose lines are in any order, and what must not come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chainlit_sqla.models import quarantine, steps, threads
from tests.importers.conftest import Targets, bring, bring_in_two
from tests.importers.test_conflicts import ADA, BOB, read, step, thread, write

DIALECTS = ("sqlite", "postgresql", "mariadb")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.spread.BATCH", 2)


def of_ada(id: str) -> dict[str, Any]:
    return thread(id, userId="a", userIdentifier="ada")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_after_an_interruption_nothing_is_written_into_a_strangers_thread(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    target = await targets.make(dialect)
    bob = thread("t1", userId="b", userIdentifier="bob")
    await bring("", write(tmp_path / "bob", BOB, bob, step("bob's", "t1")), target)
    own = [of_ada(f"t{number}") for number in range(1, 4)]
    last = [of_ada("t4"), step("secret", "t1"), step("s4", "t4"), step("s3", "t3")]
    path = write(tmp_path / "ada", ADA, *own, step("s2", "t2"), *last)
    assert (await bring_in_two(path, target, 2)).resumed
    assert await read(target, select(steps.c.id, steps.c.threadId).order_by(steps.c.id)) == [
        ("bob's", "t1"),
        ("s2", "t2"),
        ("s3", "t3"),
        ("s4", "t4"),
    ]
    aside = await read(target, select(quarantine.c.row))
    assert {row["id"] for (row,) in aside} == {"t1", "secret"}


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("own", [(), (thread("t1", createdAt=[]),)])
async def test_a_line_whose_thread_has_none_that_can_be_read_goes_into_nobodys_thread_only(
    targets: Targets, tmp_path: Path, update: bool, own: tuple[dict[str, Any], ...]
) -> None:
    target = await targets.make("sqlite")
    lines = BOB, thread("t1", userId="b", userIdentifier="bob"), thread("t2")
    await bring("", write(tmp_path / "bob", *lines), target)
    path = write(tmp_path / "ada", ADA, *own, step("s1", "t1"), step("s2", "t2"))
    result = await bring("", path, target, update=update)
    assert await read(target, select(steps.c.id)) == [("s2",)]
    assert result.aside["step", "a thread with its id belongs to another user in the target"] == 1
    ((reason,),) = await read(
        target, select(quarantine.c.reason).where(quarantine.c.origin == "steps")
    )
    assert "the source does not have the thread itself" in reason


async def test_each_thread_is_compared_and_counted_once(targets: Targets, tmp_path: Path) -> None:
    target = await targets.make("sqlite")
    lines: list[dict[str, Any]] = [ADA, step("before", "t5"), of_ada("t1"), of_ada("t2")]
    for number in range(3, 9):
        lines += [of_ada(f"t{number}"), step(f"s{number}", f"t{number}")]
        lines.append(step(f"late{number}", f"t{number - 2}"))
    again = [of_ada("t3"), step("again", "t3"), of_ada("t9"), step("s9", "t9")]
    result = await bring("", write(tmp_path / "lines", *lines, *again), target)
    assert not result.aside
    assert result.comparison is not None
    assert result.comparison.equal
    assert result.comparison.threads == 9
    for side in (result.comparison.given, result.comparison.same):
        assert (side["thread"], side["step"]) == (10, 15)  # The line of t3 is there twice.
    assert len(await read(target, select(threads.c.id))) == 9
    assert len(await read(target, select(steps.c.id))) == 15


async def test_wherever_it_is_interrupted_all_lines_come(targets: Targets, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [ADA]
    for number in range(8):
        lines += [of_ada(f"t{number}"), step(f"s{number}", f"t{number}")]
        lines.append(step(f"late{number}", f"t{number // 2}"))
    path = write(tmp_path / "lines", *lines)
    for after in range(2, 6):
        target = await targets.make("sqlite")
        await bring_in_two(path, target, after)
        assert len(await read(target, select(steps.c.id))) == 16
