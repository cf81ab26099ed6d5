"""The routes of the studio: what they call, what they answer, and what they refuse."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("starlette")

import media
from starlette.routing import Route
from studio_client import (
    GRADE,
    KNOWN,
    PICTURE,
    REQUESTS,
    STROKES,
    make_client,
    make_fake,
    make_library,
    send,
)

from filmcolor.cli.main import cli
from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.pipeline.options import ColorOptions
from filmcolor.studio import (
    address,
    routes_corrections,
    routes_files,
    routes_films,
    routes_jobs,
    routes_photos,
)
from filmcolor.studio.errors import ConflictError, NotFoundError
from filmcolor.studio.requests import MAX_JSON_BYTES
from filmcolor.studio.studio import Studio

ROOT = Path(__file__).parent.parent
MODULES = (routes_files, routes_films, routes_corrections, routes_jobs, routes_photos)


@pytest.fixture
def fake(tmp_path: Path) -> SimpleNamespace:
    return make_fake(tmp_path)


# ---------------------------------------------------------------- the document


def documented_requests() -> set[str]:
    """Return "METHOD path" of each request in the tables of the API's document."""
    text = (ROOT / "docs" / "studio-api.md").read_text(encoding="utf-8")
    found: set[str] = set()
    for cell in re.findall(r"^\| (`(?:GET|POST|PUT|DELETE) .*?) \|", text, re.M):
        method = path = ""
        for chunk in re.findall(r"`([^`]*)`", cell.replace(r"\|", "/")):
            match = re.fullmatch(r"(?:([A-Z]+) )?(/\S+|…\S*)", chunk)
            if match:
                method, tail = match[1] or method, match[2].partition("?")[0]
                path = tail if tail.startswith("/") else _resolve(path, tail)
                found.add(f"{method} {re.sub(r'/[A-Z]+(?=/|$)', '/{}', path)}")
    return found


def _resolve(path: str, tail: str) -> str:
    """Return the path that "…" or "…/word" stands for after another one."""
    return path if tail == "…" else path.rpartition("/")[0] + tail[1:]


