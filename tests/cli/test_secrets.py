"""Secrets are not shown, whichever variable a user puts them into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chainlit_sqla.cli.output import mask_setting
from chainlit_sqla.database import Database
from chainlit_sqla.errors import ChainlitSqlaError
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.open_store import mask_storage_url, storage_from, storage_url

from .conftest import Command

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SHAPES = {
    "database": f"postgresql://me:{SECRET}@db.example/chats",
    "store": f"s3://key:{SECRET}@bucket/prefix",
    "azure": f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={SECRET};EndpointSuffix=y",
    "link": f"https://x.blob.core.windows.net/c?sv=2020&sig={SECRET}",
    "server": f"http://me:{SECRET}@127.0.0.1:9/",
    "key": SECRET,
}
TEXTS = [name for name, field in Settings.model_fields.items() if field.annotation is str]
NUMBERS_AND_FOLDERS = ["pool_size", "auto_upgrade", "connect_timeout", "data_dir", "app_root"]


def everything_said(variable: str, value: str) -> Iterator[str]:
    """What the package says about its settings without connecting."""
    try:
        settings = Settings.load()
    except ChainlitSqlaError as error:
        yield str(error)
        return
    yield f"{settings} {settings!r}"
    for use in (
        lambda: Database(settings=settings),
        lambda: asyncio.run(storage_from(settings).close()),
        lambda: mask_storage_url(storage_url(settings)),
    ):
        try:
            yield repr(use())
        except ChainlitSqlaError as error:
            yield str(error)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("field", [*TEXTS, *NUMBERS_AND_FOLDERS])
def test_a_secret_in_the_wrong_variable(
    monkeypatch: pytest.MonkeyPatch, cli: Command, field: str, shape: str
) -> None:
    if shape in ("key", "azure") and field in ("data_dir", "app_root"):
        return  # It is a good name for a folder.
    variable = Settings.variables(field)[0]
    if variable.startswith(("APP_", "DEV_")):
        monkeypatch.setenv("BUCKET_NAME", "bucket")
    monkeypatch.setenv(variable, SHAPES[shape])
    for text in everything_said(variable, SHAPES[shape]):
        assert SECRET not in text
    if Settings.model_fields[field].repr:
        assert SECRET not in mask_setting(SHAPES[shape])


@pytest.mark.parametrize("shape", ["azure", "link", "key"])
def test_doctor_does_not_print_it(cli: Command, shape: str) -> None:
    for variable in ("DATABASE_URL", "CHAINLIT_SQLA_STORAGE", "CHAINLIT_SQLA_POOL_SIZE"):
        printed = cli("doctor", **{variable: SHAPES[shape]})
        assert printed.code == 1
        assert SECRET not in printed.out + printed.err
        assert variable in printed.out


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://me:{}/chats",
        "mysql://me:{}:3306/chats",
        "me:{}@db.example/chats",
        "postgresql:/me:{}@db.example/chats",
        "mysql://db.example/chats?passwd={}",
        "postgresql://db.example/chats?pass={}&user=me",
    ],
)
def test_a_mistyped_url_hides_its_password(value: str) -> None:
    assert "wJalr" not in mask_setting(value.format("wJalrXUtnFEMI"))


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://db.example:5432/chats",
        "postgresql://a:5432,b:5433/chats?sslmode=require",
        "postgresql://[::1]:5432/chats",
        "sqlite:///folder/me@home.db",
        "/srv/me@home/files",
        "http://localhost:9000",
        "file:///srv/a:b",
        "C:/files",
    ],
)
def test_an_address_without_a_password_is_shown(value: str) -> None:
    assert mask_setting(value) == value
