"""The HTTP headers that a blob is served with; pure functions."""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from pathlib import PurePath
from urllib.parse import quote, unquote

ACTIVE_TYPES = frozenset({"text/html", "text/xml", "application/xml", "text/xsl", "text/rdf"})
"""Types in which a browser runs script; so are all types that end in ``+xml``."""

SNIFFED_TYPES = frozenset({"unknown/unknown", "application/unknown", "*/*"})
"""Types that make a browser look for HTML in the bytes, and run what it finds.

Source: https://mimesniff.spec.whatwg.org/#mime-type-sniffing-algorithm
"""

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
    """Return a safe ``Content-Type`` header for the type that a caller claims.

    It is ``application/octet-stream`` for text that is no type, which could bring a second
    header, or for a type that makes browsers guess.
    """
    plain = mime.strip().rstrip(";").strip()
    if len(plain) >= 256 or not _CONTENT_TYPE.fullmatch(plain) or essence(plain) in SNIFFED_TYPES:
        return UNKNOWN_TYPE
    return plain


def content_disposition(mime: str, name: str) -> str:
    """Build a ``Content-Disposition`` header (RFC 6266, RFC 8187): one line of ASCII.

    Types that run script become downloads. The name may be any text; empty for none.
    """
    kind = disposition_type(content_type(mime))
    file_name = _file_name(name)
    if not file_name:
        return kind
    plain = re.sub(r'[^ -~]|["\\%]', "_", file_name)
    header = f'{kind}; filename="{plain}"'
    if plain == file_name:
        return header
    return f"{header}; filename*=UTF-8''{quote(file_name, safe='')}"


def disposition_type(mime: str) -> str:
    """Decide whether a browser may show a type inside the page.

    ``"attachment"`` is for types in which a browser runs script, or in whose parts it may:
    Firefox shows those of ``multipart/x-mixed-replace``.
    """
    plain = essence(mime)
    if plain in ACTIVE_TYPES | SNIFFED_TYPES or plain.endswith("+xml"):
        return "attachment"
    return "attachment" if plain.startswith("multipart/") else "inline"


def essence(mime: str) -> str:
    """Return a content type without parameters, in lower case."""
    return mime.split(";")[0].strip().lower()


def offered_name(disposition: str) -> str:
    """Read the file name out of a ``Content-Disposition`` header; empty if it has none."""
    line = " ".join(disposition.split())
    if extended := _EXTENDED_NAME.search(line):  # Stands above the plain one (RFC 6266, 4.3).
        return unquote(extended[2], encoding=extended[1].lower(), errors="replace")
    message = Message()
    message["Content-Disposition"] = line
    return message.get_filename("")


def _file_name(name: str) -> str:
    """Drop folders and invisible characters: line ends, controls, direction overrides."""
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join("_" if _is_invisible(char) else char for char in last).strip(" .")
    if len(visible) <= NAME_LENGTH:
        return visible
    suffix = PurePath(visible).suffix[:20]
    return visible[: NAME_LENGTH - len(suffix)] + suffix


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