def test_the_document_lists_every_route_and_no_other() -> None:
    routes = {
        f"{method} {re.sub(r'{[^}]*}', '{}', route.path)}"
        for module in MODULES
        for route in module.ROUTES
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert documented_requests() == routes
    assert len(routes) > 40


def test_these_tests_send_every_request_of_the_document() -> None:
    sent = {
        re.sub(r"/(f1|c1|j1|p1|\d+)(?=/|$)", "/{}", line.partition("?")[0]) for line in REQUESTS
    }
    assert sent == documented_requests()


# ---------------------------------------------------------------- what requests do

CALLS: dict[str, Any] = {
    "GET /api/films": ("film.state_json",),
    "GET /api/films/f1": ("film.state_json",),
    "DELETE /api/films/f1": ("studio.close_film", "f1"),
    "GET /api/films/f1/poster": ("film.poster",),
    "GET /api/films/f1/shots?since=3": ("film.shots_json", 3),
    "POST /api/films/f1/visible": ("film.set_visible", [1, 2]),
    "GET /api/films/f1/shots/2/thumbnail?side=grey": ("film.thumbnail", 2, "grey"),
    "GET /api/films/f1/frames/7?side=color": ("film.frame_jpeg", 7, "color"),
    "GET /api/films/f1/frames/7/swatches": ("film.swatches", 7),
    "GET /api/films/f1/shots/2/alike": ("film.alike", 2),
    "GET /api/films/f1/corrections": ("corrections.state",),
    "GET /api/films/f1/frames/7/strokes": ("corrections.strokes_png", 7),
    "POST /api/films/f1/frames/7/strokes": ("corrections.add_strokes", 7, STROKES["strokes"]),
    "DELETE /api/films/f1/frames/7/strokes": ("corrections.clear_strokes", 7),
    "GET /api/films/f1/frames/7/reference": ("corrections.reference_picture", 7),
    "PUT /api/films/f1/frames/7/reference": ("corrections.set_reference", 7, PICTURE),
    "DELETE /api/films/f1/frames/7/reference": ("corrections.remove_reference", 7),
    "PUT /api/films/f1/grades": ("corrections.set_grades", [2], GRADE),
    "PUT /api/films/f1/options": ("corrections.set_options", {"match_shots": True}),
    "POST /api/films/f1/shots/2/apply": (
        *("corrections.apply", 2, [3]),
        {"grade": True, "colors": False},
    ),
    "POST /api/films/f1/undo": ("corrections.undo",),
    "POST /api/films/f1/redo": ("corrections.redo",),
    "POST /api/films/f1/clips": ("clips.begin", 0, 24),
    "GET /api/films/f1/clips/c1": ("clips.state", "c1"),
    "GET /api/films/f1/clips/c1/video": ("clips.path", "c1"),
    "GET /api/jobs": ("jobs.state",),
    "POST /api/jobs/j1/pause": ("jobs.pause", "j1"),
    "POST /api/jobs/j1/resume": ("jobs.resume", "j1"),
    "POST /api/jobs/j1/stop": ("jobs.stop", "j1"),
    "DELETE /api/jobs/j1": ("jobs.remove", "j1"),
    "GET /api/jobs/j1/download": ("jobs.output_path", "j1"),
    "GET /api/jobs/j1/video": ("jobs.output_path", "j1"),
    "POST /api/photos?name=portrait.jpg": ("photos.add", "portrait.jpg", PICTURE),
    "GET /api/photos": ("photos.photos",),
    "GET /api/photos/p1/image?side=color&size=100": ("photos.image", "p1", "color", 100),
    "GET /api/photos/p1/swatches": ("photos.swatches", "p1"),
    "GET /api/photos/p1/strokes": ("photos.strokes", "p1"),
    "POST /api/photos/p1/strokes": ("photos.draw", "p1", STROKES["strokes"]),
    "DELETE /api/photos/p1/strokes": ("photos.clear_strokes", "p1"),
    "PUT /api/photos/p1/grade": ("photos.set_grade", "p1", GRADE),
    "POST /api/photos/p1/undo": ("photos.undo", "p1"),
    "POST /api/photos/p1/redo": ("photos.redo", "p1"),
    "GET /api/photos/p1/download": ("photos.download", "p1"),
    "DELETE /api/photos/p1": ("photos.remove", "p1"),
}
PICTURES = [
    line
    for line in REQUESTS
    if re.search(r"poster|thumbnail|image|s/7\?|^GET.*(strokes|nce)$", line)
]
VIDEOS = [line for line in REQUESTS if re.search(r"/(video|download)$", line)]


@pytest.mark.parametrize("line", CALLS)
def test_a_request_calls_its_method_once(fake: SimpleNamespace, line: str) -> None:
    answer = send(fake.client, line)
    assert answer.status_code == 200, answer.text
    calls = [call for call in fake.calls if call[0] not in ("film.check_ready", "film.check_frame")]
    assert calls == [CALLS[line]]
    if line not in (*PICTURES, *VIDEOS):
        assert isinstance(answer.json(), dict)
        assert answer.headers["cache-control"] == "no-store"


def test_the_calls_of_all_requests_are_tested() -> None:
    others = {  # tested below, and in test_studio_library.py
        *("GET /api/studio", "GET /api/files", "POST /api/uploads?name=new.mp4"),
        *("POST /api/films", "POST /api/jobs", "GET /api/films/f1/output?purpose=share"),
    }
    assert set(REQUESTS) == set(CALLS) | others


def test_the_studio_object_has_what_the_document_lists(fake: SimpleNamespace) -> None:
    state = fake.client.get("/api/studio").json()
    assert set(state) == {
        *("version", "folders", "upload_folder", "max_upload_bytes", "recent", "films"),
        "purposes",
    }
    assert [p["name"] for p in state["purposes"]] == ["share", "archive", "edit", "master"]
    assert [p["is_playable"] for p in state["purposes"]] == [True, False, False, False]
    assert all(p["text"] and p["suffix"].startswith(".") for p in state["purposes"])


def test_a_film_of_the_folders_is_opened(fake: SimpleNamespace) -> None:
    path = fake.studio.library.folders[0] / "film.mp4"
    assert fake.client.post("/api/films", json={"path": str(path)}).json() == {"id": "f1"}
    assert fake.calls[0] == ("studio.open_film", path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../film.mp4", "film.mp4", ""])
def test_no_other_file_is_opened(fake: SimpleNamespace, path: str) -> None:
    status = fake.client.post("/api/films", json={"path": path}).status_code
    assert status == (403 if path.startswith("/") else 400 if not path else 422)
    assert fake.calls == []


def test_a_job_gets_what_the_request_says(fake: SimpleNamespace) -> None:
    output = str(fake.studio.library.folders[0] / "colour.mp4")
    wanted = {
        "film": "f1",
        "purpose": "edit",
        "output": output,
        "start_seconds": 1.5,
        "force": True,
    }
    assert fake.client.post("/api/jobs", json=wanted).status_code == 200
    times = {"start_seconds": 1.5, "end_seconds": None, "force": True}
    assert fake.calls[-1] == ("jobs.add", fake.studio.films["f1"], "edit", Path(output), times)


def test_a_job_without_an_output_gets_none(fake: SimpleNamespace) -> None:
    assert send(fake.client, "POST /api/jobs").status_code == 200
    times = {"start_seconds": None, "end_seconds": None, "force": False}
    assert fake.calls[-1] == ("jobs.add", fake.studio.films["f1"], "share", None, times)


@pytest.mark.parametrize("output", ["/etc/film.mp4", "/tmp/../etc/x.mp4", "FOLDER/.bashrc"])
def test_a_job_writes_only_where_the_person_chose(fake: SimpleNamespace, output: str) -> None:
    output = output.replace("FOLDER", str(fake.studio.library.folders[0]))
    wanted = {"film": "f1", "purpose": "share", "output": output}
    assert fake.client.post("/api/jobs", json=wanted).status_code == 403
    assert not [call for call in fake.calls if call[0].startswith("jobs")]


def test_a_suggested_output_is_of_the_purpose(fake: SimpleNamespace) -> None:
    assert fake.client.get("/api/films/f1/output?purpose=master").status_code == 200
    nothing_else = None, None, None  # an output, a start and an end
    assert fake.calls[-1] == ("jobs.suggest", fake.studio.films["f1"], "master", *nothing_else)
    output = fake.studio.library.folders[0] / "o.mkv"
    query = {"output": str(output), "start_seconds": "1.5", "end_seconds": "2"}
    assert fake.client.get("/api/films/f1/output", params=query).status_code == 200
    assert fake.calls[-1] == (
        *("jobs.suggest", fake.studio.films["f1"], "share", output),
        *(1.5, 2.0),
    )
    assert fake.client.get("/api/films/f1/output?output=/etc/o.mkv").status_code == 403
    assert fake.client.get("/api/films/f1/output?purpose=x").status_code == 400


# ---------------------------------------------------------------- pictures and films


@pytest.mark.parametrize("line", PICTURES)
def test_a_picture_that_the_browser_has_is_not_sent_again(fake: SimpleNamespace, line: str) -> None:
    first = send(fake.client, line)
    assert first.content == PICTURE
    assert first.headers["content-type"] in ("image/jpeg", "image/png")
    assert "no-cache" in first.headers["cache-control"]
    assert "private" in first.headers["cache-control"]
    again = send(fake.client, line, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = send(fake.client, line, headers={"If-None-Match": '"other"'})
    assert other.content == PICTURE


def test_pictures_with_other_bytes_have_other_tags(tmp_path: Path) -> None:
    line = "GET /api/films/f1/frames/7?side=color"
    answers = [send(make_fake(tmp_path, frame_jpeg=(d, "v")).client, line) for d in (b"1", b"2")]
    assert answers[0].headers["etag"] != answers[1].headers["etag"]


def test_a_frame_comes_with_its_version(fake: SimpleNamespace) -> None:
    assert fake.client.get("/api/films/f1/frames/7").headers["x-version"] == "v1"


@pytest.mark.parametrize("name", ["thumbnail", "strokes_png", "reference_picture"])
def test_pictures_that_are_not_there_are_not_found(tmp_path: Path, name: str) -> None:
    paths = {"thumbnail": "shots/2/thumbnail", "strokes_png": "frames/7/strokes"}
    client = make_fake(tmp_path, **{name: None}).client
    answer = client.get(f"/api/films/f1/{paths.get(name, 'frames/7/reference')}")
    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize("line", VIDEOS)
def test_films_are_sent_in_ranges(fake: SimpleNamespace, line: str) -> None:
    whole = send(fake.client, line)
    assert whole.content == bytes(range(100))
    assert whole.headers["content-type"] == "video/mp4"
    part = send(fake.client, line, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    is_saved = "attachment" in whole.headers.get("content-disposition", "")
    assert is_saved == line.endswith("download")


# ---------------------------------------------------------------- malformed requests

POINTS = [[1, 2, 0.5]]
BAD_STROKES: list[Any] = [
    {},
    {"strokes": None},
    {"strokes": []},
    {"strokes": {}},
    {"strokes": ["x"]},
    *(
        {"strokes": [{"color": "#ff0000", "width": 8, "points": POINTS, **change}]}
        for change in (
            *({"color": "red"}, {"color": "#ff000"}, {"color": 1}, {"color": "#ff0000\n"}),
            *({"width": 0}, {"width": -1}, {"width": "8"}, {"width": True}, {"width": 1e9}),
            *({"points": []}, {"points": [[1, 2]]}, {"points": [[1, 2, 3]]}, {"points": "x"}),
            *({"points": [[1, 2, -0.1]]}, {"points": [[None, 2, 1]]}, {"points": [["1", 2, 1]]}),
            {"points": [[1e99, 2, 1]]},
        )
    ),
]
BAD_BODIES = [
    *(("POST /api/films", body) for body in ({}, {"path": 1}, {"path": "a\0b"}, {"path": None})),
    *(("POST /api/films/f1/frames/7/strokes", body) for body in BAD_STROKES),
    *(("POST /api/photos/p1/strokes", body) for body in BAD_STROKES[:3]),
    *(
        ("PUT /api/films/f1/grades", body)
        for body in (
            {},
            {"shots": [1]},
            {"grade": {}},
            {"shots": [0], "grade": {}},
            {"shots": ["1"], "grade": {}},
            {"shots": [1.5], "grade": {}},
            {"shots": [True], "grade": {}},
            {"shots": 1, "grade": {}},
            {"shots": [1], "grade": {"hue": 1}},
            {"shots": [1], "grade": {"warmth": "1"}},
            {"shots": [1], "grade": {"warmth": True}},
        )
    ),
    *(("PUT /api/films/f1/options", body) for body in ({}, {"match_shots": 1})),
    *(("POST /api/films/f1/visible", body) for body in ({}, {"shots": None}, {"shots": [-1]})),
    *(
        ("POST /api/films/f1/clips", body)
        for body in ({}, {"first": 0}, {"first": -1, "stop": 2}, {"first": 0, "stop": 10**30})
    ),
    *(
        ("POST /api/jobs", {"film": "f1", "purpose": "share", **change})
        for change in (
            *({"film": None}, {"purpose": None}, {"purpose": "x"}, {"output": 1}, {"force": "yes"}),
            *({"start_seconds": -1}, {"end_seconds": "9"}),
        )
    ),
    ("POST /api/films/f1/shots/2/apply", {"shots": [3], "grade": "yes"}),
    ("PUT /api/photos/p1/grade", {"hue": 1}),
]


@pytest.mark.parametrize(("line", "body"), BAD_BODIES, ids=str)
def test_malformed_bodies_are_refused(fake: SimpleNamespace, line: str, body: Any) -> None:
    answer = send(fake.client, line, body)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]
    assert {call[0] for call in fake.calls} <= {"film.check_ready", "film.check_frame"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"text"',
        b"\xff\xfe",
        b'{"match_shots": NaN}',
        b"[" * 100_000,
        b'{"match_shots": ' + b"9" * 5000 + b"}",
    ],
    ids=len,
)
def test_what_is_no_json_object_is_refused(fake: SimpleNamespace, content: bytes) -> None:
    answer = fake.client.put("/api/films/f1/options", content=content)
    assert answer.status_code == 400


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN", "1e999", "-1e999"])
def test_numbers_are_finite(fake: SimpleNamespace, text: str) -> None:
    body = f'{{"shots": null, "grade": {{"warmth": {text}}}}}'
    assert fake.client.put("/api/films/f1/grades", content=body).status_code == 400
    assert not [call for call in fake.calls if call[0] == "corrections.set_grades"]


def test_whole_numbers_may_be_written_as_javascript_does(fake: SimpleNamespace) -> None:
    body = '{"first": 0.0, "stop": 2.4e1}'
    assert fake.client.post("/api/films/f1/clips", content=body).status_code == 200
    assert fake.calls[-1] == ("clips.begin", 0, 24)


@pytest.mark.parametrize(
    "path",
    [
        "/api/films/f1/frames/7?side=blue",
        "/api/films/f1/shots/2/thumbnail?side=",
        "/api/films/f1/shots?since=x",
        "/api/films/f1/shots?since=-1",
        "/api/photos/p1/image?size=²",
        "/api/photos/p1/image?size=1e3",
    ],
)
def test_malformed_addresses_are_refused(fake: SimpleNamespace, path: str) -> None:
    assert fake.client.get(path).status_code == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /api/nothing", 404),
        ("GET /api/films/f2", 404),
        ("GET /api/films/f1/frames/-1", 404),
        ("GET /api/films/f1/frames/x", 404),
        ("POST /api/films/f2/undo", 404),
        ("POST /api/studio", 405),
        ("PATCH /api/films/f1", 405),
        ("POST /api/photos", 400),
        ("POST /api/uploads", 400),
    ],
)
def test_unknown_addresses_and_methods_get_an_error_in_json(
    fake: SimpleNamespace, line: str, status: int
) -> None:
    answer = send(fake.client, line)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_bodies_may_not_be_larger_than_they_must_be(fake: SimpleNamespace) -> None:
    text = b'{"match_shots": true' + b" " * MAX_JSON_BYTES
    for headers in ({}, {"Content-Length": "10"}):  # also where it lies
        body = iter([text, b"}"]) if headers else text + b"}"
        answer = fake.client.put("/api/films/f1/options", content=body, headers=headers)
        assert answer.status_code == 413
    line = "PUT /api/films/f1/frames/7/reference"
    answer = send(fake.client, line, b"x", headers={"Content-Length": str(200 << 20)})
    assert answer.status_code == 413
    assert not [call for call in fake.calls if call[0].startswith("corrections")]


