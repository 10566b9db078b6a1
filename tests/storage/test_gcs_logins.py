"""Who asks Google, and who signs: keys, machines, people, and what each is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.gcs.client import GCSStorage
from tests.servers.gcs_identity import Identity

from .conftest import EXPIRY, GoogleBucket

ADVICE = "set APP_GCS_CLIENT_EMAIL and APP_GCS_PRIVATE_KEY, or run as a service account"


@pytest.fixture
def identity(google: GoogleBucket) -> Iterator[Identity]:
    """Give Google's identity services, of which nobody asked anything yet."""
    found = google.server.identity
    found.asked.clear()
    yield found
    found.signers.clear()
    found.machine = ""


@pytest.fixture
def machine(
    google: GoogleBucket, identity: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Identity:
    """Make this machine one of Google's, as Cloud Run is: an account, but no key."""
    host = f"127.0.0.1:{google.server.front.port}"
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.delenv("NO_GCE_CHECK", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_IP", host)
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", host)
    # Its server is not Google's own, so without this it would be taken for an emulator.
    monkeypatch.setattr("chainlit_sqla.storage.gcs.client.GOOGLE_HOSTS", "127.0.0.1")
    identity.machine = identity.account("cloud-run").email
    return identity


def keyless(google: GoogleBucket, **changes: object) -> GCSStorage:
    return google.storage(**{"client_email": "", "private_key": "", **changes})


def signed_by(url: str) -> str:
    return parse_qs(urlsplit(url).query)["X-Goog-Credential"][0].partition("/")[0]


@pytest.mark.parametrize("quotes", ["", '"', "'"])
async def test_a_key_from_an_env_file(google: GoogleBucket, quotes: str) -> None:
    one_line = google.server.owner.pem.replace("\n", "\\n")
    storage = google.storage(private_key=f"{quotes}{one_line}{quotes}")
    assert google.name in await storage.check()


async def test_a_key_of_another_account(google: GoogleBucket, identity: Identity) -> None:
    stranger = identity.account("stranger")
    storage = google.storage(private_key=stranger.pem)
    with pytest.raises(StorageError, match=r"'k' .*invalid_grant: .*; check APP_GCS_CLIENT_EMAIL"):
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")


@pytest.mark.parametrize("account", ["", "signer"], ids=["its own", "another"])
async def test_a_machine_without_a_key_lets_iam_sign(
    google: GoogleBucket, machine: Identity, http: httpx.AsyncClient, account: str
) -> None:
    client_email = machine.account(account).email if account else ""
    signer = client_email or machine.machine
    machine.signers.add((machine.machine, signer))
    storage = keyless(google, client_email=client_email)
    keys = [f"k{number}" for number in range(40)]
    await storage.put("k7", BlobSource(data=b"seven"), mime="text/plain")
    urls = await storage.read_urls(keys)
    assert list(urls) == keys
    assert signed_by(urls["k7"]) == signer
    assert f"X-Goog-Expires={EXPIRY}" in urls["k7"]
    assert (await http.get(urls["k7"])).content == b"seven"
    assert (await http.get(urls["k7"].replace("/k7?", "/k8?"))).status_code == 403
    assert sum(path.endswith(":signBlob") for path in machine.asked) == 40


async def test_a_machine_that_may_not_sign_learns_the_role(
    google: GoogleBucket, machine: Identity
) -> None:
    for changes in ({}, {"client_email": "nobody@project.example.com"}):
        storage = keyless(google, **changes)
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
        with pytest.raises(StorageError, match="Cannot sign links") as caught:
            await storage.read_urls(["k", "k2"])
        assert "roles/iam.serviceAccountTokenCreator" in str(caught.value)
        assert str(caught.value).endswith("or set APP_GCS_PRIVATE_KEY, too")
        await storage.close()


async def test_iam_that_is_busy_is_asked_again(
    google: GoogleBucket, machine: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.signers.add((machine.machine, machine.machine))
    no_pause = SimpleNamespace(sleep=lambda _: None)
    monkeypatch.setattr("google.auth._exponential_backoff.time", no_pause)
    storage = keyless(google)
    google.server.front.answer(503, ":signBlob", times=1)
    assert len(await storage.read_urls(["k1", "k2"])) == 2
    google.server.front.answer(503, ":signBlob", times=1000)
    with pytest.raises(StorageUnavailable, match=r"sign links .*; try again later$"):
        await storage.read_urls(["k"])


async def test_a_token_that_ends_is_renewed(google: GoogleBucket, machine: Identity) -> None:
    storage = keyless(google)
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    storage._credentials.token = None
    await asyncio.gather(*(storage.stat("k") for _ in range(12)))
    machine.tokens.clear()  # Taken back before its time.
    await asyncio.gather(*(storage.stat("k") for _ in range(12)))


async def test_a_persons_login_stores_but_cannot_sign(
    google: GoogleBucket, identity: Identity
) -> None:
    from google.oauth2.credentials import Credentials

    url = f"{google.server.endpoint}/token"
    person = Credentials(None, refresh_token="r", token_uri=url, client_id="i", client_secret="s")
    storage = keyless(google, credentials=person)
    await storage.check()
    with pytest.raises(StorageError, match="belong to no service account; set APP_GCS_CLIENT"):
        await storage.read_urls(["k"])
    await storage.close()
    signer = identity.account("signer").email
    identity.signers.add(("somebody@example.com", signer))
    storage = keyless(google, credentials=person, client_email=signer)
    assert signed_by((await storage.read_urls(["k"]))["k"]) == signer


async def test_a_machine_with_no_login_at_all(
    google: GoogleBucket, machine: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # What older versions go by.
    storage = keyless(google)
    with pytest.raises(StorageError, match=ADVICE) as caught:
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    assert str(caught.value).endswith("or run: gcloud auth application-default login")
    with pytest.raises(StorageError, match=ADVICE):
        await storage.read_urls(["k"])


async def test_a_key_file_of_the_environment(
    google: GoogleBucket, machine: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    owner = google.server.owner
    file = tmp_path / "key.json"
    info = {"type": "service_account", "client_email": owner.email, "private_key": owner.pem}
    file.write_text(json.dumps({**info, "token_uri": f"{google.server.endpoint}/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    for client_email in ("", owner.email):
        storage = keyless(google, client_email=client_email)
        await storage.check()
        assert signed_by((await storage.read_urls(["k"]))["k"]) == owner.email
        await storage.close()
    assert not any("signBlob" in path for path in machine.asked)


async def test_an_emulator_needs_no_login(
    google: GoogleBucket, monkeypatch: pytest.MonkeyPatch, http: httpx.AsyncClient
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{google.server.port}/")
    storage = GCSStorage(google.name)
    assert f"at http://127.0.0.1:{google.server.port}" in await storage.check()
    await storage.put("a b/é?", BlobSource(data=b"x"), mime="text/plain")
    url = (await storage.read_urls(["a b/é?"]))["a b/é?"]
    assert url == f"http://127.0.0.1:{google.server.port}/{google.name}/{quote('a b/é?')}"
    assert (await http.get(url)).content == b"x"
