"""Who asks Google Cloud Storage, and who signs its links."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import google.auth
from google.api_core.exceptions import from_http_response
from google.auth.credentials import AnonymousCredentials, Signing, with_scopes_if_required
from google.oauth2 import service_account

from ...errors import ConfigurationError, StorageError

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
IAM_URL = "https://iamcredentials.googleapis.com"
GOOGLE_HOSTS = ".googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
"""Storage alone would do for blobs, but not for IAM, which signs where there is no key."""

TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"  # noqa: S105 - a role


def login(client_email: str, private_key: str, endpoint: str, given: Any = None) -> Any:
    """Decide who asks.

    Args:
        client_email: A service account.
        private_key: Its key; empty: not known.
        endpoint: The URL of the server; empty for Google's own.
        given: Credentials of google-auth, which win.

    Returns:
        Credentials; None: the Application Default Credentials, which take requests to
        find, see `default_credentials`.

    Raises:
        ConfigurationError: The key cannot be read.
    """
    if given is not None:
        return with_scopes_if_required(given, SCOPES)
    if private_key:
        return _key_credentials(client_email, private_key)
    host = urlsplit(endpoint).hostname or ""
    if endpoint and not host.endswith(GOOGLE_HOSTS):
        return AnonymousCredentials()
    return None


def default_credentials() -> Any:
    """Find the Application Default Credentials.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: This machine has none.
    """
    return google.auth.default(scopes=SCOPES)[0]


def _key_credentials(client_email: str, private_key: str) -> Any:
    # In ".env" files the line ends of the key are often written as "\\n", and quotes around
    # it are kept by some readers.
    pem = private_key.strip().strip("\"'").replace("\\n", "\n")
    info = {"client_email": client_email, "private_key": pem, "token_uri": TOKEN_URI}
    try:
        return service_account.Credentials.from_service_account_info(info, scopes=SCOPES)
    except (ValueError, TypeError):  # Their message is not shown: it may quote the key.
        raise ConfigurationError(
            "The private key for Google Cloud Storage cannot be read; set APP_GCS_PRIVATE_KEY to "
            "the whole private_key of the service account's JSON file"
        ) from None


def signs_here(credentials: Any, client_email: str) -> bool:
    """Tell whether links are signed by computing alone, without a request.

    Args:
        credentials: Those of the client.
        client_email: The account that must sign; empty: any.
    """
    return isinstance(credentials, service_account.Credentials) and client_email in (
        "",
        credentials.service_account_email,
    )


def signer_for(
    credentials: Any, client_email: str, session: Any, retry: Callable[[Any], Any]
) -> Any:
    """Find who signs links.

    Args:
        credentials: Those of the client, refreshed: before, a machine does not know the
            name of its account.
        client_email: The account that must sign; empty: that of the credentials.
        session: Sends requests with these credentials.
        retry: Wraps a function that sends one.

    Returns:
        An object with `google.auth.credentials.Signing`.

    Raises:
        StorageError: There is nobody.
    """
    if signs_here(credentials, client_email):
        return credentials
    if not client_email and isinstance(credentials, Signing):
        return credentials
    email = client_email or getattr(credentials, "service_account_email", None)
    if not email or "@" not in email:
        raise StorageError(
            "Cannot sign links to Google Cloud Storage: these credentials belong to no service "
            "account; set APP_GCS_CLIENT_EMAIL to a service account on which they have the role "
            f"{TOKEN_CREATOR}, or set APP_GCS_PRIVATE_KEY, too"
        )
    return IamSigner(session, email, retry)


class IamSigner(Signing):
    """Lets IAM sign with a key that only Google has.

    google-auth has such a signer, too, but it opens a connection for each signature.

    Source: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob

    Args:
        session: Sends requests with the caller's credentials.
        email: The service account that signs.
        retry: Wraps a function that sends a request.
    """

    def __init__(self, session: Any, email: str, retry: Callable[[Any], Any]) -> None:
        self._session = session
        self._email = email
        path = f"/v1/projects/-/serviceAccounts/{quote(email, safe='@')}:signBlob"
        self._url = IAM_URL + path
        self._ask = retry(self._ask_once)

    @property
    def signer_email(self) -> str:
        """The service account that signs."""
        return self._email

    @property
    def signer(self) -> IamSigner:
        """The signer, which is this object."""
        return self

    def sign_bytes(self, message: bytes) -> bytes:
        """Have a message signed.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: IAM refuses.
        """
        signature: bytes = self._ask(message)
        return signature

    def _ask_once(self, message: bytes) -> bytes:
        payload = {"payload": base64.b64encode(message).decode()}
        answer = self._session.post(self._url, json=payload, timeout=(10, 60))
        if answer.status_code != 200:
            raise from_http_response(answer)
        return base64.b64decode(answer.json()["signedBlob"])
