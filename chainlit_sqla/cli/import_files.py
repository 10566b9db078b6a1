"""The files of ``import --copy-storage``."""

from __future__ import annotations

from urllib.parse import urlsplit

import typer

from ..errors import StorageError
from ..settings import Settings
from ..storage.config import storage_url
from ..storage.urls import shown_url
from .runtime import run_async
from .storage import copy_files, describe_copy, open_stores, raise_copy_failures


def check_source(source: str, settings: Settings) -> None:
    """Check that `copy_imported_files` can read from one store and write to the other.

    Args:
        source: The URL of the store to copy from.
        settings: The settings.

    Raises:
        ConfigurationError: Both are the same store, or the URL is not valid.
        StorageError: The source cannot be read, or the store of the settings not written.
    """
    run_async(_check_stores(source, settings))


def copy_imported_files(source: str, settings: Settings) -> None:
    """Copy the files of all elements into the store of the settings, and print the numbers.

    Args:
        source: The URL of the store to copy from.
        settings: The settings; they name the database, too, whose rows were imported.

    Raises:
        StorageError: A file was not copied, or is in neither store.
    """
    target = storage_url(settings)
    result = run_async(copy_files(source, target, settings))
    typer.echo(f"Files: {describe_copy(result)}")
    raise_copy_failures(result)
    if result.missing:
        other_layout = ""
        if urlsplit(source).scheme == "file" and result.missing == result.processed:
            other_layout = (
                "a folder is read only in the layout of chainlit-sqla, so keep files of another "
                "layout behind their own storage client (docs/storage.md), or "
            )
        raise StorageError(
            f"{result.missing:,} of the {result.processed:,} files of the imported elements are "
            f"neither in {shown_url(source)} nor in {shown_url(target)} (the first: "
            f"{result.first_missing!r}); {other_layout}correct --copy-storage and run the same "
            "command again. Lost files are listed by: chainlit-sqla storage check"
        )


async def _check_stores(source: str, settings: Settings) -> None:
    stores = open_stores(source, storage_url(settings), settings)
    try:
        await stores[1].check()
        async for _ in stores[0].list_blobs():  # The first one shows that it can be read.
            break
    finally:
        for store in stores:
            await store.close()
