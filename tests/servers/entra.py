"""A small Microsoft Entra ID that gives tokens to workload identities."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from .ports import free_port

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
AUDIENCE = "https://storage.azure.com"


class EntraServer:
    """A thread that answers for one tenant over https on 127.0.0.1.

    It takes one assertion, `ASSERTION`, as Kubernetes would have signed it. Its tokens have
    the claims of real ones and no valid signature. The certificate's file holds its key, too.
    """

    ASSERTION = "signed-by-the-cluster"

    def __init__(self, certificate: Path) -> None:
        self.tokens = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        port = free_port()
        self.endpoint = f"https://127.0.0.1:{port}"
        entra = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, answer = entra._answer(self.path, parse_qs(body))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        right = {
            "client_id": [CLIENT],
            "scope": [f"{AUDIENCE}/.default"],
            "client_assertion": [self.ASSERTION],
            "grant_type": ["client_credentials"],
        }
        if path != f"/{TENANT}/oauth2/v2.0/token" or not right.items() <= form.items():
            said = (
                "AADSTS700211: No matching federated identity record found for presented "
                "assertion issuer 'https://cluster'. Please check the configuration.\n"
                "Trace ID: 0 Correlation ID: 0 Timestamp: 0"
            )
            return 400, {"error": "invalid_client", "error_description": said}
        self.tokens += 1
        return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token()}


def token() -> str:
    now = int(time.time())
    claims = {
        "aud": AUDIENCE,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
        "oid": CLIENT,
        "tid": TENANT,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, claims, "no signature")
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )
