"""Object keys as names that Azure Blob Storage accepts; pure functions."""

from __future__ import annotations

import re

from ...errors import StorageError
from ..keys import original_key, url_safe_key

NAME_LENGTH = 1024
"""Characters of a blob's name at most."""
SEGMENTS = 254
"""Parts between slashes that a name has at most."""

# Control characters, what Windows takes for a slash, and what is no character.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]")
_ESCAPE_LIKE = re.compile("~(?=[0-9A-F]{2})")
_EMPTY_SEGMENT = re.compile(r"(?<![^/])/|/\Z")
_LAST_DOT = re.compile(r"\.(?=/|\Z)")
_ESCAPES = re.compile("(?:~[0-9A-F]{2})+")


def blob_name(key: str) -> str:
    r"""Escape what the name of a blob must not contain.

    Azure refuses control characters and more than 254 parts, reads a backslash as a
    slash, drops dots at the end of a part and slashes at the end of the name, and with a
    hierarchical namespace knows no empty parts. Such characters become ``~XX``, the
    hexadecimal of their bytes in UTF-8; so does a ``~`` that would read as an escape.
    Different keys stay different, and usual ones stay unchanged.

    Source: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata

    Args:
        key: An object key, with the prefix of the store.

    Returns:
        A name of at most 1,024 characters.

    Raises:
        StorageError: The key is empty, too long (also once escaped) or not text.

    Example:
        >>> blob_name("a\nb./c/")
        'a~0Ab~2E/c~2F'
    """
    name = _ESCAPE_LIKE.sub(_escape, url_safe_key(key))
    for pattern in (_UNSAFE, _EMPTY_SEGMENT, _LAST_DOT):
        name = pattern.sub(_escape, name)
    parts = name.split("/", SEGMENTS - 1)
    name = "/".join([*parts[:-1], parts[-1].replace("/", "~2F")])
    if len(name) > NAME_LENGTH:
        raise StorageError(
            f"The object key {key[:80]!r} has {len(name):,} characters once those that Azure "
            f"refuses are written as codes; use one of 1 to {NAME_LENGTH:,} characters then"
        )
    return name


def key_of(name: str) -> str:
    r"""Undo `blob_name`, for names that a container lists.

    Example:
        >>> key_of("a~0Ab~2E/c~2F")
        'a\nb./c/'
    """
    return original_key(_ESCAPES.sub(_unescape, name))


def _escape(match: re.Match[str]) -> str:
    return "".join(f"~{byte:02X}" for byte in match[0].encode())


def _unescape(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("~", "")).decode()
    except UnicodeDecodeError:
        return match[0]
