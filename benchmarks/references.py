"""Are a person's colours carried? Clips in colour, a frame or two of each as references.

    python benchmarks/references.py FILM... [--num-frames 60] [--sheets FOLDER] [--times 3]

Each clip is coloured from its luma: not at all ("grey"), by the network ("automatic"), by its
first frame's own colours fetched along dense flow from neighbour to neighbour ("chained", the
naive answer) or straight to it ("straight"), and by the product with its first frame, its
middle one, or its first and last as references. Frames are finished as 4:2:0 and compared with
the clip at a short side of 256 pixels: PSNR over all frames but the references, and warp error
(between neighbours, and 24 frames apart) and CDC over the truth's own. `--sheets` draws the
rows of some frames. `--times`: so many whole runs of each clip without, with one and with two
references take turns; the ratios are those of medians.
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
from filmcolor.images.sheet import GAP, save_sheet
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
SHEET_PLACES = 5  # frames of a sheet


class Sums:
    """What one row of one clip adds up to."""

    def __init__(self) -> None:
        self.psnr, self.cdc, self.warp = Mean(), Cdc(), WarpErrors()

    def values(self) -> tuple[float, ...]:
        """Return PSNR, both warp errors and CDC; nan where there is none."""
        values = self.psnr.value, self.warp.value, self.warp.long_value, self.cdc.value
        return tuple(float("nan") if value is None else value for value in values)


def reference(number: int, rgb: FloatPlane, size: tuple[int, int]) -> Reference:
    """Return a frame in true colours, R'G'B' in 0..1, as a reference of a size (w, h)."""
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    _, a, b = lab_from_rgb(*(np.ascontiguousarray(small[..., c]) for c in range(3)))
    return Reference(number, np.dstack([a, b]), np.ones(size[::-1], np.float32))


def warped(smalls: Sequence[ProxyFrame], ab: FloatPlane, is_chained: bool) -> Iterator[FloatPlane]:
    """Yield the first frame's ab where each frame has its things, by flow alone."""
    there = np.zeros((*smalls[0].small.shape, 2), np.float32)
    for number, frame in enumerate(smalls):
        if number:
            source = smalls[number - 1 if is_chained else 0]
            step = find_flow(frame.small, source.small)
            there = compose_flow(step, there) if is_chained else step
        yield warp(ab, there)


def finished(frame: ProxyFrame, ab: FloatPlane, info: FilmInfo) -> Rendition:
    """Return a frame as it is finished, at the size of comparison."""
    plan = ChromaPlan(info.coding, info.coding, SUBSAMPLING_420)
    made = AbFrame(frame.source, frame.guide, False, np.ascontiguousarray(ab))
    return Rendition.from_rgb(rgb_picture(add_chroma(made, plan), info.coding))


