"""A model hub with one repository, as the client of Hugging Face's speaks to one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_of(repository: str, files: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve the files of a repository: yield the hub's address, and the names of the files that it has sent so far."""
    served: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"", {})

        def do_GET(self) -> None:
            if self.path.startswith("/api/models/"):
                about = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                self._answer(json.dumps(about).encode(), {"Content-Type": "application/json"})
            else:
                served.append(self._name())
                self._answer(files[self._name()], {})

        def _name(self) -> str:
            return self.path.rpartition("/")[2]

        def _answer(self, body: bytes, headers: Mapping[str, str]) -> None:
            content = files.get(self._name())
            self.send_response(200)
            self.send_header("Content-Length", str(len(body if content is None else content)))
            if content is not None:
                self.send_header("ETag", f'"{_blob(self._name(), content)}"')
                self.send_header("X-Repo-Commit", COMMIT)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", served
        finally:
            server.shutdown()
            thread.join()


def _blob(name: str, content: bytes) -> str:
    """What the hub names a file by: weights by their SHA-256, small files as git does."""
    if name.endswith(".bin"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
