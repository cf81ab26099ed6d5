"""The page of `filmcolor export-page`, a server of its files, and a real browser to use it with."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from studio_browser import FLAGS, WAIT, chromium_path

from filmcolor.errors import SettingsError, StorageError
from filmcolor.photo_page import contents
from filmcolor.photo_page.export import PageReport, export_page
from filmcolor.photo_page.runtime import MODULES, PACKAGE, VERSION, WASM

NETWORK = b"a network " * 2000  # in place of an ONNX file
RUNTIME = "ONNXRUNTIME_WEB"  # names the npm package, a tarball or a folder, where npm has none


def stand_in_runtime(folder: Path, wasm: bytes = b"\0asm", version: str = VERSION) -> Path:
    """Write a folder like the unpacked npm package, with small files, and return it."""
    files = {
        "package.json": json.dumps({"name": PACKAGE, "version": version}).encode(),
        **{f"dist/{name}": f"export const name = {name!r};\n".encode() for name in MODULES},
        f"dist/{WASM}": wasm,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def small_pages(monkeypatch: pytest.MonkeyPatch, package: Path) -> Callable[..., PageReport]:
    """Return `export_page` with a stand-in for the network, and one for the runtime."""
    monkeypatch.setattr(contents, "page_network", lambda weights: NETWORK)
    return partial(export_page, runtime=package)


def listed(folder: Path) -> Any:
    """Return the list of files that a page's service worker holds."""
    (line,) = re.findall(r"^const PAGE = (.*);$", (folder / "sw.js").read_text(), re.M)
    return json.loads(line)


def exported(folder: Path) -> Path:
    """Return the folder with the page in it, written at the first call; skip without its runtime.

    The runtime is the one that $ONNXRUNTIME_WEB names, or npm fetches it.
    """
    if not folder.exists():
        try:
            export_page(folder, runtime=os.environ.get(RUNTIME))
        except (SettingsError, StorageError) as error:
            pytest.skip(str(error))
    return folder


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder, notes what it served, and adds headers.

    An ETag is the file's hash: its time would be the same for two versions within a second.
    """

    protocol_version = "HTTP/1.1"  # Chromium takes no ETag of HTTP/1.0
    etag = ""

    def __init__(
        self, *args: Any, served: list[tuple[int, str]], headers: dict[str, str], **options: Any
    ) -> None:
        self.served, self.more_headers = served, headers
        super().__init__(*args, **options)

    def send_head(self) -> Any:
        """Answer 304 to a browser that has the file."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if path.is_file():
            self.etag = f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"'
            if self.headers["If-None-Match"] == self.etag:
                self.send_response(304)
                self.end_headers()
                return None
        del self.headers["If-Modified-Since"]
        return super().send_head()

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Note the status and the path."""
        self.served.append((int(code), self.path))

    def end_headers(self) -> None:
        """Add the headers, and ask browsers to check at each use whether a file is still good."""
        self.send_header("Connection", "close")  # else it would outlive the server
        self.send_header("Cache-Control", "no-cache")
        if self.etag:
            self.send_header("ETag", self.etag)
        for name, value in self.more_headers.items():
            self.send_header(name, value)
        super().end_headers()


@contextmanager
def serve(
    folder: Path,
    *,
    served: list[tuple[int, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Iterator[str]:
    """Serve a folder on this machine, and yield its address, without a slash at the end.

    `served` gets the status and the path of each request.
    """
    handler = partial(
        _Handler,
        directory=str(folder),
        served=[] if served is None else served,
        headers=headers or {},
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def module_page(site: Path) -> Iterator[Any]:
    """Serve a site, and yield a page of it that runs nothing, for its modules."""
    with serve(site) as root, browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{root}/js/photo.js")
        yield page


@contextmanager
def browser(*flags: str) -> Iterator[Any]:
    """Run Chromium; skip where there is none."""
    playwright_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed"
    )
    path = chromium_path()
    if path is None:
        pytest.skip("there is no Chromium; name one with $CHROMIUM")
    playwright_api.expect.set_options(timeout=WAIT)
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        try:
            yield chromium
        finally:
            chromium.close()
