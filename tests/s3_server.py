"""A server of S3 (moto's) on a free port, which can fail as servers and networks do."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

HANG_SECONDS = 30.0  # unless the server is stopped before
KINDS = ("500", "503", "hang", "cut", "short")
_ERRORS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
}


@dataclass(frozen=True)
class Request:
    """A request as it came: its method, its path with the query, the range of bytes it asks for."""

    method: str
    path: str
    range: str
    num_before: int  # like it

    @property
    def name(self) -> str:
        """The last part of the object's name."""
        return self.path.partition("?")[0].rpartition("/")[2]


class S3Server:
    """A running server. `fault(request)` returns one of KINDS, or None for a true answer.

    500, 503: the server refuses. hang: no answer comes. cut: the connection ends in the middle of
    the answer. short: the answer is whole by its header, but has half of what was asked for.
    """

    def __init__(self) -> None:
        self.fault: Callable[[Request], str | None] = lambda request: None
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.num_bytes: Counter[str] = Counter()  # sent, by path
        self.faults: Counter[str] = Counter()  # done, by kind
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Stop the server; requests that hang end."""
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def clear(self) -> None:
        """Forget all requests, and make no more faults."""
        self.fault = lambda request: None
        with self._lock:
            self.requests.clear()
            self.headers.clear()
            self.num_bytes.clear()
            self.faults.clear()
            self._counts.clear()

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = self._note(environ)
        kind = self.fault(request)
        if kind:
            with self._lock:
                self.faults[kind] += 1
        if kind == "hang":
            self._stopping.wait(HANG_SECONDS)
            kind = "500"
        if kind in _ERRORS:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code = _ERRORS[kind]
            start(status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()]
        answer: dict[str, Any] = {}

        def keep(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answer.update(status=status, headers=headers)

        body = b"".join(self._app(environ, keep))
        headers = answer["headers"]
        if kind and len(body) > 1:
            body = body[: len(body) // 2]
            if kind == "short":
                headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
                headers.append(("Content-Length", str(len(body))))
        with self._lock:
            self.num_bytes[request.path] += len(body)
        start(answer["status"], headers)
        return [body]

    def _note(self, environ: dict[str, Any]) -> Request:
        query = environ.get("QUERY_STRING")
        path = environ["PATH_INFO"] + (f"?{query}" if query else "")
        key = environ["REQUEST_METHOD"], path, environ.get("HTTP_RANGE", "")
        with self._lock:
            request = Request(*key, self._counts[key])
            self._counts[key] += 1
            self.requests.append(request)
            self.headers.append({k: str(v) for k, v in environ.items() if k.startswith("HTTP_")})
        return request


def random_faults(
    seed: int, share: float, kinds: tuple[str, ...] = KINDS
) -> Callable[[Request], str | None]:
    """Return faults of a share of the requests, the same ones in whatever order they come."""

    def fault(request: Request) -> str | None:
        draw = random.Random(f"{seed} {request}")
        return draw.choice(kinds) if draw.random() < share else None

    return fault


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any, **__: Any) -> None:
        """Print nothing."""
