"""Where the credentials of a cloud belong: never into a URL, which is shown and logged."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigurationError

VARIABLES: Mapping[str, str] = {
    "s3": "APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY",
    "gs": "APP_GCS_CLIENT_EMAIL and APP_GCS_PRIVATE_KEY",
    "az": "APP_AZURE_STORAGE_ACCOUNT and APP_AZURE_STORAGE_ACCESS_KEY",
}
"""The variables that take them, by the scheme of the cloud's URLs."""


def refuse_credentials(cloud: str, endpoint: str) -> None:
    """Refuse an endpoint that has a user or a password in it.

    Args:
        cloud: One of `VARIABLES`.
        endpoint: The URL of a server, or what somebody took for one; it is not shown.

    Raises:
        ConfigurationError: There is an ``@`` in it, wherever: a secret may have a slash.
    """
    if "@" in endpoint:
        raise ConfigurationError(
            f"The endpoint for {cloud}:// has credentials in it; put them into "
            f"{VARIABLES[cloud]}, and write the endpoint like http://localhost:9000"
        )
