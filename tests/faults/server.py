"""A loopback stand-in for a live source of grid intensity."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FRANCE_G = 30.0


class Server:
    """A loopback service that counts what it is asked.

    Attributes:
        url: Its base address.
        asked: One entry for each request: path with query, and the token.
        via: For each request, the proxies that it came through, as they say.
        sent: For each request that had a body, its method, path, headers and body.
        answer: Status, headers and body of every answer.
        next_answers: Those of the next requests, before `answer` counts again.
        accept: Asked about each request that has a body, before it is noted; False for a status of 503.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.via: list[str | None] = []
        self.sent: list[tuple[str, str, dict[str, str], bytes]] = []
        self.next_answers: list[tuple[int, dict[str, str], bytes]] = []
        self.accept: Callable[[], bool] = lambda: True
        body = json.dumps({"zone": "FR", "carbonIntensity": FRANCE_G})
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, body.encode())
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                got = self.rfile.read(length)
                if length and not server.accept():
                    self.send_response(503)
                    self.end_headers()
                    return
                if length:
                    request = (self.command, self.path, dict(self.headers), got)
                    server.sent.append(request)
                status, headers, body = server.respond(self.command, self.path, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked may have heard enough
                    self.wfile.write(body)

            do_PUT = do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def respond(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Note a request and return its answer."""
        self.asked.append((path, headers.get("auth-token")))
        self.via.append(headers.get("via"))
        return self.next_answers.pop(0) if self.next_answers else self.answer

    def close(self) -> None:
        """End it."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