def test_a_picture_has_bytes(fake: SimpleNamespace) -> None:
    for line in ("PUT /api/films/f1/frames/7/reference", "POST /api/photos?name=a.jpg"):
        assert send(fake.client, line, b"").status_code == 400


# ---------------------------------------------------------------- errors

DISK_FULL = OutputError("the disk is full: make room")
DISK_FULL.__cause__ = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("x is no film; check it"), 422),
        (SettingsError("warmth 3 must be -1 to 1"), 422),
        (NotFoundError("frame 9 has no strokes"), 404),
        (ConflictError("changed meanwhile; look again"), 409),
        (DISK_FULL, 507),
    ],
)
def test_errors_have_the_status_of_the_document(
    tmp_path: Path, error: Exception, status: int
) -> None:
    answer = make_fake(tmp_path, undo=error).client.post("/api/films/f1/undo")
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})


def test_a_disk_that_is_full_is_reported_wherever_it_happens(tmp_path: Path) -> None:
    client = make_fake(tmp_path, undo=OSError(errno.ENOSPC, "No space left on device")).client
    assert client.post("/api/films/f1/undo").status_code == 507


# ---------------------------------------------------------------- the page


def test_files_of_the_page_have_their_types_and_are_checked_each_time(
    fake: SimpleNamespace,
) -> None:
    from filmcolor.studio.app import PAGE_FOLDER

    kinds = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
    kinds[".svg"] = "image/svg+xml"
    for path in (p for p in PAGE_FOLDER.rglob("*") if p.is_file()):
        name = path.relative_to(PAGE_FOLDER).as_posix()
        answer = fake.client.get(f"/{name}")
        assert answer.content == path.read_bytes()
        assert answer.headers["content-type"] == f"{kinds[path.suffix]}; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        again = fake.client.get(f"/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/..%2fapp.py",
        "/%2e%2e/app.py",
        "/js/..%2f..%2fapp.py",
        "/js/%2e%2e%2f%2e%2e%2fapp.py",
        "/..\\app.py",
        "/%5c..%5capp.py",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/index.html%00",
        "/js/",
        "/.",
    ],
)
def test_the_page_leads_to_no_other_file(fake: SimpleNamespace, path: str) -> None:
    answer = fake.client.get(path)
    assert "create_app" not in answer.text
    assert "root:" not in answer.text
    assert answer.status_code in (400, 404) or answer.text == fake.client.get("/").text


