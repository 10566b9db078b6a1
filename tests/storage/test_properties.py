"""Keys, names, types and links under any text that hypothesis finds."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage.headers import (
    UNKNOWN_TYPE,
    content_disposition,
    content_type,
    disposition_type,
)
from chainlit_sqla.storage.keys import KEY_BYTES, key_bytes, url_safe_key
from chainlit_sqla.storage.local.client import LinkError, LocalStorage
from chainlit_sqla.storage.local.folder import blob_digest

NAMES = st.text(max_size=300) | st.text(alphabet='a"\\;=%*\r\n\x00é報ד\u202e😀. /', max_size=300)
PARTS = st.sampled_from([".", "..", "...", "..~", ".~", "~", "a", "", "..~~", "%2e"])
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join).filter(bool)
KEYS = st.text(min_size=1, max_size=300) | PATHS


@given(NAMES, st.sampled_from(["image/png", "text/html", ""]))
def test_a_disposition_is_one_safe_line(name: str, mime: str) -> None:
    header = content_disposition(mime, name)
    assert re.fullmatch(
        r"""(inline|attachment)(; filename="[^"\\%]*"(; filename\*=UTF-8''[A-Za-z0-9._~%-]+)?)?""",
        header,
    )
    assert header.isascii()
    assert header.isprintable()
    assert len(header) < 2048
    assert header.startswith(disposition_type(mime))


@given(NAMES)
def test_a_browser_can_save_under_the_name(name: str) -> None:
    header = content_disposition("image/png", name)
    extended = header.partition("UTF-8''")[2]
    offered = unquote(extended) if extended else header.partition('"')[2].rstrip('"')
    assert not set(offered) & set("/\\\r\n\x00\u202e")
    assert len(offered) <= 150
    assert offered not in (".", "..")


@given(st.text(alphabet=st.characters(min_codepoint=33, categories=("Lu", "Ll", "Nd")), min_size=1))
def test_a_plain_name_is_kept(name: str) -> None:
    header = content_disposition("image/png", name[:100] + ".png")
    extended = header.partition("UTF-8''")[2]
    offered = unquote(extended) if extended else header.partition('"')[2].rstrip('"')
    assert offered == name[:100] + ".png"


def test_a_long_name_keeps_its_suffix() -> None:
    assert content_disposition("image/png", "é" * 400 + ".tar.gz").endswith(".gz")


@given(st.text(max_size=300))
def test_a_type_is_one_safe_line(mime: str) -> None:
    header = content_type(mime)
    assert header == UNKNOWN_TYPE or header in mime
    assert header.isascii()
    assert header.isprintable()
    assert "," not in header
    assert content_type(header) == header


@pytest.mark.parametrize(
    "mime",
    [
        "text/plain; charset=utf-8",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        'audio/webm;codecs="opus"',
        "image/svg+xml",
    ],
)
def test_real_types_are_kept(mime: str) -> None:
    assert content_type(mime) == mime


@pytest.mark.parametrize(
    "mime",
    [
        *("", " ", "html", "text", "/", "text/", "/html"),
        *("application/unknown", "unknown/unknown", "*/*", "Application/UNKNOWN"),
        *("*/*; charset=utf-8", "unknown/unknown;a=b", " */* ;"),
    ],
)
def test_a_type_in_which_browsers_look_for_html_becomes_plain_bytes(mime: str) -> None:
    assert content_type(mime) == UNKNOWN_TYPE


@pytest.mark.parametrize(
    "mime",
    [
        *("text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml"),
        *("text/xml", "application/xml", "text/xsl", "text/rdf", "application/rdf+xml"),
        *("multipart/x-mixed-replace; boundary=x", "multipart/related", "*/*"),
    ],
)
def test_a_type_that_may_run_script_is_never_shown_in_the_page(mime: str) -> None:
    assert disposition_type(mime) == "attachment"
    header = content_disposition(mime, "a.png")
    assert header.startswith("attachment") or content_type(mime) == UNKNOWN_TYPE


@given(KEYS)
def test_a_key_in_a_link_is_no_path(key: str) -> None:
    safe = url_safe_key(key)
    assert not {".", ".."} & set(safe.split("/"))
    assert safe == key or {".", ".."} & set(re.sub("~+(?=/|$)", "", key).split("/"))


@given(KEYS, KEYS)
def test_different_keys_stay_different(one: str, other: str) -> None:
    assert (url_safe_key(one) == url_safe_key(other)) == (one == other)
    assert (blob_digest(one) == blob_digest(other)) == (one == other)


@given(st.text(min_size=KEY_BYTES // 4, max_size=KEY_BYTES + 10))
def test_the_limit_is_in_bytes(key: str) -> None:
    if len(key.encode()) <= KEY_BYTES:
        assert key_bytes(key) == key.encode()
    else:
        with pytest.raises(StorageError):
            key_bytes(key)


@given(st.text(max_size=120) | st.text(alphabet="abAB01.-_", max_size=200))
def test_any_other_text_is_no_link(token: str) -> None:
    storage = LocalStorage(Path("/nowhere"), secret="secret")
    with pytest.raises(LinkError):
        asyncio.run(storage.resolve(token))
