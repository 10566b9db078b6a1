"""What a text may contain, in a few hundred bytes: a search looks there before it reads.

A signature is a bit for each three characters in a row that occur in a text, at a place
that a hash of them gives. A text that contains another one has all its bits; so where one
is missing, the text need not be read. Some bits are set by other characters, so what is
left must be read.

Signatures are stored: whoever changes what is hashed, or how, writes a migration that
empties their table.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from zlib import crc32

PROBES = 8
"""How many bits a search asks for: a text without the words seldom has the first two."""

_HASHES = 0xFFFF
_SMALLEST, _LARGEST = 256, _HASHES + 1
_BITS_EACH = 5
"""Bits for each hash: then 10 to 20 % of them are set."""
_WIDE = "\u2e80"
"""From here on (Chinese, Japanese, Korean, emoji) words are shorter than three characters."""


def fold(text: str) -> str:
    """Take the case away.

    Args:
        text: Any text.

    Example:
        >>> fold("STRASSE") == fold("Straße")
        True
    """
    return text.casefold()


def hashes(text: str) -> set[int]:
    """The places of a text's bits, before they are cut to the length of a signature.

    Args:
        text: Any text.
    """
    text = fold(text)
    found: set[tuple[str, ...]] = set(zip(text, text[1:], text[2:], strict=False))
    if text and max(text) >= _WIDE:
        found |= _wide_pairs(text)
    return {_hash(characters) for characters in found}


def signature(places: Iterable[int]) -> bytes:
    """Make a signature.

    Args:
        places: The `hashes` of all that it is about.

    Returns:
        32 to 8,192 bytes, a power of two; the lowest bit of a byte is its first.

    Example:
        >>> len(signature(hashes("The quick brown fox")))
        32
    """
    known = set(places)
    length = _SMALLEST
    while length < min(len(known) * _BITS_EACH, _LARGEST):
        length *= 2
    bits = bytearray(length // 8)
    for place in known:
        place %= length
        bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def probes(text: str) -> tuple[int, ...] | None:
    """The places at which the signature of each text that contains this one has a bit.

    Args:
        text: What is searched for.

    Returns:
        `PROBES` places, spread over the text; None where it is too short to have any.
    """
    text = fold(text)
    found: list[tuple[str, ...]] = list(zip(text, text[1:], text[2:], strict=False))
    if not found:
        found = list(_wide_pairs(text))
    if not found:
        return None
    places = [_hash(characters) for characters in found]
    return tuple(places[len(places) * i // PROBES] for i in range(PROBES))


def has_all(bits: bytes | None, *places: int) -> bool | None:
    """Whether a signature has a bit at each of some places.

    Args:
        bits: The signature; None: nothing is known.
        *places: From `probes`.
    """
    if bits is None:
        return None
    last = len(bits) * 8 - 1
    return all(bits[(place & last) >> 3] >> (place & 7) & 1 for place in places)


def _wide_pairs(text: str) -> set[tuple[str, ...]]:
    return {pair for pair in pairwise(text) if pair[0] >= _WIDE and pair[1] >= _WIDE}


def _hash(characters: tuple[str, ...]) -> int:
    return crc32("".join(characters).encode()) & _HASHES
