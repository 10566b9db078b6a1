"""Any story of writes, one by one or in one moment, leaves what a model of it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import pytest
from chainlit.element import Image
from chainlit.types import Feedback
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainlit_sqla.errors import ThreadDeleted
from tests.contract.build import at, new_id, person

pytestmark = pytest.mark.ours

THREADS, STEPS, ELEMENTS = ("t0", "t1"), ("s0", "s1", "s2"), ("e0", "e1")


@dataclass
class Chat:
    owner: str | None = None
    metadata: dict[str, int] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)
    feedback: dict[str, int] = field(default_factory=dict)

    def below(self, step_id: str) -> set[str]:
        found, line = set(), [step_id]
        while line:
            found.add(line.pop())
            line += [
                key
                for key, step in self.steps.items()
                if step.get("parentId") in found and key not in found
            ]
        return found


class Model:
    """What the layer promises, without a database."""

    def __init__(self, prefix: str, owner: str) -> None:
        self.prefix = prefix
        self.owner = owner
        self.chats: dict[str, Chat] = {}
        self.dead: set[str] = set()
        self.dead_steps: set[tuple[str, str]] = set()

    def chat(self, thread: str) -> Chat | None:
        """The thread to write into, made where it is missing; None where it was deleted."""
        return None if thread in self.dead else self.chats.setdefault(thread, Chat())

    def own(self, thread: str) -> None:
        self.dead.discard(thread)
        self.chats.setdefault(thread, Chat()).owner = self.owner

    def merge(self, thread: str, key: str, value: int | None) -> None:
        if chat := self.chat(thread):
            chat.metadata.pop(key, None)
            if value is not None:
                chat.metadata[key] = value

    def write(self, thread: str, step: str, values: dict[str, Any]) -> None:
        if (chat := self.chat(thread)) and (thread, step) not in self.dead_steps:
            given = {key: value for key, value in values.items() if value is not None}
            chat.steps.setdefault(step, {}).update(given)

    def attach(self, thread: str, element: str, step: str, name: str) -> None:
        if (chat := self.chat(thread)) and (thread, step) not in self.dead_steps:
            chat.elements[element] = {"forId": self.prefix + step, "name": name}

    def rate(self, thread: str, step: str, value: int) -> None:
        if (chat := self.chat(thread)) and (thread, step) not in self.dead_steps:
            chat.feedback[step] = value

    def delete_element(self, thread: str, element: str) -> None:
        if chat := self.chats.get(thread):
            chat.elements.pop(element, None)

    def delete_step(self, step: str) -> None:
        for name, chat in self.chats.items():
            if step in chat.steps:
                gone = chat.below(step)
                self.dead_steps |= {(name, one) for one in gone}
                for one in gone:
                    chat.steps.pop(one, None)
                    chat.feedback.pop(one, None)
                names = {self.prefix + one for one in gone}
                chat.elements = {k: v for k, v in chat.elements.items() if v["forId"] not in names}

    def delete_thread(self, thread: str) -> None:
        self.dead.add(thread)
        self.chats.pop(thread, None)

    def state(self) -> dict[str, Any]:
        return {
            thread: {
                "owner": chat.owner,
                "metadata": chat.metadata,
                "steps": {
                    step: (
                        values.get("output", ""),
                        values.get("parentId"),
                        chat.feedback.get(step),
                    )
                    for step, values in chat.steps.items()
                },
                "elements": chat.elements,
            }
            for thread, chat in self.chats.items()
        }


threads, steps, elements = map(st.sampled_from, (THREADS, STEPS, ELEMENTS))
texts = st.sampled_from("abcdef")
deeds = st.one_of(
    st.tuples(st.just("own"), threads),
    st.tuples(st.just("merge"), threads, st.sampled_from("xyz"), st.none() | st.integers(0, 9)),
    st.tuples(
        st.just("write"),
        threads,
        steps,
        st.fixed_dictionaries({"output": texts}, optional={"parentId": st.none() | steps}),
    ),
    st.tuples(st.just("write"), threads, steps, st.fixed_dictionaries({"output": texts})),
    st.tuples(st.just("attach"), threads, elements, steps, texts),
    st.tuples(st.just("rate"), threads, steps, st.integers(0, 1)),
    st.tuples(st.just("delete_element"), threads, elements),
    st.tuples(st.just("delete_step"), steps),
    st.tuples(st.just("delete_thread"), threads),
)
stories = st.lists(st.lists(deeds, min_size=1, max_size=8), min_size=1, max_size=5)


def deed(layer: Any, model: Model, what: str, *args: Any) -> Awaitable[Any]:
    """Do in the layer what `Model` does under the same name."""
    prefix, owner = model.prefix, model.owner
    first = prefix + args[0]
    if what == "own":
        return layer.update_thread(first, user_id=owner)
    if what == "merge":
        return layer.update_thread(first, metadata={args[1]: args[2]})
    if what == "write":
        values = dict(args[2])
        if values.get("parentId"):
            values["parentId"] = prefix + values["parentId"]
        step = {"id": prefix + args[1], "threadId": first, "type": "tool", **values}
        return layer.update_step(step)
    if what == "attach":
        return layer.create_element(
            Image(
                thread_id=first,
                id=prefix + args[1],
                for_id=prefix + args[2],
                name=args[3],
                url="https://example.org/picture",
            )
        )
    if what == "rate":
        return layer.upsert_feedback(
            Feedback(forId=prefix + args[1], value=args[2], threadId=first)
        )
    if what == "delete_element":
        return layer.delete_element(prefix + args[1], first)
    return getattr(layer, what)(first)


async def state(layer: Any, prefix: str) -> dict[str, Any]:
    found = {}
    for thread in THREADS:
        if chat := await layer.get_thread(prefix + thread):
            found[thread] = {
                "owner": chat["userId"],
                "metadata": chat["metadata"],
                "steps": {
                    step["id"].removeprefix(prefix): (
                        step["output"],
                        step["parentId"] and step["parentId"].removeprefix(prefix),
                        step["feedback"] and step["feedback"]["value"],
                    )
                    for step in chat["steps"]
                },
                "elements": {
                    element["id"].removeprefix(prefix): {
                        "forId": element["forId"],
                        "name": element["name"],
                    }
                    for element in chat["elements"]
                },
            }
    return found


@settings(max_examples=60)
@given(story=stories)
@example(  # An element sent before its thread was opened again stays lost.
    story=[
        [
            ("attach", "t0", "e0", "s0", "a"),
            ("delete_thread", "t0"),
            ("attach", "t0", "e0", "s0", "a"),
            ("own", "t0"),
        ]
    ]
)
async def test_the_layer_agrees_with_the_model(layer: Any, story: list[list[Any]]) -> None:
    prefix = new_id() + at()
    owner = await person(layer)
    model = Model(prefix, owner.id)
    for moment in story:
        for what, *args in moment:
            getattr(model, what)(*args)
        deeds = (deed(layer, model, what, *args) for what, *args in moment)
        for answer in await asyncio.gather(*deeds, return_exceptions=True):
            if isinstance(answer, Exception) and not isinstance(answer, ThreadDeleted):
                raise answer
        assert await state(layer, prefix) == model.state()
