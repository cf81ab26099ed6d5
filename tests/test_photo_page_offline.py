"""The page without the internet: its service worker in a real browser."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import photo_page_browser
import pytest
from photo_page_browser import NETWORK, listed, serve, small_pages, stand_in_runtime
from studio_browser import WAIT

from filmcolor.photo_page import contents
from filmcolor.photo_page.export import PageReport

pytestmark = pytest.mark.slow
Write = Callable[..., PageReport]

INDEX = """<!doctype html><meta charset="utf-8"><title>loading</title>
<link rel="manifest" href="manifest.webmanifest"><script type="module" src="js/main.js"></script>
"""
MAIN = """
import { controlled, offlineReady, onUpdate, takeShared } from "./offline.js";
onUpdate((apply) => { globalThis.apply = apply; });
await controlled();
const files = await (await fetch(new URL("../files.json", import.meta.url))).json();
const sizes = await Promise.all([files.network, files.runtime].map(async ({ url }) => {
  const response = await fetch(new URL(`../${url}`, import.meta.url));
  return (await response.arrayBuffer()).byteLength;
}));
const shared = await takeShared();
globalThis.shared = shared && { name: shared.name, type: shared.type, text: await shared.text() };
globalThis.sizes = sizes;
globalThis.version = files.version;
document.title = "loaded";
offlineReady().then(() => { document.title = "offline"; });
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with photo_page_browser.browser() as browser:
        yield browser


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return stand_in_runtime(tmp_path / "package")


