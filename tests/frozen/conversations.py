"""The conversations in the frozen databases: the same in each, as far as it can hold them.

Made to show loss: quotes, line ends, backslashes and characters beyond the first plane in
every text; JSON within JSON; each form of time and of ``showInput`` that was seen.
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

LONG = "A line of a long answer, with a comma; \"quoted\" and 'so' – 漢字 🙂.\n" * 1500
"""An output of more than 100 kB; in the files it is an expression."""

AWKWARD = (
    'It\'s "quoted" with a back\\slash, \\n that is none, a real\nline, a Windows\r\nline, '
    "a\ttab, %s and :colon and {brace} and $1, 漢字, ÄÖÜß and 🙂👩‍👩‍👧."
)


def user_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def thread_id(number: int) -> str:
    return f"10000000-0000-4000-8000-{number:012d}"


def step_id(thread: int, number: int) -> str:
    return f"20000000-0000-4000-8000-{thread:04d}{number:08d}"


def element_id(number: int) -> str:
    return f"30000000-0000-4000-8000-{number:012d}"


def feedback_id(number: int) -> str:
    return f"40000000-0000-4000-8000-{number:012d}"


ADA, ZOLC, QUIET = "ada@example.com", "Żółć 漢字 🙂 O'Brien", "quiet"
USERS: list[Row] = [
    {
        "id": user_id(1),
        "identifier": ADA,
        "metadata": {"role": "admin", "provider": "credentials"},
        "createdAt": "2025-01-01T08:00:00.123456Z",
    },
    {
        "id": user_id(2),
        "identifier": ZOLC,
        "metadata": {"nested": {"list": [1, 2.5, None, {"ü": "\"'\\"}]}, "image": None},
        "createdAt": "2025-01-02T08:00:00Z",
    },
    {"id": user_id(3), "identifier": QUIET, "metadata": {}, "createdAt": "2025-01-03T08:00:00Z"},
]
USER_IDS = {user["identifier"]: user["id"] for user in USERS}

BIG = 9007199254740993
"""A number that a float cannot hold."""

GENERATION = {
    "provider": "openai",
    "model": "gpt-4",
    "settings": {"temperature": 0.5, "stop": ["\n", "🙂"]},
    "messages": [{"role": "user", "content": AWKWARD}],
    "promptTokens": 12,
    "outputTokenCount": None,
}


def step(thread: int, number: int, type_: str, **values: Any) -> Row:
    """A step with what Chainlit sends for each; times a second after the one before."""
    at = f"2025-02-{thread:02d}T10:00:{number:02d}.000{number:03d}Z"
    return {
        "id": step_id(thread, number),
        "threadId": thread_id(thread),
        "parentId": None,
        "name": "Ada",
        "type": type_,
        "streaming": False,
        "waitForAnswer": False,
        "isError": False,
        "disableFeedback": False,
        "indent": 0,
        "metadata": {},
        "tags": None,
        "input": "",
        "output": "",
        "createdAt": at,
        "start": at,
        "end": at,
        "generation": None,
        "showInput": "json",
        "language": None,
        "command": None,
        "modes": None,
        "defaultOpen": False,
        "autoCollapse": False,
        **values,
    }


STEPS: list[Row] = [
    step(
        1, 1, "user_message", output=AWKWARD, command="Search", waitForAnswer=True,
        modes={"model": "large", "ü": ["🙂"]}, metadata={"location": "https://chat.example/?a='b'"},
    ),
    step(1, 2, "run", name="on_message", parentId=step_id(1, 1), input=AWKWARD, defaultOpen=True),
    step(
        1, 3, "tool", name="Suche 🙂", parentId=step_id(1, 2), tags=["tool", "a, b", 'q"q'],
        input='{"query": "it\'s", "limit": 10, "deep": {"a": [1, null, true]}}', output="[1, 2]",
        showInput="json", language="json", autoCollapse=True, indent=1,
        metadata={"favorite": True, "nested": {"none": None, "float": 1.5, "big": BIG}},
    ),
    step(
        1, 4, "llm", name="gpt-4", parentId=step_id(1, 3), generation=GENERATION, input="prompt",
        output="answer", showInput=True, indent=2, start="2025-02-01T10:00:04.000004Z",
        end="2025-02-01T10:00:09.5Z",
    ),
    step(
        1, 5, "tool", name="broken", parentId=step_id(1, 2), isError=True, showInput=False,
        input="kept though it is not shown", output="ValueError: 'x' is not \\x\n  at line 1",
    ),
    step(1, 6, "assistant_message", name="Assistant", parentId=step_id(1, 2), output="Done. 🙂"),
    step(1, 7, "assistant_message", name="Assistant", output="Anything else?", showInput=None),
    step(2, 1, "user_message", name=ZOLC, output="Tell me a long story."),
    step(2, 2, "assistant_message", name="Assistant", output=LONG, language="markdown"),
    step(2, 3, "tool", name="code", input="print('ü')\n", showInput="python", language="python"),
    step(3, 1, "user_message", output="A thread without a name."),
    step(4, 1, "user_message", name="Guest", output="Nobody is logged in."),
    step(4, 2, "assistant_message", name="Assistant", output="Welcome."),
    *(
        step(6, number, "tool", name=form, output=form, start=form, end=form)
        for number, form in enumerate(
            (
                "2025-02-06T11:00:00Z",
                "2025-02-06T11:00:01.5Z",
                "2025-02-06T11:00:02+00:00",
                "2025-02-06T11:00:03.123456+00:00",
                "2025-02-06T13:00:04.250000+02:00",
                "2025-02-06T11:00:05+00:00Z",
                "2025-02-06T11:00:06.789",
                "2025-02-06 11:00:07",
                "1738839608000",
                "1738839609",
                "yesterday, about noon",
                "",
            ),
            start=1,
        )
    ),
]  # fmt: skip

BARE_STEPS: list[Row] = [
    {
        "id": step_id(5, number), "threadId": thread_id(5), "name": "Ada", "type": "user_message",
        "streaming": False, "disableFeedback": True, "input": None, "output": output,
        "createdAt": at, "showInput": None,
    }
    for number, output, at in (
        (1, "by another program", "2025-02-05T10:00:01Z"),
        (2, "without a date", None),
        (3, None, None),
    )
]  # fmt: skip
"""Steps with nothing but what must be there."""

THREADS: list[Row] = [
    {
        "number": 1,
        "name": "It's a \"whole\" conversation 🙂",
        "user": ADA,
        "tags": ["plain", "a, b", 'quo"te', "it's {braced}", "back\\slash", "漢字 🙂", "NULL"],
        "metadata": {
            "id": "session", "env": "{}", "chat_settings": {"model": None, "temperature": 0.25},
            "is_shared": True, "shared_at": "2025-02-02T00:00:00Z", "deep": {"a": [{"b": AWKWARD}]},
        },
    },
    {"number": 2, "name": "Złoto", "user": ZOLC, "tags": [], "metadata": {"chat_profile": "ü"}},
    {"number": 3, "name": None, "user": ADA, "tags": None, "metadata": {}},
    {"number": 4, "name": "Nobody's", "user": None, "tags": ["anonymous"], "metadata": {}},
    {"number": 5, "name": "Without a date", "user": ADA, "tags": None, "metadata": {}},
    {"number": 6, "name": "Forms of time", "user": ZOLC, "tags": None, "metadata": {"a": 1}},
    {"number": 7, "name": "Without steps", "user": ADA, "tags": None, "metadata": None},
]  # fmt: skip


def thread_time(number: int) -> str:
    """When a thread was made."""
    return f"2025-02-{number:02d}T09:59:59.000001Z"


ELEMENTS: list[Row] = [
    {
        "id": element_id(1), "threadId": thread_id(1), "forId": step_id(1, 1), "type": "image",
        "name": "it's a \"picture\" 🙂.png", "mime": "image/png", "display": "inline",
        "size": "large", "content": b"\x89PNG\r\n\x1a\n\x00picture",
    },
    {
        "id": element_id(2), "threadId": thread_id(1), "forId": step_id(1, 6), "type": "pdf",
        "name": "report.pdf", "mime": "application/pdf", "display": "side", "page": 3,
        "content": b"%PDF-1.7 report",
    },
    {
        "id": element_id(3), "threadId": thread_id(1), "forId": step_id(1, 6), "type": "custom",
        "name": "LinearTicket", "mime": "application/json", "display": "inline",
        "props": {"title": AWKWARD, "open": True, "assignee": None, "points": [1, 2.5, {"a": []}]},
    },
    {
        "id": element_id(4), "threadId": thread_id(1), "forId": step_id(1, 7), "type": "audio",
        "name": "answer.mp3", "mime": "audio/mpeg", "display": "inline", "autoPlay": True,
        "content": b"ID3 audio",
    },
    {
        "id": element_id(5), "threadId": thread_id(2), "forId": step_id(2, 2), "type": "video",
        "name": "Złoto.mp4", "mime": "video/mp4", "display": "page", "size": "medium",
        "playerConfig": {"youtube": {"start": 5, "label": "ü"}}, "content": b"video",
    },
    {
        "id": element_id(6), "threadId": thread_id(2), "forId": step_id(2, 3), "type": "text",
        "name": "code.py", "mime": "text/plain", "display": "side", "language": "python",
        "content": "print('ü')\n".encode(),
    },
]  # fmt: skip

TASK_LIST: Row = {
    "id": element_id(7), "threadId": thread_id(1), "forId": "", "type": "tasklist",
    "name": "tasklist", "mime": "application/json", "display": "inline", "chainlitKey": "task-key",
    "objectKey": f"{user_id(1)}/{element_id(7)}/tasklist", "props": {},
}  # fmt: skip
"""Chainlit's SQLAlchemy layer stores no element without a step: other writers do."""

LINK: Row = {
    "id": element_id(8), "threadId": thread_id(3), "forId": step_id(3, 1), "type": "image",
    "name": "elsewhere", "url": "https://pictures.example/a%20b.png?c='d'", "mime": "image/png",
    "display": "inline", "size": "medium", "props": {},
}  # fmt: skip
"""An element that lies elsewhere: the layer would fetch it when it is created."""

FEEDBACKS: list[Row] = [
    {
        "id": feedback_id(1), "threadId": thread_id(1), "forId": step_id(1, 6), "value": 1,
        "comment": AWKWARD,
    },
    {
        "id": feedback_id(2), "threadId": thread_id(1), "forId": step_id(1, 7), "value": 0,
        "comment": None,
    },
    {
        "id": feedback_id(3), "threadId": thread_id(2), "forId": step_id(2, 2), "value": 0,
        "comment": "zu lang",
    },
]  # fmt: skip
