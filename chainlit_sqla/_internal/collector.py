"""The garbage collector, out of the way while much is made that will be kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Let the garbage collector pause for some tenths of a second.

    While many objects are made that all stay, it would look at all objects of the application
    again and again, and nobody else runs while it does.

    Example:
        >>> with paused():
        ...     document = json.loads(text)
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
