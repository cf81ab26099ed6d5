"""How many frames a second do the colour stages give, codecs aside? On a card: how idle is it?

    python benchmarks/colour.py FILM [--device auto] [--num-frames 1500]

The film's frames are decoded, scaled to 480, 1080 and 2160 lines and kept in memory; then
`Colorizer.frames` makes finished planes of them, from luma to chroma. On a card the share
of the time in which it computes or copies nothing is that of PyTorch's own profiler, taken
in a second, shorter round, and the bandwidth is what the planes alone have to move.
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

from filmcolor.pipeline import colorizer as pipeline
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import LumaFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.probe import probe

HEIGHTS = (480, 1080, 2160)
MOST_BYTES = 4 << 30  # of frames kept; a longer run shows them again
NUM_PROFILED = 300  # frames


def kept(info: FilmInfo, height: int, num_frames: int) -> tuple[FilmInfo, list[LumaFrame]]:
    """Return a film's first frames at a height, and what is known of such a film."""
    width = 2 * round(info.width * height / info.height / 2)
    most = max(1, MOST_BYTES // (width * height * (2 if info.coding.bit_depth > 8 else 1)))
    frames = [
        replace(frame, luma=cv2.resize(frame.luma, (width, height)))
        for frame in read_luma(info, 0, min(num_frames, most))
    ]
    return replace(info, width=width, height=height), frames


def numbered(frames: list[LumaFrame], num_frames: int) -> Iterator[LumaFrame]:
    """Yield frames again and again, as those of one film."""
    for number, frame in enumerate(islice(cycle(frames), num_frames)):
        yield replace(frame, number=number, pts=number)


def measure_seconds(
    colorizer: Colorizer, info: FilmInfo, frames: list[LumaFrame], num_frames: int
) -> float:
    """Return the wall time of the colour stages."""
    pipeline.read_luma = lambda *_, **__: numbered(frames, num_frames)  # type: ignore[assignment]
    started = time.perf_counter()
    with closing(colorizer.frames(info)) as finished:
        found = sum(1 for _ in finished)
    assert found == num_frames
    return time.perf_counter() - started


def idle_share(colorizer: Colorizer, info: FilmInfo, frames: list[LumaFrame]) -> float:
    """Return the share of the wall time in which the card has nothing to do."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profiler(activities=activities) as profiler:
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
        scaled, frames = kept(info, height, num_frames)
        measure_seconds(colorizer, scaled, frames, 100)  # what is done once
        seconds = measure_seconds(colorizer, scaled, frames, num_frames)
        line = f"{scaled.width}×{height}: {num_frames / seconds:.1f} frames/s"
        if colorizer.predictor.device.type == "cuda":
            moved = 1.5 * frames[0].luma.nbytes * num_frames / seconds
            line += (
                f", card idle {100 * idle_share(colorizer, scaled, frames):.0f} %, "
                f"{moved / 1e9:.2f} GB/s to and from it"
            )
        click.echo(f"{line} ({colorizer.predictor.device})")


if __name__ == "__main__":
    main()
