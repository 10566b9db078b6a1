"""`ChatExport`: a conversation a line, in the form in which chat models are trained.

``messages`` is as OpenAI documents it for supervised fine-tuning
(https://platform.openai.com/docs/guides/supervised-fine-tuning), and as stricter readers of that
form want it:

- roles system, user and assistant, and with tools also tool; content is text;
- nobody speaks twice in a row: what they said is one message, with an empty line between, and
  the call of a tool is one with what was said before it;
- it begins with the user, after what the system says: a greeting answers nothing;
- it ends with an answer; a conversation without one is left out;
- errors that were shown instead of an answer are left out, and messages without text;
- ``"weight": 0`` keeps an answer from being learnt, as that documentation says; the calls of tools
  that led to it are not to be learnt either;
- a call is followed at once by what it gave, its id has up to 40 characters (the API refuses longer
  ones), its arguments are the text of a JSON object, and its function is one of ``tools``.

Feedback stands beside ``messages``, because trainers refuse members of messages that they do not
know; it names the message by its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any

import orjson

from ..._internal import json as _json
from ..._internal.timestamps import format_instant
from ..records import Record
from . import formatting as words
from .conversation import Conversation, Entry
from .sink import Report, Write
from .transcript import EVERY

_ROLES = {
    "user_message": "user",
    "assistant_message": "assistant",
    "system_message": "system",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64
_LONGEST_ID = 40
_HELD = 4_000_000
"""Bytes of a line that are held in memory; what is longer waits in a file without name."""
_COPIED = 1_000_000


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What a line holds.

    Args:
        tools: Also calls of tools, and what they gave.
        bare: Only ``messages`` (and ``tools``), for trainers that refuse other members.
        liked: Answers without a thumb up are not to be learnt.
    """

    tools: bool = False
    bare: bool = False
    liked: bool = False


class ChatExport:
    """Writes conversations as lines.

    Args:
        write: Takes bytes.
        report: Is told how many steps more are written.
        options: What a line holds.

    Example:
        ``await ChatExport(file.write, report, ChatOptions()).add(conversation)``
    """

    suffix = ".jsonl"

    def __init__(self, write: Write, report: Report, options: ChatOptions) -> None:
        self._write = write
        self._report = report
        self._options = options
        self.parts = 0
        """Messages that were written."""
        self.unanswered = 0
        """Conversations without an answer."""
        self.unlearnt = 0
        """Conversations that a bare file leaves out, since no answer is to be learnt."""

    def begin(self, total: int) -> None:
        """Nothing stands before the first line."""

    async def add(self, conversation: Conversation) -> None:
        """Write a conversation, unless it has no answer (to be learnt, in a bare file)."""
        with SpooledTemporaryFile(_HELD) as file:
            line = _Line(file.write, self._options)
            number = 0
            async for entry in conversation.entries:
                line.take(entry)
                number += 1
                if number == EVERY:
                    self._report(number)
                    number = 0
            self._report(number)
            line.end(conversation)
            if not line.answers:
                self.unanswered += 1
                return
            if self._options.bare and not line.weighed:
                self.unlearnt += 1
                return
            self.parts += line.messages
            file.seek(0)
            while part := file.read(_COPIED):
                self._write(part)

    def end(self) -> None:
        """Nothing stands behind the last line."""


@dataclass(slots=True)
class _Message:
    """What one role says in a row."""

    role: str
    texts: list[str] = field(default_factory=list)
    feedback: list[Record] = field(default_factory=list)
    call: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


