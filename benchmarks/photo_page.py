"""Does the page colour photographs as Python does, how long does it take, and what does it need?

    python benchmarks/photo_page.py STILLS [--num 20] [--runtime PACKAGE] [--throttle 6]

Builds the page with `filmcolor export-page` and uses it in headless Chromium. The first table
compares finished pictures with those of `colorize_rgb`, in float32 and in the dtype that PyTorch
chooses here: distances of CIELAB ab over all pixels. The second has what the first visit loads,
compressed. The third is the time of a made-up photograph of 12 megapixels, with one thread, and
with the page's processes held still for most of the time as a stand-in for a phone: Chromium's own
throttling does not slow workers. The last is the memory of Chromium's processes at their peak.
"""

import base64
import io
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import photo_page_browser
import studio_browser

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.guidance.grading import SATURATION
from filmcolor.images.image_file import find_images
from filmcolor.network import predictor as predictor_module
from filmcolor.photo_page.export import export_page
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_rgb

LARGE = 4000, 3000  # pixels: 12 megapixels
MAX_SIDE = 1600  # of a preview, pixels
BLANK = "licenses/weights.txt"  # of the page: nothing runs there yet
SLICE = 0.02  # seconds that a throttled process runs at a time
SAMPLES = 0.02  # seconds between two looks at the memory

OPEN = """async () => {
  const { Colorizer } = await import("/js/colorizer.js");
  const start = performance.now();
  globalThis.colorizer = await Colorizer.open();
  return [performance.now() - start, colorizer.numThreads];
}"""
COLOR = """async ([encoded, type, maxSide, saturation]) => {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const grade = { saturation, warmth: 0 };
  const times = [];
  const timed = async (action) => {
    const start = performance.now();
    const result = await action();
    times.push(performance.now() - start);
    return result;
  };
  const photo = await timed(() => colorizer.color(new File([bytes], "picture")));
  await timed(() => photo.after(maxSide, grade));
  await timed(() => photo.after(maxSide, grade));
  const blob = await timed(() => photo.save(grade, type));
  await photo.close();
  const saved = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < saved.length; i += 32768) {
    text += String.fromCharCode(...saved.subarray(i, i + 32768));
  }
  return [btoa(text), times];
}"""
JPEG = "image/jpeg"
STEPS = "colours found", "first preview", "another grade", "saved"


def color_in_page(page: Any, data: bytes, kind: str = "image/png") -> tuple[bytes, list[float]]:
    """Return a picture that a page colours and saves, and milliseconds of each of STEPS."""
    encoded = base64.b64encode(data).decode()
    saved, times = page.evaluate(COLOR, [encoded, kind, MAX_SIDE, SATURATION])
    return base64.b64decode(saved), times


def png_of(rgb: np.ndarray) -> bytes:
    """Return R'G'B' (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "png", compress_level=1)
    return file.getvalue()


def ab_of(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB a and b (H, W, 2) of 8-bit R'G'B'."""
    _, a, b = lab_from_rgb(*np.moveaxis(rgb.astype(np.float64) / 255.0, 2, 0))
    return np.dstack((a, b))


def colorizer_in(dtype: torch.dtype | None) -> Colorizer:
    """Return the command's colorizer in a dtype, or in the one that PyTorch chooses here."""
    if dtype is None:
        return Colorizer(ColorOptions())
    with mock.patch.object(predictor_module, "choose_dtype", lambda _: dtype):
        colorizer = Colorizer(ColorOptions())
        assert colorizer.predictor.dtype == dtype
        return colorizer


def compare(page: Any, paths: list[Path]) -> None:
    """Print how far the page's pictures are from Python's."""
    found = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    pages = [np.asarray(Image.open(io.BytesIO(color_in_page(page, png_of(p))[0]))) for p in found]
    click.echo("\n| Python in | mean | 99th percentile | worst picture's mean | luma at most |")
    click.echo("|---|---|---|---|---|")
    for name, dtype in (("float32", torch.float32), ("dtype of this machine", None)):
        colorizer = colorizer_in(dtype)
        distances, means, lumas = [], [], []
        for picture, colored in zip(found, pages, strict=True):
            expected = colorize_rgb(picture, colorizer)
            distance = np.linalg.norm(ab_of(colored[..., :3]) - ab_of(expected), axis=2)
            distances.append(distance.ravel())
            means.append(float(distance.mean()))
            weights = np.array((0.2126, 0.7152, 0.0722))
            lumas.append(float(np.abs((colored[..., :3] - picture.astype(float)) @ weights).max()))
        every = np.concatenate(distances)
        click.echo(
            f"| {name} | {every.mean():.3f} | {np.percentile(every, 99):.2f} "
            f"| {max(means):.3f} | {max(lumas):.2f} codes |"
        )


