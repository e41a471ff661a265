"""The page's server: this machine only, and only for who knows the address.

It listens on 127.0.0.1. The address holds a random word, and a request must name this host: a page
from elsewhere can neither guess the one nor, by rebinding its own name to 127.0.0.1, fake the
other. Nothing is shared across origins, and the page loads nothing from anywhere else.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, cast

from proxytools.errors import ProxytoolsError
from proxytools.marking.session import Session

LARGEST_BODY = 1 << 20
FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "chart.js": ("chart.js", "text/javascript"),
    "spans.js": ("spans.js", "text/javascript"),
}
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves one session under a secret address."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.session = session
        self.token = secrets.token_urlsafe(16)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over connections that the browser dropped."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the Host of a request may be."""
        return tuple(f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost"))


def serve(session: Session, port: int, announce: Callable[[str, Session], None]) -> None:
    """Serve a session until the page ends it or Ctrl-C does."""
    with Server(session, port) as server, suppress(KeyboardInterrupt):
        announce(server.url, session)
        server.serve_forever(poll_interval=0.1)


class RefusedError(Exception):
    """A request that gets an answer without content."""

    def __init__(self, status: int) -> None:
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "proxytools"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer with a file of the page, the state, or a window's bars."""
        self._answer(self._get)

    def do_PUT(self) -> None:
        """Change the marks of a window."""
        self._answer(self._put)

    def do_POST(self) -> None:
        """Write the marked windows, and stop if that is asked for."""
        self._answer(self._post)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    @property
    def _session(self) -> Session:
        return self._own.session

    @property
    def _own(self) -> Server:
        return cast(Server, self.server)

    def _answer(self, act: Callable[[str], None]) -> None:
        try:
            act(self._place())
        except RefusedError as refusal:
            self._send(refusal.status, b"", "text/plain")
            self.close_connection = True  # its body, if any, was not read
        except ProxytoolsError as error:
            self._json({"error": str(error)}, 400)

    def _place(self) -> str:
        """Return what is asked for, or refuse who does not know the address."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        known = origin is None or origin in [f"http://{name}" for name in self._own.hosts]
        if host not in self._own.hosts or not known:
            raise RefusedError(403)
        _, _, rest = self.path.partition("/")
        token, slash, place = rest.partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self._own.token.encode()):
            raise RefusedError(404)
        return place

    def _get(self, place: str) -> None:
        if place in FILES:
            name, kind = FILES[place]
            content = files("proxytools.marking").joinpath("page", name).read_bytes()
            self._send(200, content, f"{kind}; charset=utf-8")
        elif place == "state":
            self._json(self._session.state())
        else:
            self._json(self._session.bars(_number(place, "bars/")))

    def _put(self, place: str) -> None:
        window, spans = _number(place, "marks/"), self._body()
        try:
            self._session.change(window, spans)
        except OSError as error:  # a full disk
            self._json({"error": str(error)}, 500)
        else:
            self._json({"saved": True})

    def _post(self, place: str) -> None:
        if place not in ("write", "finish"):
            raise RefusedError(404)
        self._body()
        self._session.write()
        self._json({"out": str(self._session.out)})
        if place == "finish":
            threading.Thread(target=self.server.shutdown).start()

    def _body(self) -> Any:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise RefusedError(411)
        if int(size) > LARGEST_BODY:
            raise RefusedError(413)
        try:
            return json.loads(self.rfile.read(int(size)))
        except ValueError:
            raise RefusedError(400) from None

    def _json(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        self._send(status, body, "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in POLICY.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _number(place: str, prefix: str) -> int:
    number = place.removeprefix(prefix)
    if not place.startswith(prefix) or not (number.isascii() and number.isdecimal()):
        raise RefusedError(404)
    return int(number)
