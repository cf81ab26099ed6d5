"""How steady are colours? Films coloured at levels of --smooth, and frame by frame.

    python benchmarks/steadiness.py FILM... [--level normal] [--num-frames 60] [--strips FOLDER]

Each film is coloured frame by frame ("off") and at each level, with the same weights. Warp errors,
between neighbours and 24 frames apart, are computed along the motion of the film's luma at a short
side of 256 pixels, twice: for the ab of the colour stages ("ab"), and for finished frames
("4:2:0"), which have the noise of 8 bits and dithering. The other metrics are those of `filmcolor
measure`, for finished frames. "/off" is the ratio to the frame-by-frame colours. PSNR compares with
the film's own colours, if it has any; their metrics are the row "truth". `--strips` draws a time
slice of each film.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import cv2
import numpy as np

from filmcolor import ColorOptions, probe
from filmcolor.color.chroma import ChromaPlan, add_chroma, rgb_picture
from filmcolor.metrics.comparison import (
    MetricAccumulator,
    Rendition,
    add_renditions,
    downscale_to_comparison,
    normalize_luma,
)
from filmcolor.metrics.temporal import MotionTracker, WarpErrors
from filmcolor.metrics.time_slice import TimeSlice
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.runtime.prefetch import Prefetch
from filmcolor.temporal.smoothing import LEVELS
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import AbFrame
from filmcolor.types.yuv import SUBSAMPLING_420
from filmcolor.video.decoder import read_rgb

GREY, TRUTH, OFF = "grey", "truth", "off"
MIN_CHROMA = 1.0  # mean of a film in colour, Lab units
COLUMNS = (
    ("ab", "8.3f"),
    ("/off", "6.2f"),
    ("24 fr", "8.3f"),
    ("/off", "6.2f"),
    ("4:2:0", "8.3f"),
    ("/off", "6.2f"),
    ("CDC", "9.5f"),
    ("colourf.", "9.2f"),
    ("/off", "6.3f"),
    ("PSNR", "7.2f"),
)


@dataclass
class Sums:
    """Metrics of one film, by row."""

    finished: dict[str, MetricAccumulator] = field(default_factory=dict)
    ab: dict[str, WarpErrors] = field(default_factory=dict)

    @property
    def has_truth(self) -> bool:
        """True when the film is in colour."""
        return (self.finished[TRUTH].chroma.value or 0.0) > MIN_CHROMA

    def line(self, name: str) -> list[float]:
        """Return a row of the table; NaN where a metric has no value."""
        off = self._values(OFF)
        psnr = self.finished[name].psnr.value if self.has_truth and name != TRUTH else None
        short, long, finished, cdc, colorfulness = self._values(name)
        values = [short, _ratio(short, off[0]), long, _ratio(long, off[1]), finished]
        values += [_ratio(finished, off[2]), cdc, colorfulness, _ratio(colorfulness, off[4]), psnr]
        return [float("nan") if value is None else value for value in values]

    def _values(self, name: str) -> tuple[float | None, ...]:
        ab, metrics = self.ab[name], self.finished[name]
        cdc, colorfulness = metrics.cdc.value, metrics.colorfulness.value
        return ab.value, ab.long_value, metrics.warp.value, cdc, colorfulness


def finish(frame: AbFrame, info: FilmInfo, options: ColorOptions) -> Rendition:
    """Return a finished frame at the comparison size."""
    plan = ChromaPlan(info.coding, info.coding, SUBSAMPLING_420)
    graded = replace(frame, ab=options.grade.apply(frame.ab))
    return Rendition.from_rgb(rgb_picture(add_chroma(graded, plan), info.coding))


def make_grey(frame: AbFrame, info: FilmInfo) -> Rendition:
    """Return a frame without its colour, at the comparison size."""
    luma = normalize_luma(frame.source.luma, info.coding)
    return Rendition.from_luma(downscale_to_comparison(luma))


def measure(film: Path, levels: tuple[str, ...], num_frames: int, strips: Path | None) -> Sums:
    """Return the metrics of a film: of grey, of each level, and of its own colours."""
    info = probe(film)
    all_options = {level: ColorOptions(smooth=level) for level in (OFF, *levels)}
    sums, tracker, time_slice = Sums(), MotionTracker(), TimeSlice()
    time_slice.start([info], num_frames)
    part = Part(0, num_frames)
    with ExitStack() as stack:
        runs = [
            stack.enter_context(Prefetch(Colorizer(options).ab_frames(info, part), 8))
            for options in all_options.values()
        ]
        for true, *frames in zip(read_rgb(info, 0, num_frames), *runs, strict=True):
            renditions = {GREY: make_grey(frames[0], info)}
            renditions |= {
                k: finish(f, info, all_options[k]) for k, f in zip(all_options, frames, strict=True)
            }
            renditions[TRUTH] = Rendition.from_rgb(true.rgb / np.float32(255.0))
            motion = tracker.add(renditions[GREY].rgb[..., 0], frames[0].is_cut)
            add_renditions(sums.finished, renditions)
            abs_ = {name: rendition.ab for name, rendition in renditions.items()}
            size = renditions[GREY].ab.shape[1::-1]
            for (name, options), frame in zip(all_options.items(), frames, strict=True):
                abs_[name] = options.grade.apply(cv2.resize(frame.ab, size))
            for name, rendition in renditions.items():
                sums.finished[name].add_motion(rendition, motion)
                sums.ab.setdefault(name, WarpErrors()).add(abs_[name], motion)
            time_slice.add(float(info.seconds(true.pts)), renditions, frames[0].is_cut)
    if strips is not None:
        time_slice.save(strips / f"{film.stem}.png", force=True)
    return sums


def table(all_sums: dict[str, Sums], levels: tuple[str, ...]) -> Iterator[str]:
    """Yield lines with the means of the films in colour, and of the grey ones."""
    for is_colored in (True, False):
        group = [s for s in all_sums.values() if s.has_truth == is_colored]
        if not group:
            continue
        yield f"mean of {len(group)} films in {'colour' if is_colored else 'grey'}"
        for name in (GREY, OFF, *levels, *([TRUTH] if is_colored else [])):
            lines = np.array([s.line(name) for s in group])
            yield (
                format_row(name, np.nanmean(lines, axis=0))
                + f"   highest ab /off {lines[:, 1].max():.2f}"
            )


def format_row(name: str, figures: list[float]) -> str:
    """Return a line of the table."""
    return name.rjust(8) + "".join(
        format(value, form) for value, (_, form) in zip(figures, COLUMNS, strict=True)
    )


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--level", "levels", multiple=True, default=["normal"], type=click.Choice(LEVELS))
@click.option("--num-frames", type=int, default=60, show_default=True)
@click.option("--strips", type=click.Path(path_type=Path, file_okay=False, exists=True))
def main(
    films: tuple[Path, ...], levels: tuple[str, ...], num_frames: int, strips: Path | None
) -> None:
    """Print a table of FILMS, and the means of those in colour and of the grey ones."""
    click.echo(" " * 8 + "".join(c.rjust(int(form.split(".")[0])) for c, form in COLUMNS))
    all_sums: dict[str, Sums] = {}
    for film in films:
        sums = all_sums[film.stem] = measure(film, levels, num_frames, strips)
        click.echo(film.stem)
        for name in (GREY, OFF, *levels, *([TRUTH] if sums.has_truth else [])):
            click.echo(format_row(name, sums.line(name)))
    click.echo("\n".join(table(all_sums, levels)))


if __name__ == "__main__":
    main()
