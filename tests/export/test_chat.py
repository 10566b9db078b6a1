"""Lines for chat models, as OpenAI and stricter readers of its form take them."""

from __future__ import annotations

import json
import re
from typing import Any

from chainlit.types import Feedback

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.exporters.chat import ChatOptions, arguments, tool_name
from tests.contract import build

from .conftest import Exported
from .story import ANSWER, EVIL, OUTPUT, Story, say


def complain(line: dict[str, Any]) -> list[str]:
    """What a validator of training data would refuse, after OpenAI's published checks."""
    wrong = [f"member {name}" for name in line.keys() - {"messages", "tools"}]
    roles = []
    waiting: set[str] = set()
    for message in line["messages"]:
        known = {"role", "content", "name", "weight", "tool_calls", "tool_call_id"}
        wrong += [f"member {name} of a message" for name in message.keys() - known]
        calls = message.get("tool_calls", [])
        waiting |= {call["id"] for call in calls}
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        elif waiting and not calls:
            wrong.append("a call without a result")
        if not isinstance(message["content"], str) and not calls:
            wrong.append("no content")
        for call in calls:
            json.loads(call["function"]["arguments"])
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"]):
                wrong.append("the name of a function")
        if message.get("weight", 1) not in (0, 1) or (
            "weight" in message and message["role"] != "assistant"
        ):
            wrong.append("weight")
        if message["role"] != "system" and "tool_calls" not in message:
            roles.append(message["role"])
    talk = [role for role in roles if role != "tool"]
    if talk != ["user", "assistant"] * (len(talk) // 2):
        wrong.append(f"roles {talk}")
    if not any(m["role"] == "assistant" and m.get("weight", 1) for m in line["messages"]):
        wrong.append("nothing to learn")
    return wrong


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
    assert (memory.done.unanswered, memory.done.unlearnt) == (1, 0)
    assert (memory.done.conversations, memory.done.parts) == (2, 5)
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


async def test_feedback_is_a_field_that_names_its_message(exported: Exported, story: Story) -> None:
    paris, rome = (await exported("chat")).lines
    assert paris["feedback"] == "up"
    assert paris["feedback_by_message"] == [{"message": 2, "value": "up", "comment": "great"}]
    assert rome["feedback"] == "down"
    [given] = rome["feedback_by_message"]
    assert given == {"message": 1, "value": "down", "comment": "useless *really*"}
    assert rome["messages"][given["message"]]["content"] == "No idea."


async def test_both_thumbs_in_a_conversation_are_mixed(
    exported: Exported, layer: SQLADataLayer, story: Story
) -> None:
    await say(layer, story.rome, "assistant", "Ah, Rome!", 205, id="better")
    await layer.upsert_feedback(Feedback(forId="better", threadId=story.rome, value=1))
    _, rome = (await exported("chat")).lines
    assert rome["feedback"] == "mixed"
    assert [one["value"] for one in rome["feedback_by_message"]] == ["down", "up"]


async def test_only_messages_are_what_trainers_take(exported: Exported, story: Story) -> None:
    for tools in (False, True):
        options = ChatOptions(tools=tools, bare=True)
        memory = await exported("chat", chat=options)
        # Of the conversation whose only answer was refused there is nothing to learn.
        [paris] = memory.lines
        assert complain(paris) == []
        assert (memory.done.unanswered, memory.done.unlearnt) == (1, 1)
        assert memory.done.conversations == 1
        assert memory.done.parts == len(paris["messages"])


async def test_of_liked_answers_only_these_are_learnt(
    exported: Exported, layer: SQLADataLayer, story: Story
) -> None:
    await say(layer, story.paris, "user", "And tomorrow?", 20)
    await say(layer, story.paris, "assistant", "Rain.", 21)
    options = ChatOptions(bare=True, liked=True)
    [paris] = (await exported("chat", chat=options, feedback="up")).lines
    weights = [m.get("weight", 1) for m in paris["messages"] if m["role"] == "assistant"]
    assert weights == [1, 0]
    assert complain(paris) == []


async def test_tools_are_calls_and_results(exported: Exported, story: Story) -> None:
    paris = (await exported("chat", chat=ChatOptions(tools=True))).lines[0]
    _, _, call, result, _ = paris["messages"]
    assert call["content"] is None
    assert call["tool_calls"] == [
        {
            "id": "outer",
            "type": "function",
            "function": {"name": "look_up", "arguments": '{"city": "Paris"}'},
        }
    ]
    assert result == {"role": "tool", "tool_call_id": "outer", "content": OUTPUT}
    assert [tool["function"]["name"] for tool in paris["tools"]] == ["look_up"]


async def test_a_long_conversation_is_one_line(exported: Exported, layer: SQLADataLayer) -> None:
    me = await build.person(layer)
    thread = await build.thread(layer, me)
    for number in range(250):
        await say(layer, thread, "user", f"{number}? " + "x" * 20_000, 2 * number)
        await say(layer, thread, "assistant", f"{number}!", 2 * number + 1)
    [line] = (await exported("chat")).lines
    assert [m["content"].split()[0] for m in line["messages"]] == [
        f"{number // 2}{'!' if number % 2 else '?'}" for number in range(500)
    ]


def test_names_and_arguments_fit_a_function() -> None:
    assert tool_name("") == tool_name("??") == "tool"
    assert tool_name("Wetter für Köln") == "Wetter_f_r_K_ln"
    assert len(tool_name("x" * 100)) == 64
    assert arguments(None) == arguments("") == "{}"
    assert json.loads(arguments("[1]")) == {"input": "[1]"}
    assert json.loads(arguments("not {json")) == {"input": "not {json"}
