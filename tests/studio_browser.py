"""A studio in a process of its own, and a real browser to use it with."""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import media
import numpy as np
from PIL import Image

WIDTH, HEIGHT, SHOT_FRAMES = 320, 240, 48
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
WAIT = 60_000  # milliseconds: the machine may be busy
_START_SECONDS = 60.0


def chromium_path() -> str | None:
    """Return the path of Chromium, or of a browser that is built on it; None without one."""
    names = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


# ---------------------------------------------------------------- a film to look at


@dataclass(frozen=True)
class Thing:
    """The one object of a shot: a polygon of even luma before a dim background."""

    corners: tuple[tuple[int, int], ...]  # pixels
    luma: int
    background: int
    grid: tuple[int, int] = (8, 11)  # of the background's patches

    @property
    def center(self) -> tuple[int, int]:
        x, y = np.mean(self.corners, axis=0)
        return round(x), round(y)

    def mask(self, margin: int = 0) -> np.ndarray:
        """Return where it is (H, W), without a margin, or with one if that is negative."""
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(mask, [np.array(self.corners, np.int32)], 1)
        kernel = np.ones((2 * abs(margin) + 1,) * 2, np.uint8)
        return (cv2.erode if margin >= 0 else cv2.dilate)(mask, kernel).astype(bool)


def _circle(x: int, y: int, radius: int) -> tuple[tuple[int, int], ...]:
    angles = np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False)
    return tuple((round(x + radius * c), round(y + radius * s)) for c, s in _turns(angles))


def _turns(angles: np.ndarray) -> Iterator[tuple[float, float]]:
    return zip(np.cos(angles), np.sin(angles), strict=True)


THINGS = (
    Thing(_circle(110, 110, 56), luma=190, background=80),
    Thing(((170, 60), (280, 60), (280, 180), (170, 180)), luma=60, background=150),
    Thing(((230, 30), (300, 200), (150, 200)), luma=70, background=165, grid=(30, 40)),
)