@pytest.fixture
def write(package: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a page with a small network and a small runtime."""
    return small_pages(monkeypatch, package)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parts of the page that this file tests, with a small page to use them."""
    folder = tmp_path / "site"
    (folder / "js").mkdir(parents=True)
    for name in ("sw.js", "js/offline.js", "manifest.webmanifest"):
        shutil.copy(contents.SITE / name, folder / name)
    (folder / "index.html").write_text(INDEX)
    (folder / "js" / "main.js").write_text(MAIN)
    (folder / "extra.txt").write_text("one")
    monkeypatch.setattr(contents, "SITE", folder)
    return folder


class Visit:
    """A page in the folder `photo` of a server, in a browser that nobody used before."""

    def __init__(self, chromium: Any, folder: Path, stack: ExitStack) -> None:
        self.served: list[tuple[int, str]] = []
        self._server = stack.enter_context(ExitStack())
        root = self._server.enter_context(serve(folder, served=self.served))
        self.address = f"{root}/photo/"
        self.context = stack.enter_context(chromium.new_context())
        self.context.set_default_timeout(WAIT)
        self.page = self.context.new_page()

    def open(self, title: str, address: str = "") -> Any:
        """Open the page, and return it when it has a title."""
        self.page.goto(self.address + address)
        return self.wait(title)

    def wait(self, title: str) -> Any:
        self.page.wait_for_function(f"document.title === '{title}'")
        return self.page

    def loads(self, part: str) -> int:
        """Return how often the server sent a file whose path holds `part`."""
        return sum(code == 200 and part in path for code, path in self.served)

    def end_server(self) -> None:
        self._server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "www" / "photo"


@pytest.fixture
def visit(chromium: Any, site: Path, write: Write, folder: Path) -> Iterator[Visit]:
    """Write a page, serve it, and begin to visit it."""
    write(folder)
    with ExitStack() as stack:
        yield Visit(chromium, folder.parent, stack)


TEXT = "async (address) => (await fetch(address)).text()"
STORED = """async () => {
  const found = [];
  for (const key of await caches.keys()) {
    for (const request of await (await caches.open(key)).keys()) found.push(request.url);
  }
  return found.sort();
}"""


def test_everything_is_loaded_once_and_works_without_the_server(visit: Visit, folder: Path) -> None:
    page = visit.open("offline")
    files = json.loads((folder / "files.json").read_text())
    sizes = [files["network"]["bytes"], files["runtime"]["bytes"]]
    assert page.evaluate("sizes") == sizes
    assert [visit.loads(part) for part in ("network-", "runtime-")] == [1, 1]
    assert set(page.evaluate(STORED)) == {
        visit.address + ("" if name == "index.html" else name) for name in listed(folder)["files"]
    }
    visit.end_server()
    for address in ("", "index.html", "?anything"):
        page = visit.open("offline", address)
        assert page.evaluate("sizes") == sizes
    assert page.evaluate(TEXT, "extra.txt") == "one"


def test_other_addresses_are_left_to_the_server(visit: Visit, folder: Path) -> None:
    (folder / "other.txt").write_text("of the server")
    (folder.parent / "beside.txt").write_text("of another page")
    page = visit.open("offline")
    assert page.evaluate(TEXT, "other.txt") == "of the server"
    assert page.evaluate(TEXT, "../beside.txt") == "of another page"
    assert page.evaluate("fetch('constructor').then((response) => response.status)") == 404
    assert page.goto(f"{visit.address}nothing/here").status == 404
    assert page.goto(f"{visit.address}other.txt").text() == "of the server"


def test_an_update_waits_and_loads_only_what_changed(
    visit: Visit, write: Write, folder: Path, site: Path, package: Path
) -> None:
    old = visit.open("offline").evaluate("version")
    network = next(folder.glob("network-*.bin")).name
    (site / "extra.txt").write_text("two")
    stand_in_runtime(package, wasm=b"\0asm of a newer kind")
    new = write(folder, force=True).version
    visit.served.clear()

    page = visit.open("offline")
    page.wait_for_function("Boolean(globalThis.apply)")
    assert page.evaluate("version") == old != new
    assert page.evaluate(TEXT, "extra.txt") == "one"
    assert visit.loads("runtime-") == 0

    page.evaluate("document.title = 'old', apply()")
    visit.wait("offline")
    assert page.evaluate("version") == new
    assert page.evaluate(TEXT, "extra.txt") == "two"
    assert (visit.loads("network-"), visit.loads("runtime-")) == (0, 1)
    stored = page.evaluate(STORED)
    assert len(stored) == len(listed(folder)["files"])  # nothing of the old version is left
    assert visit.address + network in stored
    unchanged = ("js/main.js", "manifest.webmanifest", "extra.txt")
    assert [visit.loads(name) for name in unchanged] == [0, 0, 1]


def test_a_wrong_large_file_is_not_stored(visit: Visit, folder: Path) -> None:
    path = next(folder.glob("network-*.bin"))
    right = path.read_bytes()
    path.write_bytes(right[:-1] + b"?")
    page = visit.open("loaded")
    page.wait_for_function(f"({STORED})().then((all) => all.some((u) => u.includes('runtime-')))")
    assert page.evaluate("sizes")[0] == len(right)
    assert page.title() == "loaded"
    assert not any("network-" in address for address in page.evaluate(STORED))
    path.write_bytes(right)
    page = visit.open("offline")
    assert any("network-" in address for address in page.evaluate(STORED))


def test_a_server_may_unpack_the_large_files(visit: Visit, folder: Path) -> None:
    path = next(folder.glob("network-*.bin"))
    path.write_bytes(gzip.decompress(path.read_bytes()))
    page = visit.open("offline")
    assert page.evaluate("sizes")[0] == len(NETWORK)
    visit.end_server()
    assert visit.open("offline").evaluate("sizes")[0] == len(NETWORK)


def test_a_wrong_small_file_installs_nothing(visit: Visit, folder: Path) -> None:
    (folder / "extra.txt").write_text("not what the list says")
    page = visit.open("loaded")  # without the service worker, after a while
    state = "navigator.serviceWorker.getRegistration().then((found) => found?.active ?? null)"
    assert page.evaluate(state) is None
    assert page.evaluate("sizes")[0] > 0


def test_a_shared_picture_reaches_the_page_once(visit: Visit, tmp_path: Path) -> None:
    picture = tmp_path / "Grandma \u2013 1931.jpg"
    picture.write_text("pixels")
    page = visit.open("offline")
    page.evaluate("""() => {
      document.body.innerHTML = `<form action="share" method="post" enctype="multipart/form-data">
        <input type="file" name="photo"></form>`;
    }""")
    page.set_input_files("input", picture)
    page.evaluate("document.title = 'old', document.forms[0].submit()")
    visit.wait("offline")
    shared = {"name": picture.name, "type": "image/jpeg", "text": "pixels"}
    assert page.evaluate("shared") == shared
    assert page.url == visit.address
    assert visit.open("offline", "?shared").evaluate("shared") is None
    assert not any(path.startswith("/photo/share") for _, path in visit.served)


def test_a_page_that_bypasses_the_service_worker_has_one_version(
    visit: Visit, write: Write, folder: Path, site: Path
) -> None:
    """A hard reload gets the new page from the server while the old version is in charge."""
    page = visit.open("offline")
    (site / "js" / "main.js").write_text(MAIN + "globalThis.isNew = true;\n")
    new = write(folder, force=True).version
    devtools = visit.context.new_cdp_session(page)
    devtools.send("Page.reload", {"ignoreCache": True})
    page.wait_for_function("document.title === 'offline' && Boolean(globalThis.apply)")
    versions = page.evaluate("[version, Boolean(globalThis.isNew)]")
    assert versions[1] == (versions[0] == new)


def test_the_headers_of_the_server_stay(
    chromium: Any, site: Path, write: Write, folder: Path
) -> None:
    """Else a page with threads would lose them on the second visit."""
    write(folder)
    headers = {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
    }
    with serve(folder, headers=headers) as root, chromium.new_context() as context:
        page = context.new_page()
        for _ in range(2):
            page.goto(root)
            page.wait_for_function("document.title === 'offline'")
            assert page.evaluate("crossOriginIsolated")
        assert page.evaluate("Boolean(navigator.serviceWorker.controller)")


def test_a_tab_of_an_older_version_is_loaded_again_before_it_loads_more(
    visit: Visit, write: Write, folder: Path, site: Path
) -> None:
    """Its worker would come from the version that another tab has switched to."""
    old = visit.open("offline").evaluate("version")
    (site / "extra.txt").write_text("two")
    new = write(folder, force=True).version
    other = visit.context.new_page()
    other.goto(visit.address)
    other.wait_for_function("Boolean(globalThis.apply)")
    other.evaluate("document.title = 'old', apply()")
    other.wait_for_function("document.title === 'offline'")
    assert other.evaluate("version") == new != old

    page = visit.page
    assert page.evaluate("version") == old
    page.evaluate(
        "document.title = 'old', void import('./js/offline.js').then((m) => m.controlled())"
    )
    visit.wait("offline")
    assert page.evaluate("version") == new


def test_a_first_visit_that_failed_is_made_good_without_a_reload(
    visit: Visit, folder: Path
) -> None:
    right = (folder / "extra.txt").read_text()
    (folder / "extra.txt").write_text("not what the list says")
    page = visit.open("loaded")
    page.wait_for_function(
        "() => navigator.serviceWorker.getRegistration().then((found) => !found)"
    )
    (folder / "extra.txt").write_text(right)
    page.evaluate("import('./js/offline.js').then((m) => m.controlled())")
    visit.wait("offline")


def test_headers_and_full_storage_stop_nothing(
    chromium: Any, site: Path, write: Write, folder: Path
) -> None:
    write(folder)
    with serve(folder, headers={"Vary": "*"}) as root, chromium.new_context() as context:
        page = context.new_page()
        page.goto(root)
        page.wait_for_function("document.title === 'offline'")
        full = {"origin": root, "quotaSize": 1}
        context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", full)
        share = """async () => {
          const form = new FormData();
          form.append("photo", new File(["x".repeat(1e6)], "old.jpg", { type: "image/jpeg" }));
          return (await fetch("share", { method: "POST", body: form })).url;
        }"""
        assert page.evaluate(share) == f"{root}/"
