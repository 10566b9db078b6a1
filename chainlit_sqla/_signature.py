"""What a text may contain, in a few hundred bytes: a search looks there before it reads.

A signature is a bit for each three characters in a row that occur in a text, at a place
that a hash of them gives. A text that contains another one has all its bits; so where one
is missing, the text need not be read. Some bits are set by other characters, so what is
left must be read.

Signatures are stored: whoever changes what is hashed, or how, writes a migration that
empties their table.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from zlib import crc32

PROBES = 8
"""How many bits a search asks for: a text without the words seldom has the first two."""

_HASHES = 0xFFFF
_SMALLEST, _LARGEST = 256, _HASHES + 1
_BITS_EACH = 5
"""Bits for each hash: then 10 to 20 % of them are set."""
_PIECE = 10_000
"""Characters that are looked at in one go: about a millisecond."""
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


class Draft:
    """A signature in the making: of one size, however much is added.

    Example:
        >>> draft = Draft()
        >>> draft.add(["The quick brown fox"])
        >>> len(draft.signature())
        32
    """

    def __init__(self) -> None:
        self._bits = bytearray(_LARGEST // 8)

    def add(self, texts: Iterable[str]) -> None:
        """Add texts; another thread may have its turn between any two pieces of them.

        Args:
            texts: They are cut, so that none keeps other threads waiting for long.
        """
        found: set[tuple[str, ...]] = set()
        for text in texts:
            for start in range(0, len(text), _PIECE):
                piece = fold(text[start : start + _PIECE + 2])
                found.update(zip(piece, piece[1:], piece[2:], strict=False))
                if max(piece) >= _WIDE:
                    found |= _wide_pairs(piece)
                if len(found) > _PIECE:
                    self._set(found)
                    found = set()
                time.sleep(0)
        self._set(found)

    def signature(self) -> bytes:
        """What was added.

        Returns:
            32 to 8,192 bytes, a power of two; the lowest bit of a byte is its first.
        """
        bits = int.from_bytes(self._bits, "little")
        wanted = bits.bit_count() * _BITS_EACH
        length = _LARGEST
        while length > _SMALLEST and length // 2 >= wanted:
            length //= 2
            bits = bits >> length | bits & (1 << length) - 1
        return bits.to_bytes(length // 8, "little")

    def _set(self, found: set[tuple[str, ...]]) -> None:
        for place in map(_hash, found):
            self._bits[place >> 3] |= 1 << (place & 7)


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
