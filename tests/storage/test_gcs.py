"""What is particular to Google: parts, cancelled uploads, names, links, the package."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.gcs.client import key_of, object_name

from .conftest import EXPIRY, GoogleBucket
from .test_contract import blob, failures

MIB = 1024 * 1024


@given(
    st.text(st.sampled_from("ab%0125AFEé/.~\n\r\x1f\x7f"), min_size=1, max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)
)
@example(".well-known/acme-challenge/a")
@example("%2Ewell-known/a")
@example("..~")
@example(".")
@example("..")
def test_every_name_tells_its_key(key: str) -> None:
    name = object_name(key)
    assert key_of(name) == key
    assert not any(char < " " or char == "\x7f" for char in name)
    assert name not in (".", "..")
    assert not name.startswith(".well-known/")


def test_a_key_that_is_too_long_once_rewritten_is_refused() -> None:
    assert len(object_name("\n" * 341)) == 1023
    with pytest.raises(StorageError, match=r"'%0A%0A.* has 1,026 bytes; use one of 1 to 1,024"):
        object_name("\n" * 342)


@pytest.mark.parametrize("key", ["k", "Ünï/ + & ? # %\n'\"~"])
async def test_links_to_google_itself(google: GoogleBucket, key: str) -> None:
    storage = google.storage(endpoint="", bucket="a.b_c")
    link = urlsplit((await storage.read_urls([key]))[key])
    assert (link.scheme, link.netloc) == ("https", "storage.googleapis.com")
    assert link.path == f"/a.b_c/{quote(object_name(key), safe='/~')}"
    assert f"X-Goog-Expires={EXPIRY}&" in link.query


async def test_what_the_server_answers_in_passing_is_tried_again(google: GoogleBucket) -> None:
    storage, front = google.storage(), google.server.front
    large = BlobSource(data=b"x" * 9 * MIB)
    for status in (503, 429):
        front.answer(status, "uploadType=", times=2)
        await storage.put("small", BlobSource(data=b"x"), mime="text/plain")
        front.answer(status, "uploadType=resumable$")
        front.answer(status, "upload_id=")
        await storage.put("large", large, mime="text/plain")
        front.answer(status, "alt=media")
        assert await blob(storage, "small") == b"x"
        front.answer(status, "/o/small")
        assert (await storage.stat("large")).size == 9 * MIB
        front.answer(status, "/o\\?")
        assert {info.key async for info in storage.list_blobs()} == {"small", "large"}
        front.answer(status, "DELETE", times=2)
        await storage.delete(["small", "large"])
        assert google.names() == []


async def test_an_account_without_the_right(google: GoogleBucket) -> None:
    google.server.front.stranger = google.server.owner.email
    for message in await failures(google.storage()):
        assert "403 Forbidden" in str(message)
        assert str(message).endswith(
            "; give the service account the role roles/storage.objectAdmin on the bucket"
        )
