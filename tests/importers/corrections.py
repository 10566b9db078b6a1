"""Where an import gives something else than Chainlit's layer read, on purpose: each a reason."""

from __future__ import annotations

from copy import deepcopy

from tests.frozen import conversations as said
from tests.frozen.catalog import CATALOG
from tests.frozen.comparable import Conversations


def corrected(name: str, expected: Conversations) -> Conversations:
    """What is expected of us instead of what Chainlit's layer reads.

    Args:
        name: The frozen database.
        expected: What Chainlit's own layer read from it.
    """
    expected = deepcopy(expected)
    if CATALOG[name].kind == "prisma":
        # An element without a thread belongs to that of its step; Chainlit does not show it.
        whole = expected["threads"][said.thread_id(1)]["elements"]
        nothing = dict.fromkeys(next(iter(whole.values()))[0])
        whole[said.element_id(10)] = [
            nothing
            | {
                "id": said.element_id(10),
                "type": "image",
                "name": "in no thread",
                "mime": "image/png",
                "url": "https://pictures.example/c.png",
                "forId": said.step_id(1, 1),
            }
        ]
    return expected
