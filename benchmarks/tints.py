"""Are shots that are already in colour separated from grey and tinted ones?

    python benchmarks/tints.py FILM... [--num-frames 400]
    python benchmarks/tints.py GREY_FILM... --tinted [--num-frames 48]

Prints the number of frames of each film that are classified as grey, tinted and in colour, the
number of changes between classes, and the cost. `--tinted` first tints grey films in many ways and
encodes them at crf 18 and 28; "noise 10/4" has a deviation of 10 codes of R'G'B', in blotches of 4
pixels.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import click
import cv2
import numpy as np

from filmcolor import probe
from filmcolor.shots.detector import mark_cuts
from filmcolor.shots.source_chroma import add_chroma_thumbnails, mark_chroma_classes
from filmcolor.types.frames import COLORED, MONOCHROME, TINTED, ProxyFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.proxy import add_proxies

# points of tone curves: (code of luma, R'G'B')
CURVES = {
    "neutral": ((0, (0, 0, 0)), (255, (255, 255, 255))),
    "faint cast": ((0, (0, 0, 0)), (255, (255, 250, 242))),
    "sepia": ((0, (10, 5, 0)), (128, (160, 125, 85)), (255, (255, 240, 205))),
    "sepia, clipped": ((0, (0, 0, 0)), (189, (255, 227, 177)), (255, (255, 255, 239))),
    "cyanotype": ((0, (0, 20, 60)), (128, (60, 125, 165)), (255, (235, 245, 250))),
    "blue tint": ((0, (0, 0, 0)), (255, (89, 128, 255))),
    "red tint": ((0, (0, 0, 0)), (255, (255, 77, 51))),
    "amber tint": ((0, (0, 0, 0)), (255, (255, 191, 89))),
    "green tone": ((0, (0, 10, 0)), (128, (90, 135, 100)), (255, (240, 255, 240))),
    "tint and tone": (
        *((0, (10, 20, 80)), (100, (70, 80, 140))),
        *((180, (230, 170, 130)), (255, (255, 220, 170))),
    ),
}
NOISES = ((10, 1), (10, 4), (6, 12), (12, 8))  # deviation, pixels
NOISY = "neutral", "faint cast", "sepia"
Tint = Callable[[np.ndarray], np.ndarray]


def tone(name: str) -> Tint:
    """Return a function from luma (H, W) to the R'G'B' of a curve."""
    codes, colors = zip(*CURVES[name], strict=True)
    table = np.stack([np.interp(np.arange(256), codes, c) for c in zip(*colors, strict=True)], 1)
    return lambda gray: np.rint(table[gray])


def fade_sepia(gray: np.ndarray) -> np.ndarray:
    """Return a sepia picture with a tint that fades to one side."""
    share = np.linspace(0.6, 1.4, gray.shape[1])[None, :, None]
    return gray[..., None] + (tone("sepia")(gray) - gray[..., None]) * share


def add_noise(tint: Tint, deviation: float, pixels: int, rng: np.random.Generator) -> Tint:
    """Return a tint with blotches of colour noise."""

    def tint_and_noise(gray: np.ndarray) -> np.ndarray:
        height, width = gray.shape
        noise = rng.normal(0.0, deviation, (height // pixels, width // pixels, 3))
        return tint(gray) + cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)

    return tint_and_noise


def all_tints() -> Iterator[tuple[str, Tint]]:
    """Yield all tints with their names."""
    rng = np.random.default_rng(0)
    for name in CURVES:
        yield name, tone(name)
    yield "sepia, uneven", fade_sepia
    for name in NOISY:
        for deviation, pixels in NOISES:
            yield (
                f"{name}, noise {deviation}/{pixels}",
                add_noise(tone(name), deviation, pixels, rng),
            )


def write_film(path: Path, grays: list[np.ndarray], tint: Tint, crf: int) -> None:
    """Encode tinted pictures."""
    with av.open(str(path), "w") as target:
        options = {"crf": str(crf), "preset": "veryfast"}
        stream = target.add_stream("libx264", rate=24, options=options)
        stream.height, stream.width = grays[0].shape
        stream.pix_fmt = "yuv420p"
        for gray in grays:
            rgb = tint(gray).clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
            target.mux(stream.encode(frame.reformat(format="yuv420p")))
        target.mux(stream.encode(None))


def classify(film: Path, num_frames: int) -> tuple[list[str], float]:
    """Return the class of each frame, and the milliseconds per frame spent on thumbnails."""
    info, spent = probe(film), 0.0

    def add_timed(frames: Iterator[ProxyFrame]) -> Iterator[ProxyFrame]:
        nonlocal spent
        for frame in frames:
            started = time.thread_time()
            (with_thumbnails,) = add_chroma_thumbnails([frame], info.coding)
            spent += time.thread_time() - started
            yield with_thumbnails

    proxies = add_proxies(read_luma(info, 0, num_frames, with_chroma=True), info, 256)
    chroma_classes = [
        f.source.chroma_class for f in mark_chroma_classes(mark_cuts(add_timed(proxies)), ())
    ]
    return chroma_classes, 1000.0 * spent / len(chroma_classes)


def line(name: str, chroma_classes: list[str], cost: float) -> str:
    """Return a row of the table."""
    counts = Counter(chroma_classes)
    nums = "".join(f"{counts[chroma_class]:8}" for chroma_class in (MONOCHROME, TINTED, COLORED))
    changes = sum(a != b for a, b in pairwise(chroma_classes))
    return f"{name[:32]:32}{nums}{changes:11}{cost:9.3f}"


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--num-frames", default=400, show_default=True)
@click.option("--tinted", is_flag=True, help="Tint the films first, in many ways.")
def main(films: tuple[Path, ...], num_frames: int, tinted: bool) -> None:
    """Print the classes of the frames of FILMS."""
    click.echo(f"{'frames':32}{MONOCHROME:>8}{TINTED:>8}{COLORED:>10}{'changes':>9}{'ms':>9}")
    if not tinted:
        for film in films:
            click.echo(line(film.stem, *classify(film, num_frames)))
        return
    all_grays = []
    for film in films:
        info = probe(film)
        even = slice(0, info.height // 2 * 2), slice(0, info.width // 2 * 2)
        scale, offset = 255.0 / info.coding.luma_scale, info.coding.luma_offset
        lumas = (frame.luma[even].astype(float) for frame in read_luma(info, 0, num_frames))
        all_grays.append(
            [((luma - offset) * scale).clip(0, 255).astype(np.uint8) for luma in lumas]
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tinted.mp4"
        for name, tint in all_tints():
            chroma_classes, costs = [], []
            for grays in all_grays:
                for crf in (18, 28):
                    write_film(path, grays, tint, crf)
                    classes, cost = classify(path, num_frames)
                    chroma_classes += classes
                    costs.append(cost)
            click.echo(line(name, chroma_classes, float(np.mean(costs))))


if __name__ == "__main__":
    main()
