"""Google's identity services, as far as a storage client asks them."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URI = "https://oauth2.googleapis.com/token"
STORAGE_SCOPES = ("/auth/cloud-platform", "/auth/devstorage.")

Answer = tuple[int, Any]
"""A status and a JSON document."""


@dataclass
class Account:
    """A service account and its key."""

    email: str

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def signed(self, signature: bytes, message: bytes) -> bool:
        try:
            self.key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass
class Identity:
    """Accounts by e-mail address, the tokens that they hold, and who may sign as whom."""

    accounts: dict[str, Account] = field(default_factory=dict)
    signers: set[tuple[str, str]] = field(default_factory=set)
    machine: str = ""
    """The account of the machine, as its metadata server tells it."""
    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def account(self, name: str) -> Account:
        # Of another domain than Google's, for which google-auth asks more in the background.
        email = f"{name}@project.example.com"
        return self.accounts.setdefault(email, Account(email))

    def owner(self, authorization: str) -> str:
        """Return whose token a request carries; empty for nobody's."""
        return self.tokens.get(authorization.removeprefix("Bearer "), "")

    def token_for(self, owner: str) -> dict[str, Any]:
        token = f"ya29.{secrets.token_hex(16)}"
        self.tokens[token] = owner
        return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

    def answer(self, path: str, headers: Mapping[str, str], body: bytes, here: str) -> Answer:
        """Answer a request that is none for the storage, as the server at the URL `here`."""
        self.asked.append(path)
        if path == "/token":
            return self._token(parse_qs(body.decode()), here)
        if path.startswith("/v1/projects/-/serviceAccounts/"):
            return self._sign_blob(path, headers, json.loads(body))
        return self._metadata(path)

    def _token(self, form: dict[str, list[str]], here: str) -> Answer:
        if form["grant_type"] == ["refresh_token"]:
            return 200, self.token_for("somebody@example.com")
        assert form["grant_type"] == [JWT_BEARER]
        signed, _, signature = form["assertion"][0].rpartition(".")
        claims = json.loads(_decoded(signed.split(".")[1]))
        account = self.accounts.get(claims["iss"])
        if account is None:
            return 400, _grant_error("Not a valid email or user ID.")
        if not account.signed(_decoded(signature), signed.encode()):
            return 400, _grant_error("Invalid JWT Signature.")
        # google-auth names Google's own address, whichever it asks.
        if claims["aud"] not in (TOKEN_URI, f"{here}/token"):
            return 400, _grant_error("Invalid JWT: Failed audience check.")
        if not claims["iat"] <= time.time() < claims["exp"]:
            return 400, _grant_error("Invalid JWT: Token must be a short-lived token.")
        if not any(scope in claims["scope"] for scope in STORAGE_SCOPES):
            return 400, {"error": "invalid_scope", "error_description": "Invalid OAuth scope."}
        return 200, self.token_for(claims["iss"])

    def _sign_blob(self, path: str, headers: Mapping[str, str], asked: Any) -> Answer:
        caller = self.owner(headers.get("Authorization", ""))
        email = unquote(path.rpartition("/")[2].partition(":")[0])
        if not caller:
            return 401, error(401, "Request had invalid authentication credentials.")
        if email not in self.accounts:
            return 404, error(404, "Not found; Gaia id not found for email " + email)
        if (caller, email) not in self.signers:
            said = "Permission 'iam.serviceAccounts.signBlob' denied on resource (or it may not"
            return 403, error(403, f"{said} exist).")
        signature = self.accounts[email].sign(base64.b64decode(asked["payload"]))
        return 200, {"keyId": "1", "signedBlob": base64.b64encode(signature).decode()}

    def _metadata(self, path: str) -> Answer:
        """The metadata server of a machine in Google's cloud."""
        plain = path.partition("?")[0].rstrip("/").removeprefix("/computeMetadata/v1")
        if plain in ("", "/"):
            return 200, {}
        if not self.machine:
            return 404, {}
        if plain == "/project/project-id":
            return 200, "project"
        if plain.endswith("/token"):
            return 200, self.token_for(self.machine)
        if "/service-accounts/" in plain:
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            return 200, {"email": self.machine, "aliases": ["default"], "scopes": scopes}
        return 404, {}


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "errors": [{"message": message}]}}


def _grant_error(description: str) -> dict[str, str]:
    return {"error": "invalid_grant", "error_description": description}


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
