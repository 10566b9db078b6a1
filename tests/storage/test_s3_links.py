"""Links that are not signed by botocore are what botocore would have signed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import httpx
import pytest
from botocore.config import Config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.keys import url_safe_key
from chainlit_sqla.storage.s3 import links as s3_links
from chainlit_sqla.storage.s3.client import S3Storage

from .conftest import SESSION, Bucket

THEN = datetime(2026, 2, 28, 23, 59, 59)
AWKWARD = ["a b+c%20?d#e&f=g;h", "line\nbreak\r\t\x00\x7f", "ünïcödé 🙂 文", "~/.-_!'()*", "k"]

STORES: dict[str, dict[str, Any]] = {
    "virtual host": {"region": "eu-central-1"},
    "first region": {"region": "us-east-1"},
    "another partition": {"region": "cn-north-1"},
    "path style": {"region": "ap-southeast-2", "path_style": True},
    "a bucket with dots": {"bucket": "a.b", "region": "eu-west-1"},
    "a port": {"endpoint": "http://minio:9000"},
    "the usual port": {"endpoint": "https://minio:443"},
    "a path": {"endpoint": "https://gateway.test/s3/v1"},
    "a path and a host": {"endpoint": "https://Gateway.test:8443/s3/", "path_style": False},
    "an address": {"endpoint": "http://[::1]:9000"},
    "an access point": {"bucket": "arn:aws:s3:eu-west-1:123456789012:accesspoint/chat"},
    "a week": {"expiry": 604_800, "region": "sa-east-1"},
}


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: THEN)


@cache
def botocores(bucket: str, endpoint: str, region: str, path_style: bool, token: str) -> Any:
    return botocore.session.Session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint or None,
        aws_access_key_id="AKIA/+EXAMPLE",
        aws_secret_access_key="secret/+=%",
        aws_session_token=token or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if path_style else "virtual"},
        ),
    )


def theirs(keys: list[str], options: dict[str, Any], token: str = "") -> list[str]:
    """What botocore itself signs, each link alone."""
    bucket, endpoint = options.get("bucket", "bucket"), options.get("endpoint", "")
    path_style = options.get("path_style", bool(endpoint))
    region = options.get("region", "us-west-1")
    client = botocores(bucket, endpoint, region, path_style, token)
    return [
        client.generate_presigned_url(
            "get_object",
            Params={"Bucket": bucket, "Key": url_safe_key(key)},
            ExpiresIn=options.get("expiry", 3600),
        )
        for key in keys
    ]


async def ours(keys: list[str], options: dict[str, Any], **changes: Any) -> list[str]:
    access = {"access_key": "AKIA/+EXAMPLE", "secret_key": "secret/+=%", "session": SESSION}
    storage = S3Storage(
        **{"bucket": "bucket", "region": "us-west-1", **access, **options, **changes}
    )
    links = await storage.read_urls(keys)
    await storage.close()
    return [links[key] for key in keys]


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Keys of links that botocore did not sign."""
    made: list[str] = []
    link = s3_links.Pattern.link

    def note(self: s3_links.Pattern, key: str) -> str:
        made.append(key)
        return link(self, key)

    monkeypatch.setattr(s3_links.Pattern, "link", note)
    return made


@pytest.mark.parametrize("options", STORES.values(), ids=STORES)
async def test_all_links_are_what_botocore_would_sign(
    frozen: None, patterns: list[str], options: dict[str, Any]
) -> None:
    keys = ["first", *AWKWARD, "é" * 512, "x" * 1024, "a/../b", "/start//end/"]
    assert await ours(keys, options) == theirs(keys, options)
    assert len(patterns) == len(keys), "botocore had to sign them all"


# Any of these may be first, and so be the pattern of the others.
@settings(max_examples=40)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
        min_size=2,
        max_size=8,
        unique=True,
    ),
    st.sampled_from(sorted(STORES)),
)
@example(AWKWARD, "virtual host")
@example(AWKWARD[::-1], "a path")
def test_any_keys_get_the_links_of_botocore(keys: list[str], store: str) -> None:
    options = STORES[store]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: THEN)
        assert asyncio.run(ours(keys, options)) == theirs(keys, options)


