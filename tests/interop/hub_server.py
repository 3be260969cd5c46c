"""A stand-in of the Hugging Face hub: the part of its HTTP API that its library uses.

Names and forms are those of the hub, so what is tested is the real library against a
server of this process. Xet, its newer way to move large files, is not spoken here:
clients are told to do without, see `Hub.environment`.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKENS = {"hf_ann": "ann", "hf_bob": "bob"}
"""Users by token."""


@dataclasses.dataclass
class Repository:
    """A model: commits, oldest first, and names for some of them."""

    private: bool = False
    gated: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = dataclasses.field(
        default_factory=list
    )
    tags: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.commits:
            self.commit({".gitattributes": b"*.safetensors filter=lfs\n"})

    def commit(self, changed: dict[str, bytes]) -> str:
        """Adds a commit; its id."""
        files = (self.commits[-1][1] if self.commits else {}) | changed
        text = f"{len(self.commits)} {sorted(files)}".encode() + b"".join(
            changed.values()
        )
        oid = hashlib.sha1(text).hexdigest()
        self.commits.append((oid, files))
        return oid

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> dict[str, bytes]:
        """Of the newest commit."""
        return self.commits[-1][1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit of a branch, tag or commit id."""
        wanted = self.tags.get(revision, revision)
        if wanted in ("main", "HEAD"):
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == wanted), None)


