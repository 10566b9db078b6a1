"""Writes conversations as lines for training and evaluating chat models.

``messages`` follows OpenAI's format for supervised fine-tuning
(https://platform.openai.com/docs/guides/supervised-fine-tuning), and the stricter readers of it:

- the roles are system, user and assistant, and with tools also tool; content is text;
- roles alternate: consecutive messages of one role are joined by an empty line, and the call of a
  tool is one message with what was said before it;
- after the system's messages, the user begins: a greeting answers nothing;
- it ends with an answer; a conversation without one is left out;
- errors that were shown instead of an answer are left out, and so are messages without text;
- ``"weight": 0`` excludes an answer from training, and the tool calls that led to it;
- a call is followed directly by its result, its id has at most 40 characters, its arguments are
  the text of a JSON object, and its function is one of ``tools``.

Feedback stands beside ``messages``, since trainers refuse unknown members of messages; it names
the message by its position.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..._internal.timestamps import format_instant
from ..records import Record
from .conversation import (
    MESSAGE_TYPES,
    Conversation,
    Document,
    TranscriptEntry,
    Write,
    message_text,
    thumb,
)

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 64
_MAX_CALL_ID = 40


class OpenAIExport(Document):
    """Writes each conversation that has an answer as one line, if asked to with tool calls."""

    def __init__(self, write: Write, *, tools: bool = False) -> None:
        super().__init__(write)
        self._tools = tools

    async def add(self, conversation: Conversation) -> bool:
        """Write a conversation; the first message is known when an answer is."""
        chat = ChatMessages(tools=self._tools)
        before = b'{"messages":['

        def write(messages: Sequence[Mapping[str, Any]]) -> None:
            nonlocal before
            for message in messages:
                self._write(before + orjson.dumps(message))
                before = b","

        async for entry in conversation.entries:
            write(chat.add(entry))
        write(chat.end())
        if before != b",":
            return False
        thumbs = {feedback["value"] for feedback in chat.feedback}
        members: dict[str, Any] = {}
        if chat.tools:
            members["tools"] = [_tool(name) for name in chat.tools]
        members |= {
            "feedback": "mixed" if len(thumbs) > 1 else next(iter(thumbs), None),
            "feedback_by_message": chat.feedback,
            "metadata": _metadata(conversation),
        }
        self._write(b"]," + orjson.dumps(members).removeprefix(b"{") + b"\n")
        return True


@dataclass(slots=True)
class _Message:
    """Consecutive messages of one role, joined."""

    role: str
    texts: list[str] = field(default_factory=list)
    feedback: list[Record] = field(default_factory=list)
    call: Mapping[str, Any] | None = None
    call_id: str | None = None
    """In a result, the id of its call."""


class ChatMessages:
    """Turns the entries of a conversation into messages for a chat model.

    A message is complete when the next role begins. Complete messages are pending until an
    answer follows, and are returned then: what no answer follows is left out.
    """

    def __init__(self, *, tools: bool = False) -> None:
        self.tools: dict[str, None] = {}
        """The names of the called functions, in order."""
        self.feedback: list[dict[str, Any]] = []
        """The feedback for the answers."""
        self._with_tools = tools
        self._user_began = False
        self._current: _Message | None = None
        self._pending: list[dict[str, Any]] = []
        self._ready: list[dict[str, Any]] = []
        self._returned = 0

    def add(self, entry: TranscriptEntry) -> Sequence[Mapping[str, Any]]:
        """Add an entry, and return the messages that are certain now."""
        step = entry.step
        if step is not None:
            type_, text = step.values["type"], message_text(step)
            if type_ in MESSAGE_TYPES and text.strip() and not step.values["isError"]:
                self._add_message(type_.removesuffix("_message"), text, entry.feedback)
            elif self._with_tools and type_ == "tool" and not entry.in_tool:
                self._add_call(step)
        return self._take_ready()

    def end(self) -> Sequence[Mapping[str, Any]]:
        """Return the rest of the messages."""
        self._complete()
        # A call after the last answer led to nothing, also where both are one message.
        while self._pending and not _is_answer(self._pending[-1]):
            self._pending.pop()
        if self._pending:
            self._pending[-1].pop("tool_calls", None)
        self._ready += self._pending
        return self._take_ready()

    def _take_ready(self) -> Sequence[Mapping[str, Any]]:
        ready, self._ready = self._ready, []
        self._returned += len(ready)
        return ready

    def _add_message(self, role: str, text: str, feedback: Sequence[Record]) -> None:
        if role == "assistant" and not self._user_began:
            return
        self._user_began = self._user_began or role == "user"
        current = self._current
        if current is None or current.role != role or current.call or current.call_id:
            self._complete()
            self._current = current = _Message(role)
        current.texts.append(text)
        current.feedback += feedback

    def _add_call(self, step: Record) -> None:
        if not self._user_began:
            return
        values = step.values
        name = tool_name(values["name"])
        self.tools[name] = None
        id = _call_id(values["id"])
        function = {"name": name, "arguments": arguments(values["input"])}
        if self._current is None or self._current.role != "assistant":
            self._complete()
            self._current = _Message("assistant")
        self._current.call = {"id": id, "type": "function", "function": function}
        self._complete()
        self._current = _Message("tool", [values["output"] or ""], call_id=id)

    def _complete(self) -> None:
        """Make the current message pending; an answer makes all pending messages certain."""
        current, self._current = self._current, None
        if current is None:
            return
        message: dict[str, Any] = {"role": current.role, "content": "\n\n".join(current.texts)}
        if current.call is not None:
            message |= {"content": message["content"] or None, "tool_calls": [current.call]}
        if current.call_id is not None:
            message["tool_call_id"] = current.call_id
        self._pending.append(message)
        if current.role == "assistant":
            self._rate(current.feedback)
            if current.call is None:
                self._ready += self._pending
                self._pending = []

    def _rate(self, feedback: Sequence[Record]) -> None:
        """Note the feedback for the last pending message, and exclude what was not liked."""
        position = self._returned + len(self._ready) + len(self._pending) - 1
        self.feedback += [
            {"message": position, "value": thumb(record), "comment": record.values["comment"]}
            for record in feedback
        ]
        if any(thumb(record) == "down" for record in feedback):
            for message in reversed(self._pending):  # The answer, and the calls that led to it.
                if message["role"] == "user":
                    return
                if message["role"] == "assistant":
                    message["weight"] = 0


def _is_answer(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and message["content"] is not None


def tool_name(name: str) -> str:
    """A valid name of a function: letters, digits, ``_`` and ``-``, at most 64."""
    return _NOT_IN_NAMES.sub("_", name).strip("_")[:_MAX_NAME] or "tool"


def _call_id(id: str) -> str:
    """The id of a step as the id of a call; a digest of one that is too long."""
    return id if len(id) <= _MAX_CALL_ID else hashlib.sha256(id.encode()).hexdigest()[:_MAX_CALL_ID]


def arguments(text: str | None) -> str:
    """The input of a tool as the text of a JSON object, which calls need."""
    try:
        if isinstance(orjson.loads(text or "{}"), dict):
            return text or "{}"
    except ValueError:
        pass
    return orjson.dumps({"input": text}).decode()


def _tool(name: str) -> dict[str, Any]:
    """A minimal definition: Chainlit does not store those of the application."""
    parameters = {"type": "object", "properties": {}, "additionalProperties": True}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def _metadata(conversation: Conversation) -> dict[str, Any]:
    values = conversation.thread.values
    owner = conversation.owner
    return {
        "thread": values["id"],
        "name": values["name"],
        "user": values["userIdentifier"] if owner is None else owner.values["identifier"],
        "tags": values["tags"] or [],
        "created_at": format_instant(values["createdAt"]),
        "updated_at": format_instant(values["updatedAt"]),
    }
