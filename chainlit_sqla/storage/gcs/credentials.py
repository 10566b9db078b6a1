"""Who sends requests to Google Cloud Storage, and who signs its links."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import google.auth
from google.api_core.exceptions import from_http_response
from google.auth.credentials import AnonymousCredentials, Signing, with_scopes_if_required
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from ...errors import ConfigurationError, StorageError

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
IAM_URL = "https://iamcredentials.googleapis.com"
GOOGLE_HOSTS = ".googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
"""The scope of storage alone does not cover IAM, which signs where there is no key."""

TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"  # noqa: S105 - a role


class Login:
    """The credentials of a store; those of the machine are looked up on first use.

    Args:
        client_email: The service account that signs; empty: that of the credentials.
        private_key: Its key; empty: unknown.
        endpoint: The URL of the server; empty for Google's own.
        credentials: Of google-auth, which win.

    Raises:
        ConfigurationError: The key cannot be read.
    """

    def __init__(
        self, client_email: str, private_key: str, endpoint: str, credentials: Any
    ) -> None:
        self._client_email = client_email
        self._credentials: Any = None
        host = urlsplit(endpoint).hostname or ""
        if credentials is not None:
            self._credentials = with_scopes_if_required(credentials, SCOPES)
        elif private_key:
            self._credentials = _key_credentials(client_email, private_key)
        elif endpoint and not host.endswith(GOOGLE_HOSTS):
            self._credentials = AnonymousCredentials()

    @property
    def credentials(self) -> Any:
        """The credentials.

        Raises:
            google.auth.exceptions.DefaultCredentialsError: This machine has none.
        """
        if self._credentials is None:
            self._credentials = google.auth.default(scopes=SCOPES)[0]
        return self._credentials

    @property
    def is_anonymous(self) -> bool:
        """Whether an emulator stands for Google."""
        return isinstance(self.credentials, AnonymousCredentials)

    @property
    def signs_locally(self) -> bool:
        """Whether links are signed without a request."""
        credentials = self.credentials
        return isinstance(credentials, service_account.Credentials) and self._client_email in (
            "",
            credentials.service_account_email,
        )

    def renew(self, session: Any) -> None:
        """Get a token, unless there is one that is valid."""
        if not self.credentials.valid:
            self.credentials.refresh(Request(session=session._auth_request.session))

    def signer(self, session: Any, retry: Callable[[Any], Any]) -> Any:
        """Return who signs links.

        Args:
            session: Sends requests with these credentials, which have a token: before they
                do, a machine does not know the name of its account.
            retry: Wraps a function that sends a request.

        Returns:
            An object with `google.auth.credentials.Signing`.

        Raises:
            StorageError: Nobody can.
        """
        credentials = self.credentials
        if self.signs_locally or (not self._client_email and isinstance(credentials, Signing)):
            return credentials
        email = self._client_email or getattr(credentials, "service_account_email", None)
        if not email or "@" not in email:
            raise StorageError(
                "Cannot sign links to Google Cloud Storage: these credentials belong to no "
                "service account; set APP_GCS_CLIENT_EMAIL to a service account on which they "
                f"have the role {TOKEN_CREATOR}, or set APP_GCS_PRIVATE_KEY, too"
            )
        return IamSigner(session, email, retry)


class IamSigner(Signing):
    """Signs by IAM, with a key that only Google has.

    google-auth has such a signer, too, whose errors lack the status that the repair depends on.

    Source: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob

    Args:
        session: Sends requests with the caller's credentials.
        email: The service account that signs.
        retry: Wraps a function that sends a request.
    """

    def __init__(self, session: Any, email: str, retry: Callable[[Any], Any]) -> None:
        self._session = session
        self._email = email
        self._url = f"{IAM_URL}/v1/projects/-/serviceAccounts/{quote(email, safe='@')}:signBlob"
        self._post = retry(self._post_once)

    @property
    def signer_email(self) -> str:
        """The service account that signs."""
        return self._email

    @property
    def signer(self) -> IamSigner:
        """This object."""
        return self

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign a message.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: IAM refuses.
        """
        signature: bytes = self._post(message)
        return signature

    def _post_once(self, message: bytes) -> bytes:
        payload = {"payload": base64.b64encode(message).decode()}
        answer = self._session.post(self._url, json=payload, timeout=(10, 60))
        if answer.status_code != 200:
            raise from_http_response(answer)
        return base64.b64decode(answer.json()["signedBlob"])


def _key_credentials(client_email: str, private_key: str) -> Any:
    # ".env" files often hold the line ends of the key as "\\n", and some readers keep quotes.
    pem = private_key.strip().strip("\"'").replace("\\n", "\n")
    info = {"client_email": client_email, "private_key": pem, "token_uri": TOKEN_URI}
    try:
        return service_account.Credentials.from_service_account_info(info, scopes=SCOPES)
    except (ValueError, TypeError):  # Their message is dropped: it may quote the key.
        raise ConfigurationError(
            "The private key for Google Cloud Storage cannot be read; set APP_GCS_PRIVATE_KEY to "
            "the whole private_key of the service account's JSON file"
        ) from None
