"""The HTTP headers that a blob is served with; pure functions."""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from pathlib import PurePath
from urllib.parse import quote, unquote

from .base import SNIFFED_TYPES, essence, shown_as

UNKNOWN_TYPE = "application/octet-stream"
NAME_LENGTH = 150
"""Characters of a file name at most; encoded they stay far below any header limit."""

_EXTENDED_NAME = re.compile(
    r";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE | re.ASCII
)
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - the "token" of RFC 9110
# A comma would let a browser read two types out of one header.
_CONTENT_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:; ?{_TOKEN}=(?:{_TOKEN}|"[A-Za-z0-9 ._:/+-]*"))*')


def content_type(mime: str) -> str:
    """Make a ``Content-Type`` header of what a caller says the type is.

    Args:
        mime: Any text.

    Returns:
        The type, or ``application/octet-stream`` where it is no type at all, or one that
        makes browsers guess.

    Example:
        >>> content_type("text/html" + chr(10) + "Set-Cookie: a=b")
        'application/octet-stream'
    """
    plain = mime.strip().rstrip(";").strip()
    if len(plain) >= 256 or not _CONTENT_TYPE.fullmatch(plain) or essence(plain) in SNIFFED_TYPES:
        return UNKNOWN_TYPE
    return plain


def content_disposition(mime: str, name: str) -> str:
    """Make a ``Content-Disposition`` header (RFC 6266, RFC 8187).

    Args:
        mime: The content type; types that run script become downloads.
        name: The file name to offer, any text; empty for none.

    Returns:
        One line of ASCII.

    Example:
        >>> content_disposition("image/svg+xml", "a b.svg")
        'attachment; filename="a b.svg"'
    """
    kind = shown_as(content_type(mime))
    shown = _file_name(name)
    if not shown:
        return kind
    plain = re.sub(r'[^ -~]|["\\%]', "_", shown)
    header = f'{kind}; filename="{plain}"'
    if plain == shown:
        return header
    return f"{header}; filename*=UTF-8''{quote(shown, safe='')}"


def offered_name(disposition: str) -> str:
    """Read the file name out of a ``Content-Disposition`` header.

    Args:
        disposition: The header, of any origin.

    Returns:
        The name; empty where there is none.

    Example:
        >>> offered_name(content_disposition("text/plain", "ä b.txt"))
        'ä b.txt'
    """
    line = " ".join(disposition.split())
    if extended := _EXTENDED_NAME.search(line):  # Stands above the plain one (RFC 6266, 4.3).
        return unquote(extended[2], encoding=extended[1].lower(), errors="replace")
    message = Message()
    message["Content-Disposition"] = line
    return message.get_filename("")


def _file_name(name: str) -> str:
    """Drop folders and what can't be seen: line ends, controls, direction overrides."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join("_" if _unseen(char) else char for char in last).strip(" .")
    if len(shown) <= NAME_LENGTH:
        return shown
    suffix = PurePath(shown).suffix[:20]
    return shown[: NAME_LENGTH - len(suffix)] + suffix


def _unseen(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
