"""How many frames per second do the colour stages make without codecs? How idle is a GPU?

    python benchmarks/colour.py FILM [--device auto] [--num-frames 1500]

The film's frames are decoded, scaled to 480, 1080 and 2160 lines and kept in memory; then
`Colorizer.frames` computes their finished planes. On a GPU, PyTorch's profiler gives the share of
time in which it neither computes nor copies, in a second, shorter run; the bandwidth counts the
planes alone.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import click
import cv2
import torch

from filmcolor.pipeline import colorizer as colorizer_module
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.probe import probe

HEIGHTS = (480, 1080, 2160)
MAX_BYTES = 4 << 30  # of frames in memory; a longer run repeats them
NUM_PROFILED = 300  # frames


def load_scaled(info: FilmInfo, height: int, num_frames: int) -> tuple[FilmInfo, list[LumaFrame]]:
    """Return a film's first frames scaled to a height, and the info of such a film."""
    width = 2 * round(info.width * height / info.height / 2)
    max_frames = max(1, MAX_BYTES // (width * height * (2 if info.coding.bit_depth > 8 else 1)))
    frames = [
        replace(frame, luma=cv2.resize(frame.luma, (width, height)))
        for frame in read_luma(info, 0, min(num_frames, max_frames))
    ]
    return replace(info, width=width, height=height), frames


def repeat_frames(frames: list[LumaFrame], num_frames: int) -> Iterator[LumaFrame]:
    """Yield frames again and again, numbered as those of one film."""
    for number, frame in enumerate(islice(cycle(frames), num_frames)):
        yield replace(frame, number=number, pts=number)


def measure_seconds(
    colorizer: Colorizer, info: FilmInfo, frames: list[LumaFrame], num_frames: int
) -> float:
    """Return the wall time of the colour stages, seconds."""
    colorizer_module.read_luma = lambda *_, **__: repeat_frames(frames, num_frames)  # type: ignore[assignment]
    started = time.perf_counter()
    with closing(colorizer.frames(info)) as finished:
        num_finished = sum(1 for _ in finished)
    assert num_finished == num_frames
    return time.perf_counter() - started


def idle_share(colorizer: Colorizer, info: FilmInfo, frames: list[LumaFrame]) -> float:
    """Return the share of the wall time in which the GPU is idle."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        seconds = measure_seconds(colorizer, info, frames, NUM_PROFILED)
    busy = sum(event.device_time_total for event in profiler.events()) * 1e-6
    return max(0.0, 1.0 - busy / seconds)


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.option("--device", default="auto")
@click.option("--num-frames", default=1500)
def main(film: Path, device: str, num_frames: int) -> None:
    """Measure the colour stages on FILM at three sizes."""
    info = probe(film)
    colorizer = Colorizer(
        ColorOptions(recolor=True, device=device, batch_size=4 if device == "cpu" else 16)
    )
    for height in HEIGHTS:
        scaled, frames = load_scaled(info, height, num_frames)
        measure_seconds(colorizer, scaled, frames, 100)  # warm-up
        seconds = measure_seconds(colorizer, scaled, frames, num_frames)
        line = f"{scaled.width}×{height}: {num_frames / seconds:.1f} frames/s"
        if colorizer.predictor.device.type == "cuda":
            moved = 1.5 * frames[0].luma.nbytes * num_frames / seconds
            line += (
                f", GPU idle {100 * idle_share(colorizer, scaled, frames):.0f} %, "
                f"{moved / 1e9:.2f} GB/s to and from it"
            )
        click.echo(f"{line} ({colorizer.predictor.device})")


if __name__ == "__main__":
    main()
