"""The Chainlit app of ``chainlit-sqla demo``, which adds the data layer.

It uses every feature that a data layer stores: streamed answers, nested steps, files,
pictures, a task list, buttons, commands and feedback. It needs no network and no language
model.
"""

# Much of Chainlit has no types.
# mypy: disable-error-code="no-untyped-call,untyped-decorator"

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import chainlit as cl
from chainlit.config import config_translation_dir
from chainlit.types import CommandDict, ThreadDict

from chainlit_sqla.demo import PASSWORD

_PAUSE = 0.02
"""Seconds between two words, so that streaming is visible."""


def _show_login() -> None:
    """Show the login on its page, in the words that Chainlit has put into the demo's folder."""
    for path in Path(config_translation_dir).glob("*.json"):
        words = json.loads(path.read_text(encoding="utf-8"))
        title = f"Log in with any name; the password is: {PASSWORD}"
        words.setdefault("auth", {}).setdefault("login", {})["title"] = title
        path.write_text(json.dumps(words, ensure_ascii=False, indent=2), encoding="utf-8")


_show_login()


@cl.password_auth_callback
async def log_in(name: str, password: str) -> cl.User | None:
    """Accept any user name with the demo's password."""
    if name and password == PASSWORD:
        return cl.User(identifier=name, metadata={"role": "guest", "provider": "demo"})
    return None


@cl.on_chat_start
async def start() -> None:
    """Send the greeting."""
    await _offer_commands()
    cl.user_session.set("questions", 0)
    await cl.Message(
        "Hello! This is a demo: I only count words. Write something.",
        actions=[_picture_button("hello")],
    ).send()


@cl.on_chat_resume
async def resume(_thread: ThreadDict) -> None:
    """Restore the commands; Chainlit restores the values of the session."""
    await _offer_commands()


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Answer a message, or draw a picture for the command."""
    cl.user_session.set("questions", (cl.user_session.get("questions") or 0) + 1)
    if message.command == "Picture":
        await _send_picture(message.content)
        return
    tasks = cl.TaskList()
    tasks.status = "Running"
    reading = cl.Task(title="Read the message", status=cl.TaskStatus.RUNNING)
    writing = cl.Task(title="Write the answer", status=cl.TaskStatus.READY)
    await tasks.add_task(reading)
    await tasks.add_task(writing)
    await tasks.send()

    findings = await analyse(message.content)
    reading.status, writing.status = cl.TaskStatus.DONE, cl.TaskStatus.RUNNING
    await tasks.send()

    await _write(message, findings)
    writing.status = cl.TaskStatus.DONE
    tasks.status = "Done"
    await tasks.send()


@cl.step(type="tool", name="analyse")
async def analyse(text: str) -> dict[str, int]:
    """Count characters and words; a tool that calls another tool."""
    return {"characters": len(text), "words": await count_words(text)}


@cl.step(type="tool", name="count words")
async def count_words(text: str) -> int:
    """Count words."""
    return len(text.split())


@cl.action_callback("picture")
async def draw(action: cl.Action) -> None:
    """Draw the picture of the button."""
    await _send_picture(str(action.payload.get("text", "")))


async def _write(message: cl.Message, findings: dict[str, int]) -> None:
    number = cl.user_session.get("questions")
    text = (
        f"Question {number} has {findings['words']} words in {findings['characters']} characters. "
        "The report is attached. Rate this answer, then stop the server, start it again "
        "and come back: all of this will be here."
    )
    report = "\n".join(f"{name}: {value}" for name, value in findings.items())
    reply = cl.Message(
        "",
        elements=[cl.File(name="report.txt", content=report, mime="text/plain")],
        actions=[_picture_button(message.content)],
    )
    for word in text.split(" "):
        await reply.stream_token(f"{word} ")
        await asyncio.sleep(_PAUSE)
    if names := [element.name for element in message.elements or []]:
        await reply.stream_token(f"\n\nYou attached: {', '.join(names)}.")
    await reply.send()


async def _send_picture(text: str) -> None:
    image = cl.Image(
        name="picture.svg", content=picture(text), mime="image/svg+xml", display="inline"
    )
    await cl.Message("Drawn from your words:", elements=[image]).send()


def picture(text: str) -> bytes:
    """Draw a symmetric pattern that depends only on a text, as an SVG image."""
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    cells = [(x, y) for y in range(12) for x in range(6) if digest[(7 * y + 3 * x) % 32] >> x & 1]
    squares = "".join(f"M{column} {y}h1v1h-1z" for x, y in cells for column in (x, 11 - x))
    colour = f"rgb({digest[0]}, {digest[1]}, {digest[2]})"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12" width="192" height="192">'
        f'<rect width="12" height="12" fill="white"/><path d="{squares}" fill="{colour}"/></svg>'
    ).encode()


def _picture_button(text: str) -> cl.Action:
    return cl.Action(name="picture", label="Draw a picture of it", payload={"text": text})


async def _offer_commands() -> None:
    command: CommandDict = {
        "id": "Picture",
        "description": "Draw a picture from the words",
        "icon": "image",
        "button": False,
        "persistent": False,
        "selected": False,
    }
    await cl.context.emitter.set_commands([command])
