"""Conversations as a deployment has them, made from numbers: the same for every database.

A conversation is a `Talk`, and all of it follows from its number: who had it, when, and what
was said. So a database can be filled in any portions, and what a search must find is known.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import md5

STEPS = 20
"""Steps in a conversation of the history."""

RARE, COMMON, NOWHERE = "grainvat", "tretgrim", "shortrem"
WORDS = {"rare": RARE, "common": COMMON, "none": NOWHERE}
"""What is searched for.

All trigrams of these words stand in 5 to 10 % of the threads, wherever the words are. In
English texts of this length that is so for one word of 8 to 10 letters in ten; half of them
have 0.5 % or less. So an index of trigrams does not look better here than it is.
"""

_COMMON_SHARE = 0.2
_RARE_MESSAGES = 10
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_BETWEEN_TALKS, _BETWEEN_STEPS = timedelta(seconds=300), timedelta(seconds=5)
_BEGINNINGS = "b br c ch cr d f fl g gr h j l m n p pl pr r s sh st t th tr v w"
_MIDDLES = "a e i o u a e i o ai ea ou"
_ENDS = "n r s l t nd st ck m    "
_TURN = ("user_message", "run", "tool", "assistant_message")


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive numbers of talks, some of which belong to a user under test.

    Args:
        start: The first number.
        end: The number after the last one.
        user: The user under test: as many talks as this are theirs, all over the group.
    """

    start: int
    end: int
    user: int

    @property
    def numbers(self) -> range:
        """The talks of the user under test."""
        stride = (self.end - self.start) // self.user
        return range(self.start, self.start + stride * self.user, stride)


# Each user's talks lie among those of others, as they came: 500 talks are 10^4 steps.
GROUPS = (Group(0, 500, 100), Group(500, 5_000, 1_000), Group(5_000, 50_000, 10_000))
_OTHERS = 100
"""Talks of each of the other users, about."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; the number is its place in the talk."""

    number: int
    id: str
    parent: str | None
    type: str
    name: str
    input: str
    output: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation.

    Args:
        number: What it all follows from.
        steps: How many it has.
        elements: How many of its steps have a file.
    """

    number: int
    steps: int = STEPS
    elements: int = 0

    @property
    def id(self) -> str:
        """The id of the thread."""
        return identity("thread", self.number)

    @property
    def user(self) -> int:
        """The number of the user."""
        for place, group in enumerate(GROUPS):
            if self.number in group.numbers:
                return place
        return len(GROUPS) + _hash("user", self.number) % (1 + self.number // _OTHERS)

    @property
    def began(self) -> datetime:
        """When it began."""
        return _BEGIN + self.number * _BETWEEN_TALKS

    @property
    def ended(self) -> datetime:
        """When the last message came: the end of a turn, if it has one."""
        whole = self.steps - self.steps % len(_TURN)
        return self.began + max(whole - 1, 0) * _BETWEEN_STEPS

    def all_steps(self) -> Iterator[Step]:
        """The steps in their order."""
        draw = random.Random(self.number)
        rare = self._rare_place()
        run = None
        at = self.began
        for number in range(self.steps):
            kind = _TURN[number % len(_TURN)]
            id = identity("step", self.number, number)
            given = said = ""
            if kind == "run":
                run = id
            elif kind == "tool":
                given = f'{{"query": "{_say(draw, 1)}"}}'
                said = _say(draw, 4)
            else:
                word = RARE if number == rare else ""
                if not word and draw.random() < _COMMON_SHARE:
                    word = COMMON
                said = _say(draw, 1 if kind == "user_message" else 5, word)
            parent = run if kind in {"tool", "assistant_message"} else None
            yield Step(number, id, parent, kind, _NAMES[kind], given, said, at)
            at += _BETWEEN_STEPS

    @property
    def title(self) -> str:
        """The first message, as Chainlit names a thread."""
        return next(iter(self.all_steps())).output

    def mentions(self, word: str) -> bool:
        """Tell whether a search for a word must find it, by title or message."""
        return any("message" in step.type and word in step.output for step in self.all_steps())

    def _rare_place(self) -> int | None:
        """The step in which the rare word is: one of each ten messages is the first."""
        for group in GROUPS:
            own = group.numbers
            if self.number in own:
                place, stride = own.index(self.number), group.user // _RARE_MESSAGES
                return None if place % stride else _messages()[place // stride]
        # The same number of messages of other users, in the smallest history.
        return 3 if self.number < GROUPS[0].end and self.number % 50 == 7 else None


def identity(kind: str, *numbers: int) -> str:
    """An id like those that Chainlit makes, in no order."""
    h = md5(f"{kind}{numbers}".encode(), usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def user_id(number: int) -> str:
    """The id of a user."""
    return identity("user", number)


def users(talks: int) -> range:
    """The numbers of all users that a history of so many talks may have."""
    return range(len(GROUPS) + 1 + talks // _OTHERS)


def hits(user: int, word: str, talks: int) -> set[str]:
    """The threads that a search must find.

    Args:
        user: The number of a user under test.
        word: One of `WORDS`.
        talks: How many talks the history has.
    """
    numbers = (number for number in GROUPS[user].numbers if number < talks)
    return {talk.id for talk in map(Talk, numbers) if talk.mentions(word)}


_NAMES = {"user_message": "Ada", "run": "on_message", "tool": "search", "assistant_message": "Bot"}


def _hash(*parts: object) -> int:
    return int.from_bytes(md5(repr(parts).encode(), usedforsecurity=False).digest()[:8])


def _messages() -> list[int]:
    return [n for n in range(STEPS) if "message" in _TURN[n % len(_TURN)]]


@cache
def _sentences() -> list[str]:
    """Two thousand sentences of 4,000 words, some frequent and most seldom."""
    draw = random.Random(4)
    made = (_word(draw) for _ in range(5_000))
    words = [word for word in dict.fromkeys(made) if not any(w in word for w in WORDS.values())]
    weights = list(itertools.accumulate(1 / (place + 3) for place in range(len(words))))
    return [
        " ".join(draw.choices(words, cum_weights=weights, k=draw.randint(6, 20))).capitalize() + "."
        for _ in range(2_000)
    ]


def _word(draw: random.Random) -> str:
    syllables = (
        "".join(draw.choice(parts.split(" ")) for parts in (_BEGINNINGS, _MIDDLES, _ENDS))
        for _ in range(draw.choice((1, 1, 2, 2, 3)))
    )
    return "".join(syllables)


def _say(draw: random.Random, sentences: int, word: str = "") -> str:
    parts = draw.choices(_sentences(), k=sentences)
    if word:
        parts.insert(draw.randrange(len(parts) + 1), f"Also {word} {_hash(word, parts[0]) % 100}.")
    return " ".join(parts)
