"""A hub of models and data sets on loopback: redirects to a second host that stores the bytes, ranges, faults."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_secret_5f2c"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Blob:
    """A file on the hub. Large files (lfs) stand on the other host, behind a redirect."""

    content: bytes
    lfs: bool = True
    gated: bool = False
    claimed_hash: str | None = None
    """What the hub says the hash is; None for the truth."""

    @property
    def hash(self) -> str:
        if self.claimed_hash is not None:
            return self.claimed_hash
        if self.lfs:
            return sha256(self.content)
        return hashlib.sha1(f"blob {len(self.content)}\0".encode() + self.content).hexdigest()


Handler = Any
Fault = Callable[[Handler, bytes], None]
"""Answers one request for bytes in another way than it should."""


def cut_after(n: int) -> Fault:
    """The right head, but only n bytes of the body that was asked for, and then the connection is closed."""

    def fault(handler: Handler, content: bytes) -> None:
        start = handler.range_start() or 0
        handler.send_head(content, start)
        handler.wfile.write(content[start : start + n])
        handler.close_connection = True

    return fault


def status(code: int, **headers: str) -> Fault:
    def fault(handler: Handler, content: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return fault


def ignoring_range(handler: Handler, content: bytes) -> None:
    """The whole file with status 200, whatever was asked for."""
    handler.send_head(content, None)
    handler.wfile.write(content)


def without_end(handler: Handler, content: bytes) -> None:
    """Chunked, so that no length is told, and it does not stop by itself."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        for _ in range(10_000):
            handler.wfile.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    except OSError:
        handler.close_connection = True


@dataclass
class HubServer:
    """Two hosts: the hub itself, and the store of large files. `with HubServer() as hub:`."""

    files: dict[str, Blob] = field(default_factory=dict)
    """Path on the hub, such as `/datasets/someone/set/resolve/REVISION/file.csv` → file."""
    moved: dict[str, str] = field(default_factory=dict)
    """Path → the path on the hub that it leads to now."""
    store_faults: list[Fault] = field(default_factory=list)
    """What the store does to the next requests, before it does as it should."""
    hub_faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """(host: `hub` or `store`, path, headers with names in lower case)."""
    etag: str = '"v1"'
    """The store's mark of its version."""

    def __enter__(self) -> Self:
        self._servers = [self._serve("hub"), self._serve("store")]
        return self

    def __exit__(self, *_: object) -> None:
        for server, thread in self._servers:
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0][0].server_port}"

    @property
    def store_url(self) -> str:
        return f"http://localhost:{self._servers[1][0].server_port}"

    def ranges(self) -> list[str | None]:
        """What was asked of the store, request by request."""
        return [headers.get("range") for host, _, headers in self.requests if host == "store"]

    def _serve(self, host: str) -> tuple[http.server.ThreadingHTTPServer, threading.Thread]:
        hub = self

        class RequestHandler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.requests.append((host, self.path, {k.lower(): v for k, v in self.headers.items()}))
                (hub.answer if host == "hub" else hub.store)(self)

            def range_start(self) -> int | None:
                match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                wanted = self.headers.get("If-Range")
                return int(match[1]) if match and wanted in (None, hub.etag) else None

            def send_head(self, content: bytes, start: int | None, **headers: str) -> None:
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                for name, value in {"ETag": hub.etag, **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(content) - (start or 0)))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        return server, thread

    def answer(self, handler: Handler) -> None:
        """As the hub does: a redirect to the store for large files, small ones at once."""
        blob = self.files.get(handler.path)
        if self.hub_faults:
            self.hub_faults.pop(0)(handler, blob.content if blob else b"")
        elif handler.path in self.moved:
            status(307, Location=self.moved[handler.path])(handler, b"")
        elif blob is None:
            status(404)(handler, b"")
        elif blob.gated and handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            status(403 if handler.headers.get("Authorization") else 401)(handler, b"")
        elif blob.lfs:
            status(
                302,
                Location=f"{self.store_url}{handler.path}",
                X_Repo_Commit=COMMIT,
                X_Linked_Etag=f'"{blob.hash}"',
                X_Linked_Size=str(len(blob.content)),
            )(handler, b"")
        else:
            handler.send_head(blob.content, None, ETag=f'"{blob.hash}"', X_Repo_Commit=COMMIT)
            handler.wfile.write(blob.content)

    def store(self, handler: Handler) -> None:
        """The bytes, from where they were asked for."""
        content = self.files[handler.path].content
        if self.store_faults:
            self.store_faults.pop(0)(handler, content)
            return
        start = handler.range_start()
        if start is not None and start >= len(content):
            status(416, Content_Range=f"bytes */{len(content)}")(handler, b"")
            return
        handler.send_head(content, start)
        handler.wfile.write(content[start or 0 :])
