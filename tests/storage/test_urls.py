"""Which store the settings mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from chainlit_sqla.cli.output import mask_url
from chainlit_sqla.errors import ConfigurationError, MissingExtraError
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import BlobSource, StorageClient
from chainlit_sqla.storage.gcs.client import GCSStorage
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.storage.open_store import mask_storage_url, open_storage, storage_from
from chainlit_sqla.storage.s3.client import S3Storage

from .conftest import Bucket

PREFIXES = ("CHAINLIT_", "APP_", "AWS_")
NAMES = ("BUCKET_NAME", "DEV_AWS_ENDPOINT", "STORAGE_EXPIRY_TIME", "DATABASE_URL")

AWS = {"APP_AWS_ACCESS_KEY": "a", "APP_AWS_SECRET_KEY": "s"}
GCS = {"APP_GCS_PROJECT_ID": "p"}
AZURE = {"APP_AZURE_STORAGE_ACCOUNT": "acc", "APP_AZURE_STORAGE_ACCESS_KEY": "a2V5"}
BUCKET = {"BUCKET_NAME": "bucket"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIXES) or name in NAMES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def settings(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.parametrize(
    ("variables", "kind", "location"),
    [
        ({}, LocalStorage, "/.chainlit_sqla/files"),
        (BUCKET, S3Storage, "S3 bucket 'bucket'"),
        ({**BUCKET, **AWS}, S3Storage, "S3 bucket 'bucket'"),
        ({**BUCKET, **AWS, "APP_AWS_REGION": "eu-west-1"}, S3Storage, "S3 bucket 'bucket'"),
        (
            {**BUCKET, "DEV_AWS_ENDPOINT": "http://localhost:4566"},
            S3Storage,
            "S3 bucket 'bucket' at http://localhost:4566",
        ),
        ({**BUCKET, **GCS}, GCSStorage, "Google Cloud Storage bucket 'bucket'"),
        ({**BUCKET, **GCS, "APP_GCS_CLIENT_EMAIL": "a@b"}, GCSStorage, "'bucket'"),
        ({**BUCKET, **AZURE}, AzureStorage, "Azure container 'bucket' of the account 'acc'"),
        ({**BUCKET, "APP_AZURE_STORAGE_ACCOUNT": "acc"}, AzureStorage, "account 'acc'"),
        ({**BUCKET, **AZURE, "APP_AWS_REGION": "eu-west-1"}, AzureStorage, "'bucket'"),
        ({"CHAINLIT_SQLA_STORAGE": "s3://other", **BUCKET, **AZURE}, S3Storage, "'other'"),
        ({"CHAINLIT_SQLA_STORAGE": "gs://other", **BUCKET, **AWS}, GCSStorage, "'other'"),
        ({"CHAINLIT_SQLA_STORAGE": "az://other?account=acc"}, AzureStorage, "'other'"),
        ({"CHAINLIT_SQLA_STORAGE": "file:///srv/é", **BUCKET, **AWS}, LocalStorage, "/srv/é"),
        ({"CHAINLIT_SQLA_STORAGE": "file:///srv/b%20%C3%A9"}, LocalStorage, "/srv/b é"),
        ({"APP_AWS_ACCESS_KEY": "", "BUCKET_NAME": ""}, LocalStorage, "/.chainlit_sqla/files"),
    ],
)
def test_the_kind_of_store(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type[Any], location: str
) -> None:
    storage = storage_from(settings(monkeypatch, variables))
    assert type(storage) is kind
    assert location in (
        str(storage.root) if isinstance(storage, LocalStorage) else storage.location
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (AWS, "APP_AWS_ACCESS_KEY is set but BUCKET_NAME is not; set BUCKET_NAME too"),
        (GCS, "APP_GCS_PROJECT_ID is set but BUCKET_NAME is not"),
        (AZURE, "APP_AZURE_STORAGE_ACCOUNT is set but BUCKET_NAME is not"),
        (
            {**BUCKET, **AWS, **GCS},
            r"several clouds are set \(APP_AWS_ACCESS_KEY, APP_GCS_PROJECT_ID\); unset",
        ),
        (
            {**BUCKET, "APP_AWS_SECRET_KEY": "s"},
            "APP_AWS_SECRET_KEY is set but APP_AWS_ACCESS_KEY is not; set both",
        ),
        (
            {**BUCKET, "APP_AZURE_STORAGE_ACCESS_KEY": "a2V5"},
            "APP_AZURE_STORAGE_ACCESS_KEY is set but APP_AZURE_STORAGE_ACCOUNT is not; set both",
        ),
        (
            {**BUCKET, **GCS, "APP_GCS_PRIVATE_KEY": "k"},
            "APP_GCS_PRIVATE_KEY is set but APP_GCS_CLIENT_EMAIL is not; set both",
        ),
        (
            {**BUCKET, "DEV_AWS_ENDPOINT": "http://user:very/secret@minio:9000"},
            "put them into APP_AWS_ACCESS_KEY",
        ),
    ],
)
def test_settings_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        storage_from(settings(monkeypatch, variables))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "names no bucket; write it as s3://bucket/prefix"),
        ("s3:/bucket", "names no bucket; write it as s3://bucket/prefix"),
        ("s3://bucket?colour=red", "unknown option 'colour'; use endpoint"),
        ("s3://bucket?sse=aws:kms", "set it as the default of the bucket instead"),
        ("s3://bucket?path_style=maybe", "write true or false"),
        ("s3://bucket?endpoint=minio:9000", "write it like http://localhost:9000"),
        ("s3://key:verysecret@bucket", "put them into APP_AWS_ACCESS_KEY"),
        ("az://:verysecret@container", "put them into APP_AZURE_STORAGE_ACCOUNT"),
        ("s3://AKIA:verysecret/K7MD@bucket", "put them into APP_AWS_ACCESS_KEY"),
        ("s3://AKIA:K7?verysecret@bucket", "put them into APP_AWS_ACCESS_KEY"),
        ("s3://AKIA:K7#verysecret@bucket", "put them into APP_AWS_ACCESS_KEY"),
        ("s3://AKIA:verysecret", "put them into APP_AWS_ACCESS_KEY"),
        ("s3://b?endpoint=http://u:verysecret@minio", "put them into APP_AWS_ACCESS_KEY"),
        ("s3://b?endpoint=http%3A%2F%2Fu%3Averysecret%40minio", "put them into APP_AWS_"),
        ("s3://b?public_endpoint=http://u:verysecret@minio", "put them into APP_AWS_"),
        ("s3://b?x=1&endpoint=http%3A%2F%2Fu%3Averysecret%40minio", "unknown option 'x'"),
        ("gs://bucket?endpoint=http://u:verysecret@host", "put them into APP_GCS_CLIENT_EMAIL"),
        ("az://box?account=acc&endpoint=http://u:verysecret@host", "put them into APP_AZURE_"),
        ("s3://b?secret_key=verysecret", "unknown option 'secret_key'"),
        ("http://AKIA:verysecret@minio:9000/b", "write it as s3://bucket"),
        ("s3://:verysecret@", "put them into APP_AWS_ACCESS_KEY"),
        ("gs://bucket?account=a", "unknown option 'account'; use endpoint or project"),
        ("az://container", "APP_AZURE_STORAGE_ACCOUNT"),
        ("azure://container", "write it as az://container"),
        ("gcs://bucket", "write it as gs://bucket"),
        ("http://minio:9000/b", r"write it as s3://bucket\?endpoint=URL"),
        ("/srv/files", "write it as s3://bucket/prefix, gs://"),
        ("s3://[bucket", "cannot be read"),
        ("file://relative/folder", "three slashes"),
        ("file:relative", "three slashes"),
        ("file:///srv/a?b", "write them as %3F"),
        ("ftp://host/", "is of no kind that can be opened"),
        ("", "is of no kind that can be opened"),
    ],
)
def test_urls_that_cannot_be_used(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_storage(url, Settings.load())
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a/b?endpoint=http://minio:9000", None),
        ("s3://bucket/user%40corp?region=eu-west-1", None),
        ("http://minio:9000/b", None),
        ("file:///srv/me@corp:files", None),
        ("s3://AKIA:wJal/K7MD/x@bucket", "s3://***@bucket"),
        ("s3://AKIA:wJal/K7MD", "s3://***"),
        ("s3://AKIA:wJal?K7@bucket", "s3://***@bucket"),
        ("s3://b?endpoint=http://u:p@minio&region=r", "s3://***@minio&region=r"),
        ("s3://b?secret_key=wJal&region=r", "s3://b?secret_key=***&region=r"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str | None) -> None:
    assert mask_storage_url(url) == (shown or url)
    assert mask_url(url) == (shown or url)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("gs://bucket", "google.cloud.storage", "gcs"),
        ("az://box?account=acc", "azure.storage.blob", "azure"),
        ("az://box?account=acc", "azure.identity", "azure"),
    ],
)
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"chainlit-sqla\[{extra}\]"):
        open_storage(url, Settings.load())


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("gs://bucket", "google.auth", "gcs"),
        ("az://box?account=acc", "azure.storage.blob", "azure"),
        ("az://box?account=acc", "azure.identity", "azure"),
    ],
)
async def test_an_incomplete_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    storage = open_storage(url, Settings.load())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"chainlit-sqla\[{extra}\]"):
        await storage.check()
    await storage.close()


async def test_the_default_is_a_folder_of_the_application(tmp_path: Path) -> None:
    storage = storage_from(Settings.load(auth_secret="s", storage_expiry_time=60))
    assert isinstance(storage, LocalStorage)
    assert isinstance(storage, StorageClient)
    assert storage.root == tmp_path / ".chainlit_sqla" / "files"
    assert not storage.root.exists()
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    assert storage.root.is_dir()


async def test_links_carry_the_public_url_or_the_given_prefix() -> None:
    public = Settings.load(public_url="https://chat.example.org/", auth_secret="s")
    start = "https://chat.example.org/chainlit-sqla/files/"
    assert (await storage_from(public).read_urls(["k"]))["k"].startswith(start)
    storage = storage_from(public, url_prefix=lambda: "/chat")
    assert (await storage.read_urls(["k"]))["k"].startswith("/chat/chainlit-sqla/files/")


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("", {"BUCKET_NAME": "{bucket}", "DEV_AWS_ENDPOINT": "{endpoint}"}),
        ("s3://{bucket}/chat/files?endpoint={endpoint}&region=us-east-1", {}),
        ("s3://{bucket}?path_style=true", {"DEV_AWS_ENDPOINT": "{endpoint}"}),
    ],
)
async def test_s3_by_the_settings_works(
    swift: Bucket, monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str]
) -> None:
    values: dict[str, Any] = {"bucket": swift.name, "endpoint": swift.server.endpoint}
    given = {name: value.format(**values) for name, value in variables.items()}
    given["APP_AWS_ACCESS_KEY"] = swift.server.access_key
    given["APP_AWS_SECRET_KEY"] = swift.server.secret_key
    given["CHAINLIT_SQLA_STORAGE"] = url.format(**values)
    storage = storage_from(settings(monkeypatch, given))
    assert isinstance(storage, S3Storage)
    assert await storage.check() == f"the S3 bucket {swift.name!r} at {swift.server.endpoint}"
