"""The files of the studio: what may be opened and written, recent films, uploads."""

import json
import shutil
import sys
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("starlette")

from studio_client import make_fake, make_library

from filmcolor.errors import InputError
from filmcolor.studio import library as library_module
from filmcolor.studio.errors import ForbiddenError, NotFoundError
from filmcolor.studio.file_names import safe_name
from filmcolor.studio.library import Library

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library of the folder "films", which holds a film, a folder and some other files."""
    library = make_library(tmp_path)
    films = tmp_path / "films"
    for name in ("b.mp4", "A.MKV", "reel 10.mov", "reel 2.mov", "notes.txt", "still.png"):
        (films / name).write_bytes(b"content")
    for name in (".hidden.mp4", ".b.mp4.partial"):
        (films / name).write_bytes(b"content")
    for name in ("older", ".cache"):
        (films / name).mkdir()
        (films / name / "c.mp4").write_bytes(b"content")
    (tmp_path / "outside.mp4").write_bytes(b"content")
    return library


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


# ---------------------------------------------------------------- folders


def test_a_folder_shows_its_folders_films_and_pictures(library: Library) -> None:
    listing = library.listing(None)
    assert listing["folder"] == str(library.folders[0])
    assert listing["parent"] is None
    assert names(listing["folders"]) == ["older"]
    assert names(listing["films"]) == ["A.MKV", "b.mp4", "reel 2.mov", "reel 10.mov"]
    assert names(listing["pictures"]) == ["still.png"]
    assert {entry["num_bytes"] for entry in listing["films"]} == {len(b"content")}
    assert all(Path(entry["path"]).exists() for entry in listing["films"])


def test_a_folder_inside_leads_back(library: Library) -> None:
    folder = library.folders[0]
    listing = library.listing(str(folder / "older"))
    assert listing["parent"] == str(folder)
    assert names(listing["films"]) == ["c.mp4"]


def test_numbered_images_are_one_film_if_they_last_a_second(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    for number in range(24):
        (library.folders[0] / f"scan_{number:04d}.png").write_bytes(b"image")
    for number in range(5):
        (library.folders[0] / f"holiday {number}.jpg").write_bytes(b"image")
    listing = library.listing(None)
    (film,) = listing["films"]
    assert film["num_bytes"] == 24 * len(b"image")
    assert library.check(film["path"]) == Path(film["path"])
    assert names(listing["pictures"]) == [f"holiday {number}.jpg" for number in range(5)]


@pytest.mark.parametrize(
    "path", ["..", "../..", "older/../..", ".cache", "older/../.cache", "../films/../state"]
)
def test_no_other_folder_is_listed(library: Library, path: str) -> None:
    with pytest.raises(ForbiddenError):
        library.listing(str(library.folders[0] / path))


def test_what_is_no_folder_is_not_listed(library: Library) -> None:
    for name in ("b.mp4", "missing"):
        with pytest.raises(NotFoundError):
            library.listing(str(library.folders[0] / name))


@pytest.mark.parametrize("path", ["", ".", "films", "\0", "/films\0"])
def test_only_whole_paths_are_taken(library: Library, path: str) -> None:
    with pytest.raises(InputError):
        library.listing(path)
    with pytest.raises(InputError):
        library.check(path)


def test_a_library_needs_its_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--folder"):
        Library([tmp_path / "missing"], tmp_path, tmp_path)
    with pytest.raises(NotFoundError, match="--folder"):
        Library([], tmp_path, tmp_path).listing(None)


def test_a_folder_that_is_named_twice_is_shown_once(tmp_path: Path) -> None:
    assert len(Library([tmp_path, tmp_path / "."], tmp_path, tmp_path).folders) == 1


# ---------------------------------------------------------------- what may be opened and written


def test_films_of_the_folders_may_be_opened(library: Library) -> None:
    for name in ("b.mp4", "older/c.mp4", "older/../b.mp4"):
        path = library.check(str(library.folders[0] / name))
        assert path.samefile(library.folders[0] / name)
        assert ".." not in path.parts


@pytest.mark.parametrize(
    "path", ["../outside.mp4", ".hidden.mp4", ".cache/c.mp4", "older/../../outside.mp4"]
)
def test_no_other_film_may_be_opened(library: Library, path: str) -> None:
    with pytest.raises(ForbiddenError, match="--folder"):
        library.check(str(library.folders[0] / path))


def test_films_outside_are_the_same_whether_they_exist_or_not(library: Library) -> None:
    messages = []
    for name in ("outside.mp4", "missing.mp4"):
        with pytest.raises(ForbiddenError) as error:
            library.check(str(library.folders[0].parent / name))
        messages.append(str(error.value).replace(name, ""))
    assert messages[0] == messages[1]
    with pytest.raises(NotFoundError):
        library.check(str(library.folders[0] / "missing.mp4"))


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///secret/film.ts\n",
        b"\n  ffconcat version 1.0\nfile /secret/film.ts\n",
        b'\xef\xbb\xbf<?xml version="1.0"?><MPD></MPD>',
        b'<?xml version="1.0"?><CompositionPlaylist/>',
    ],
)
def test_lists_of_other_files_are_not_opened(library: Library, tmp_path: Path, head: bytes) -> None:
    for folder in (tmp_path / "films", library.upload_folder):
        folder.mkdir(exist_ok=True)
        path = folder / "list.ts"
        path.write_bytes(head)
        with pytest.raises(ForbiddenError, match="list of other files"):
            library.check(str(path))
        path.write_bytes(b"G" + head)
        assert library.check(str(path)) == path


@needs_links
def test_images_of_a_sequence_do_not_lead_out(library: Library, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"content")
    frames = tmp_path / "films" / "frames"
    frames.mkdir()
    for number in range(30):
        (frames / f"p{number:03}.png").write_bytes(b"content")
    pattern = frames / "p%03d.png"
    assert library.check(str(pattern)) == pattern
    (frames / "p007.png").unlink()
    (frames / "p007.png").symlink_to(outside)
    with pytest.raises(ForbiddenError, match="p007"):
        library.check(str(pattern))


@needs_links
def test_links_do_not_lead_out(library: Library, tmp_path: Path) -> None:
    folder = library.folders[0]
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "link").symlink_to(tmp_path)
    (folder / "inside.mp4").symlink_to(folder / "b.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "broken.mp4").symlink_to(folder / "missing.mp4")
    for name in ("link.mp4", "link/outside.mp4", "link/films/../outside.mp4"):
        with pytest.raises(ForbiddenError):
            library.check(str(folder / name))
    with pytest.raises(ForbiddenError):
        library.listing(str(folder / "link"))
    for name in ("loop.mp4", "broken.mp4"):
        with pytest.raises(NotFoundError):
            library.check(str(folder / name))
    assert library.check(str(folder / "inside.mp4")) == folder / "inside.mp4"
    listing = library.listing(None)
    assert "inside.mp4" in names(listing["films"])
    assert not {"link", "link.mp4", "loop.mp4"} & {
        *names(listing["films"]),
        *names(listing["folders"]),
    }


@needs_links
def test_a_folder_may_be_named_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    library = Library([tmp_path / "link"], tmp_path / "up", tmp_path / "state")
    assert library.check(str(tmp_path / "link" / "a.mp4")).exists()


def test_films_of_the_command_line_may_be_opened_wherever_they_are(tmp_path: Path) -> None:
    film = tmp_path / "elsewhere.mp4"
    film.write_bytes(b"content")
    library = make_library(tmp_path, films=[film])
    assert library.check(str(film)) == film
    with pytest.raises(ForbiddenError):
        library.check(str(tmp_path / "other.mp4"))


def test_outputs_go_beside_the_film_or_into_the_folders(library: Library, tmp_path: Path) -> None:
    elsewhere = tmp_path / "archive" / "film.mp4"
    folder = library.folders[0]
    allowed = [elsewhere.with_name("o.mp4"), folder / "o.mp4", folder / "older" / "o.mp4"]
    allowed.append(library.upload_folder / "o.mp4")
    assert [library.check_output(str(path), elsewhere) for path in allowed] == allowed
    refused = [tmp_path / "o.mp4", elsewhere.parent / "sub" / "o.mp4", folder / ".o.mp4"]
    refused += [folder / ".cache" / "o.mp4", elsewhere.with_name(".o.mp4"), folder / ".." / "o.mp4"]
    for path in refused:
        with pytest.raises(ForbiddenError):
            library.check_output(str(path), elsewhere)


# ---------------------------------------------------------------- recent films


def test_recent_films_are_kept_the_latest_one_first(library: Library, tmp_path: Path) -> None:
    folder = library.folders[0]
    for name in ("b.mp4", "A.MKV", "b.mp4"):
        library.add_recent(folder / name)
    again = make_library(tmp_path)  # another start
    assert again.recent() == [folder / "b.mp4", folder / "A.MKV"]
    (folder / "b.mp4").unlink()
    assert again.recent() == [folder / "A.MKV"]
    assert names(again.state()["recent"]) == ["A.MKV"]


def test_recent_films_may_be_opened_again_from_outside_the_folders(tmp_path: Path) -> None:
    film = tmp_path / "elsewhere.mp4"
    film.write_bytes(b"content")
    make_library(tmp_path, films=[film]).add_recent(film)
    assert make_library(tmp_path).check(str(film)) == film


def test_twenty_recent_films_are_kept(library: Library, tmp_path: Path) -> None:
    films = [library.folders[0] / f"{number}.mp4" for number in range(25)]
    for film in films:
        film.write_bytes(b"content")
        library.add_recent(film)
    assert library.recent() == films[:4:-1]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"films": 3}', '{"films": [1, null, "", "a\\u0000b"]}', "[" * 9999],
)
def test_a_broken_list_of_recent_films_does_no_harm(library: Library, text: str) -> None:
    library.add_recent(library.folders[0] / "b.mp4")
    (path,) = library._state_folder.iterdir()
    path.write_text(text, encoding="utf-8")
    assert library.recent() == []
    library.add_recent(library.folders[0] / "A.MKV")
    assert names(library.state()["recent"]) == ["A.MKV"]
    assert json.loads(path.read_text(encoding="utf-8"))


def test_a_state_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file")
    library = make_library(tmp_path)
    library.add_recent(library.folders[0] / "b.mp4")
    assert library.recent() == []


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("film.mp4", "film.mp4"),
        ("The Kid (1921) – reel 1.mkv", "The Kid (1921) – reel 1.mkv"),
        ("映画.mov", "映画.mov"),
        ("e\u0301te\u0301.mp4", "été.mp4"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\film.mp4", "film.mp4"),
        ("C:\\films\\film.mp4", "film.mp4"),
        ("/film.mp4", "film.mp4"),
        (".bashrc", "bashrc"),
        ("...mp4", "mp4"),
        ("..", "film"),
        ("", "film"),
        ("films/", "film"),
        ("a\0b\nc\x1b[1m.mp4", "abc[1m.mp4"),
        ("\u202e4pm.film", "4pm.film"),
        ("Nosferatu: A Symphony?.mp4", "Nosferatu_ A Symphony_.mp4"),
        ("film.mp4. . ", "film.mp4"),
        ("CON", "_CON"),
        ("con.mp4", "_con.mp4"),
        ("aux.tar.mp4", "_aux.tar.mp4"),
        ("LPT1.mkv", "_LPT1.mkv"),
        ("console.mp4", "console.mp4"),
        ("\ud800.mp4", "mp4"),
    ],
)
def test_names_are_made_safe(name: str, expected: str) -> None:
    assert safe_name(name) == expected
    assert safe_name(expected) == expected


@pytest.mark.parametrize("name", ["a" * 500 + ".mp4", "映" * 200 + ".mp4", "a." + "b" * 500])
def test_long_names_are_cut_and_keep_their_suffix(name: str) -> None:
    safe = safe_name(name)
    assert len(safe.encode()) <= 190
    assert len(safe) >= 50
    assert not name.endswith(".mp4") or safe.endswith(".mp4")


# ---------------------------------------------------------------- uploads


@pytest.fixture
def fake(tmp_path: Path) -> SimpleNamespace:
    return make_fake(tmp_path)


def files(fake: SimpleNamespace) -> list[str]:
    """Return all names in the folder of uploads, hidden ones too."""
    folder = fake.studio.library.upload_folder
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def upload(fake: SimpleNamespace, name: str, content: Any, **headers: str) -> Any:
    return fake.client.post("/api/uploads", params={"name": name}, content=content, headers=headers)


def test_an_upload_arrives_whole_and_may_be_opened(fake: SimpleNamespace) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB: several writes
    answer = upload(fake, "a film.mp4", content).json()
    path = fake.studio.library.upload_folder / "a film.mp4"
    assert answer == {"path": str(path), "name": "a film.mp4", "num_bytes": len(content)}
    assert path.read_bytes() == content
    assert files(fake) == ["a film.mp4"]
    assert fake.client.post("/api/films", json={"path": answer["path"]}).status_code == 200


def test_an_upload_never_replaces_a_file(fake: SimpleNamespace) -> None:
    answers = [upload(fake, "a.mp4", content).json() for content in (b"1", b"22", b"333")]
    assert [answer["name"] for answer in answers] == ["a.mp4", "a-2.mp4", "a-3.mp4"]
    assert [Path(answer["path"]).read_bytes() for answer in answers] == [b"1", b"22", b"333"]


def test_two_tabs_send_the_same_name_at_the_same_time(fake: SimpleNamespace) -> None:
    library = fake.studio.library
    with library.new_upload("a.mp4") as (first, _), library.new_upload("a.mp4") as (second, _):
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    contents = {(library.upload_folder / name).read_bytes() for name in files(fake)}
    assert contents == {b"1", b"2"}

    def send(number: int) -> str:
        return upload(fake, "b.mp4", bytes([number]) * 3_000_000).json()["path"]

    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(send, range(4)))
    assert len(set(paths)) == 4
    assert [set(Path(path).read_bytes()) for path in paths] == [{n} for n in range(4)]


@pytest.mark.parametrize("name", ["../a.mp4", "..%2fa.mp4", "/etc/a.mp4", "a\0.mp4", ".a.mp4"])
def test_an_upload_stays_in_its_folder(fake: SimpleNamespace, tmp_path: Path, name: str) -> None:
    answer = upload(fake, name, b"bytes")
    assert answer.status_code == 200
    assert Path(answer.json()["path"]).parent == fake.studio.library.upload_folder
    assert len(files(fake)) == 1
    assert not files(fake)[0].startswith(".")


def test_an_upload_needs_its_length(fake: SimpleNamespace) -> None:
    def body() -> Iterator[bytes]:
        yield b"bytes"

    answer = upload(fake, "a.mp4", body())  # in chunks
    assert answer.status_code == 411
    assert files(fake) == []


@pytest.mark.parametrize("length", ["4", "6", "0"])
def test_an_upload_of_another_length_leaves_no_file(fake: SimpleNamespace, length: str) -> None:
    answer = upload(fake, "a.mp4", b"bytes", **{"Content-Length": length})
    assert answer.status_code == 400
    assert "again" in answer.json()["error"]
    assert files(fake) == []
    assert upload(fake, "a.mp4", b"bytes").json()["name"] == "a.mp4"  # the name is free again


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "five", "9" * 30])
def test_a_length_is_a_number(fake: SimpleNamespace, length: str) -> None:
    assert upload(fake, "a.mp4", b"bytes", **{"Content-Length": length}).status_code == 400
    assert files(fake) == []


def test_an_upload_that_is_too_large_is_refused(tmp_path: Path) -> None:
    fake = make_fake(tmp_path)
    fake.studio.library = make_library(tmp_path, max_upload_bytes=10)
    assert upload(fake, "a.mp4", b"12345678901").status_code == 413
    assert files(fake) == []
    assert upload(fake, "a.mp4", b"1234567890").status_code == 200


def test_an_upload_that_the_disk_has_no_room_for_is_refused(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    free = library_module._FREE_BYTES + 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - free, free))
    answer = upload(fake, "a.mp4", b"bytes")
    assert answer.status_code == 507
    assert "make room" in answer.json()["error"]
    assert files(fake) == []
    assert upload(fake, "a.mp4", b"byte").status_code == 200


def test_a_disk_that_fills_during_an_upload_leaves_no_file(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = Path.open

    def open_full(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if path.name.endswith(".partial"):
            real_open(path, "wb").close()
            return open("/dev/full", "wb", buffering=0)  # noqa: PTH123
        return real_open(path, mode, *args, **kwargs)

    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(Path, "open", open_full)
    answer = upload(fake, "a.mp4", b"bytes")
    assert answer.status_code == 507
    assert "make room" in answer.json()["error"]
    assert files(fake) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    fake = make_fake(tmp_path)
    (tmp_path / "uploads").write_bytes(b"a file")
    answer = upload(fake, "a.mp4", b"bytes")
    assert answer.status_code == 422
    assert "uploads" in answer.json()["error"]
