"""Conversations as an application stores them: messages, runs, tools, files and feedback."""

from __future__ import annotations

from dataclasses import dataclass

from chainlit.types import Feedback
from chainlit.user import PersistedUser

from chainlit_sqla import SQLADataLayer
from tests.contract import build

TITLE = "Weather in *Paris* <script>alert(1)</script>"
EVIL = (
    'Hi <img src=x onerror="alert(1)"> [click](javascript:alert(1)) ![x](http://127.0.0.1:9/t.png)'
)
ANSWER = (
    "It is **sunny** in Paris:\n\n| day | sky |\n|---|---|\n| today | clear |\n\n"
    "```python\nprint('open"
)
OUTPUT = "```\nsunny\n````\n</details><script>alert(2)</script>"


@dataclass(slots=True)
class Story:
    """Who said what."""

    alice: PersistedUser
    bob: PersistedUser
    paris: str
    """Alice's thread, as a browser makes one: a question, a run, tools, an answer, feedback."""
    silent: str
    """Alice's thread without an answer."""
    rome: str
    """Bob's thread, with a tag and a thumb down."""


async def tell(layer: SQLADataLayer) -> Story:
    alice = await build.person(layer, "alice@example.org")
    bob = await build.person(layer, "bob")
    story = Story(alice, bob, "paris-1", "silent-1", "Rome/../1")
    await _paris(layer, story)
    await layer.update_thread(story.silent, user_id=alice.id, name="No answer")
    await say(layer, story.silent, "user", "Anybody?", 100, name="alice@example.org")
    await layer.update_thread(story.rome, user_id=bob.id, name="Rome", tags=["travel", 'a"b'])
    await say(layer, story.rome, "assistant", "How can I help?", 200)
    await say(layer, story.rome, "user", "Rome?", 201, name="bob")
    await say(layer, story.rome, "user", "Italy.", 202, name="bob")
    bad = await say(layer, story.rome, "assistant", "No idea.", 203)
    await say(layer, story.rome, "user", "Thanks for nothing", 204, name="bob")
    await layer.upsert_feedback(
        Feedback(forId=bad, threadId=story.rome, value=0, comment="useless *really*")
    )
    return story


async def _paris(layer: SQLADataLayer, story: Story) -> None:
    place = story.paris
    await layer.update_thread(place, user_id=story.alice.id, name=TITLE, tags=["weather"])
    await say(layer, place, "system", "Be brief.", 0, name="System")
    question = await say(layer, place, "user", EVIL, 1, name="alice@example.org", id="question")
    run = build.tool(
        place, name="on_message", type="run", id="run", parentId=question, createdAt=build.at(2),
        input=EVIL, output="", start=build.at(2), end=build.at(9),
    )  # fmt: skip
    outer = build.tool(place, id="outer", parentId="run", output=OUTPUT, createdAt=build.at(3))
    inner = build.tool(
        place, id="inner", name="in `ner`", type="llm", parentId="outer", input="", isError=True,
        output="## not a heading\n- no list", createdAt=build.at(4),
    )  # fmt: skip
    for step in (run, outer, inner):
        await layer.create_step(step)  # type: ignore[arg-type]
    await say(layer, place, "assistant", ANSWER, 5, parentId="run", id="part")
    await say(layer, place, "assistant", "Anything else?", 6, parentId="run", id="answer")
    await say(layer, place, "assistant", "Timed out", 7, isError=True, parentId="run")
    await layer.create_element(
        build.file_element(place, "answer", name="chart](x).png", url="https://example.org/a b")
    )
    await layer.create_element(
        build.file_element(place, "run", name="odd", url="javascript:alert(1)")
    )
    # As Chainlit's page gives it: to the run.
    await layer.upsert_feedback(Feedback(forId="run", threadId=place, value=1, comment="great"))


async def say(
    layer: SQLADataLayer, thread: str, who: str, text: str, second: float, **changes: object
) -> str:
    step = build.message(thread, text, type=f"{who}_message", createdAt=build.at(second), **changes)
    await layer.create_step(step)  # type: ignore[arg-type]
    return str(step["id"])