def judge(film: Path, num_frames: int, sheets: Path | None) -> dict[str, Sums]:
    """Return each row's sums of a clip."""
    info, part, colorizer = probe(film), Part(0, num_frames), Colorizer()
    palette = Palette(colorizer.options.grade)
    smalls = list(add_proxies(read_luma(info, 0, num_frames), info, DEFAULT_SIZE))
    truth = [frame.rgb / np.float32(255.0) for frame in read_rgb(info, 0, num_frames)]
    last = len(smalls) - 1
    numbers = {AUTOMATIC: (), FIRST: (0,), MIDDLE: (last // 2,), BOTH: (0, last)}
    size = smalls[0].guide.shape[::-1]
    given = {n: reference(n, truth[n], size) for n in (0, last // 2, last)}
    abs_: dict[str, Sequence[FloatPlane]] = {
        CHAINED: list(warped(smalls, given[0].ab, True)),
        STRAIGHT: list(warped(smalls, given[0].ab, False)),
    }
    for row, of_row in numbers.items():
        guidance = Guidance(palette, tuple(given[n] for n in of_row))
        abs_[row] = [frame.ab for frame in colorizer.ab_frames(info, part, guidance=guidance)]
    sums, track = {row: Sums() for row in ROWS}, MotionTracker()
    pictures: list[list[Rendition]] = []
    for n, frame in enumerate(smalls):
        views = {GREY: Rendition.from_luma(downscale_to_comparison(normalize_luma(frame.source.luma, info.coding)))}
        for row, all_abs in abs_.items():
            views[row] = finished(frame, all_abs[n], info)
        views[TRUTH] = Rendition.from_rgb(truth[n])
        step = track.add(views[GREY].rgb[..., 0])
        for row, view in views.items():
            sums[row].cdc.add(view.rgb, step.short is None)
            sums[row].warp.add(view.ab, step)
            if row != TRUTH and n not in numbers.get(row, (0,)):
                sums[row].psnr.add(psnr(view.rgb, views[TRUTH].rgb))
        if n in np.linspace(0, last, SHEET_PLACES, dtype=int):
            pictures.append([views[row] for row in (AUTOMATIC, CHAINED, FIRST, BOTH, TRUTH)])
    if sheets is not None:
        save_sheet(sheet(pictures), sheets / f"{film.stem}.png")
    return sums


def sheet(pictures: Sequence[Sequence[Rendition]]) -> Image.Image:
    """Return pictures as one, a column for each frame and a row for each way."""
    height, width = (side + GAP for side in pictures[0][0].rgb.shape[:2])
    image = Image.new("RGB", (width * len(pictures), height * len(pictures[0])), "white")
    for column, views in enumerate(pictures):
        for row, view in enumerate(views):
            image.paste(Image.fromarray(view.rgb), (column * width, row * height))
    return image


def ratios(film: Path, num_frames: int, times: int) -> list[float]:
    """Return the wall times of whole runs with one and two references over that without."""
    info = probe(film)
    taken: list[list[float]] = [[] for _ in range(3)]
    with TemporaryDirectory() as folder:
        given = []
        for frame in read_rgb(info, 0, num_frames):
            if frame.number in (0, num_frames - 1):
                given.append(str(Path(folder, f"frame-{frame.number:06d}.png")))
                Image.fromarray(frame.rgb).save(given[-1])
        all_options = [
            ColorOptions(recolor=True, references=tuple(given[:num])) for num in range(3)
        ]
        colorizers = [Colorizer(options) for options in all_options]
        for _ in range(times):
            for colorizer, seconds in zip(colorizers, taken, strict=True):
                started = perf_counter()
                time_range, output = TimeRange(first=0, stop=num_frames), Path(folder, "film.mp4")
                colorize(film, output, time_range=time_range, force=True, colorizer=colorizer)
                seconds.append(perf_counter() - started)
    plain, *others = (median(seconds) for seconds in taken)
    return [seconds / plain for seconds in others]


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--num-frames", type=int, default=60, show_default=True)
@click.option("--sheets", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--times", type=int, default=0, show_default=True)
def main(films: tuple[Path, ...], num_frames: int, sheets: Path | None, times: int) -> None:
    """Print each film's PSNR by row, and the means of all figures."""
    click.echo(" " * 24 + "".join(row.rjust(16) for row in ROWS[:-1]))
    all_values = []
    for film in films:
        sums = judge(film, num_frames, sheets)
        values = np.array([sums[row].values() for row in ROWS])
        values[:, 1:] /= values[-1, 1:]
        all_values.append(values)
        click.echo(film.stem.rjust(24) + "".join(f"{value:16.2f}" for value in values[:-1, 0]))
    means = np.mean(all_values, axis=0)
    for name, column in zip(("PSNR", "warp / truth", "24 frames", "CDC / truth"), means.T):
        click.echo(name.rjust(24) + "".join(f"{value:16.2f}" for value in column[:-1]))
    if times:
        taken = [ratios(film, num_frames, times) for film in films]
        for film, pair in zip(films, taken, strict=True):
            click.echo(
                f"{film.stem}: one reference {pair[0]:.2f} of the time without, two {pair[1]:.2f}"
            )
        one, two = np.mean(taken, axis=0)
        click.echo(f"mean: one reference {one:.2f} of the time without, two {two:.2f}")


if __name__ == "__main__":
    main()