# ---------------------------------------------------------------- sockets and the command


def test_the_usual_port_is_taken_first_and_another_one_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(address, "PORT", free.getsockname()[1])
    with address.bind("127.0.0.1", None) as first, address.bind("127.0.0.1", None) as second:
        assert first.getsockname() == ("127.0.0.1", address.PORT)
        assert second.getsockname()[1] != address.PORT
        with pytest.raises(SettingsError, match=f"port {address.PORT} is in use.*--port"):
            address.bind("127.0.0.1", address.PORT)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):  # RFC 5737, RFC 6761
        with pytest.raises(SettingsError, match="--host"):
            address.bind(host, 0)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
    ],
)
def test_the_address_can_be_opened(host: str, name: str) -> None:
    listener: Any = SimpleNamespace(getsockname=lambda: (host, 99))
    assert address.address_of(listener, host, "t") == f"http://{name}:99/?token=t"


class Running:
    """A studio in a process of its own, with one film."""

    def __init__(self, folder: Path, film: Path, *words: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "filmcolor", "studio", str(film)),
                *("--no-browser", "--port", "0", "--folder", str(folder), *words),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(folder / ".state"), "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]{40,})", self.address)
        assert match, self.address
        self.port, self.token = int(match[1]), match[2]

    def get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def begin_upload(self) -> socket.socket:
        """Return a connection that has sent a part of a file."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        head = (
            "POST /api/uploads?name=part.mp4 HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self.token}",
            f"Content-Length: {10 << 20}",
        )
        connection.sendall("\r\n".join((*head, "", "")).encode() + bytes(3 << 20))
        return connection

    def uploads(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if "part" in path.name]


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_a_studio_serves_its_film_and_ends_at_once(tmp_path: Path) -> None:
    film = media.make(tmp_path / "film.mp4", media.Film(media.shoot(6)))
    studio = Running(tmp_path, film)
    try:
        assert b"<script" in studio.get("/")
        wait_until(lambda: json.loads(studio.get("/api/films"))["films"])
        (opened,) = json.loads(studio.get("/api/films"))["films"]
        assert opened["path"] == str(film)
        with studio.begin_upload():
            wait_until(studio.uploads)
        wait_until(lambda: not studio.uploads())  # the tab is closed
        with studio.begin_upload():
            wait_until(studio.uploads)
            second = subprocess.run(  # the same state folder
                [sys.executable, "-m", "filmcolor", "studio", "--no-browser"],
                capture_output=True,
                text=True,
                env={**os.environ, "XDG_STATE_HOME": str(tmp_path / ".state")},
                cwd=tmp_path,
                timeout=60,
            )
            studio.process.send_signal(signal.SIGINT)
            began = time.monotonic()
            output, errors = studio.process.communicate(timeout=20)
            seconds = time.monotonic() - began
    finally:
        studio.process.kill()
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.count("\n") == 1
    assert "another studio" in second.stderr
    assert studio.process.returncode == 0, errors
    assert (output, errors) == ("", "")
    assert seconds < 5.0
    assert studio.uploads() == []


def test_what_cannot_start_is_one_line(
    type_command: Any, make_film: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    short, film = tmp_path / "token", make_film()
    short.write_text("short\n")
    with address.bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        cases = [
            (1, "does not exist", (tmp_path / "missing.mp4",)),
            (1, "in use", (film, "--port", port)),
            (1, "--host", ("--host", "192.0.2.1")),
            (1, "token", ("--token", "short")),
            (1, "token", ("--token-file", short)),
            (1, "--token-file", ("--token-file", tmp_path / "missing")),
            (1, "--folder", ("--folder", tmp_path / "missing")),
            (2, "one film", ("--corrections", tmp_path)),
            (2, "not both", ("--token", "x" * 20, "--token-file", short)),
            (2, "--port", ("--port", 65536)),
        ]
        for expected, word, words in cases:
            code, output, error = type_command("studio", "--no-browser", *words)
            assert (code, output) == (expected, ""), words
            assert word in error, words
            assert error.count("\n") == 1, words
    monkeypatch.setitem(sys.modules, "tomlkit", None)  # as if it were not installed
    code, output, error = type_command("studio", film)
    assert (code, output) == (1, "")
    assert error == "filmcolor: filmcolor studio needs: pip install 'filmcolor[studio]'\n"


@pytest.mark.slow
def test_two_tabs_work_on_films_with_corrections_of_their_own(
    tmp_path: Path, options: ColorOptions
) -> None:
    library = make_library(tmp_path)
    first, second = (library.folders[0] / name for name in ("first.mp4", "second.mp4"))
    for film in (first, second):
        media.make(film, media.Film(media.shoot(6)))
    folders = {first: tmp_path / "mended"}
    studio = Studio(library, tmp_path / "state", options=options, corrections_folders=folders)
    try:
        tabs = [make_client(studio, **KNOWN) for _ in range(2)]
        films = [
            tab.post("/api/films", json={"path": str(path)}).json()
            for tab, path in zip(tabs, (first, second))
        ]
        again = tabs[1].post("/api/films", json={"path": str(first)}).json()
        assert again["id"] == films[0]["id"] != films[1]["id"]
        paths = [f"/api/films/{film['id']}" for film in films]
        wait_until(lambda: all(tabs[0].get(p).json()["state"] == "ready" for p in paths))
        for n, tab in enumerate(tabs):  # one film, two tabs, two frames
            answer = tab.post(f"{paths[0]}/frames/{n}/strokes", json=STROKES)
            assert answer.status_code == 200, answer.text
        states = [tabs[0].get(f"{path}/corrections").json() for path in paths]
        assert [state["strokes"] for state in states] == [[0, 1], []]
        wanted = [str(tmp_path / "mended"), str(second) + ".corrections"]
        assert [state["folder"] for state in states] == wanted
        recent = tabs[1].get("/api/studio").json()["recent"]
        assert [film["name"] for film in recent] == ["first.mp4", "second.mp4"]
    finally:
        studio.close()


# ---------------------------------------------------------------- the container


def test_the_container_copies_what_exists_and_starts_what_can_be_typed() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    copied = [words.split()[:-1] for step, words in steps if step == "COPY"]
    assert [sources[0] for sources in copied] == [".", "--from=build"]
    (command,) = (json.loads(words) for step, words in steps if step == "CMD")
    assert command[:2] == ["filmcolor", "studio"]
    parameters = cli.commands["studio"].make_context("studio", command[2:]).params
    assert (parameters["host"], parameters["no_browser"]) == ("0.0.0.0", True)
    (volumes,) = (json.loads(words) for step, words in steps if step == "VOLUME")
    assert str(parameters["folders"][0]) in volumes
    assert ["EXPOSE", str(parameters["port"])] in steps
    assert parameters["port"] == address.PORT
    user = next(n for n, (step, _) in enumerate(steps) if step == "USER")
    assert steps[user][1] != "root"
    assert not any(step in ("RUN", "COPY") for step, _ in steps[user:])


def test_the_container_is_built_from_all_that_the_package_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    needed = {"setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"}
    needed |= {"filmcolor", "train", "weights"}
    assert all((ROOT / name).exists() for name in needed)
    assert not [name for name in needed for pattern in ignored if fnmatch(name, pattern)]
    assert "[studio]" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "studio" in settings["options.extras_require"]
