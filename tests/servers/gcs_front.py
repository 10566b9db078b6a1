"""What an emulator of Google Cloud Storage leaves out: logins, signatures, pages, faults.

Google checks who asks; the emulator behind does not. So this server stands before it.
It also gives the answers for which real clients look: what is missing (the blob or the
bucket), the headers of a download, lists in pages.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from .gcs_identity import Identity, error
from .gcs_signatures import Refused, check_link
from .ports import free_port
from .s3_faults import Fault

CHUNK = 65_536
API = re.compile(r"/(?:upload/|download/)?storage/v1/b/([^/?]+)")
IDENTITY = re.compile(r"/token$|/v1/projects/-/|/computeMetadata/|/$")
NO_BUCKET = "The specified bucket does not exist."


class Front:
    """Listens on 127.0.0.1, in threads of this process."""

    def __init__(self, emulator: tuple[str, int], identity: Identity) -> None:
        self.emulator = emulator
        self.identity = identity
        self.stranger = ""
        """The account that has no right on any bucket."""
        self.page_size = 1000
        # It serves one connection at a time, and lets few wait.
        self.emulator_slots = threading.Semaphore(4)
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.finished: dict[str, Any] = {}
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        handler = type("Handler", (_Handler,), {"front": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, status: int, pattern: str = "", times: int = 1) -> None:
        """Answer the next requests that match with a status."""
        self.faults.append(Fault(pattern, times, status))

    def reset(self) -> None:
        self.faults.clear()
        self.requests.clear()
        self.page_size, self.stranger = 1000, ""

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is wrong here, but not that a client or the emulator went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        front, line = self.front, f"{self.command} {self.path}"
        front.requests.append(line)
        self._left = int(self.headers.get("Content-Length") or 0)
        for fault in front.faults:
            if fault.takes(line):
                return self._send_json(fault.status, error(fault.status, "as told"))
        if IDENTITY.match(self.path):
            body = b"".join(self._body())
            answer = front.identity.answer(self.path, self.headers, body, front.endpoint)
            return self._send_json(*answer)
        if API.match(self.path):
            return self._api()
        return self._signed()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815

    def _signed(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        accounts = {
            email: account
            for email, account in self.front.identity.accounts.items()
            if email != self.front.stranger
        }
        try:
            check_link(self.command, self.path, headers, accounts, datetime.now(UTC))
        except Refused as refused:
            text = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code></Error>"
            return self._send(refused.status, [("Content-Type", "application/xml")], text.encode())
        bucket, _, name = unquote(urlsplit(self.path).path)[1:].partition("/")
        return self._download(bucket, name)

    def _api(self) -> None:
        owner = self.front.identity.owner(self.headers.get("Authorization", ""))
        if not owner:
            return self._send_json(401, error(401, "Invalid Credentials"))
        if owner == self.front.stranger:
            said = f"{owner} does not have storage.objects.create access to the object."
            return self._send_json(403, error(403, said))
        bucket, parts = API.match(self.path)[1], urlsplit(self.path)  # type: ignore[index]
        query = parse_qs(parts.query)
        if query.get("alt") == ["media"]:
            return self._download(bucket, unquote(parts.path.partition("/o/")[2]))
        if self.command == "GET" and parts.path.endswith("/o"):
            return self._list(bucket, query)
        if self.command == "PUT" and "upload_id" in query:
            return self._part(query["upload_id"][0])
        return self._pass_on(bucket)

    def _pass_on(self, bucket: str) -> None:
        sent = self._body() if self._left else None
        passed = {k: v for k, v in self.headers.items() if k.lower() != "accept-encoding"}
        status, headers, body = self._ask(self.command, self.path, sent, passed)
        if status == 404:
            said = f"No such object: {bucket}/..." if self._has(bucket) else NO_BUCKET
            return self._send_json(404, error(404, said))
        return self._send(status, headers, body)

    def _part(self, upload: str) -> None:
        """Take a part of an upload; what came before is ignored, as Google does.

        Source: https://cloud.google.com/storage/docs/performing-resumable-uploads#resume-upload
        """
        first, total = re.findall(r"bytes (\d+)-\d+/(.+)", self.headers["Content-Range"])[0]
        with tempfile.TemporaryFile() as part:
            for chunk in self._body():  # The whole first: the emulator would keep half a part.
                part.write(chunk)
            start, end = int(first), int(first) + part.tell()
            if done := self.front.finished.get(upload):
                return self._send(*done)
            _, headers, _ = self._ask("PUT", self.path, None, {"Content-Range": "bytes */*"})
            last = int(dict(headers)["Range"].rpartition("-")[2])
            here = max(start, last + 1 if last else 0)  # It says "0-0" for nothing, too.
            if here >= end:
                return self._send(308, [("Range", f"bytes=0-{last}")], b"")
            part.seek(here - start)
            about = {"Content-Range": f"bytes {here}-{end - 1}/{total}"}
            about["Content-Length"] = str(end - here)
            answer = self._ask("PUT", self.path, iter(lambda: part.read(CHUNK), b""), about)
        if answer[0] == 200:
            self.front.finished[upload] = answer
        return self._send(*answer)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        path = f"/storage/v1/b/{bucket}/o?prefix={quote(query.get('prefix', [''])[0])}"
        status, _, body = self._ask("GET", path)
        if status != 200:
            return self._send_json(404, error(404, NO_BUCKET))
        items = sorted(json.loads(body)["items"], key=lambda item: item["name"])
        start = int(query.get("pageToken", ["0"])[0])
        end = start + self.front.page_size
        page = {"items": items[start:end]}
        if end < len(items):
            page["nextPageToken"] = str(end)
        return self._send_json(200, page)

    def _download(self, bucket: str, name: str) -> None:
        path = f"b/{bucket}/o/{quote(name, safe='')}"
        status, _, body = self._ask("GET", f"/storage/v1/{path}")
        if status != 200:
            said = f"No such object: {bucket}/{name}" if self._has(bucket) else NO_BUCKET
            return self._send(404, [("Content-Type", "text/plain")], said.encode())
        known = json.loads(body)
        wanted = self.headers.get("Range", "")
        first = re.match(r"bytes=(\d+)-", wanted)
        if first and int(first[1]) >= int(known["size"]):
            return self._send(416, [], b"")
        forwarded = {"Range": wanted} if wanted else {}
        media = f"/download/storage/v1/{path}?alt=media"
        status, headers, body = self._ask("GET", media, None, forwarded)
        kept = [(k, v) for k, v in headers if k.lower() in ("content-range", "x-goog-hash")]
        kept += [("Content-Type", known["contentType"]), ("X-Goog-Generation", known["generation"])]
        if known.get("contentDisposition"):
            kept.append(("Content-Disposition", known["contentDisposition"]))
        return self._send(status, kept, body)

    def _has(self, bucket: str) -> bool:
        return self._ask("GET", f"/storage/v1/b/{bucket}")[0] == 200

    def _ask(
        self,
        method: str,
        path: str,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        with self.front.emulator_slots:
            link = http.client.HTTPConnection(*self.front.emulator)
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            content = answer.read()
            link.close()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("date", "server")]
        return answer.status, kept, content

    def _body(self) -> Iterable[bytes]:
        while self._left:
            chunk = self.rfile.read(min(CHUNK, self._left))
            if not chunk:
                raise ConnectionResetError
            self._left -= len(chunk)
            yield chunk

    def _send_json(self, status: int, content: Any) -> None:
        headers = [("Content-Type", "application/json"), ("Metadata-Flavor", "Google")]
        if isinstance(content, str):
            headers[0] = ("Content-Type", "text/plain")
        text = content if isinstance(content, str) else json.dumps(content)
        self._send(status, headers, text.encode())

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        for _ in self._body():
            pass  # What was not read would be taken for the next request.
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
