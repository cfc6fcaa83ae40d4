"""A server that answers as the Hugging Face hub does to those who make repositories, commit small files, fetch them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Hub:
    """Repositories by name, their files by branch, and every request."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: dict[str, Any] = {}
        self.messages: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()

    def commit(self, repository: str, branch: str) -> str:
        """A hash of what is there."""
        files = sorted(self.files[repository][branch].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The address while it answers."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Answers,), {"hub": self}))
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Answers(BaseHTTPRequestHandler):
    """What the server says; `hub` is set by `Hub.serving`."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """A repository or a branch is made, or files are committed."""
        body = self._body()
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}" if given.get("organization") else given["name"]
            self.hub.private.setdefault(name, given.get("private"))
            exists = name in self.hub.files
            self.hub.files.setdefault(name, {"main": {}})
            self._say({"url": f"{self._address()}/{name}", "id": name}, 409 if exists else 200)
        elif parts[:2] == ["api", "models"] and parts[4] == "branch":
            files = self.hub.files["/".join(parts[2:4])]
            files.setdefault(parts[5], dict(files["main"]))
            self._say({})
        elif parts[:2] == ["api", "models"] and parts[4] == "preupload":
            files = json.loads(body)["files"]
            plain = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._say({"files": [{"path": file["path"], **plain} for file in files]})
        elif parts[:2] == ["api", "models"] and parts[4] == "commit":
            self._commit("/".join(parts[2:4]), parts[5], body)
        else:  # of /api/validate-yaml, the card's first lines
            self._say({"errors": [], "warnings": []})

    def do_HEAD(self) -> None:
        """What a file is."""
        self._file(send=False)

    def do_GET(self) -> None:
        """A file, or what a repository is."""
        if self.path.startswith("/api/"):
            parts = self.path.split("?")[0].strip("/").split("/")
            name, branch = "/".join(parts[2:4]), (parts[5] if len(parts) > 5 else "main")
            if name not in self.hub.files:
                return self._say({"error": "no such repository"}, 404, {"X-Error-Code": "RepoNotFound"})
            self._say({"id": name, "modelId": name, "sha": self.hub.commit(name, branch), "siblings": []})
        else:
            self._file(send=True)

    def _commit(self, name: str, branch: str, body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "header":
                self.hub.messages.append(entry["value"]["summary"])
            elif entry["key"] == "file":
                content = base64.b64decode(entry["value"]["content"])
                self.hub.files[name][branch][entry["value"]["path"]] = content
        number = self.hub.commit(name, branch)
        address = f"{self._address()}/{name}/commit/{number}"
        self._say({"success": True, "commitOid": number, "commitUrl": address})

    def _file(self, *, send: bool) -> None:
        owner, name, _, branch, path = self.path.split("?")[0].strip("/").split("/")
        repository = self.hub.files.get(f"{owner}/{name}")
        if repository is None:
            return self._say({"error": "none"}, 404, {"X-Error-Code": "RepoNotFound"})
        own = {self.hub.commit(f"{owner}/{name}", other): files for other, files in repository.items()}
        files = repository.get(branch, own.get(branch))
        if files is None:
            return self._say({"error": "none"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if path not in files:
            return self._say({"error": "none"}, 404, {"X-Error-Code": "EntryNotFound"})
        number = next(number for number, other in own.items() if other is files)
        tag = hashlib.sha1(files[path]).hexdigest()
        self._send(
            files[path] if send else b"", 200, {"ETag": f'"{tag}"', "X-Repo-Commit": number}, len(files[path])
        )

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _address(self) -> str:
        return f"http://{self.headers['Host']}"

    def _say(self, value: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        kind = {"Content-Type": "application/json", **(headers or {})}
        self._send(b"" if self.command == "HEAD" else body, code, kind, len(body))

    def _send(self, body: bytes, code: int, headers: dict[str, str], length: int) -> None:
        self.hub.requests.append((self.command, self.path))
        self.hub.tokens.add(self.headers.get("Authorization"))
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""
