"""What a text may contain, in a few hundred bytes: a search looks there before it reads.

A signature is a bit for each three and each five characters in a row that occur in a text,
at a place that a hash of them gives. A text that contains another one has all its bits; so
where one is missing, the text need not be read. Some bits are set by other characters, so
what is left must be read. Five are asked for where what is searched for is that long: all
its threes occur, somewhere, in many conversations that do not contain it.

Signatures are stored: whoever changes what is hashed, or how, writes a migration that
empties their table.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice, pairwise
from zlib import crc32

PROBES = 8
"""How many bits a search asks for: a text without the words seldom has the first two."""

_HASHES = 0xFFFF
_SMALLEST, _LARGEST = 256, _HASHES + 1
_BITS_EACH = 2.5
"""Bits for each hash, at least: then 20 to 35 % of them are set."""
_SHORT, _LONG = 3, 5
_PIECE = 5_000
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
        found: set[str] = set()
        for text in texts:
            for start in range(0, len(text), _PIECE):
                piece = fold(text[start : start + _PIECE + _LONG - 1])
                found.update(_runs(piece, _SHORT), _runs(piece, _LONG), _wide_pairs(piece))
                if len(found) > _PIECE:
                    self._set(found)
                    found.clear()
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

    def _set(self, found: Iterable[str]) -> None:
        for place in _hashes(found):
            self._bits[place >> 3] |= 1 << (place & 7)


def probes(text: str) -> tuple[int, ...] | None:
    """The places at which the signature of each text that contains this one has a bit.

    Args:
        text: What is searched for.

    Returns:
        `PROBES` places, the most telling ones first, and some again if need be; None where
        the text is too short to have any.
    """
    text = fold(text)
    telling = _spread(list(_runs(text, _LONG)), PROBES)
    short = list(_runs(text, _SHORT)) or list(_wide_pairs(text))
    if not short:
        return None
    found = _hashes([*telling, *_spread(short, PROBES - len(telling))])
    return tuple(islice(cycle(found), PROBES))


def has_all(bits: bytes | None, *places: int) -> bool | None:
    """Whether a signature has a bit at each of some places.

    Args:
        bits: The signature; None: nothing is known.
        *places: From `probes`.
    """
    if bits is None:
        return None
    last = len(bits) * 8 - 1
    for place in places:  # noqa: SIM110 - twice as fast, and called for each thread
        if not bits[(place & last) >> 3] >> (place & 7) & 1:
            return False
    return True


def _runs(text: str, length: int) -> Iterator[str]:
    """All runs of so many characters."""
    return map("".join, zip(*(text[start:] for start in range(length)), strict=False))


def _wide_pairs(text: str) -> Iterable[str]:
    if not text or max(text) < _WIDE:
        return ()
    return {one + two for one, two in pairwise(text) if one >= _WIDE and two >= _WIDE}


def _spread(found: Sequence[str], number: int) -> Sequence[str]:
    """At most so many of them, from all over the text."""
    if len(found) <= number:
        return found
    return [found[len(found) * i // number] for i in range(number)]


def _hashes(found: Iterable[str]) -> Iterator[int]:
    return (code & _HASHES for code in map(crc32, map(str.encode, found)))