class Role:
    """Credentials that are other ones each time they are asked for, as if they had ended."""

    def __init__(self, lasting: int) -> None:
        self.asked = 0
        self.lasting = lasting

    async def get_frozen_credentials(self) -> Any:
        from botocore.credentials import ReadOnlyCredentials

        number = self.asked // self.lasting
        self.asked += 1
        return ReadOnlyCredentials(f"AK{number}", f"secret{number}", f"token/+={number}")


async def with_signer() -> tuple[S3Storage, Any]:
    storage = S3Storage(
        "bucket", region="us-west-1", access_key="a", secret_key="b", session=SESSION
    )
    return storage, (await storage._connected()).signer


async def test_links_by_the_credentials_of_a_role_carry_its_token(
    frozen: None, patterns: list[str]
) -> None:
    storage, signer = await with_signer()
    signer._request_signer._credentials = Role(lasting=1000)
    links = await storage.read_urls(["first", *AWKWARD])
    assert len(patterns) == 1 + len(AWKWARD)
    for url in links.values():
        assert "X-Amz-Security-Token=token%2F%2B%3D0&" in url
    client = botocore.session.Session().create_client(
        "s3",
        region_name="us-west-1",
        aws_access_key_id="AK0",
        aws_secret_access_key="secret0",
        aws_session_token="token/+=0",
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )
    for key, url in links.items():
        target = {"Bucket": "bucket", "Key": key}
        assert url == client.generate_presigned_url("get_object", Params=target)
    await storage.close()


async def test_credentials_that_change_while_links_are_signed_never_mix(frozen: None) -> None:
    storage, signer = await with_signer()
    signer._request_signer._credentials = Role(lasting=1)
    for url in (await storage.read_urls(["first", *AWKWARD])).values():
        fields = parse_qs(urlsplit(url).query)
        number = fields["X-Amz-Credential"][0].split("/")[0].removeprefix("AK")
        assert fields["X-Amz-Security-Token"] == [f"token/+={number}"]
    await storage.close()


async def test_where_links_are_signed_in_another_way_botocore_signs_all(
    frozen: None, patterns: list[str]
) -> None:
    storage, signer = await with_signer()

    def sign_with_a_header_more(request: Any, **_: Any) -> None:
        request.headers["x-amz-expected-bucket-owner"] = "123456789012"

    signer.meta.events.register("before-sign.s3.GetObject", sign_with_a_header_more)
    links = await storage.read_urls(["first", *AWKWARD])
    assert patterns == ["first"]  # Tried, and found to be different.
    for key, url in links.items():
        assert "X-Amz-SignedHeaders=host%3Bx-amz-expected-bucket-owner&" in url, key
    await storage.close()


async def test_a_signer_without_known_credentials_is_left_to_botocore(
    frozen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(_client: Any) -> str:
        return ""

    monkeypatch.setattr(s3_links, "_secret_key", unknown)
    keys = ["first", *AWKWARD]
    assert await ours(keys, {}) == theirs(keys, {})


async def test_a_server_that_checks_signatures_accepts_every_link(
    swift: Bucket, http: httpx.AsyncClient
) -> None:
    storage = swift.storage(prefix="a prefix+é")
    keys = ["first", "a b+c%20?d#e&f=g;h", "ünïcödé 🙂 文", "~/.-_!'()*", "a/../b"]
    for key in keys:
        await storage.put(key, BlobSource(data=key.encode()), mime="text/plain")
    for key, url in (await storage.read_urls(keys)).items():
        assert (await http.get(url)).content == key.encode()
    await storage.close()


async def test_links_end_when_they_should(swift: Bucket, http: httpx.AsyncClient) -> None:
    storage = swift.storage()
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    await storage.read_urls(["k"])
    past = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: past)
        url = (await storage.read_urls(["other", "k"]))["k"]
    assert (await http.get(url)).status_code == 403
    await storage.close()
