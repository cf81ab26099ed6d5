"""Are reference colours propagated? Clips in colour, with one or two of their frames as references.

    python benchmarks/references.py FILM... [--num-frames 60] [--sheets FOLDER] [--times 3]

Each clip is coloured from its luma: not at all ("grey"), by the network ("automatic"), by the
colours of its first frame warped along dense flow, composed from neighbour to neighbour ("chained",
the naive method) or computed straight to it ("straight"), and by filmcolor with its first frame,
its middle one, or its first and last as references. Frames are finished as 4:2:0 and compared with
the clip at a short side of 256 pixels: PSNR over all frames except references, and warp error
(between neighbours, and 24 frames apart) and CDC relative to those of the truth. `--sheets` draws
the rows of some frames. `--times` runs each clip so often without, with one and with two
references, alternating; ratios are those of medians.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import click
import cv2
import numpy as np
from PIL import Image

from filmcolor import ColorOptions, colorize, probe
from filmcolor.color.chroma import ChromaPlan, add_chroma, rgb_picture
from filmcolor.color.spaces import lab_from_rgb
from filmcolor.guidance.grading import Palette
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.references import Reference
from filmcolor.images.sheet import arrange_grid, save_sheet
from filmcolor.kernels.ops import warp
from filmcolor.metrics.comparison import Rendition, downscale_to_comparison, normalize_luma
from filmcolor.metrics.image import Mean, psnr
from filmcolor.metrics.temporal import Cdc, MotionTracker, WarpErrors
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.temporal.flow import compose_flow, find_flow
from filmcolor.types.film import FilmInfo, Part, TimeRange
from filmcolor.types.frames import AbFrame, FloatPlane, ProxyFrame
from filmcolor.types.yuv import SUBSAMPLING_420
from filmcolor.video.decoder import read_luma, read_rgb
from filmcolor.video.proxy import DEFAULT_SIZE, add_proxies

GREY, AUTOMATIC, CHAINED, STRAIGHT = "grey", "automatic", "chained", "straight"
FIRST, MIDDLE, BOTH, TRUTH = "first frame", "middle frame", "first and last", "truth"
ROWS = (GREY, AUTOMATIC, CHAINED, STRAIGHT, FIRST, MIDDLE, BOTH, TRUTH)
NUM_SHEET_FRAMES = 5
SHEET_ROWS = (AUTOMATIC, CHAINED, FIRST, BOTH, TRUTH)


class Sums:
    """Metrics of one row of one clip."""

    def __init__(self) -> None:
        self.psnr, self.cdc, self.warp = Mean(), Cdc(), WarpErrors()

    def values(self) -> tuple[float, ...]:
        """Return PSNR, both warp errors and CDC; NaN where one has no value."""
        values = self.psnr.value, self.warp.value, self.warp.long_value, self.cdc.value
        return tuple(float("nan") if value is None else value for value in values)


def make_reference(number: int, rgb: FloatPlane, size: tuple[int, int]) -> Reference:
    """Return a frame in true colours, R'G'B' in 0..1, as a reference of a size (w, h)."""
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    _, a, b = lab_from_rgb(*(np.ascontiguousarray(small[..., c]) for c in range(3)))
    return Reference(number, np.dstack([a, b]), np.ones(size[::-1], np.float32))


def warp_first(
    proxies: Sequence[ProxyFrame], ab: FloatPlane, is_chained: bool
) -> Iterator[FloatPlane]:
    """Yield the first frame's ab warped to each frame, by flow alone."""
    flow = np.zeros((*proxies[0].luma.shape, 2), np.float32)
    for number, frame in enumerate(proxies):
        if number:
            source = proxies[number - 1 if is_chained else 0]
            step = find_flow(frame.luma, source.luma)
            flow = compose_flow(step, flow) if is_chained else step
        yield warp(ab, flow)


def finish(frame: ProxyFrame, ab: FloatPlane, info: FilmInfo) -> Rendition:
    """Return a finished frame at the comparison size."""
    plan = ChromaPlan(info.coding, info.coding, SUBSAMPLING_420)
    ab_frame = AbFrame(frame.source, frame.guide, False, np.ascontiguousarray(ab))
    return Rendition.from_rgb(rgb_picture(add_chroma(ab_frame, plan), info.coding))


