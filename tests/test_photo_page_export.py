"""The exported page: its folder, its runtime, and its command."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from photo_page_browser import NETWORK, listed, small_pages, stand_in_runtime

from filmcolor.cli.main import main
from filmcolor.errors import InputError, OutputError, SettingsError, StorageError, WeightsError
from filmcolor.photo_page import contents, runtime
from filmcolor.photo_page.export import PageReport, export_page

ROOT = Path(__file__).parent.parent
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


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return stand_in_runtime(tmp_path / "package")


@pytest.fixture
def write(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a page with a small network and a small runtime."""
    write_page = small_pages(monkeypatch, package)
    return lambda folder=tmp_path / "page", **options: write_page(folder, **options)


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
        assert page[part]["unpacked"] == len(unpacked)
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


@pytest.mark.parametrize("num_calls", [1, 5, 20])
def test_an_export_into_a_repository_that_was_killed_is_repeated(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_calls: int
) -> None:
    folder = tmp_path / "site"
    (folder / ".git").mkdir(parents=True)
    left = iter(range(num_calls))
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        patch.setattr(shutil, "rmtree", lambda *args, **options: None)  # nothing is tidied up
        with pytest.raises(KeyboardInterrupt):
            write(folder)
    assert len(content_of(folder)) > num_calls  # the rest is in a folder of its own
    write(folder, force=True)
    assert content_of(folder) == content_of(write(tmp_path / "whole").folder)


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


@pytest.mark.parametrize("method", ["exists", "iterdir"])
def test_a_folder_that_cannot_be_looked_into_is_named(
    method: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    usual = getattr(Path, method)

    def refuse(path: Path) -> object:
        if path == folder:
            raise PermissionError(13, "Permission denied")
        return usual(path)

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(OutputError, match=r"private cannot be written .*permissions"):
        write(folder)


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