def film_lumas(num_frames: int = SHOT_FRAMES, seed: int = 0) -> list[np.ndarray]:
    """Return luma planes of three shots with one object each, under fine grain."""
    rng = np.random.default_rng(seed)
    lumas = []
    for thing in THINGS:
        soft = cv2.resize(
            rng.random(thing.grid, dtype=np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
        )
        # clearly different views: a reference also serves shots that show the same one
        picture = thing.background + 80.0 * (soft - 0.5)
        picture[thing.mask()] = thing.luma
        for _ in range(num_frames):
            noise = rng.normal(0.0, 1.5, picture.shape)
            lumas.append(np.rint(picture + noise).clip(16, 235).astype(np.uint8))
    return lumas


def film_with_sound(path: Path, num_frames: int = SHOT_FRAMES) -> Path:
    """Write a film of three shots and a tone."""
    options = {"crf": "16", "preset": "veryfast"}
    film = media.Film(film_lumas(num_frames), options=options, sounds=[media.Sound()])
    return media.make(path, film)


# ---------------------------------------------------------------- the studio


class Studio:
    """`filmcolor studio` in a process; its state, films and home are in one folder."""

    def __init__(self, folder: Path, *films: Path, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        words = ["studio", *map(str, films), "--no-browser", "--port", "0"]
        words += ["--folder", str(folder), "--uploads", str(folder / "uploads"), *options]
        (folder / "uploads").mkdir(exist_ok=True)
        places = {"HOME": ".home", "XDG_STATE_HOME": ".state", "XDG_CACHE_HOME": ".cache"}
        env = {**os.environ, **{k: str(folder / v) for k, v in places.items()}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "filmcolor", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=folder,
        )
        self.errors: list[str] = []
        threading.Thread(target=self._keep_errors, daemon=True).start()
        self.address = self._read_address()
        parts = urlsplit(self.address)
        self.token = parse_qs(parts.query)["token"][0]
        self.root = f"{parts.scheme}://{parts.netloc}"

    def _keep_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def _read_address(self) -> str:
        """Return the first line that the studio prints."""
        lines: queue.Queue[str] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            address = lines.get(timeout=_START_SECONDS).strip()
        except queue.Empty:
            address = ""
        if not address.startswith("http"):
            self.process.kill()
            raise AssertionError(f"no address: {''.join(self.errors)}")
        return address

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """Return the answer to a request of the API; raises AssertionError for an error."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if data is not None and not isinstance(body, bytes):
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the API."""
        return json.loads(self.ask("GET", path))

    def film_id(self, path: Path) -> str:
        """Open a film, and return its id when it is ready and its shots are known."""
        film = json.loads(self.ask("POST", "/api/films", {"path": str(path)}))
        address = f"/api/films/{film['id']}"
        wait_until(lambda: self.get(address)["state"] != "opening")
        assert self.get(address)["state"] == "ready", self.get(address)["error"]
        wait_until(lambda: self.get(address)["scan"]["is_complete"])
        return str(film["id"])

    def end(self) -> None:
        """Stop it as Ctrl-C does, or at once where that takes long."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(folder: Path, *films: Path, options: tuple[str, ...] = ()) -> Iterator[Studio]:
    """Run a studio."""
    studio = Studio(folder, *films, options=options)
    try:
        yield studio
    finally:
        studio.end()


def wait_until(condition: Callable[[], Any], seconds: float = WAIT / 1000) -> Any:
    """Return what a condition returns once it is true; for what no page shows."""
    event, value = threading.Event(), None
    for _ in range(round(seconds / 0.05)):
        if value := condition():
            return value
        event.wait(0.05)
    raise AssertionError(f"not within {seconds:g} s")


# ---------------------------------------------------------------- the browser


@dataclass
class Watch:
    """What a page should not do: log errors, and ask other hosts for anything."""

    root: str
    problems: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)  # parts of lines that a test provokes

    def over(self, page: Any) -> None:
        """Watch a page from now on."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            place = (message.location or {}).get("url", "")
            self.problems.append(f"{message.type}: {message.text} {place}")

    def _on_request(self, request: Any) -> None:
        url = request.url
        if not url.startswith((self.root + "/", "blob:", "data:")):
            self.problems.append(f"request to {url}")

    def check(self) -> None:
        """Raise AssertionError for what should not have been."""
        left = [p for p in self.problems if not any(part in p for part in self.allowed)]
        assert not left, "\n".join(left)


def pixels(png: bytes) -> np.ndarray:
    """Return R'G'B' (H, W, 3), int, of a picture's bytes."""
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def saturation(rgb: np.ndarray) -> np.ndarray:
    """Return how far R'G'B' (H, W, 3) is from grey (H, W), code values."""
    return np.ptp(rgb, axis=2)


class Picture:
    """The large picture of a page: its pixels, and where the frame's pixels are in the window."""

    def __init__(self, page: Any, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.page, self.size = page, (width, height)
        self.canvas = page.get_by_test_id("picture")

    @property
    def place(self) -> tuple[float, float, float]:
        """Left and top of the frame in the window, and its scale, when all of it is shown."""
        box = self.canvas.bounding_box()
        width, height = self.size
        scale = min(box["width"] / width, box["height"] / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        return left, box["y"] + (box["height"] - height * scale) / 2, scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pixel of the frame is in the window."""
        left, top, scale = self.place
        return left + x * scale, top + y * scale

    def read(self) -> np.ndarray:
        """Return what the picture shows as R'G'B' (H, W, 3) at the frame's size."""
        left, top, scale = self.place
        width, height = self.size
        clip = {"x": left, "y": top, "width": width * scale, "height": height * scale}
        shot = pixels(self.page.screenshot(clip=clip)).astype(np.float32)
        return cv2.resize(shot, self.size, interpolation=cv2.INTER_AREA).astype(int)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse on a pixel of the frame, move it over others, and let go."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=6)
        mouse.up()
