"""What an element of Chainlit's holds."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StorageError
from ..storage.base import BlobSource

if TYPE_CHECKING:
    from chainlit.element import Element

log = logging.getLogger(__name__)


def source_of(element: Element, *, keep_open: bool) -> BlobSource | None:
    """The bytes of an element, opened now: Chainlit deletes its session's folder later.

    A custom element has none: its content is its props, which are a column.

    Args:
        element: What Chainlit sends.
        keep_open: False where too many files are open already: it is opened in its turn.

    Raises:
        StorageError: The file cannot be read.
    """
    if element.type == "custom":
        return None
    if element.path:
        return _opened(element.path) if keep_open else BlobSource(path=Path(element.path))
    content = element.content
    if content is None or (element.url and not content):
        return None
    return BlobSource(data=content.encode() if isinstance(content, str) else bytes(content))


def _opened(path: str) -> BlobSource:
    try:
        return BlobSource.opened(Path(path))
    except OSError as error:
        reason = error.strerror or str(error)
        log.error("Not stored: the file %s cannot be read (%s)", path, reason)
        raise StorageError(
            f"The file {path} cannot be read ({reason}); send the element while its file is there"
        ) from error
