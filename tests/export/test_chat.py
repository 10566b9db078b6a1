"""Lines for chat models, as OpenAI and stricter readers of its form take them."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from chainlit.types import Feedback

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.transfer.exporting.openai import arguments, tool_name
from tests.contract import build

from .conftest import Exported
from .story import ANSWER, EVIL, Story, say

PARIS, ROME = f"step-{'1' * 90}", f"step-{'1' * 89}2"
PARIS_ID, ROME_ID = (sha256(id.encode()).hexdigest()[:40] for id in (PARIS, ROME))


def call(id: str, name: str, arguments: str, **members: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    tool_calls = [{"id": id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls} | members


def result(id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": id}


async def test_trainers_accept_a_rich_conversation(
    exported: Exported, layer: SQLADataLayer
) -> None:
    me = await build.person(layer)
    await layer.update_thread("rich", user_id=me.id)
    second = 0

    async def said(who: str, text: str, **changes: object) -> str:
        nonlocal second
        second += 1
        return await say(layer, "rich", who, text, second, **changes)

    async def called(name: str, id: str, **changes: object) -> None:
        nonlocal second
        second += 1
        values = {"start": build.at(second), "end": build.at(second + 5)} | changes
        step = build.tool("rich", id=id, name=name, createdAt=build.at(second), **values)
        await layer.create_step(step)  # type: ignore[arg-type]

    await said("assistant", "Hello!")
    await said("system", "Be brief.")
    await said("user", "Weather in Paris and in Rome?")
    await said("assistant", "I look.")  # The message of the first call.
    # Both at once, with ids and names as other programs make them.
    await called("look up (v2) ☀", PARIS, input='{"city": "Paris"}', output="")
    await called("look up (v2) ☀", ROME, input="Rome", output="rain")
    await called("x" * 90, "long", input="[1]", output="no", isError=True)
    bad = await said("assistant", "Sunny in both.")
    await layer.upsert_feedback(Feedback(forId=bad, threadId="rich", value=0))
    await said("user", "Really?")
    await called("forecast", "again", input="", output="rain")
    await said("system", "Now say it.")
    good = await said("assistant", "Rain in Rome.")
    await layer.upsert_feedback(Feedback(forId=good, threadId="rich", value=1))
    await said("user", "Thanks")
    await said("assistant", "I wave.")
    await called("bye", "bye", input="{}", output="")

    [line] = (await exported("chat", tools=True)).lines
    assert line["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris and in Rome?"},
        # What led to the answer with a thumb down is not learnt either.
        call(PARIS_ID, "look_up_v2", '{"city": "Paris"}', content="I look.", weight=0),
        result(PARIS_ID, ""),
        call(ROME_ID, "look_up_v2", '{"input":"Rome"}', weight=0),
        result(ROME_ID, "rain"),
        call("long", "x" * 64, '{"input":"[1]"}', weight=0),
        result("long", "no"),
        {"role": "assistant", "content": "Sunny in both.", "weight": 0},
        {"role": "user", "content": "Really?"},
        call("again", "forecast", "{}"),
        result("again", "rain"),
        {"role": "system", "content": "Now say it."},
        {"role": "assistant", "content": "Rain in Rome."},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "I wave."},  # Without its call, of which nothing came.
    ]
    names = [tool["function"]["name"] for tool in line["tools"]]
    assert names == ["look_up_v2", "x" * 64, "forecast", "bye"]
    parameters = {"type": "object", "properties": {}, "additionalProperties": True}
    assert all(tool["function"]["parameters"] == parameters for tool in line["tools"])


async def test_a_conversation_is_a_line_of_questions_and_answers(
    exported: Exported, story: Story
) -> None:
    memory = await exported("chat")
    paris, rome = memory.lines
    assert paris["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": EVIL},
        {"role": "assistant", "content": f"{ANSWER}\n\nAnything else?"},
    ]
    assert (memory.result.selected, memory.result.conversations) == (3, 2)
    # Without the greeting, and without the last message, which nobody answered.
    assert rome["messages"] == [
        {"role": "user", "content": "Rome?\n\nItaly."},
        {"role": "assistant", "content": "No idea.", "weight": 0},
    ]
    assert rome["metadata"] | {"created_at": "", "updated_at": ""} == {
        "thread": story.rome,
        "name": "Rome",
        "user": "bob",
        "tags": ["travel", 'a"b'],
        "created_at": "",
        "updated_at": "",
    }


async def test_feedback_names_its_message(
    exported: Exported, layer: SQLADataLayer, story: Story
) -> None:
    paris, rome = (await exported("chat")).lines
    assert paris["feedback"] == "up"
    assert paris["feedback_by_message"] == [{"message": 2, "value": "up", "comment": "great"}]
    assert rome["feedback"] == "down"
    [feedback] = rome["feedback_by_message"]
    assert feedback == {"message": 1, "value": "down", "comment": "useless *really*"}
    assert rome["messages"][feedback["message"]]["content"] == "No idea."
    await say(layer, story.rome, "assistant", "Ah, Rome!", 205, id="better")
    await layer.upsert_feedback(Feedback(forId="better", threadId=story.rome, value=1))
    _, rome = (await exported("chat")).lines
    assert rome["feedback"] == "mixed"
    assert [feedback["value"] for feedback in rome["feedback_by_message"]] == ["down", "up"]


def test_names_and_arguments_fit_a_function() -> None:
    assert tool_name("") == tool_name("??") == "tool"
    assert tool_name("Wetter für Köln") == "Wetter_f_r_K_ln"
    assert len(tool_name("x" * 100)) == 64
    assert arguments(None) == arguments("") == "{}"
    assert json.loads(arguments("[1]")) == {"input": "[1]"}
    assert json.loads(arguments("not {json")) == {"input": "not {json"}
