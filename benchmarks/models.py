"""How far do the colours of a model reach? A perfect one colours some frames of clips in colour.

    python benchmarks/models.py FILM... [--anchors shot --anchors 2] [--num-frames N] [--times 3]

The model returns the true colours of the frames that it is shown. Each clip is coloured from its
luma by it, at each `--anchors`, and compared with the clip at a short side of 256 pixels: PSNR of
all frames, the number of frames that the model coloured, and the warp error between neighbours
relative to that of the truth. `--times` colours each film so often to a file, by the network alone
and with the same model, in turn; the ratio is that of the medians of processor time. The model
costs nothing, so the ratio is what carrying its colours costs.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import click
import cv2
import numpy as np
from references import finish

from filmcolor import ColorOptions, colorize, probe
from filmcolor.color.spaces import lab_from_rgb
from filmcolor.metrics.comparison import (
    Rendition,
    downscale_to_comparison,
    normalize_luma,
    to_8_bits,
)
from filmcolor.metrics.image import Mean, psnr
from filmcolor.metrics.temporal import MotionTracker, WarpErrors
from filmcolor.pipeline import models
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.decoder import read_luma, read_rgb
from filmcolor.video.proxy import DEFAULT_SIZE, add_proxies, downscale


class Truth:
    """A model that knows the true colours of a film: it recognises frames by their luma."""

    path, sha256, kind, settings = Path("truth"), "0" * 64, "truth", {}

    def __init__(self, info: FilmInfo, num_frames: int | None) -> None:
        size = info.width, info.height
        self._lumas = [
            downscale(frame.luma, size, info.coding) for frame in read_luma(info, 0, num_frames)
        ]
        self.pictures = [f.rgb / np.float32(255.0) for f in read_rgb(info, 0, num_frames)]
        self.num_runs = 0

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the size of the frames."""
        return width, height

    def predict(self, gray: Gray) -> FloatPlane:
        """Return the true ab (h, w, 2) of the frame that is most like a picture."""
        self.num_runs += 1
        distances = [cv2.norm(gray, luma, cv2.NORM_L1) for luma in self._lumas]
        rgb = self.pictures[int(np.argmin(distances))]
        _, a, b = lab_from_rgb(*(np.ascontiguousarray(rgb[..., c]) for c in range(3)))
        return np.dstack([a, b])

    def seconds(self) -> float:
        """Return the time of a picture."""
        return 0.0


def measure(film: Path, anchors: str, num_frames: int | None) -> tuple[float, int, float]:
    """Return a clip's PSNR, its number of coloured frames, and its relative warp error."""
    info = probe(film)
    colorizer = Colorizer(ColorOptions(anchors=anchors))
    truth = colorizer.model = Truth(info, num_frames)
    part = Part(0, len(truth.pictures))
    mean, tracker, ours, true = Mean(), MotionTracker(), WarpErrors(), WarpErrors()
    proxies = add_proxies(read_luma(info, 0, part.stop), info, DEFAULT_SIZE)
    for frame, proxy in zip(colorizer.ab_frames(info, part), proxies, strict=True):
        rendition = finish(proxy, frame.ab, info)
        expected = Rendition.from_rgb(truth.pictures[frame.source.number])
        mean.add(psnr(rendition.rgb, expected.rgb))
        luma = normalize_luma(proxy.source.luma, info.coding)
        motion = tracker.add(to_8_bits(downscale_to_comparison(luma)))
        ours.add(rendition.ab, motion)
        true.add(expected.ab, motion)
    assert ours.value is not None
    assert true.value is not None
    return mean.value, truth.num_runs, ours.value / true.value


def time_runs(film: Path, anchors: str, repeats: int) -> float:
    """Return the processor time of runs with a model that costs nothing, relative to without."""
    info = probe(film)
    grey = np.zeros((info.height, info.width, 2), np.float32)
    truth = Truth(info, 1)
    truth.predict = lambda _: grey  # type: ignore[method-assign]
    models.load_model = lambda *_: truth  # type: ignore[assignment]
    all_options = (
        ColorOptions(recolor=True),
        ColorOptions(recolor=True, model="truth", anchors=anchors),
    )
    colorizers = [Colorizer(options) for options in all_options]
    times: list[list[float]] = [[], []]
    with TemporaryDirectory() as folder:
        for _ in range(repeats):
            for colorizer, seconds in zip(colorizers, times, strict=True):
                started = process_time()
                colorize(film, Path(folder, "film.mp4"), force=True, colorizer=colorizer)
                seconds.append(process_time() - started)
    return median(times[1]) / median(times[0])


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--anchors", multiple=True, default=("shot", "2"), show_default=True)
@click.option("--num-frames", type=int)
@click.option("--times", type=int, default=0, show_default=True)
def main(
    films: tuple[Path, ...], anchors: tuple[str, ...], num_frames: int | None, times: int
) -> None:
    """Print how close each of FILMS comes to its true colours, at each of the anchors."""
    for each in anchors:
        rows: list[tuple[float, ...]] = []
        for film in films:
            if times:
                rows.append((time_runs(film, each, times),))
            else:
                rows.append(measure(film, each, num_frames))
            click.echo(f"{each:>6} {film.stem:>24}" + "".join(f"{v:10.2f}" for v in rows[-1]))
        click.echo(f"{each:>6} {'mean':>24}" + "".join(f"{v:10.2f}" for v in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
