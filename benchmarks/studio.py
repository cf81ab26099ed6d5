"""How long does a person wait in the studio?

    python benchmarks/studio.py FILM [--num-scrubs 40 --num-memory 200]

Starts `filmcolor studio` with a home of its own, and measures what the page asks for: the first
thumbnails after the start, frames in colour that were not shown before and again, the effect of a
stroke, and the memory of the server over many frames. Corrections are written into a temporary
folder. Prints a table.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import studio_browser
from studio_browser import Studio, wait_until

STROKE_WIDTH = 0.03  # of the frame's width


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def memory_of(studio: Studio) -> float:
    """Return the resident memory of the server, MiB."""
    for line in Path(f"/proc/{studio.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmRSS")


def print_row(name: str, values: list[float], unit: str = "ms") -> None:
    """Print a measurement's median and 95th percentile."""
    scale = 1000.0 if unit == "ms" else 1.0
    median, high = (scale * float(np.percentile(values, share)) for share in (50, 95))
    digits = 1 if unit == "s" else 0
    click.echo(f"| {name} | {median:.{digits}f} | {high:.{digits}f} | {unit} | {len(values)} |")


def has_thumbnail(studio: Studio, film: str, side: str) -> bool:
    """Return whether the first shot has a thumbnail."""
    try:
        shots = studio.get(f"{film}/shots?since=0")["shots"]
        return bool(shots and shots[0]["thumbnail"][side])
    except AssertionError:  # the film is being opened
        return False


def measure_frames(studio: Studio, film: str, numbers: list[int], name: str) -> None:
    """Measure frames that were not shown before, then the same again."""

    def ask(number: int) -> float:
        return seconds_of(lambda: studio.ask("GET", f"{film}/frames/{number}?side=color"))

    print_row(f"{name}, first time", [ask(number) for number in numbers])
    print_row(f"{name}, again", [ask(number) for number in numbers])


def measure_strokes(studio: Studio, film: str, numbers: list[int], size: tuple[int, int]) -> None:
    """Measure from the end of a stroke to the frame in its colours; takes them back."""
    width, height = size
    seconds = []
    for number in numbers:
        stroke = {
            "color": "#b03020",
            "width": STROKE_WIDTH * width,
            "points": [[0.4 * width, 0.5 * height, 1], [0.6 * width, 0.5 * height, 1]],
        }
        frame = f"{film}/frames/{number}"
        studio.ask("GET", frame)  # a person has seen it

        def paint(frame: str = frame, stroke: dict[str, object] = stroke) -> None:
            studio.ask("POST", f"{frame}/strokes", {"strokes": [stroke]})
            studio.ask("GET", frame)

        seconds.append(seconds_of(paint))
        studio.ask("POST", f"{film}/undo")
    print_row("a stroke, until its effect is there", seconds)


@click.command()
@click.argument("film", type=click.Path(exists=True, path_type=Path))
@click.option("--num-scrubs", type=int, default=40, show_default=True)
@click.option("--num-memory", type=int, default=200, show_default=True)
@click.option("--num-strokes", type=int, default=10, show_default=True)
@click.option("--scan/--no-scan", default=True, help="Wait until the film has been read first.")
def main(film: Path, num_scrubs: int, num_memory: int, num_strokes: int, scan: bool) -> None:
    """Measure a studio with one film."""
    film = film.resolve()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as home:
        corrections = ("--corrections", str(Path(home, "corrections")))
        start = time.perf_counter()
        with studio_browser.running(Path(home), film, options=corrections) as studio:
            opened = json.loads(studio.ask("POST", "/api/films", {"path": str(film)}))
            path = f"/api/films/{opened['id']}"
            click.echo("| | median | 95 % | | of |\n|---|---|---|---|---|")
            for side in ("grey", "color"):
                wait_until(lambda side=side: has_thumbnail(studio, path, side), 120)
                print_row(f"start to first thumbnail, {side}", [time.perf_counter() - start], "s")
            print_row("memory with one frame in colour", [memory_of(studio)], "MiB")
            info = studio.get(path)
            if scan:
                wait_until(lambda: studio.get(path)["scan"]["is_complete"], 3600)
            last = studio.get(path)["scan"]["num_frames"] - 1
            numbers = [int(n) for n in rng.integers(0, last, num_scrubs)]
            measure_frames(studio, path, numbers, "a frame anywhere")
            near = int(rng.integers(0, max(1, last - num_scrubs)))
            steps = list(range(near, min(last, near + num_scrubs)))
            measure_frames(studio, path, steps, "frame after frame")
            shown = (info["width"], info["height"])
            measure_strokes(studio, path, numbers[:num_strokes], shown)
            memory = []
            for number in rng.integers(0, last, num_memory):
                studio.ask("GET", f"{path}/frames/{number}?side=color")
                memory.append(memory_of(studio))
            for quarter, values in enumerate(np.array_split(memory, 4), 1):
                print_row(f"memory, quarter {quarter} of these frames", list(values), "MiB")


if __name__ == "__main__":
    main()
