"""Which store the settings mean, and how it is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError
from ..settings import Settings
from .base import StorageClient
from .local import LocalStorage

StorageKind = Literal["local", "s3", "gcs", "azure"]

_SETTING = "CHAINLIT_SQLA_STORAGE"
_FORMS = "s3://bucket/prefix or file:///folder"
_CLOUDS: Mapping[str, str] = {
    **dict.fromkeys(("gs", "gcs"), "BUCKET_NAME and the APP_GCS_* variables"),
    **dict.fromkeys(
        ("az", "azure", "abfs", "abfss", "wasb", "wasbs"),
        "BUCKET_NAME and the APP_AZURE_* variables",
    ),
    **dict.fromkeys(
        ("http", "https"), "s3://bucket?endpoint=URL for a server that speaks the S3 protocol"
    ),
}


def storage_kind(settings: Settings) -> StorageKind:
    """Decide which store the settings mean; opens nothing.

    ``CHAINLIT_SQLA_STORAGE`` wins, then comes ``BUCKET_NAME`` with the variables of one
    cloud (with none: S3 by the default AWS credentials), else the local folder.

    Args:
        settings: The settings.

    Returns:
        The kind of store.

    Raises:
        ConfigurationError: The variables contradict each other or are incomplete.

    Example:
        >>> storage_kind(Settings.load(storage_url="file:///srv/files"))
        'local'
    """
    if settings.storage_url:
        return "s3" if _split(settings.storage_url).scheme == "s3" else "local"
    clouds = _clouds(settings)
    if len(clouds) > 1:
        raise ConfigurationError(
            f"Variables of several clouds are set ({', '.join(clouds.values())}); "
            "unset those of all but one"
        )
    if clouds and not settings.bucket_name:
        raise ConfigurationError(
            f"{next(iter(clouds.values()))} is set but BUCKET_NAME is not; "
            "set BUCKET_NAME too, or unset the first to store files in a local folder"
        )
    kind = next(iter(clouds)) if clouds else "s3" if settings.bucket_name else "local"
    _check_complete(kind, settings)
    return kind


def storage_from(
    settings: Settings, *, url_prefix: Callable[[], str] | None = None
) -> StorageClient:
    """Make the storage client that the settings mean; connects to nothing.

    Args:
        settings: The settings.
        url_prefix: What stands before links to local files; None: ``public_url``.

    Returns:
        A client for S3 or the local folder.

    Raises:
        ConfigurationError: The settings cannot work, or mean a store that only
            `SQLADataLayer` can open, since its client comes with Chainlit.
    """
    kind = storage_kind(settings)
    if settings.storage_url:
        return open_storage(settings.storage_url, settings, url_prefix=url_prefix)
    if kind == "s3":
        return _s3(settings, settings.bucket_name, "", {})
    if kind == "local":
        return _local(settings, settings.data_path / "files", url_prefix)
    raise ConfigurationError(
        f"The store {kind!r} is reached through Chainlit's own client; "
        "open it through SQLADataLayer, or wrap the client in ChainlitClientStorage"
    )


def open_storage(
    url: str, settings: Settings, *, url_prefix: Callable[[], str] | None = None
) -> StorageClient:
    """Make the storage client for a URL; connects to nothing.

    Args:
        url: ``s3://bucket/prefix``, with ``?endpoint=``, ``region=`` and
            ``path_style=`` where they differ from the settings, or ``file:///folder``.
        settings: Credentials, secret and expiry.
        url_prefix: What stands before links to local files; None: ``public_url``.

    Returns:
        The client.

    Raises:
        ConfigurationError: The URL cannot be used.

    Example:
        ``open_storage("s3://attachments/chat", Settings.load())``
    """
    parts = _split(url)
    if parts.scheme == "s3":
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := options.keys() - {"endpoint", "region", "path_style"}:
            raise ConfigurationError(
                f"The storage URL {_shown(url)!r} has an unknown option {min(unknown)!r}; "
                "use endpoint, region or path_style"
            )
        if "@" in parts.netloc:
            raise ConfigurationError(
                f"The storage URL {_shown(url)!r} has credentials in it; put them into "
                "APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY"
            )
        return _s3(settings, parts.netloc, unquote(parts.path), options)
    return _local(settings, _folder(parts, url), url_prefix)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(
            f"The storage URL {_shown(url)!r} cannot be read ({error}); write it as {_FORMS}"
        ) from None
    if parts.scheme not in ("s3", "file"):
        if instead := _CLOUDS.get(parts.scheme):
            raise ConfigurationError(
                f"The storage URL {_shown(url)!r} is of no kind that can be opened; use {instead}"
            )
        raise ConfigurationError(
            f"The storage URL {_shown(url)!r} is of no kind that can be opened; "
            f"write {_SETTING} as {_FORMS}"
        )
    return parts


def _folder(parts: SplitResult, url: str) -> Path:
    path = unquote(parts.path)
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"The storage URL {_shown(url)!r} has a ? or # in it; write them as %3F and %23"
        )
    if os.name == "nt":
        path = path.removeprefix("/")  # file:///C:/files
    if parts.netloc not in ("", "localhost") or not Path(path).is_absolute():
        raise ConfigurationError(
            f"The storage URL {_shown(url)!r} names no absolute folder; "
            "write it with three slashes, like file:///srv/files"
        )
    return Path(path)


def _local(settings: Settings, root: Path, url_prefix: Callable[[], str] | None) -> LocalStorage:
    public = settings.public_url.rstrip("/")
    return LocalStorage(
        root,
        secret=settings.auth_secret,
        expiry=settings.storage_expiry_time,
        url_prefix=url_prefix or (lambda: public),
    )


def _s3(settings: Settings, bucket: str, prefix: str, options: Mapping[str, str]) -> StorageClient:
    from .s3 import S3Storage  # aiobotocore costs a cold start that local files need not pay.

    style = options.get("path_style", "")
    if style not in ("", "true", "false"):
        raise ConfigurationError(f"path_style={style!r} cannot be used; write true or false")
    return S3Storage(
        bucket,
        prefix=prefix,
        region=options.get("region") or settings.aws_region,
        access_key=settings.aws_access_key,
        secret_key=settings.aws_secret_key,
        endpoint=options.get("endpoint") or settings.aws_endpoint,
        expiry=settings.storage_expiry_time,
        path_style=None if not style else style == "true",
    )


def _clouds(settings: Settings) -> dict[StorageKind, str]:
    """Name one variable that is set of each cloud that has any."""
    # A region alone says nothing: other software of the same machine needs it too.
    named: dict[StorageKind, Mapping[str, str]] = {
        "s3": {
            "APP_AWS_ACCESS_KEY": settings.aws_access_key,
            "APP_AWS_SECRET_KEY": settings.aws_secret_key,
            "DEV_AWS_ENDPOINT": settings.aws_endpoint,
        },
        "gcs": {
            "APP_GCS_PROJECT_ID": settings.gcs_project_id,
            "APP_GCS_CLIENT_EMAIL": settings.gcs_client_email,
            "APP_GCS_PRIVATE_KEY": settings.gcs_private_key,
        },
        "azure": {
            "APP_AZURE_STORAGE_ACCOUNT": settings.azure_storage_account,
            "APP_AZURE_STORAGE_ACCESS_KEY": settings.azure_storage_key,
        },
    }
    return {
        kind: next(name for name, value in variables.items() if value)
        for kind, variables in named.items()
        if any(variables.values())
    }


def _check_complete(kind: StorageKind, settings: Settings) -> None:
    pairs = {
        "s3": (
            ("APP_AWS_ACCESS_KEY", settings.aws_access_key),
            ("APP_AWS_SECRET_KEY", settings.aws_secret_key),
        ),
        "gcs": (
            ("APP_GCS_CLIENT_EMAIL", settings.gcs_client_email),
            ("APP_GCS_PRIVATE_KEY", settings.gcs_private_key),
        ),
        "azure": (
            ("APP_AZURE_STORAGE_ACCOUNT", settings.azure_storage_account),
            ("APP_AZURE_STORAGE_ACCESS_KEY", settings.azure_storage_key),
        ),
    }
    pair = pairs.get(kind, ())
    absent = [name for name, value in pair if not value]
    if len(absent) == 1:
        present = next(name for name, value in pair if value)
        raise ConfigurationError(f"{present} is set but {absent[0]} is not; set both")


def _shown(url: str) -> str:
    """Return a URL without what may be a password."""
    return re.sub(r"//[^/@]*@", "//***@", url)
