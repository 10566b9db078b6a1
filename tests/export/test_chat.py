"""Lines for chat models, as OpenAI and stricter readers of its form take them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from chainlit.types import Feedback

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.transfer.exporting.openai import arguments, tool_name
from tests.contract import build

from .conftest import Exported
from .story import ANSWER, EVIL, Story, say


def violations(line: dict[str, Any]) -> list[str]:
    """What a validator of training data rejects, after OpenAI's published checks."""
    problems = [f"the tool {name}" for name in _odd_tools(line)]
    problems += [f"message {number}: {what}" for number, what in _odd_messages(line)]
    roles = [m["role"] for m in line["messages"] if m["role"] != "system"]
    calls = [bool(m.get("tool_calls")) for m in line["messages"] if m["role"] != "system"]
    problems += [f"two of {one}" for one, two in pairwise(roles) if one == two != "tool"]
    talk = [role for role, call in zip(roles, calls, strict=True) if role != "tool" and not call]
    if talk != ["user", "assistant"] * (len(talk) // 2):
        problems.append(f"roles {talk}")
    if line["messages"][-1]["role"] != "assistant" or calls[-1]:
        problems.append("it does not end with an answer")
    return problems


def _odd_tools(line: dict[str, Any]) -> list[str]:
    tools = line.get("tools", [])
    names = [tool["function"]["name"] for tool in tools]
    called = {
        call["function"]["name"]
        for message in line["messages"]
        for call in message.get("tool_calls", [])
    }
    odd = [name for name in names if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)]
    odd += [tool for tool in tools if tool["type"] != "function" or set(tool) - _TOOL]
    odd += [tool for tool in tools if tool["function"]["parameters"]["type"] != "object"]
    return odd + [name for name in names if names.count(name) > 1] + sorted(called - {*names})


_TOOL = {"type", "function"}
_MEMBERS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "weight", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}


def _odd_messages(line: dict[str, Any]) -> Iterator[tuple[int, str]]:
    ids: set[str] = set()
    waiting: set[str] = set()
    for number, message in enumerate(line["messages"]):
        calls = message.get("tool_calls", [])
        if message.keys() - _MEMBERS[message["role"]]:
            yield number, f"members {sorted(message)}"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield number, "a result without its call before it"
            waiting.discard(message["tool_call_id"])
        elif waiting:
            yield number, "a call without its result at once"
        if not isinstance(message["content"], str) and not calls:
            yield number, "no content"
        if message.get("weight", 1) not in (0, 1):
            yield number, "weight"
        for call in calls:
            if not 0 < len(call["id"]) <= 40 or call["id"] in ids or call["type"] != "function":
                yield number, f"the call {call['id']}"
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                yield number, "arguments"
            ids.add(call["id"])
            waiting.add(call["id"])


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
    await called("look up (v2) ☀", f"step-{'1' * 90}", input='{"city": "Paris"}', output="")
    await called("look up (v2) ☀", f"step-{'1' * 89}2", input="Rome", output="rain")
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
    assert violations(line) == []
    kinds = [(m["role"], bool(m.get("tool_calls")), m.get("weight")) for m in line["messages"]]
    # What led to the answer with a thumb down is not learnt either.
    assert line["messages"][2]["content"] == "I look."
    call, result = ("assistant", True, 0), ("tool", False, None)
    assert kinds == [
        ("system", False, None),
        ("user", False, None),
        *(call, result) * 3,
        ("assistant", False, 0),
        ("user", False, None),
        ("assistant", True, None),
        result,
        ("system", False, None),
        ("assistant", False, None),
        ("user", False, None),
        ("assistant", False, None),  # Without its call, of which nothing came.
    ]


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
    assert violations(paris) == violations(rome) == []
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