class _Line:
    """One conversation: a message is written when the next one begins."""

    def __init__(self, write: Write, options: ChatOptions) -> None:
        self._write = write
        self._options = options
        self._now: _Message | None = None
        self._waiting: list[dict[str, Any]] = []
        self.messages = 0
        self._asked = False
        self._tools: dict[str, None] = {}
        self._feedback: list[dict[str, Any]] = []
        self.answers = 0
        self.weighed = 0
        """Answers that are to be learnt."""
        write(b'{"messages":[')

    def take(self, entry: Entry) -> None:
        """Add a step, if it is one that counts."""
        step = entry.step
        if step is None:
            return
        role = _ROLES.get(step.values["type"])
        text = words.said(step)
        if role is not None and text.strip() and not step.values["isError"]:
            self._say(role, text, entry.feedback)
        elif self._options.tools and step.values["type"] == "tool" and not entry.in_tool:
            self._call(step)

    def end(self, conversation: Conversation) -> None:
        """Write the rest of the line."""
        self._finish()
        self._write_up_to_last_answer()
        self._write(b"]")
        if self._tools:
            self._member("tools", [_tool(name) for name in self._tools])
        if not self._options.bare:
            values = {one["value"] for one in self._feedback}
            overall = next(iter(values)) if len(values) == 1 else "mixed" if values else None
            self._member("feedback", overall)
            self._member("feedback_by_message", self._feedback)
            self._member("metadata", _metadata(conversation))
        self._write(b"}\n")

    def _member(self, name: str, value: Any) -> None:
        self._write(b"," + orjson.dumps(name) + b":" + orjson.dumps(value, _json.write_exact))

    def _say(self, role: str, text: str, feedback: Any) -> None:
        if role == "assistant" and not self._asked:
            return
        self._asked = self._asked or role == "user"
        if self._now is None or self._now.role != role or self._now.call or self._now.result:
            self._finish()
            self._now = _Message(role)
        self._now.texts.append(text)
        self._now.feedback += feedback

    def _call(self, step: Record) -> None:
        """A tool that was called: what the model asked for, and what it was given."""
        if not self._asked:
            return
        values = step.values
        name = tool_name(values["name"])
        self._tools[name] = None
        function = {"name": name, "arguments": arguments(values["input"])}
        id = call_id(values["id"])
        call = {"id": id, "type": "function", "function": function}
        if self._now is None or self._now.role != "assistant":
            self._finish()
            self._now = _Message("assistant")
        self._now.call = call  # Also of what was said before it.
        self._finish()
        self._now = _Message("tool", result={"tool_call_id": id})
        self._now.texts.append(values["output"] or "")

    def _finish(self) -> None:
        """Take the message that is complete; what has no answer yet waits for it."""
        now, self._now = self._now, None
        if now is None:
            return
        message: dict[str, Any] = {"role": now.role, "content": "\n\n".join(now.texts)}
        if now.call is not None:
            message |= {"content": message["content"] or None, "tool_calls": [now.call]}
        if now.result is not None:
            message |= now.result
        if now.role == "assistant" and now.texts:
            self._weigh(message, now.feedback)
        self._waiting.append(message)
        if now.role == "assistant" and now.call is None:
            self._write_waiting()

    def _write_up_to_last_answer(self) -> None:
        """A call behind the last answer led to nothing, also where both are one message."""
        while self._waiting and not _is_answer(self._waiting[-1]):
            self._waiting.pop()
        if self._waiting:
            self._waiting[-1].pop("tool_calls", None)
        self._write_waiting()

    def _write_waiting(self) -> None:
        for message in self._waiting:
            line = orjson.dumps(message)
            self._write(b"," + line if self.messages else line)
            self.messages += 1
        self._waiting.clear()

    def _weigh(self, message: dict[str, Any], feedback: list[Record]) -> None:
        place = self.messages + len(self._waiting)
        given = [
            {"message": place, "value": _thumb(one), "comment": one.values["comment"]}
            for one in feedback
        ]
        thumbs = {one["value"] for one in given}
        refused = "down" in thumbs or (self._options.liked and "up" not in thumbs)
        self.answers += 1
        self.weighed += not refused
        self._feedback += given
        if refused:
            message["weight"] = 0
            self._refuse_calls()

    def _refuse_calls(self) -> None:
        """Those that led to an answer that is refused."""
        for message in reversed(self._waiting):
            if message["role"] == "user":
                return
            if message["role"] == "assistant" and "weight" not in message:
                message["weight"] = 0
                self.weighed -= _is_answer(message)


def _is_answer(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and message["content"] is not None


def _thumb(feedback: Record) -> str:
    return "up" if feedback.values["value"] > 0 else "down"


def tool_name(name: str) -> str:
    """A name as functions may have it: letters, digits, ``_`` and ``-``, up to 64.

    Example:
        >>> tool_name("look up (v2)")
        'look_up_v2'
    """
    return _NOT_IN_NAMES.sub("_", name).strip("_")[:_LONGEST_NAME] or "tool"


def call_id(id: str) -> str:
    """An id that a call may have: the step's, or of one that is too long a digest.

    Example:
        >>> call_id("s1"), len(call_id("s" * 50))
        ('s1', 40)
    """
    if len(id) <= _LONGEST_ID:
        return id
    return hashlib.sha256(id.encode()).hexdigest()[:_LONGEST_ID]


def arguments(text: str | None) -> str:
    """What a tool took, as the JSON object that calls need.

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
    """As little as a description needs: Chainlit does not keep those of the application."""
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
