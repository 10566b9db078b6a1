"""Object keys: what is accepted, and how it is made safe in a URL."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

from .._internal.json import clean_text
from ..errors import BlobRejected, StorageError

KEY_BYTES = 1024
"""The length of an object key at most; S3's own limit."""

_LONGEST_PART = 200
# Keys of `new_object_key`, and of the blob that `StorageClient.check` writes.
_OWN_KEY = re.compile(r"threads/([^/]+)/[^/]+/[0-9a-f]{32}|chainlit-sqla-check/[0-9a-f]{16}")
_ESCAPED_DOTS = re.compile(r"\.{1,2}~+")
_DOTS = re.compile(r"\.{1,2}~*")


class UnusableKey(BlobRejected):
    """A store cannot have a blob under this key."""


def new_object_key(thread_id: object, element_id: object) -> str:
    """Create a key for the bytes of an element that was never used before."""
    return f"threads/{_key_part(thread_id)}/{_key_part(element_id)}/{uuid.uuid4().hex}"


def is_own_key(key: str) -> bool:
    """Whether a key has the form of those that this package creates."""
    return _OWN_KEY.fullmatch(key) is not None


def thread_of_key(key: str) -> str:
    """The id of the thread in a key of `new_object_key`; empty for other keys."""
    match = _OWN_KEY.fullmatch(key)
    return clean_text(unquote(match[1] or "")) if match else ""


def names_thread(key: str, thread_id: str, element_id: str) -> bool:
    """Whether a key is one that this package, or Chainlit's asyncpg layer, gave an element."""
    match = _OWN_KEY.fullmatch(key)
    own = match is not None and match[1] == _key_part(thread_id)
    return own or key == f"threads/{thread_id}/files/{element_id}"


def _key_part(id: object) -> str:
    """Return an id as part of a key: readable if it is short, else its hash."""
    raw = str(id).encode("utf-8", "replace")
    text = quote(raw, safe="")
    if len(text) > _LONGEST_PART or not text.strip("."):
        return hashlib.sha256(raw).hexdigest()
    return text


def key_bytes(key: str) -> bytes:
    """Encode an object key; a StorageError if it is empty, too long or not text."""
    try:
        raw = key.encode()
    except UnicodeEncodeError:
        raise UnusableKey(
            f"The object key {key!r} has a lone surrogate; use a key that is valid Unicode"
        ) from None
    if not 0 < len(raw) <= KEY_BYTES:
        raise UnusableKey(
            f"The object key {key[:80]!r} has {len(raw):,} bytes; use one of 1 to {KEY_BYTES:,}"
        )
    return raw


def url_safe_key(key: str) -> str:
    """Escape the parts of a key that HTTP clients would resolve as a path.

    Browsers and some HTTP libraries remove ``..`` from a URL before they send it: the
    request then reaches another object, or another bucket. So the parts ``.`` and ``..``
    get a ``~``; every other key stays unchanged, and different keys stay different.
    """
    if "." in key:
        parts = key.split("/")
        key = "/".join(f"{part}~" if _DOTS.fullmatch(part) else part for part in parts)
    key_bytes(key)
    return key


def original_key(safe: str) -> str:
    """Undo `url_safe_key`, for keys that a store lists."""
    parts = safe.split("/")
    return "/".join(part[:-1] if _ESCAPED_DOTS.fullmatch(part) else part for part in parts)


def possible_names(
    keys: Iterable[str], name_of: Callable[[str], str]
) -> tuple[dict[str, str], list[StorageError]]:
    """Return the names of keys in a store, and the errors of keys that have none."""
    names: dict[str, str] = {}
    errors: list[StorageError] = []
    for key in keys:
        try:
            names[key] = name_of(key)
        except StorageError as error:
            errors.append(error)
    return names, errors


def key_behind(name: str, key_of: Callable[[str], str], name_of: Callable[[str], str]) -> str:
    """Return the key of a name in a listing; empty if no key has this name.

    Other software may store under such names, ``a/../b`` for instance; a key for one would lead
    nowhere, or to another blob.
    """
    key = key_of(name)
    try:
        return key if name_of(key) == name else ""
    except StorageError:
        return ""
