"""Who may reach a container of Azure, with which links, and what the others are told."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from azure.storage.blob import ContainerClient

from chainlit_sqla.errors import StorageUnavailable
from chainlit_sqla.storage.azure.client import AzureStorage
from tests.servers.azurite import AzuriteServer
from tests.servers.entra import CLIENT, TENANT, EntraServer
from tests.until import PATIENCE

KEY = base64.b64encode(b"another key of an account").decode()
REPOSITORY = Path(__file__).parents[2]


async def test_an_account_that_is_not_there() -> None:
    # The name of another host, since names below Azure's own may be answered by anybody.
    endpoint = "https://acc.no-such-host.invalid"
    storage = AzureStorage("bucket", account="acc", key=KEY, endpoint=endpoint, attempts=1)
    with pytest.raises(StorageUnavailable, match="correct APP_AZURE_STORAGE_ACCOUNT or check"):
        await storage.check()
    await storage.close()


@pytest.mark.parametrize(
    ("endpoint", "start", "protocol"),
    [
        ("", "https://acc.blob.core.windows.net/bucket/a%20b?", "https"),
        ("https://files.example/", "https://files.example/bucket/a%20b?", "https"),
        ("http://azurite:10000/acc", "http://azurite:10000/acc/bucket/a%20b?", "https,http"),
    ],
)
async def test_a_link_reads_one_blob_for_a_while(endpoint: str, start: str, protocol: str) -> None:
    storage = AzureStorage("bucket", account="acc", key=KEY, endpoint=endpoint, clock=lambda: 1e9)
    storage._call = calls = Mock(wraps=storage._call)
    url = (await storage.read_urls(["a b", "c"]))["a b"]
    assert calls.call_count == 2  # One makes the signer, the other signs all links.
    assert url.startswith(start)
    options = parse_qs(urlsplit(url).query)
    assert (options["sp"], options["sr"], options["spr"]) == (["r"], ["b"], [protocol])
    assert options["se"] == ["2001-09-09T02:46:40Z"]
    assert "st" not in options
    await storage.close()


@pytest.fixture(scope="module")
def tls_server(azurite_server: AzuriteServer) -> Iterator[AzuriteServer]:
    server = AzuriteServer(tls=True)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def entra(tls_server: AzuriteServer) -> Iterator[EntraServer]:
    server = EntraServer(tls_server.certificate)
    yield server
    server.stop()


def by_identity(
    server: AzuriteServer, entra: EntraServer, folder: Path, assertion: str
) -> dict[str, Any]:
    """Run `azure_child` as a pod of a cluster does: with a file that tells who it is."""
    access = {"account_name": server.account, "account_key": server.key}
    verify = str(server.ca_file)
    name = f"container-{secrets.token_hex(6)}"
    with ContainerClient(server.endpoint, name, access, connection_verify=verify) as sdk:
        sdk.create_container()
    (folder / "token").write_text(assertion)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "REQUESTS_CA_BUNDLE": verify,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_AUTHORITY_HOST": entra.endpoint,
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / "token"),
    }
    arguments = {"container": name, "account": server.account, "endpoint": server.endpoint}
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.azure_child", json.dumps(arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "Unclosed" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def stored(
    tls_server: AzuriteServer, entra: EntraServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pod")
    said = by_identity(tls_server, entra, folder, entra.ASSERTION)
    assert "error" not in said, said
    return said


async def test_an_identity_stands_for_the_key(
    stored: dict[str, Any], entra: EntraServer, http: httpx.AsyncClient
) -> None:
    assert entra.tokens > 0
    assert not stored["closed"]  # A credential that was given is its owner's to close.
    assert stored["checked"].startswith("the Azure container 'container-")
    for key, url in stored["links"].items():
        answer = await http.get(url)
        assert (answer.status_code, answer.content) == (200, key.encode()), answer.text
    url = stored["links"]["mine"]
    for altered in (
        url.replace("/mine?", "/theirs?"),
        url.replace("se=2", "se=3"),
        url.replace("sp=r", "sp=rw"),
        url.replace("skoid=6", "skoid=7"),
        url[:-6] + "AAA%3D",
    ):
        assert (await http.get(altered)).status_code == 403, altered
    written = await http.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"})
    assert written.status_code == 403


def instant(url: str, name: str) -> datetime:
    return datetime.fromisoformat(parse_qs(urlsplit(url).query)[name][0])


def test_a_delegation_key_is_used_until_links_would_outlive_it(stored: dict[str, Any]) -> None:
    for expiry, links in stored["days"].items():
        begun = [instant(url, "skt") for url in links]
        assert begun[0] == begun[1]
        assert begun[3] - begun[1] > timedelta(days=5)
        for url in links:
            assert instant(url, "ske") - instant(url, "skt") == timedelta(days=7)
            assert instant(url, "se") <= instant(url, "ske")
        lasts = instant(links[0], "se") - begun[0]
        assert abs(timedelta(days=int(expiry), minutes=15) - lasts) < timedelta(minutes=1)


async def test_an_identity_that_is_refused_gets_one_line(
    tls_server: AzuriteServer, entra: EntraServer, tmp_path: Path
) -> None:
    said = by_identity(tls_server, entra, tmp_path, "of another cluster")["error"]
    assert "AADSTS700211: No matching federated identity record" in said
    assert "set APP_AZURE_STORAGE_ACCESS_KEY, or give this machine an identity" in said
    assert "\n" not in said
    assert len(said) < 500
