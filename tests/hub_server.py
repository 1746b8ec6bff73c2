"""A small Hub on 127.0.0.1 that speaks the part of the protocol that downloading needs.

Files answer `/OWNER/REPO/resolve/REVISION/PATH` with a redirect to a content store under another host name, as large
files do on the real one, with the headers X-Repo-Commit, X-Linked-Etag and X-Linked-Size; refusals carry X-Error-Code.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_RESOLVE = re.compile(r"^/((?:spaces/|datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
_API = re.compile(r"^/api/(models|spaces|datasets)/([^/]+/[^/]+)(?:/(?:revision|tree)/([^/]+))?$")


@dataclass
class Repo:
    """One repository: its files, and who may see it."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main", COMMIT)
    token: str | None = None
    gated: bool = False


@dataclass
class Hub:
    """The server's state; tests change it while it runs."""

    repos: dict[str, Repo] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    cut: int = 0
    """How many of the next answers from the content store break off in the middle."""
    port: int = 0

    @property
    def address(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, repo: str, files: dict[str, bytes], **about: Any) -> Repo:
        """A new repository, `spaces/...` and `datasets/...` included."""
        self.repos[repo] = Repo(files, **about)
        return self.repos[repo]

    def asked(self, method: str, part: str) -> list[dict[str, str]]:
        """The headers of every request of this method whose path holds `part`."""
        return [headers for verb, path, headers in self.log if verb == method and part in path]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests read `Hub.log`."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path, {key.lower(): value for key, value in self.headers.items()}))
        if path.startswith("/store/"):
            return self._send_stored(path.removeprefix("/store/"))
        if path in self.hub.pages:
            return self._send(200, self.hub.pages[path])
        if match := _API.match(path):
            kind, name, _ = match.groups()
            return self._describe(name if kind == "models" else f"{kind}/{name}", path)
        if match := _RESOLVE.match(path):
            return self._resolve(*match.groups())
        return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _repo(self, name: str) -> Repo | None:
        """The repository if the caller may see it, else the refusal is sent, as the real Hub words it."""
        repo = self.hub.repos.get(name)
        if repo is None or (repo.token is not None and self.headers.get("Authorization") != f"Bearer {repo.token}"):
            self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        if repo.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return None
        return repo

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if revision not in repo.revisions:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if file not in repo.files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = repo.files[file]
        digest = hashlib.sha256(content).hexdigest()
        self._send(
            302,
            b"",
            {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(content)),
                "Location": f"http://localhost:{self.hub.port}/store/{digest}",
            },
        )

    def _describe(self, name: str, path: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if "/tree/" in path:
            entries = [{"type": "file", "path": f, "size": len(c), "oid": "0" * 40} for f, c in repo.files.items()]
            return self._send(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
        about = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in repo.files]}
        return self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _send_stored(self, digest: str) -> None:
        contents = [content for repo in self.hub.repos.values() for content in repo.files.values()]
        content = next((c for c in contents if hashlib.sha256(c).hexdigest() == digest), None)
        if content is None:
            return self._send(404, b"")
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if self.hub.cut and self.command == "GET":
            self.hub.cut -= 1
            self._send(206 if start else 200, body, headers, sent=len(body) // 2)
            self.close_connection = True
            return None
        return self._send(206 if start else 200, body, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
            self.wfile.flush()


class HubServer:
    """The Hub in a thread; a context manager."""

    def __init__(self) -> None:
        self.hub = Hub()
        handler = type("Handler", (_Handler,), {"hub": self.hub})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.hub.port = self.server.server_address[1]

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.hub

    def __exit__(self, *problem: object) -> None:
        self.server.shutdown()
        self.server.server_close()
