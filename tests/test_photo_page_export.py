"""The exported page: its folder, its runtime, and its service worker in a real browser."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import photo_page_browser
import pytest
from photo_page_browser import serve, stand_in_runtime
from studio_browser import WAIT

from filmcolor.cli.main import main
from filmcolor.errors import InputError, OutputError, SettingsError, StorageError, WeightsError
from filmcolor.photo_page import contents, runtime
from filmcolor.photo_page.export import PageReport, export_page

ROOT = Path(__file__).parent.parent
NETWORK = b"a network " * 2000
Write = Callable[..., PageReport]


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed(folder: Path) -> Any:
    """Return the list of files that the service worker holds."""
    script = (folder / "sw.js").read_text()
    (line,) = re.findall(r"^const PAGE = (.*);$", script, re.M)
    return json.loads(line)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return stand_in_runtime(tmp_path / "package")


@pytest.fixture
def write(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a page with a small network and a small runtime."""
    monkeypatch.setattr(contents, "page_network", lambda weights: NETWORK)

    def run(folder: Path | None = None, **options: Any) -> PageReport:
        return export_page(folder or tmp_path / "page", **{"runtime": package, **options})

    return run


# ---------------------------------------------------------------- the runtime


def test_a_folder_of_the_right_version_is_taken(package: Path) -> None:
    files = runtime.load_runtime(package)
    assert set(files) == {*runtime.MODULES, runtime.WASM}
    assert all(files[name] == (package / "dist" / name).read_bytes() for name in files)