def measure(film: Path, num_frames: int, sheets: Path | None) -> dict[str, Sums]:
    """Return the metrics of each row of a clip."""
    info, part, colorizer = probe(film), Part(0, num_frames), Colorizer()
    palette = Palette(colorizer.options.grade)
    proxies = list(add_proxies(read_luma(info, 0, num_frames), info, DEFAULT_SIZE))
    truth = [frame.rgb / np.float32(255.0) for frame in read_rgb(info, 0, num_frames)]
    last = len(proxies) - 1
    numbers = {AUTOMATIC: (), FIRST: (0,), MIDDLE: (last // 2,), BOTH: (0, last)}
    size = proxies[0].guide.shape[::-1]
    given = {n: make_reference(n, truth[n], size) for n in (0, last // 2, last)}
    abs_: dict[str, Sequence[FloatPlane]] = {
        CHAINED: list(warp_first(proxies, given[0].ab, True)),
        STRAIGHT: list(warp_first(proxies, given[0].ab, False)),
    }
    for row, row_numbers in numbers.items():
        guidance = Guidance(palette, tuple(given[n] for n in row_numbers))
        abs_[row] = [frame.ab for frame in colorizer.ab_frames(info, part, guidance=guidance)]
    sums, tracker = {row: Sums() for row in ROWS}, MotionTracker()
    pictures: list[list[Image.Image]] = []  # of each chosen frame, by row
    for n, frame in enumerate(proxies):
        renditions = {
            GREY: Rendition.from_luma(
                downscale_to_comparison(normalize_luma(frame.source.luma, info.coding))
            )
        }
        for row, all_abs in abs_.items():
            renditions[row] = finish(frame, all_abs[n], info)
        renditions[TRUTH] = Rendition.from_rgb(truth[n])
        motion = tracker.add(renditions[GREY].rgb[..., 0])
        for row, rendition in renditions.items():
            sums[row].cdc.add(rendition.rgb, motion.short is None)
            sums[row].warp.add(rendition.ab, motion)
            if row != TRUTH and n not in numbers.get(row, (0,)):
                sums[row].psnr.add(psnr(rendition.rgb, renditions[TRUTH].rgb))
        if n in np.linspace(0, last, NUM_SHEET_FRAMES, dtype=int):
            pictures.append([Image.fromarray(renditions[row].rgb) for row in SHEET_ROWS])
    if sheets is not None:
        cells = [picture for row in zip(*pictures, strict=True) for picture in row]
        save_sheet(arrange_grid(cells, len(pictures)), sheets / f"{film.stem}.png")
    return sums


def time_runs(film: Path, num_frames: int, repeats: int) -> list[float]:
    """Return the wall times of runs with one and two references, relative to none."""
    info = probe(film)
    times: list[list[float]] = [[] for _ in range(3)]
    with TemporaryDirectory() as folder:
        paths = []
        for frame in read_rgb(info, 0, num_frames):
            if frame.number in (0, num_frames - 1):
                paths.append(str(Path(folder, f"frame-{frame.number:06d}.png")))
                Image.fromarray(frame.rgb).save(paths[-1])
        all_options = [
            ColorOptions(recolor=True, references=tuple(paths[:num])) for num in range(3)
        ]
        colorizers = [Colorizer(options) for options in all_options]
        for _ in range(repeats):
            for colorizer, seconds in zip(colorizers, times, strict=True):
                started = perf_counter()
                time_range, output = TimeRange(first=0, stop=num_frames), Path(folder, "film.mp4")
                colorize(film, output, time_range=time_range, force=True, colorizer=colorizer)
                seconds.append(perf_counter() - started)
    plain, *others = (median(seconds) for seconds in times)
    return [seconds / plain for seconds in others]


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--num-frames", type=int, default=60, show_default=True)
@click.option("--sheets", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--times", type=int, default=0, show_default=True)
def main(films: tuple[Path, ...], num_frames: int, sheets: Path | None, times: int) -> None:
    """Print the PSNR of each of FILMS by row, and the means of all metrics."""
    click.echo(" " * 24 + "".join(row.rjust(16) for row in ROWS[:-1]))
    all_values = []
    for film in films:
        sums = measure(film, num_frames, sheets)
        values = np.array([sums[row].values() for row in ROWS])
        values[:, 1:] /= values[-1, 1:]
        all_values.append(values)
        click.echo(film.stem.rjust(24) + "".join(f"{value:16.2f}" for value in values[:-1, 0]))
    means = np.mean(all_values, axis=0)
    for name, column in zip(("PSNR", "warp / truth", "24 frames", "CDC / truth"), means.T):
        click.echo(name.rjust(24) + "".join(f"{value:16.2f}" for value in column[:-1]))
    if times:
        ratios = [time_runs(film, num_frames, times) for film in films]
        for film, pair in zip(films, ratios, strict=True):
            click.echo(
                f"{film.stem}: one reference {pair[0]:.2f} of the time without, two {pair[1]:.2f}"
            )
        one, two = np.mean(ratios, axis=0)
        click.echo(f"mean: one reference {one:.2f} of the time without, two {two:.2f}")


if __name__ == "__main__":
    main()
