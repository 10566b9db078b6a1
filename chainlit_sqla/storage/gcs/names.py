"""Object keys as names that Google Cloud Storage accepts; pure functions."""

from __future__ import annotations

import re

from ...errors import StorageError
from ..keys import KEY_BYTES, original_key, url_safe_key

_ESCAPED = "25|2E|0[0-9A-F]|1[0-9A-F]|7F"
_UNSAFE = re.compile(rf"[\x00-\x1f\x7f]|%(?={_ESCAPED})")
_ESCAPE = re.compile(f"%({_ESCAPED})")
_RESERVED = ".well-known/"


def object_name(key: str) -> str:
    r"""Escape what an object's name must not or should not contain.

    Google refuses line ends and the folder ``.well-known/acme-challenge/``, advises
    against control characters, and resolves ``.`` and ``..``. Control characters, the
    dot of ``.well-known/`` and a percent sign that would read as an escape become
    ``%XX``; `url_safe_key` handles dots. Different keys stay different, and usual ones
    stay unchanged.

    Source: https://cloud.google.com/storage/docs/objects#naming

    Args:
        key: An object key, with the prefix of the store.

    Returns:
        A name of at most 1,024 bytes.

    Raises:
        StorageError: The key is empty, too long (also once escaped) or not text.

    Example:
        >>> object_name("a\nb/100%.txt")
        'a%0Ab/100%.txt'
    """
    name = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", url_safe_key(key))
    if name.startswith(_RESERVED):
        name = f"%2E{name[1:]}"
    if len(name.encode()) > KEY_BYTES:
        raise StorageError(
            f"The object key {key[:80]!r} has {len(name.encode()):,} bytes once its control "
            f"characters are written as codes; use one of 1 to {KEY_BYTES:,} bytes then"
        )
    return name


def key_of(name: str) -> str:
    r"""Undo `object_name`, for names that a bucket lists.

    Example:
        >>> key_of("a%0Ab/100%.txt")
        'a\nb/100%.txt'
    """
    return original_key(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), name))
