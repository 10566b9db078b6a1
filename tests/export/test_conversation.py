"""Steps in the order of a conversation, be it short or long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.models import elements, steps
from chainlit_sqla.transfer.exporting.conversation import (
    MAX_STEPS,
    ConversationReader,
    StepNode,
    order_steps,
)
from chainlit_sqla.transfer.sources import NativeSource
from tests.contract import build
from tests.export import many

from .conftest import EVERYWHERE
from .story import Story

TYPES = ("user_message", "assistant_message", "run", "tool", "llm")


async def shown(database: Database) -> dict[str, list[str]]:
    """The ids of what is shown of each conversation; of files without a step their names."""
    found: dict[str, list[str]] = {}
    async with database.snapshot() as connection:
        source = NativeSource(connection, "", "")
        async for conversation in ConversationReader(connection, source).read():
            found[conversation.thread.values["id"]] = entries = []
            async for entry in conversation.entries:
                if entry.step is not None:
                    entries.append(entry.step.values["id"])
                entries += [element.values["name"] for element in entry.elements]
                entries += [feedback.values["comment"] for feedback in entry.feedback]
    return found


async def test_a_conversation_is_read_in_the_order_of_its_tree(
    database: Database, story: Story
) -> None:
    found = await shown(database)
    assert list(found) == [story.paris, story.silent, story.rome]
    names = found[story.paris]
    assert names[1:4] == ["question", "outer", "inner"]
    assert names[4:8] == ["part", "answer", "chart](x).png", "great"]
    assert names[9:] == ["odd"]


@EVERYWHERE
async def test_long_and_short_conversations_are_read_alike(
    database: Database, layer: SQLADataLayer, story: Story
) -> None:
    await many.store(database, "long", MAX_STEPS)
    async with database.write() as connection:
        # What was read together before is too much for that now.
        rows = [
            row | {"threadId": story.paris, "parentId": None, "type": "llm", "output": "x"}
            for row in many.turns("more", MAX_STEPS, "")
        ]
        await connection.execute(steps.insert(), rows)
    found = await shown(database)
    kinds = ("question", "tool", "answer")
    assert found["long"] == [f"long-{turn}-{kind}" for turn in range(MAX_STEPS) for kind in kinds]
    long = [name for name in found[story.paris] if not name.startswith("more-")]
    async with database.write() as connection:
        await connection.execute(steps.delete().where(steps.c.id.startswith("more-")))
    assert (await shown(database))[story.paris] == long


async def test_files_of_no_step_are_shown_in_long_conversations_too(
    database: Database, layer: SQLADataLayer
) -> None:
    await many.store(database, "long", MAX_STEPS)
    row = {"threadId": "long", "type": "file", "createdAt": many.START, "ordinal": 1}
    async with database.write() as connection:
        for number, step in enumerate((None, "gone", "long-7-run", "long-8-answer")):
            values = {"id": f"e{number}", "name": f"file {number}", "forId": step}
            await connection.execute(elements.insert(), row | values)
    names = (await shown(database))["long"]
    assert sorted(names[-3:]) == ["file 0", "file 1", "file 2"]
    assert names[names.index("long-8-answer") + 1] == "file 3"


async def test_many_conversations_are_each_there_once_by_time(
    database: Database, layer: SQLADataLayer
) -> None:
    me = await build.person(layer)
    ids = [f"t{number:03}" for number in range(230, 0, -1)]
    for id in ids:
        await layer.update_thread(id, user_id=me.id)
        await layer.create_step(build.message(id, id=f"step {id}"))  # type: ignore[arg-type]
    found = await shown(database)
    assert list(found) == ids
    assert list(found.values()) == [[f"step {id}"] for id in ids]


names = st.sampled_from("abcdefgh")
nodes = st.builds(StepNode, names, st.none() | names, st.sampled_from(TYPES), st.just(False))


@given(st.lists(nodes, unique_by=lambda node: node.id))
def test_each_step_is_shown_once_whatever_lies_in_what(found: list[StepNode]) -> None:
    places = order_steps(found)
    assert sorted(place.id for place in places) == sorted(node.id for node in found)
    assert all(place.id in place.feedback_ids or not place.feedback_ids for place in places)
    order = {place.id: number for number, place in enumerate(places)}
    for node in found:
        ancestors, up = [], {node.id: node.parent_id for node in found}
        above = node.parent_id
        while above in up and above not in (*ancestors, node.id):
            ancestors.append(above)
            above = up[above]
        if above not in up:  # Else it lies in itself.
            assert all(order[a] < order[node.id] for a in ancestors if a)


def test_feedback_for_a_run_is_shown_with_its_last_answer() -> None:
    found = [
        StepNode("q", None, "user_message", False),
        StepNode("r", "q", "run", True),
        StepNode("a", "r", "assistant_message", False),
        StepNode("b", "r", "assistant_message", False),
        StepNode("c", "r", "assistant_message", False, is_error=True),
    ]
    judged = {place.id: place.feedback_ids for place in order_steps(found, {"r", "a"})}
    assert judged == {"q": ("q",), "a": ("a",), "b": ("b", "r"), "c": ("c",)}
    # A run without an answer is shown itself.
    [_, run] = order_steps(found[:2], {"r"})
    assert run.feedback_ids == ("r",)
