"""Opens the store that a URL names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError
from ..settings import Settings
from .base import Inventory
from .cloud import CREDENTIAL_VARIABLES
from .local.client import LocalStorage

_FORMS = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder"
_OTHER_NAMES: Mapping[str, str] = {
    "gcs": "gs://bucket/prefix",
    **dict.fromkeys(("azure", "abfs", "abfss", "wasb", "wasbs"), "az://container/prefix"),
    **dict.fromkeys(
        ("http", "https"), "s3://bucket?endpoint=URL for a server that speaks the S3 protocol"
    ),
}

_SECRETS = (
    (re.compile(r"//.*@", re.DOTALL), "//***@"),
    # In an endpoint that is written with codes.
    (re.compile(r"(\?.*?(?://|%2f%2f))[^&]*%40", re.DOTALL | re.IGNORECASE), r"\1***%40"),
    # What stands behind a colon may be the beginning of a secret, if it is no port.
    (re.compile(r"\A([^/?#]*://)[^/?#@]*:(?!\d{1,5}(?:[/?#]|\Z)).*", re.DOTALL), r"\1***"),
)

_OPTION = re.compile(r"([?&]([^=&]*)=)[^&]+")


@dataclass(frozen=True, slots=True)
class _Bucket:
    """What a URL of a cloud says."""

    name: str
    prefix: str
    options: Mapping[str, str]
    settings: Settings

    def option(self, name: str, otherwise: str = "") -> str:
        return self.options.get(name) or otherwise


def open_storage(
    url: str, settings: Settings, *, url_prefix: Callable[[], str] | None = None
) -> Inventory:
    """Make the storage client for a URL; connects to nothing.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix`` or
            ``file:///folder``. What differs from the settings stands behind a ``?``; the
            options are in docs/storage.md.
        settings: Credentials, secret and expiry.
        url_prefix: What stands before links to local files; None: ``public_url``.

    Returns:
        The client.

    Raises:
        ConfigurationError: The URL cannot be used.
        MissingExtraError: The package for Google's or Microsoft's cloud is missing.

    Example:
        ``open_storage("s3://attachments/chat", Settings.load())``
    """
    parts = _split(url)
    if parts.scheme == "file":
        return _local(settings, _folder(parts, url), url_prefix)
    make, known = _CLOUDS[parts.scheme]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    # A secret may have any of "/", "?" and "#" in it, so it may end up anywhere.
    if ":" in parts.netloc or "@" in url.partition("?")[0] or any("@" in name for name in options):
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} has credentials in it; put them into "
            f"{CREDENTIAL_VARIABLES[parts.scheme]} (an @ of a prefix is written as %40)"
        )
    if not parts.netloc:
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} names no bucket; write it as {_FORMS}"
        )
    if unknown := options.keys() - set(known):
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} has an unknown option {min(unknown)!r}; "
            f"use {', '.join(known[:-1])} or {known[-1]}"
        )
    return make(_Bucket(unquote(parts.netloc), unquote(parts.path), options, settings))


def shown_url(url: str) -> str:
    """Write a storage URL for people, without what may be a password.

    Args:
        url: Any text.

    Example:
        >>> shown_url("s3://key:secret@bucket")
        's3://***@bucket'
        >>> shown_url("s3://key:se/cret@bucket?region=eu-west-1")
        's3://***@bucket?region=eu-west-1'
    """
    if url.startswith("file:///"):
        return url
    for pattern, shown in _SECRETS:
        url = pattern.sub(shown, url)
    return _OPTION.sub(lambda found: found[0] if found[2] in _OPTIONS else f"{found[1]}***", url)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} cannot be read ({error}); write it as {_FORMS}"
        ) from None
    if parts.scheme not in ("file", *_CLOUDS):
        instead = _OTHER_NAMES.get(parts.scheme, _FORMS)
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} is of no kind that can be opened; "
            f"write it as {instead}"
        )
    return parts


def _folder(parts: SplitResult, url: str) -> Path:
    path = unquote(parts.path)
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} has a ? or # in it; write them as %3F and %23"
        )
    if os.name == "nt":
        path = path.removeprefix("/")  # file:///C:/files
    if parts.netloc not in ("", "localhost") or not Path(path).is_absolute():
        raise ConfigurationError(
            f"The storage URL {shown_url(url)!r} names no absolute folder; "
            "write it with three slashes, like file:///srv/files"
        )
    return Path(path)


def _local(settings: Settings, root: Path, url_prefix: Callable[[], str] | None) -> Inventory:
    public = settings.public_url.rstrip("/")
    return LocalStorage(
        root,
        secret=settings.auth_secret,
        expiry=settings.storage_expiry_time,
        url_prefix=url_prefix or (lambda: public),
    )


def _s3(bucket: _Bucket) -> Inventory:
    from .s3.client import (
        S3Storage,  # aiobotocore costs a cold start that local files need not pay.
    )

    style = bucket.option("path_style")
    if style not in ("", "true", "false"):
        raise ConfigurationError(f"path_style={style!r} cannot be used; write true or false")
    settings, profile = bucket.settings, bucket.option("profile")
    return S3Storage(
        bucket.name,
        prefix=bucket.prefix,
        region=bucket.option("region", "" if profile else settings.aws_region),
        access_key="" if profile else settings.aws_access_key,
        secret_key="" if profile else settings.aws_secret_key,
        profile=profile,
        endpoint=bucket.option("endpoint", settings.aws_endpoint),
        public_endpoint=bucket.option("public_endpoint"),
        encryption=bucket.option("sse"),
        kms_key=bucket.option("kms_key"),
        expiry=settings.storage_expiry_time,
        path_style=None if not style else style == "true",
    )


def _gcs(bucket: _Bucket) -> Inventory:
    from .gcs.client import GCSStorage

    settings = bucket.settings
    return GCSStorage(
        bucket.name,
        prefix=bucket.prefix,
        project=bucket.option("project", settings.gcs_project_id),
        client_email=settings.gcs_client_email,
        private_key=settings.gcs_private_key,
        endpoint=bucket.option("endpoint"),
        expiry=settings.storage_expiry_time,
    )


def _azure(bucket: _Bucket) -> Inventory:
    from .azure.client import AzureStorage

    settings = bucket.settings
    return AzureStorage(
        bucket.name,
        prefix=bucket.prefix,
        account=bucket.option("account", settings.azure_storage_account),
        key=settings.azure_storage_key,
        endpoint=bucket.option("endpoint"),
        expiry=settings.storage_expiry_time,
    )


_CLOUDS: Mapping[str, tuple[Callable[[_Bucket], Inventory], tuple[str, ...]]] = {
    "s3": (
        _s3,
        ("endpoint", "public_endpoint", "region", "path_style", "profile", "sse", "kms_key"),
    ),
    "gs": (_gcs, ("endpoint", "project")),
    "az": (_azure, ("account", "endpoint")),
}
_OPTIONS = frozenset(name for _, known in _CLOUDS.values() for name in known)