class Hub:
    """The models, and how the server behaves."""

    def __init__(self, address: str):
        self.address = address
        self.models: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.status: int | None = None
        """Answered to every request, if not None."""
        self.upload_begun = threading.Event()
        self.hold_uploads: threading.Event | None = None
        """Large files are taken only once this is set, if there is one."""

    def environment(self, home: Path, token: str | None = "hf_ann") -> dict[str, str]:
        """Variables that make the library use this hub, and nothing of the user's."""
        login = {} if token is None else {"HF_TOKEN": token}
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **login,
        }


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """A hub without models, on a free port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    host, port = server.server_address[:2]
    hub = server.hub = Hub(f"http://{host!s}:{port}")  # pyright: ignore
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.hold_uploads is not None:
            hub.hold_uploads.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that went away, which tests make them do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = ""):
        self.status, self.message, self.code = status, message, code


_ROUTES = [
    ("GET", r"/api/whoami-v2", "who"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("POST", r"/api/repos/create", "create"),
    ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", "about"),
    ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
    ("POST", r"/api/models/([^/]+/[^/]+)/preupload/(.+)", "how_to_upload"),
    ("POST", r"/api/models/([^/]+/[^/]+)/commit/(.+)", "take_commit"),
    ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "where_to_upload"),
    ("PUT", r"/large/(\w+)", "take_large"),
    ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "file"),
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the tests' output clean."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    @property
    def hub(self) -> Hub:
        return self.server.hub  # pyright: ignore

    def _serve(self, method: str) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        try:
            if self.hub.status is not None:
                self._body()
                raise _Refusal(self.hub.status, "out of order")
            for wanted, pattern, name in _ROUTES:
                found = re.fullmatch(pattern, path)
                if wanted == method and found:
                    groups = [group and unquote(group) for group in found.groups()]
                    getattr(self, name)(*groups)
                    return
            raise _Refusal(404, f"no such endpoint: {method} {path}")
        except _Refusal as refusal:
            headers = {"X-Error-Message": refusal.message}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            self._answer({"error": refusal.message}, refusal.status, headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(
        self, value: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _user(self) -> str | None:
        words = self.headers.get("Authorization", "").split()
        return TOKENS.get(words[-1]) if words else None

    def _model(self, name: str, *, write: bool = False) -> Repository:
        owner, user = name.partition("/")[0], self._user()
        found = self.hub.models.get(name)
        if found is None or (found.private and user != owner):
            # To those who are not logged in, the hub says so of whatever is not there.
            status = 401 if user is None else 404
            raise _Refusal(status, "Repository not found", "RepoNotFound")
        if write and user is None:
            raise _Refusal(401, "Invalid credentials")
        if write and user != owner:
            raise _Refusal(403, "You don't have the rights to write this model")
        return found

    def _commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        commit = self._model(name).at(revision)
        if commit is None:
            raise _Refusal(404, "Invalid rev id", "RevisionNotFound")
        return commit

    def who(self) -> None:
        user = self._user()
        if user is None:
            raise _Refusal(401, "Invalid credentials")
        self._answer({"type": "user", "name": user, "auth": {"type": "access_token"}})

    def validate(self) -> None:
        self._body()
        self._answer({"errors": [], "warnings": []})

    def create(self) -> None:
        asked, user = json.loads(self._body()), self._user()
        if user is None:
            raise _Refusal(401, "Invalid credentials")
        name = f"{asked.get('organization') or user}/{asked['name']}"
        url = f"{self.hub.address}/{name}"
        if name in self.hub.models:
            error = "You already created this model repo"
            self._answer({"error": error, "url": url}, 409)
            return
        if not name.startswith(f"{user}/"):
            raise _Refusal(403, "You don't have the rights to create a model there")
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.models[name] = Repository(private=bool(private))
        self._answer({"url": url, "name": name})

    def about(self, name: str, revision: str | None) -> None:
        model = self._model(name)
        oid, files = self._commit(name, revision or "main")
        self._answer(
            {
                "id": name,
                "sha": oid,
                "private": model.private,
                "gated": "manual" if model.gated else False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": path} for path in files],
            }
        )

    def tree(self, name: str, revision: str) -> None:
        _, files = self._commit(name, revision)
        entries = []
        for path, data in files.items():
            entry = {"type": "file", "path": path, "size": len(data)}
            entry["oid"] = _git_id(data)
            if _is_large(path):
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 132}
            entries.append(entry)
        self._answer(entries)

    def how_to_upload(self, name: str, revision: str) -> None:
        asked = json.loads(self._body())["files"]
        self._model(name, write=True)
        files = []
        for file in asked:
            mode = "lfs" if _is_large(file["path"]) else "regular"
            files.append({**file, "uploadMode": mode, "shouldIgnore": False})
        self._answer({"files": files})

    def where_to_upload(self, name: str) -> None:
        asked = json.loads(self._body())
        self._model(name, write=True)
        objects = []
        for wanted in asked["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large:
                href = f"{self.hub.address}/large/{wanted['oid']}"
                entry["actions"] = {"upload": {"href": href}}
            objects.append(entry)
        self._answer({"transfer": "basic", "objects": objects})

    def take_large(self, oid: str) -> None:
        self.hub.upload_begun.set()
        if self.hub.hold_uploads is not None:
            self.hub.hold_uploads.wait()
        data = self._body()
        if hashlib.sha256(data).hexdigest() != oid:
            raise _Refusal(400, "checksum differs")
        self.hub.large[oid] = data
        self._answer(b"")

    def take_commit(self, name: str, revision: str) -> None:
        lines = [json.loads(line) for line in self._body().splitlines()]
        model, changed = self._model(name, write=True), {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changed[value["path"]] = self.hub.large[value["oid"]]
        oid = model.commit(changed)
        url = f"{self.hub.address}/{name}/commit/{oid}"
        self._answer({"success": True, "commitOid": oid, "commitUrl": url})

    def file(self, name: str, revision: str, path: str) -> None:
        if self._model(name).gated and self._user() != name.partition("/")[0]:
            status = 401 if self._user() is None else 403
            raise _Refusal(status, f"Access to model {name} is restricted", "GatedRepo")
        oid, files = self._commit(name, revision)
        if path not in files:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        data = files[path]
        etag = hashlib.sha256(data).hexdigest() if _is_large(path) else _git_id(data)
        self._answer(data, headers={"X-Repo-Commit": oid, "ETag": f'"{etag}"'})


def _is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".bin"))


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
