"""A studio of recorded calls, and clients of its server that run in this process."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.testclient import TestClient

from filmcolor.studio.app import create_app
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.library import Library
from filmcolor.studio.security import make_access

TOKEN = "token-of-the-tests"
PORT = 8517
ADDRESS = f"http://127.0.0.1:{PORT}"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}
PICTURE = b"\xff\xd8 a picture"
STROKES = {"strokes": [{"color": "#ff0000", "width": 8, "points": [[1, 2, 0.5], [3, 4, 1]]}]}
GRADE = {"saturation": 1.5, "warmth": None}
# each request of docs/studio-api.md with its body: JSON, or bytes
REQUESTS: dict[str, Any] = {
    "GET /api/studio": None,
    "GET /api/files": None,
    "POST /api/uploads?name=new.mp4": b"a film",
    "POST /api/films": {"path": "FILM"},  # the path of the film in the library
    "GET /api/films": None,
    "GET /api/films/f1": None,
    "DELETE /api/films/f1": None,
    "GET /api/films/f1/poster": None,
    "GET /api/films/f1/shots?since=3": None,
    "POST /api/films/f1/visible": {"shots": [1, 2]},
    "GET /api/films/f1/shots/2/thumbnail?side=grey": None,
    "GET /api/films/f1/frames/7?side=color": None,
    "GET /api/films/f1/frames/7/swatches": None,
    "GET /api/films/f1/shots/2/alike": None,
    "GET /api/films/f1/corrections": None,
    "GET /api/films/f1/frames/7/strokes": None,
    "POST /api/films/f1/frames/7/strokes": STROKES,
    "DELETE /api/films/f1/frames/7/strokes": None,
    "GET /api/films/f1/frames/7/reference": None,
    "PUT /api/films/f1/frames/7/reference": PICTURE,
    "DELETE /api/films/f1/frames/7/reference": None,
    "PUT /api/films/f1/grades": {"shots": [2], "grade": GRADE},
    "PUT /api/films/f1/options": {"match_shots": True},
    "POST /api/films/f1/shots/2/apply": {"shots": [3], "grade": True, "colors": False},
    "POST /api/films/f1/undo": None,
    "POST /api/films/f1/redo": None,
    "POST /api/films/f1/clips": {"first": 0, "stop": 24},
    "GET /api/films/f1/clips/c1": None,
    "GET /api/films/f1/clips/c1/video": None,
    "GET /api/films/f1/output?purpose=share": None,
    "GET /api/jobs": None,
    "POST /api/jobs": {"film": "f1", "purpose": "share"},
    "POST /api/jobs/j1/pause": None,
    "POST /api/jobs/j1/resume": None,
    "POST /api/jobs/j1/stop": None,
    "DELETE /api/jobs/j1": None,
    "GET /api/jobs/j1/download": None,
    "GET /api/jobs/j1/video": None,
    "POST /api/photos?name=portrait.jpg": PICTURE,
    "GET /api/photos": None,
    "GET /api/photos/p1/image?side=color&size=100": None,
    "GET /api/photos/p1/swatches": None,
    "GET /api/photos/p1/strokes": None,
    "POST /api/photos/p1/strokes": STROKES,
    "DELETE /api/photos/p1/strokes": None,
    "PUT /api/photos/p1/grade": GRADE,
    "POST /api/photos/p1/undo": None,
    "POST /api/photos/p1/redo": None,
    "GET /api/photos/p1/download": None,
    "DELETE /api/photos/p1": None,
}


def send(client: TestClient, line: str, body: Any = None, **attributes: Any) -> Any:
    """Send a request, "METHOD path", with a body, or that of REQUESTS; return the answer."""
    method, path = line.split(" ", 1)
    body = REQUESTS.get(line) if body is None else body
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return client.request(method, path, **(content if body is not None else {}), **attributes)


class Recorder:
    """Notes each call of each method in `calls`, and returns what `answers` has for its name."""

    def __init__(self, calls: list[tuple[Any, ...]], prefix: str, answers: dict[str, Any]) -> None:
        self._calls, self._prefix, self._answers = calls, prefix, answers

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls.append((f"{self._prefix}.{name}", *args, *([kwargs] if kwargs else [])))
            answer = self._answers.get(name, {"name": name})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class FakeStudio:
    """One open film "f1", and parts that note how they are called; the library is a real one."""

    def __init__(self, library: Library, video: Path, **answers: Any) -> None:
        self.library = library
        self.calls: list[tuple[Any, ...]] = []
        film: Any = Recorder(
            self.calls,
            "film",
            {
                "state_json": {"id": "f1"},
                "poster": PICTURE,
                "thumbnail": PICTURE,
                "frame_jpeg": (PICTURE, "v1"),
                **answers,
            },
        )
        film.path = library.folders[0] / "film.mp4"
        pictures = {"strokes_png": PICTURE, "reference_picture": (PICTURE, "image/png")}
        film.corrections = Recorder(self.calls, "corrections", {**pictures, **answers})
        film.clips = Recorder(self.calls, "clips", {"begin": "c1", "path": video, **answers})
        self.films = {"f1": film}
        self.jobs = Recorder(self.calls, "jobs", {"output_path": video, **answers})
        self.photos = Recorder(
            self.calls,
            "photos",
            {"image": PICTURE, "strokes": PICTURE, "download": video, **answers},
        )

    def film(self, identifier: str) -> Any:
        """Return the film, as `Studio.film` does."""
        if identifier not in self.films:
            raise NotFoundError("this film is not open; open it again")
        return self.films[identifier]

    def open_film(self, path: Path) -> Any:
        """Note the path."""
        self.calls.append(("studio.open_film", path))
        return self.films["f1"]

    def close_film(self, identifier: str) -> None:
        """Note the film."""
        self.calls.append(("studio.close_film", self.film(identifier) and identifier))

    def state_json(self) -> dict[str, Any]:
        """Return what `Studio.state_json` does."""
        return {"version": "0", "films": list(self.films)}


def make_client(
    studio: Any, *, host: str = "127.0.0.1", more_hosts: tuple[str, ...] = (), **headers: str
) -> TestClient:
    """Return a client of a studio's server, without a token unless `headers` have one.

    Errors in the server become its answer, as they do for a browser.
    """
    access = make_access(TOKEN, host, PORT, more_hosts)
    return TestClient(
        create_app(studio, access),
        base_url=ADDRESS,
        headers=headers,
        follow_redirects=False,
        raise_server_exceptions=False,
    )


def make_library(folder: Path, **changes: Any) -> Library:
    """Return a library of the folder `films` in a test's folder, with its state beside it."""
    films = folder / "films"
    films.mkdir(exist_ok=True)
    values = {"upload_folder": folder / "uploads", "state_folder": folder / "state", **changes}
    return Library([films], **values)


def make_fake(folder: Path, **answers: Any) -> SimpleNamespace:
    """Return a fake studio in a test's folder, a client that has the token, and its calls."""
    library = make_library(folder)
    (library.folders[0] / "film.mp4").write_bytes(b"a film")
    video = folder / "video.mp4"
    video.write_bytes(bytes(range(100)))
    studio = FakeStudio(library, video, **answers)
    return SimpleNamespace(studio=studio, client=make_client(studio, **KNOWN), calls=studio.calls)