def test_a_tarball_is_taken_by_its_hash(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = tmp_path / "package.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(package, "package")
    with pytest.raises(InputError, match=r"package\.tgz is not onnxruntime-web .*npm pack"):
        runtime.load_runtime(tarball)
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    monkeypatch.setattr(runtime, "INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    assert runtime.load_runtime(tarball) == runtime.load_runtime(package)


def test_other_packages_are_refused(package: Path, tmp_path: Path) -> None:
    other = stand_in_runtime(tmp_path / "other", version="1.2.3")
    with pytest.raises(InputError, match=r"holds onnxruntime-web 1\.2\.3, and the page needs"):
        runtime.load_runtime(other)
    (package / "dist" / runtime.WASM).unlink()
    with pytest.raises(InputError, match=r"simd-threaded\.wasm cannot be read .*name the folder"):
        runtime.load_runtime(package)
    (package / "package.json").write_text("[]")
    with pytest.raises(InputError, match="no unpacked npm package"):
        runtime.load_runtime(package)
    with pytest.raises(InputError, match="cannot be read"):
        runtime.load_runtime(tmp_path / "missing.tgz")


def test_without_npm_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"install Node\.js .*--runtime"):
        runtime.load_runtime()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for npm")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo \'{"error": {"summary": "no such version"}}\'; exit 1', "no such version"),
        ("echo one >&2; echo 'two words' >&2; exit 1", "two words"),
        ("exit 0", "no reason given"),
        (": > onnxruntime-web.tgz", "its hash is"),
    ],
)
def test_what_npm_says_is_in_the_error(
    script: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(StorageError, match=reason) as caught:
        runtime.load_runtime()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- the folder


def test_the_folder_holds_all_that_is_named(write: Write, tmp_path: Path) -> None:
    report = write()
    files = content_of(report.folder)
    assert {"index.html", "sw.js", "parameters.json", "licenses/onnxruntime-web.txt"} <= set(files)
    assert (report.num_files, report.num_bytes) == (len(files), sum(map(len, files.values())))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    page = json.loads(files["files.json"])
    assert set(page["files"]) == set(files)
    for part, unpacked in (("network", NETWORK), ("runtime", b"\0asm")):
        packed = files[page[part]["url"]]
        assert gzip.decompress(packed) == unpacked
        assert page[part]["bytes"] == len(packed)
        assert page[part]["sha256"] == sha256(packed)
        assert page[part]["sha256"].startswith(page[part]["url"].split("-")[1].split(".")[0])
        assert listed(report.folder)["unpacked"][page[part]["url"]] == sha256(unpacked)
    assert report.network_bytes == page["network"]["bytes"]


def test_the_service_worker_lists_all_files_with_their_hashes(write: Write) -> None:
    report = write()
    files = content_of(report.folder)
    page = listed(report.folder)
    assert page["files"] == {
        name: sha256(content)
        for name, content in files.items()
        if name not in ("sw.js", ".nojekyll")
    }
    assert page["version"] == report.version == json.loads(files["files.json"])["version"]
    assert f'const VERSION = "{report.version}";' in files["js/offline.js"].decode()


def local_addresses(name: str, text: str) -> set[str]:
    """Return the addresses in a file of the page that are of the page itself."""
    patterns = {
        ".html": [r'(?:src|href)="([^"#]+)"'],
        ".css": [r"url\(\s*[\"']?([^\"')]+)"],
        ".js": [
            r'\bfrom "(\.[^"]+)"',
            r'\bimport\(?\s*"(\.[^"]+)"',
            r'new URL\("([^"]+\.\w+)", (?:import\.meta\.url|ROOT|root)\)',
        ],
        ".webmanifest": [r'"src": "([^"]+)"'],
    }
    found = {a for p in patterns.get(Path(name).suffix, ()) for a in re.findall(p, text)}
    return {a for a in found if not a.startswith(("data:", "http:", "https:"))}


def test_every_local_address_leads_to_a_file(write: Write) -> None:
    folder = write().folder
    found = {}
    for name, content in content_of(folder).items():
        if name.startswith("ort/") or name.endswith((".bin", ".png")):
            continue
        for address in local_addresses(name, content.decode()):
            from_root = name.endswith(".js") and not address.startswith(".")
            is_beside = from_root and (folder / "js" / address).exists()
            base = folder if from_root and not is_beside else (folder / name).parent
            found[f"{name}: {address}"] = (base / address).resolve()
    assert len(found) > 20
    assert [place for place, path in found.items() if not path.is_file()] == []
    assert all(path.is_relative_to(folder.resolve()) for path in found.values())


def test_nothing_is_named_from_the_root_of_the_server(write: Write) -> None:
    """Else the page would not work in a folder of a server."""
    folder = write().folder
    manifest = json.loads((folder / "manifest.webmanifest").read_text())
    addresses = [manifest["start_url"], manifest["scope"], manifest["share_target"]["action"]]
    addresses += [icon["src"] for icon in manifest["icons"]]
    addresses += local_addresses("index.html", (folder / "index.html").read_text())
    assert [address for address in addresses if address.startswith("/")] == []


def test_the_same_inputs_give_the_same_bytes(write: Write, tmp_path: Path) -> None:
    first, second = write(tmp_path / "first"), write(tmp_path / "second")
    assert content_of(first.folder) == content_of(second.folder)
    assert first.version == second.version


def test_the_version_changes_with_any_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {write(tmp_path / "first").version}
    monkeypatch.setattr(contents, "page_network", lambda weights: NETWORK + b"!")
    versions.add(write(tmp_path / "second").version)
    site = tmp_path / "site"
    shutil.copytree(contents.SITE, site)
    (site / "js" / "more.js").write_text("\n")
    monkeypatch.setattr(contents, "SITE", site)
    versions.add(write(tmp_path / "third").version)
    assert len(versions) == 3


def test_the_first_load_is_what_a_server_sends_compressed(write: Write) -> None:
    report = write()
    least = sum(len(gzip.compress(content)) for content in content_of(report.folder).values())
    assert 0.9 * least < report.first_load_bytes < 1.1 * least


def test_our_licence_is_the_projects(write: Write) -> None:
    licenses = write().folder / "licenses"
    assert (licenses / "filmcolor.txt").read_text() == (ROOT / "LICENSE").read_text()
    assert "Apache-2.0" in (licenses / "weights.txt").read_text()
    assert "Apache License" in (licenses / "efficientnet-lite2.txt").read_text()
    assert "Copyright (c) Microsoft" in (licenses / "onnxruntime-web.txt").read_text()


# ---------------------------------------------------------------- folders that exist


def test_a_page_is_replaced_only_with_force(write: Write) -> None:
    folder = write().folder
    before = content_of(folder)
    with pytest.raises(OutputError, match=r"page holds a page already; .*--force"):
        write()
    assert content_of(folder) == before
    (folder / "index.html").write_text("changed")
    write(force=True)
    assert content_of(folder) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_other_things_is_refused(write: Write, tmp_path: Path, force: bool) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"a picture")
    with pytest.raises(OutputError, match=r"pictures holds other files \(holiday\.jpg\)"):
        write(folder, force=force)
    (folder / "files.json").write_text('{"files": ["holiday.jpg"]}')
    with pytest.raises(OutputError, match="holds other files"):
        write(folder, force=force)
    assert set(content_of(folder)) == {"holiday.jpg", "files.json"}
    with pytest.raises(OutputError, match="is a file; name a folder"):
        write(folder / "holiday.jpg", force=force)


