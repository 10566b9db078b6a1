"""An ordinary Chainlit app that knows nothing of a data layer.

    export CHAINLIT_AUTH_SECRET=...     # chainlit create-secret
    chainlit-sqla run examples/minimal_app.py

Log in with any name; the password is "secret".
"""

import chainlit as cl


@cl.password_auth_callback
async def log_in(name: str, password: str) -> cl.User | None:
    return cl.User(identifier=name) if name and password == "secret" else None  # noqa: S105


@cl.on_chat_start
async def start() -> None:
    await cl.Message("Say something.").send()


@cl.on_chat_resume
async def resume(_thread: dict) -> None:
    """Having this function makes Chainlit offer old conversations again."""


@cl.on_message
async def answer(message: cl.Message) -> None:
    await cl.Message(f"You said: {message.content}").send()
