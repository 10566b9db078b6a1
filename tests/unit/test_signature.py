"""Signatures: what is in a text is never passed over, and little else is read."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla._internal.signature import _PIECE, PROBES, Draft, fold, has_all, probes

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=6)) for i in range(3_000)]


def signature(*texts: str) -> bytes:
    draft = Draft()
    draft.add(texts)
    return draft.signature()


@given(before=texts, text=texts, after=texts, others=st.lists(texts, max_size=3))
def test_a_text_is_found_wherever_it_stands(
    before: str, text: str, after: str, others: list[str]
) -> None:
    places = probes(text)
    assert places is None or has_all(signature(*others, before + text + after), *places)


@given(text=texts, number=st.integers(0, len(WORDS)))
def test_a_text_is_found_among_much_else(text: str, number: int) -> None:
    places = probes(text)
    assert places is None or has_all(signature(" ".join(WORDS[:number]), text), *places)


@pytest.mark.parametrize("before", range(_PIECE - 8, _PIECE + 2))
@pytest.mark.parametrize("text", ["needle", "Straße", "世界", "ŉŉŉ"])
def test_a_text_is_found_where_a_long_one_is_cut(text: str, before: int) -> None:
    places = probes(text)
    assert places
    assert has_all(signature("." * before + text + "." * 2 * _PIECE), *places)


@given(texts)
def test_case_does_not_matter(text: str) -> None:
    places = probes(text.upper())
    if places and fold(text.upper()) == fold(text):
        assert has_all(signature(text), *places)


@pytest.mark.parametrize("text", ["", "a", "ab", "世", "a世"])
def test_a_short_text_has_no_probes(text: str) -> None:
    assert probes(text) is None


@pytest.mark.parametrize(("text", "found"), [("世界", True), ("世紀", False), ("😀👍", False)])
def test_two_characters_are_enough_where_words_are_that_short(text: str, found: bool) -> None:
    places = probes(text)
    assert places
    assert len(places) == PROBES
    assert has_all(signature("你好世界"), *places) is found


def test_a_signature_grows_with_the_text_and_has_a_bound() -> None:
    lengths = [len(signature(" ".join(WORDS[:n]))) for n in (0, 1, 100, 3_000)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 32
    assert len(signature("".join(map(chr, range(0x4E00, 0x9FFF))))) == 8_192


def test_words_that_are_not_there_are_nearly_always_passed_over() -> None:
    signed = signature(" ".join(WORDS[:300]))
    absent = [probes(word) for word in WORDS[1_000:2_000]]
    read = sum(has_all(signed, *places) or False for places in absent if places)
    assert read < 10


def test_without_a_signature_nothing_is_known() -> None:
    assert has_all(None, *(probes("abc") or ())) is None
