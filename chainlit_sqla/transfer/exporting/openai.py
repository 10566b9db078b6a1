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
from tempfile import SpooledTemporaryFile
from typing import Any

import orjson

from ..._internal.timestamps import format_instant
from ..records import Record
from .conversation import Conversation, TranscriptEntry
from .formatting import Document, Write, message_text, thumb

_ROLES = {
    "user_message": "user",
    "assistant_message": "assistant",
    "system_message": "system",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 64
_MAX_CALL_ID = 40
_MAX_IN_MEMORY = 4_000_000  # Bytes of a line; a longer one goes to a temporary file.
_COPY_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What a line holds.

    Args:
        tools: Include the calls of tools and their results.
        messages_only: Write only ``messages`` and ``tools``, for trainers that refuse others.
        only_liked: Exclude answers without a thumb up from training.
    """

    tools: bool = False
    messages_only: bool = False
    only_liked: bool = False


class OpenAIExport(Document):
    """Writes each conversation as one line.

    Args:
        write: Writes bytes to the output.
        options: What a line holds.

    Example:
        ``await OpenAIExport(file.write, ChatOptions()).add(conversation)``
    """

    suffix = ".jsonl"

    def __init__(self, write: Write, options: ChatOptions) -> None:
        super().__init__(write)
        self._options = options
        self.unanswered = 0
        """The number of conversations that were left out because they have no answer."""
        self.untrainable = 0
        """The number that ``messages_only`` left out because no answer may be trained on."""

    async def add(self, conversation: Conversation) -> None:
        """Write a conversation, if it has an answer; whether it has is known at its end."""
        with SpooledTemporaryFile(_MAX_IN_MEMORY) as file:
            line = _Line(file.write, self._options)
            async for entry in conversation.entries:
                line.add(entry)
            line.end(conversation)
            if not line.answers:
                self.unanswered += 1
                return
            if self._options.messages_only and not line.trainable_answers:
                self.untrainable += 1
                return
            self.parts += line.messages
            file.seek(0)
            while data := file.read(_COPY_BYTES):
                self._write(data)


@dataclass(slots=True)
class _Message:
    """Consecutive messages of one role, joined."""

    role: str
    texts: list[str] = field(default_factory=list)
    feedback: list[Record] = field(default_factory=list)
    call: Mapping[str, Any] | None = None
    call_id: str | None = None
    """In a result, the id of its call."""


class _Line:
    """The line of one conversation.

    A message is complete when the next role begins. Complete messages are pending until an
    answer follows, and are written then: what no answer follows is left out.
    """

    def __init__(self, write: Write, options: ChatOptions) -> None:
        self._write = write
        self._options = options
        self._current: _Message | None = None
        self._pending: list[dict[str, Any]] = []
        self._user_began = False
        self._tools: dict[str, None] = {}
        self._feedback: list[dict[str, Any]] = []
        self.messages = 0
        self.answers = 0
        self.trainable_answers = 0
        write(b'{"messages":[')

    def add(self, entry: TranscriptEntry) -> None:
        """Add a step; one that is neither a message nor a call is ignored."""
        step = entry.step
        if step is None:
            return
        role = _ROLES.get(step.values["type"])
        text = message_text(step)
        if role is not None and text.strip() and not step.values["isError"]:
            self._add_message(role, text, entry.feedback)
        elif self._options.tools and step.values["type"] == "tool" and not entry.in_tool:
            self._add_call(step)

    def end(self, conversation: Conversation) -> None:
        """Write the rest of the line."""
        self._complete()
        # A call after the last answer led to nothing, also where both are one message.
        while self._pending and not _is_answer(self._pending[-1]):
            self._pending.pop()
        if self._pending:
            self._pending[-1].pop("tool_calls", None)
        self._write_pending()
        self._write(b"]")
        if self._tools:
            self._write_member("tools", [_tool(name) for name in self._tools])
        if not self._options.messages_only:
            thumbs = {feedback["value"] for feedback in self._feedback}
            overall = next(iter(thumbs)) if len(thumbs) == 1 else "mixed" if thumbs else None
            self._write_member("feedback", overall)
            self._write_member("feedback_by_message", self._feedback)
            self._write_member("metadata", _metadata(conversation))
        self._write(b"}\n")

    def _write_member(self, name: str, value: Any) -> None:
        self._write(b"," + orjson.dumps(name) + b":" + orjson.dumps(value))

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
        """Add the call of a tool and its result."""
        if not self._user_began:
            return
        values = step.values
        name = tool_name(values["name"])
        self._tools[name] = None
        id = _call_id(values["id"])
        function = {"name": name, "arguments": arguments(values["input"])}
        if self._current is None or self._current.role != "assistant":
            self._complete()
            self._current = _Message("assistant")
        self._current.call = {"id": id, "type": "function", "function": function}
        self._complete()
        self._current = _Message("tool", [values["output"] or ""], call_id=id)

    def _complete(self) -> None:
        """Make the current message pending; an answer lets all pending messages be written."""
        current, self._current = self._current, None
        if current is None:
            return
        message: dict[str, Any] = {"role": current.role, "content": "\n\n".join(current.texts)}
        if current.call is not None:
            message |= {"content": message["content"] or None, "tool_calls": [current.call]}
        if current.call_id is not None:
            message["tool_call_id"] = current.call_id
        if current.role == "assistant" and current.texts:
            self._rate(message, current.feedback)
        self._pending.append(message)
        if current.role == "assistant" and current.call is None:
            self._write_pending()

    def _write_pending(self) -> None:
        for message in self._pending:
            self._write((b"," if self.messages else b"") + orjson.dumps(message))
            self.messages += 1
        self._pending.clear()

    def _rate(self, message: dict[str, Any], feedback: Sequence[Record]) -> None:
        """Note the feedback for an answer, and exclude an answer that was not liked."""
        position = self.messages + len(self._pending)
        thumbs = {thumb(record) for record in feedback}
        self._feedback += [
            {"message": position, "value": thumb(record), "comment": record.values["comment"]}
            for record in feedback
        ]
        self.answers += 1
        if "down" not in thumbs and ("up" in thumbs or not self._options.only_liked):
            self.trainable_answers += 1
            return
        message["weight"] = 0
        for earlier in reversed(self._pending):  # The calls that led to the answer.
            if earlier["role"] == "user":
                return
            if earlier["role"] == "assistant" and "weight" not in earlier:
                earlier["weight"] = 0
                self.trainable_answers -= _is_answer(earlier)


def _is_answer(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and message["content"] is not None


def tool_name(name: str) -> str:
    """A valid name of a function: letters, digits, ``_`` and ``-``, at most 64.

    Example:
        >>> tool_name("look up (v2)")
        'look_up_v2'
    """
    return _NOT_IN_NAMES.sub("_", name).strip("_")[:_MAX_NAME] or "tool"


def _call_id(id: str) -> str:
    """The id of a step as the id of a call; a digest of one that is too long."""
    return id if len(id) <= _MAX_CALL_ID else hashlib.sha256(id.encode()).hexdigest()[:_MAX_CALL_ID]


def arguments(text: str | None) -> str:
    """The input of a tool as the text of a JSON object, which calls need.

    Example:
        >>> arguments('{"city": "Paris"}'), arguments("Paris")
        ('{"city": "Paris"}', '{"input":"Paris"}')
    """
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
