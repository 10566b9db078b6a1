"""Derives the store from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import quote

from ..errors import ConfigurationError
from ..settings import Settings
from .base import Inventory
from .open_store import open_storage

Cloud = Literal["s3", "gs", "az"]

_REQUIRED_WITH = {  # An account without its key is valid: the machine has its own identity.
    "APP_AWS_ACCESS_KEY": "APP_AWS_SECRET_KEY",
    "APP_AWS_SECRET_KEY": "APP_AWS_ACCESS_KEY",
    "APP_GCS_PRIVATE_KEY": "APP_GCS_CLIENT_EMAIL",
    "APP_AZURE_STORAGE_ACCESS_KEY": "APP_AZURE_STORAGE_ACCOUNT",
}


def storage_url(settings: Settings) -> str:
    """Return the URL of the store that the settings name.

    ``CHAINLIT_SQLA_STORAGE`` wins, then comes ``BUCKET_NAME`` with the variables of one
    cloud (with none: S3 by the default AWS credentials), else the local folder.

    Returns:
        A URL for `open_storage`.

    Raises:
        ConfigurationError: The variables contradict each other or are incomplete.

    Example:
        >>> storage_url(Settings.load(bucket_name="attachments"))
        's3://attachments'
    """
    if settings.storage_url:
        return settings.storage_url
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
    if not settings.bucket_name:
        return f"file://{quote(str(settings.data_path / 'files'))}"
    cloud = next(iter(clouds)) if clouds else "s3"
    _check_complete(cloud, settings)
    return f"{cloud}://{quote(settings.bucket_name, safe='')}"


def storage_from(settings: Settings, *, url_prefix: Callable[[], str] | None = None) -> Inventory:
    """Create the storage client that the settings name, without connecting.

    Args:
        settings: The settings.
        url_prefix: Returns what precedes links to local files; None: ``public_url``.

    Raises:
        ConfigurationError: The settings cannot work.
        MissingExtraError: The package for Google's or Microsoft's cloud is missing.
    """
    return open_storage(storage_url(settings), settings, url_prefix=url_prefix)


def _variables(settings: Settings) -> Mapping[Cloud, Mapping[str, str]]:
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


def _clouds(settings: Settings) -> dict[Cloud, str]:
    """Return one variable that is set for each cloud that has any."""
    return {
        cloud: next(name for name, value in variables.items() if value)
        for cloud, variables in _variables(settings).items()
        if any(variables.values())
    }


def _check_complete(cloud: Cloud, settings: Settings) -> None:
    values = _variables(settings)[cloud]
    for name, required in _REQUIRED_WITH.items():
        if values.get(name) and not values[required]:
            raise ConfigurationError(f"{name} is set but {required} is not; set both")
