"""Object keys as names that Azure Blob Storage takes; pure functions."""

from __future__ import annotations

import re

from ...errors import StorageError
from ..keys import original_key, url_safe_key

NAME_LENGTH = 1024
"""Characters of a blob's name at most."""
SEGMENTS = 254
"""Parts between slashes that a name has at most."""

# Control characters, what Windows takes for a slash, and what is no character.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]")
_CODE_ALIKE = re.compile("~(?=[0-9A-F]{2})")
_EMPTY_SEGMENT = re.compile(r"(?<![^/])/|/\Z")
_LAST_DOT = re.compile(r"\.(?=/|\Z)")
_CODES = re.compile("(?:~[0-9A-F]{2})+")


def blob_name(key: str) -> str:
    r"""Rewrite what the name of a blob must not have.

    Azure refuses control characters and more than 254 parts, reads a backslash as a
    slash, drops dots at the end of a part and slashes at the end of the name, and with a
    hierarchical namespace knows no empty parts. Such characters become ``~XX``, the
    hexadecimal of their bytes in UTF-8; so does a ``~`` that would read as such a code.
    Different keys stay different, and usual ones stay as they are.

    Source: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata

    Args:
        key: An object key, with the prefix of the store.

    Returns:
        A name of at most 1,024 characters.

    Raises:
        StorageError: The key is empty, too long (rewritten, too) or not text.

    Example:
        >>> blob_name("a\nb./c/")
        'a~0Ab~2E/c~2F'
    """
    name = _CODE_ALIKE.sub(_code, url_safe_key(key))
    for pattern in (_REFUSED, _EMPTY_SEGMENT, _LAST_DOT):
        name = pattern.sub(_code, name)
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

    Args:
        name: What `blob_name` made, or the name of a blob of another origin.

    Example:
        >>> key_of("a~0Ab~2E/c~2F")
        'a\nb./c/'
    """
    return original_key(_CODES.sub(_decoded, name))


def _code(found: re.Match[str]) -> str:
    return "".join(f"~{byte:02X}" for byte in found[0].encode())


def _decoded(found: re.Match[str]) -> str:
    try:
        return bytes.fromhex(found[0].replace("~", "")).decode()
    except UnicodeDecodeError:
        return found[0]
