"""The adapter: what Chainlit's clients swallow becomes an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.chainlit_adapter import ChainlitClientStorage

from .conftest import Bucket
from .test_contract import blob

DATA = BlobSource(data=b"x")


async def test_a_swallowed_upload_error_is_raised(moto: Bucket, chainlit_s3: type[Any]) -> None:
    storage = ChainlitClientStorage(chainlit_s3("no-such-bucket", **moto.arguments))
    with pytest.raises(
        StorageUnavailable, match=r"Cannot write 'k' with Chainlit's S3StorageClient; .*"
    ):
        await storage.put("k", DATA, mime="text/plain")
    with pytest.raises(StorageError, match="Cannot delete 'k'"):
        await storage.delete(["k"])
    with pytest.raises(StorageError, match="check its bucket and credentials"):
        await storage.check()


async def test_a_link_that_the_server_refuses(swift: Bucket, chainlit_s3: type[Any]) -> None:
    arguments = {**swift.arguments, "aws_secret_access_key": "wrong"}
    storage = ChainlitClientStorage(chainlit_s3(swift.name, **arguments))
    with pytest.raises(StorageError, match=r"Cannot read 'k' .*HTTP status 403"):
        await blob(storage, "k")
    with pytest.raises(StorageError, match="Cannot delete 'k'"):
        await storage.delete(["k"])


class FolderClient:
    """A client as users write them for older Chainlit: fewer arguments, errors as answers."""

    def __init__(self, root: Path, base: str) -> None:
        self.root = root
        self.base = base

    def _path(self, object_key: str) -> Path:
        return self.root / object_key.replace("/", "_")

    async def upload_file(
        self, object_key: str, data: bytes, mime: str = "", overwrite: bool = True
    ) -> dict[str, Any]:
        self._path(object_key).write_bytes(data)
        return {"object_key": object_key, "url": ""}

    async def delete_file(self, object_key: str) -> bool:
        try:
            self._path(object_key).unlink()
        except OSError:
            return False
        return True

    async def get_read_url(self, object_key: str) -> str:
        return f"{self.base}/{self._path(object_key).name}"


async def test_a_client_of_older_chainlit(moto: Bucket, tmp_path: Path) -> None:
    # A bucket without such a key answers 404, as the client's own server would.
    moto.boto.put_object(Bucket=moto.name, Key="listed", Body=b"x", ACL="public-read")
    storage = ChainlitClientStorage(FolderClient(tmp_path, f"{moto.server.endpoint}/{moto.name}"))
    assert await storage.put("a/../k", DATA, mime="text/plain", name="n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a_..~_k"]
    await storage.delete(["a/../k"])
    await storage.delete(["a/../k", "never"])  # It answers False; its link says: not there.
    with pytest.raises(StorageError, match="Cannot delete 'listed'"):
        await storage.delete(["listed"])
    await storage.close()  # It has no close at all.


async def test_what_a_client_raises_is_wrapped(tmp_path: Path) -> None:
    class Raising(FolderClient):
        async def upload_file(self, **_: Any) -> dict[str, Any]:  # type: ignore[override]
            raise RuntimeError("no quota")

        async def delete_file(self, object_key: str) -> bool:
            raise RuntimeError("no permission")

        async def close(self) -> None:
            raise TypeError("another mistake")

    storage = ChainlitClientStorage(Raising(tmp_path, "http://127.0.0.1:1"))
    with pytest.raises(
        StorageUnavailable, match=r"Cannot write 'k' with Chainlit's Raising \(no quota\)"
    ):
        await storage.put("k", DATA, mime="text/plain")
    with pytest.raises(StorageError, match=r"Cannot delete 'k' .*\(no permission\)"):
        await storage.delete(["k"])
    with pytest.raises(StorageError, match=r"Cannot read 'k' "):
        await blob(storage, "k")
    await storage.close()  # Only logged.


async def test_all_keys_are_tried_before_an_error_is_raised(
    moto: Bucket, chainlit_s3: type[Any], http: httpx.AsyncClient
) -> None:
    client = chainlit_s3(moto.name, **moto.arguments)
    delete = client.delete_file

    async def some(object_key: str) -> bool:
        return await delete(object_key) if object_key != "k0" else False

    client.delete_file = some
    storage = ChainlitClientStorage(client)
    for number in range(12):
        await storage.put(f"k{number}", DATA, mime="text/plain")
    with pytest.raises(StorageError, match="Cannot delete 'k0'"):
        await storage.delete([f"k{number}" for number in range(12)])
    assert moto.names() == ["k0"]
    await storage.close()


def test_the_adapter_and_the_folder_need_no_chainlit() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import chainlit_sqla.storage.open_store, chainlit_sqla.storage.local.route, "
        "chainlit_sqla.storage.chainlit_adapter; "
        "found = {'chainlit', 'aiobotocore', 'botocore', 'aiohttp', 'httpx'} & set(sys.modules); "
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
