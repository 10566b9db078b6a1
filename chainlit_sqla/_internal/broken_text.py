"""Text of a database that is no UTF-8, as SQLite stores from programs that wrote other encodings.

Nobody knows which encoding it is in. So it is shown with U+FFFD in place of what cannot be
read, as the Unicode Standard recommends (chapter 3.9, "U+FFFD Substitution of Maximal
Subparts"), and its bytes go with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

_MEMBER = "text_base64"


class BrokenText(str):
    r"""A text that can be read in part.

    Args:
        raw: Its bytes.

    Example:
        >>> text = BrokenText(b"Gr\xfc\xdfe")
        >>> text, text.told_apart, text.document
        ('Gr��e', 'Gr\\xfc\\xdfe', {'text_base64': 'R3L832U='})
    """

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> BrokenText:
        """Read what can be read."""
        found = super().__new__(cls, raw.decode("utf-8", "replace"))
        found.raw = raw
        return found

    @property
    def escaped(self) -> str:
        r"""The text with bytes that are not UTF-8 written as ``\xfc``."""
        return self.told_apart

    @property
    def told_apart(self) -> str:
        """The text, with bytes in hex where it cannot be read: two of them stay two."""
        return self.raw.decode("utf-8", "backslashreplace")

    @property
    def told_surely(self) -> str:
        """The same with a digest of the bytes: for where another text is `told_apart`'s."""
        return f"{self.told_apart} ({hashlib.sha256(self.raw).hexdigest()[:8]})"

    @property
    def document(self) -> dict[str, str]:
        """As JSON, from which `parse` makes it again."""
        return {_MEMBER: base64.b64encode(self.raw).decode()}

    @classmethod
    def parse(cls, document: Any) -> BrokenText | None:
        """Read what `document` gave; None: it is something else."""
        if not isinstance(document, Mapping) or set(document) != {_MEMBER}:
            return None
        try:
            return cls(base64.b64decode(document[_MEMBER], validate=True))
        except (binascii.Error, TypeError, ValueError):
            return None


def read_text(raw: bytes) -> str:
    """A text of a database, broken or not.

    Args:
        raw: Its bytes.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return BrokenText(raw)
