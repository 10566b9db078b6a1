"""The Chainlit app under test: everything that can be kept, always the same.

The first word of a message decides what happens; see `ANSWERS`.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import chainlit as cl
from chainlit.types import ThreadDict
from literalai import ChatGeneration
from picture import chart

from chainlit_sqla import SQLADataLayer

PASSWORD = "correct horse"
COMMANDS = [{"id": "Tour", "description": "Show everything", "icon": "map", "button": True}]
ANSWER = "The harvest grew in **three** of four years; the chart shows it."


def end_with_the_tests() -> None:
    """End this process when the one that started it is gone: its end of our input closes."""
    sys.stdin.read()
    os._exit(1)


threading.Thread(target=end_with_the_tests, daemon=True).start()


@cl.data_layer
def data_layer() -> SQLADataLayer:
    return SQLADataLayer()


@cl.password_auth_callback
async def log_in(name: str, password: str) -> cl.User | None:
    if name in ("alice", "bob") and password == PASSWORD:
        return cl.User(identifier=name, display_name=name.title(), metadata={"team": "fields"})
    return None


@cl.on_chat_start
async def start() -> None:
    """Sent before the user's first message: Chainlit holds it back until then."""
    cl.user_session.set("questions", 0)
    await cl.context.emitter.set_commands(COMMANDS)
    path = _file("Ask about the harvest.\n")
    await cl.Message("Good morning!", elements=[cl.File(name="leaflet.txt", path=path)]).send()
    if str(cl.user_session.get("id")).startswith("ask"):
        await cl.AskActionMessage("Go on?", [cl.Action(name="yes", payload={}, label="Yes")]).send()


@cl.on_chat_resume
async def resume(thread: ThreadDict) -> None:
    await cl.context.emitter.set_commands(COMMANDS)


@cl.on_app_shutdown
async def shut_down() -> None:
    """As `collect` does, for the whole run."""
    gc.collect()


@cl.on_chat_end
async def end() -> None:
    """Chainlit saves the values of the session right after this."""
    print("Left:", cl.user_session.get("id"), flush=True)


@cl.on_message
async def answer(message: cl.Message) -> None:
    cl.user_session.set("questions", (cl.user_session.get("questions") or 0) + 1)
    cl.user_session.set("asked", {"text": message.content, "command": message.command})
    await ANSWERS.get(message.content.split()[0], echo)(message)


async def echo(message: cl.Message) -> None:
    names = [element.name for element in message.elements]
    number = cl.user_session.get("questions")
    await cl.Message(f"Answer {number}: {message.content} {names}").send()


async def burst(message: cl.Message) -> None:
    for number in range(int(message.content.split()[1])):
        await cl.Message(f"Part {number}").send()


async def collect(message: cl.Message) -> None:
    """Let Python say now what it says of tasks whose errors nobody looked at."""
    gc.collect()
    await cl.Message("Collected.").send()


async def take_back(message: cl.Message) -> None:
    await message.remove()
    await cl.Message("Removed.").send()


async def show(message: cl.Message) -> None:
    async with cl.Step(name="research", type="tool", default_open=True, show_input=False) as outer:
        async with cl.Step(name="query", type="tool", default_open=True, show_input="sql") as inner:
            inner.input = "SELECT year, tonnes FROM harvest"
            inner.output = "4 rows"
        outer.output = "Found 4 years."
    elements: list[Any] = [
        cl.Image(name="chart.png", content=chart(), size="small"),
        cl.File(name="harvest.csv", content="year,tonnes\n2023,7.5\n", mime="text/csv"),
        cl.CustomElement(name="Counter", props={"count": 2}),
    ]
    await _stream(cl.Message("", elements=elements), ANSWER)


async def tour(message: cl.Message) -> None:
    tasks = cl.TaskList(status="Running")
    reading, writing = cl.Task("Read"), cl.Task("Write", forId=message.id)
    await tasks.add_task(reading)
    await tasks.add_task(writing)
    await tasks.send()
    await _steps(message.content)
    reading.status = cl.TaskStatus.DONE
    await tasks.update()
    await _streamed_answer()
    writing.status, tasks.status = cl.TaskStatus.DONE, "Done"
    await tasks.update()
    draft = await cl.Message("A draft", language="text").send()
    mistake = await cl.Message("A mistake", elements=[cl.Text(name="slip", content="Oh")]).send()
    await mistake.remove()
    draft.content = ""
    draft.metadata = {"edited": True}
    await draft.update()
    draft.content = "The final word"
    await draft.update()
    await cl.ErrorMessage("One station did not answer").send()


async def _steps(question: str) -> None:
    async with cl.Step(
        name="research",
        type="tool",
        tags=["outer", "été"],
        metadata={"cost": {"usd": 0.25}, "cached": False},
        icon="search",
        default_open=True,
        show_input="json",
    ) as outer:
        outer.input = {"question": question}
        async with cl.Step(
            name="query", type="retrieval", show_input="sql", tags=[], auto_collapse=True
        ) as inner:
            inner.input = "SELECT year, tonnes FROM harvest"
            inner.output = [{"year": 2023, "tonnes": 7.5}, {"year": 2024, "tonnes": None}]
            inner.elements = [cl.Text(name="rows", content="2023 7.5", language="csv")]
        with suppress(LookupError):
            async with cl.Step(
                name="weather", type="tool", show_input=True, language="text"
            ) as failing:
                failing.input = "Rain?"
                raise LookupError("no such station")
        async with cl.Step(name="model", type="llm", show_input=False) as model:
            for token in ("Three ", "of ", "four."):
                await model.stream_token(token)
            model.generation = ChatGeneration(
                provider="none",
                model="small",
                messages=[{"role": "user", "content": question}],
                message_completion={"role": "assistant", "content": "Three of four."},
                output_token_count=3,
            )
        outer.output = "Found 4 years."


async def _streamed_answer() -> None:
    path = _file("year,tonnes\n2023,7.5\n")
    elements: list[Any] = [
        cl.Image(name="chart.png", content=chart(), display="inline", size="large"),
        cl.Text(name="note", content="Numbers are rounded.", display="side"),
        cl.File(name="harvest.csv", path=path, mime="text/csv"),
        cl.File(name="source", url="https://example.org/harvest.csv?year=2023", mime="text/csv"),
        cl.Pdf(name="report.pdf", content=b"%PDF-1.4\n%%EOF\n", page=2, display="page"),
        cl.Audio(name="call", content=b"RIFF0000WAVE", mime="audio/wav", auto_play=True),
        cl.Video(
            name="field", content=b"0000ftypmp42", mime="video/mp4", player_config={"muted": True}
        ),
    ]
    counter = cl.CustomElement(name="Counter", props={"count": 1, "label": "fields"})
    reply = cl.Message(
        "", elements=[*elements, counter], metadata={"sources": [1, 2]}, tags=["final"]
    )
    await _stream(reply, f"{ANSWER} 収穫 🌾")
    Path(path).unlink()
    counter.props = {"count": 2, "label": None}
    await counter.update()


async def _stream(reply: cl.Message, text: str) -> None:
    for token in text.split(" "):
        await reply.stream_token(token if token == "The" else f" {token}")
    await reply.send()


def _file(text: str) -> str:
    """A file of the app's own, which the app may delete when it was sent."""
    with tempfile.NamedTemporaryFile("w", dir=Path.cwd(), suffix=".txt", delete=False) as file:
        file.write(text)
    return file.name


ANSWERS: dict[str, Callable[[cl.Message], Awaitable[None]]] = {
    "Show": show,
    "Tour": tour,
    "Burst": burst,
    "Take": take_back,
    "Collect": collect,
}
