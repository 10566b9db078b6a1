"""Opens the store that a URL or the settings name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

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
    # In an endpoint that is percent-encoded.
    (re.compile(r"(\?.*?(?://|%2f%2f))[^&]*%40", re.DOTALL | re.IGNORECASE), r"\1***%40"),
    # Text after a colon may be the beginning of a secret, unless it is a port.
    (re.compile(r"\A([^/?#]*://)[^/?#@]*:(?!\d{1,5}(?:[/?#]|\Z)).*", re.DOTALL), r"\1***"),
)

_OPTION = re.compile(r"([?&]([^=&]*)=)[^&]+")

_REQUIRED_WITH = {  # An account without its key is valid: the machine has its own identity.
    "APP_AWS_ACCESS_KEY": "APP_AWS_SECRET_KEY",
    "APP_AWS_SECRET_KEY": "APP_AWS_ACCESS_KEY",
    "APP_GCS_PRIVATE_KEY": "APP_GCS_CLIENT_EMAIL",
    "APP_AZURE_STORAGE_ACCESS_KEY": "APP_AZURE_STORAGE_ACCOUNT",
}


@dataclass(frozen=True, slots=True)
class _Bucket:
    """The parts of a cloud's URL."""

    name: str
    prefix: str
    options: Mapping[str, str]
    settings: Settings

    def option(self, name: str, default: str = "") -> str:
        return self.options.get(name) or default


def storage_url(settings: Settings) -> str:
    """Return the URL of the store that the settings name.

    ``CHAINLIT_SQLA_STORAGE`` wins, then comes ``BUCKET_NAME`` with the variables of one
    cloud (with none: S3 by the default AWS credentials), else the local folder.
    """
    if settings.storage_url:
        return settings.storage_url
    clouds = {
        cloud: values
        for cloud, variables in _variables(settings).items()
        if (values := {name: value for name, value in variables.items() if value})
    }
    names = [next(iter(values)) for values in clouds.values()]
    if len(clouds) > 1:
        raise ConfigurationError(
            f"Variables of several clouds are set ({', '.join(names)}); unset those of all but one"
        )
    if clouds and not settings.bucket_name:
        raise ConfigurationError(
            f"{names[0]} is set but BUCKET_NAME is not; "
            "set BUCKET_NAME too, or unset the first to store files in a local folder"
        )
    if not settings.bucket_name:
        return f"file://{quote(str(settings.data_path / 'files'))}"
    cloud, values = next(iter(clouds.items()), ("s3", {}))
    for name in values:
        required = _REQUIRED_WITH.get(name, name)
        if required not in values:
            raise ConfigurationError(f"{name} is set but {required} is not; set both")
    return f"{cloud}://{quote(settings.bucket_name, safe='')}"


def storage_from(settings: Settings, *, url_prefix: Callable[[], str] | None = None) -> Inventory:
    """Create the storage client that the settings name; see `open_storage`."""
    return open_storage(storage_url(settings), settings, url_prefix=url_prefix)


def open_storage(
    url: str, settings: Settings, *, url_prefix: Callable[[], str] | None = None
) -> Inventory:
    """Create the storage client for a URL, without connecting.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix`` or
            ``file:///folder``. Options after a ``?`` (docs/storage.md) override the settings.
        settings: Credentials, secret and expiry.
        url_prefix: Returns what precedes links to local files; None: ``public_url``.

    Raises:
        ConfigurationError: The URL cannot be used.
        MissingExtraError: The package for Google's or Microsoft's cloud is missing.

    Example:
        ``open_storage("s3://attachments/chat", Settings.load())``
    """
    parts = _split(url)
    if parts.scheme == "file":
        public = settings.public_url.rstrip("/")
        return LocalStorage(
            _folder(parts, url),
            secret=settings.auth_secret,
            expiry=settings.storage_expiry_time,
            url_prefix=url_prefix or (lambda: public),
        )
    create, known_options = _CLOUDS[parts.scheme]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    # A secret may contain "/", "?" and "#", so it may end up anywhere.
    if ":" in parts.netloc or "@" in url.partition("?")[0] or any("@" in name for name in options):
        raise _url_error(
            url,
            "has credentials in it; put them into "
            f"{CREDENTIAL_VARIABLES[parts.scheme]} (an @ of a prefix is written as %40)",
        )
    if not parts.netloc:
        raise _url_error(url, f"names no bucket; write it as {_FORMS}")
    unknown = options.keys() - set(known_options)
    if unknown & {"sse", "kms_key"}:
        raise _url_error(url, "asks for encryption; set it as the default of the bucket instead")
    if unknown:
        raise _url_error(
            url,
            f"has an unknown option {min(unknown)!r}; "
            f"use {', '.join(known_options[:-1])} or {known_options[-1]}",
        )
    return create(_Bucket(unquote(parts.netloc), unquote(parts.path), options, settings))


def mask_storage_url(url: str) -> str:
    """Replace everything in a text that may be a storage URL and that may be a password."""
    if url.startswith("file:///"):
        return url
    if "://" not in url:
        return "***"
    for pattern, replacement in _SECRETS:
        url = pattern.sub(replacement, url)
    return _OPTION.sub(lambda match: match[0] if match[2] in _OPTIONS else f"{match[1]}***", url)


def _variables(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    # A region alone means nothing: other software of the same machine needs it too.
    return {
        "s3": {
            "APP_AWS_ACCESS_KEY": settings.aws_access_key,
            "APP_AWS_SECRET_KEY": settings.aws_secret_key,
            "DEV_AWS_ENDPOINT": settings.aws_endpoint,
        },
        "gs": {
            "APP_GCS_PROJECT_ID": settings.gcs_project_id,
            "APP_GCS_CLIENT_EMAIL": settings.gcs_client_email,
            "APP_GCS_PRIVATE_KEY": settings.gcs_private_key,
        },
        "az": {
            "APP_AZURE_STORAGE_ACCOUNT": settings.azure_storage_account,
            "APP_AZURE_STORAGE_ACCESS_KEY": settings.azure_storage_key,
        },
    }


def _url_error(url: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"The storage URL {mask_storage_url(url)!r} {problem}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _url_error(url, f"cannot be read ({error}); write it as {_FORMS}") from None
    if parts.scheme not in ("file", *_CLOUDS):
        form = _OTHER_NAMES.get(parts.scheme, _FORMS)
        raise _url_error(url, f"is of no kind that can be opened; write it as {form}")
    return parts


def _folder(parts: SplitResult, url: str) -> Path:
    path = unquote(parts.path)
    if parts.query or parts.fragment:
        raise _url_error(url, "has a ? or # in it; write them as %3F and %23")
    if os.name == "nt":
        path = path.removeprefix("/")  # file:///C:/files
    if parts.netloc not in ("", "localhost") or not Path(path).is_absolute():
        raise _url_error(
            url, "names no absolute folder; write it with three slashes, like file:///srv/files"
        )
    return Path(path)


def _s3(bucket: _Bucket) -> Inventory:
    from .s3.client import S3Storage

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
        public_endpoint=bucket.option("public_endpoint", settings.public_endpoint),
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
    "s3": (_s3, ("endpoint", "public_endpoint", "region", "path_style", "profile")),
    "gs": (_gcs, ("endpoint", "project")),
    "az": (_azure, ("account", "endpoint")),
}
_OPTIONS = frozenset(name for _, options in _CLOUDS.values() for name in options)