def test_a_repository_keeps_its_own_files(write: Write, package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    own = {".git/HEAD": b"ref", "CNAME": b"photo.example\n", "README.md": b"mine"}
    for name, content in own.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write(folder)
    (folder / "robots.txt").write_bytes(b"added later")
    old = content_of(folder)
    write(folder, runtime=stand_in_runtime(package, wasm=b"\0asm of a newer kind"), force=True)
    new = content_of(folder)
    assert {name: new[name] for name in own} == own
    assert new["robots.txt"] == b"added later"
    (stale,) = set(old) - set(new)
    (fresh,) = set(new) - set(old)
    assert all(re.fullmatch(r"runtime-[0-9a-f]{12}\.bin", name) for name in (stale, fresh))


def test_a_list_that_leads_outside_removes_nothing_there(write: Write, tmp_path: Path) -> None:
    folder = write().folder
    outside = tmp_path / "precious.txt"
    outside.write_text("keep")
    page = json.loads((folder / "files.json").read_text())
    page["files"] += ["../precious.txt", str(outside), "js/gone.js"]
    (folder / "files.json").write_text(json.dumps(page))
    (folder / "js" / "gone.js").touch()
    write(force=True)
    assert outside.read_text() == "keep"
    assert not (folder / "js" / "gone.js").exists()


def test_a_failure_leaves_no_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match=r"cannot be written .*make room"):
        write()
    assert {path.name for path in tmp_path.iterdir()} == {"package"}


def test_weights_of_another_network_are_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="tutorial"):
        export_page(tmp_path / "page", weights="tutorial", runtime=tmp_path / "missing")
    with pytest.raises(WeightsError, match="no weights 'nothing'"):
        export_page(tmp_path / "page", weights="nothing", runtime=tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_where_it_is_and_how_to_look_at_it(
    write: Write,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def type_words(*words: str) -> tuple[int, str, str]:
        given = ["filmcolor", "export-page", str(tmp_path / "my page"), *words]
        monkeypatch.setattr(sys, "argv", [*given, "--runtime", str(package)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return int(exit_.value.code or 0), *capsys.readouterr()

    code, out, err = type_words()
    assert (code, err) == (0, "")
    where, first_load, look, phones = out.splitlines()
    assert where.startswith(f"{tmp_path / 'my page'}: ")
    assert "first visit loads" in first_load
    assert f"python -m http.server -d '{tmp_path / 'my page'}'" in look
    assert "https" in phones
    code, out, err = type_words()
    assert (code, out) == (1, "") and "--force" in err
    assert type_words("--force", "--quiet") == (0, "", "")


# ---------------------------------------------------------------- in a browser

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