def large_photograph() -> bytes:
    """Return a made-up photograph of 12 megapixels, as JPEG."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32), np.uint8))
    smooth = np.asarray(coarse.resize(LARGE, Image.Resampling.BICUBIC)).astype(np.float32)
    grain = rng.normal(0.0, 4.0, smooth.shape).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(file, "jpeg", quality=92)
    return file.getvalue()


@contextmanager
def throttled(pids: list[int], factor: float) -> Iterator[None]:
    """Let processes run for 1 / factor of the time."""
    ended = threading.Event()

    def hold() -> None:
        while not ended.is_set():
            send(pids, signal.SIGCONT)
            time.sleep(SLICE)
            send(pids, signal.SIGSTOP)
            ended.wait(SLICE * (factor - 1.0))
        send(pids, signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def send(pids: list[int], number: int) -> None:
    """Send processes a signal."""
    for pid in pids:
        os.kill(pid, number)


def processes_of(browser: Any) -> dict[int, str]:
    """Return the kind of each of a browser's processes."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return {process["id"]: process["type"] for process in found}


def memory_of(pid: int) -> float:
    """Return the memory of a process, its share of what it shares, MB."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0.0


class MemoryWatch:
    """The memory of a browser's processes, while they work."""

    def __init__(self, browser: Any) -> None:
        self.kinds = processes_of(browser)
        self.first = self._look()
        self.peaks = dict(self.first)
        self.total = sum(self.first.values())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _look(self) -> dict[int, float]:
        return {pid: memory_of(pid) for pid in self.kinds}

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLES):
            now = self._look()
            self.total = max(self.total, sum(now.values()))
            self.peaks = {pid: max(self.peaks[pid], now[pid]) for pid in now}

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def print_table(self) -> None:
        """Print a row for each process."""
        click.echo("\n| process | before, MB | at its peak, MB |")
        click.echo("|---|---|---|")
        for pid, kind in self.kinds.items():
            click.echo(f"| {kind} | {self.first[pid]:.0f} | {self.peaks[pid]:.0f} |")
        click.echo(f"| all at once | {sum(self.first.values()):.0f} | {self.total:.0f} |")


def print_times(name: str, opening: float, times: list[float]) -> None:
    """Print a row of milliseconds as seconds."""
    click.echo(f"| {name} | " + " | ".join(f"{t / 1000:.2f}" for t in (opening, *times)) + " |")


@click.command()
@click.argument("stills", type=click.Path(exists=True, path_type=Path))
@click.option("--num", default=20, help="Pictures to compare.")
@click.option("--runtime", type=click.Path(exists=True, path_type=Path), help="As export-page.")
@click.option("--throttle", default=6.0, help="How many times slower a phone is.")
def main(stills: Path, num: int, runtime: Path | None, throttle: float) -> None:
    """Print the tables."""
    paths = find_images(stills)
    paths = paths[:: max(1, len(paths) // num)][:num]
    with tempfile.TemporaryDirectory() as folder, photo_page_browser.browser() as browser:
        report = export_page(Path(folder) / "page", runtime=runtime)
        click.echo(
            f"first visit: {report.first_load_bytes / 1e6:.2f} MB compressed, of it network "
            f"{report.network_bytes / 1e6:.2f} MB"
        )
        with photo_page_browser.serve(Path(folder) / "page") as root:
            page = browser.new_page()
            page.goto(f"{root}/{BLANK}")
            page.evaluate(OPEN)
            compare(page, paths)
            page.close()
            large = large_photograph()
            click.echo(f"\n| 12 megapixels, seconds | opened | {' | '.join(STEPS)} |")
            click.echo("|" + "---|" * (len(STEPS) + 2))
            page = browser.new_page()
            page.goto(f"{root}/{BLANK}")
            opening, num_threads = page.evaluate(OPEN)
            print_times(f"{num_threads} thread", opening, color_in_page(page, large, JPEG)[1])
            print_times("again", 0.0, color_in_page(page, large, JPEG)[1])
            page.close()
            page = browser.new_page()
            page.goto(f"{root}/{BLANK}")
            pids = [pid for pid, kind in processes_of(browser).items() if kind == "renderer"]
            with throttled(pids, throttle):
                opening, _ = page.evaluate(OPEN)
                times = color_in_page(page, large, JPEG)[1]
            print_times(f"{throttle:g} times slower", opening, times)
            page.close()
        with photo_page_browser.serve(Path(folder) / "page") as root:
            measure_memory(browser, root, large)


def measure_memory(browser: Any, root: str, large: bytes) -> None:
    """Print what a person's visit takes: a photograph is chosen, looked at, and saved."""
    page = browser.new_page(viewport={"width": 390, "height": 780}, device_scale_factor=3)
    page.goto(f"{root}/{BLANK}")
    with MemoryWatch(browser) as memory:
        page.goto(f"{root}/")
        file = {"name": "large.jpeg", "mimeType": JPEG, "buffer": large}
        page.locator("#choose-file").set_input_files([file])
        page.locator("#controls").wait_for(state="visible", timeout=studio_browser.WAIT)
        for kind in (JPEG, "image/png"):
            page.locator("#format").select_option(kind)
            with page.expect_download(timeout=studio_browser.WAIT):
                page.locator("#save").click()
    memory.print_table()


if __name__ == "__main__":
    main()
