"""What do the colour stages cost, and how much of it is the network?

    python benchmarks/cost.py FILM... [--level normal] [--repeats 3]

Wall time a frame, medians of runs that take turns, of: decoding alone; colouring frame by frame
(`--smooth off`); and at a level of --smooth. Both include decoding, which is taken off for
"colour" and its ratio; neither makes chroma planes nor encodes.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import click

from filmcolor import ColorOptions, probe
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.temporal.smoothing import LEVELS
from filmcolor.video.decoder import read_luma


def milliseconds(frames: Iterable[object]) -> float:
    """Return the wall time a frame of going through frames."""
    started = perf_counter()
    num_frames = sum(1 for _ in frames)
    return 1000.0 * (perf_counter() - started) / num_frames


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--level", default="normal", type=click.Choice(LEVELS[1:]), show_default=True)
@click.option("--repeats", default=3, show_default=True)
def main(films: tuple[Path, ...], level: str, repeats: int) -> None:
    """Print milliseconds a frame for each of FILMS."""
    off, smooth_ab = (Colorizer(ColorOptions(smooth=name)) for name in ("off", level))
    for film in films:
        info = probe(film)
        ways: dict[str, Callable[[], Iterable[object]]] = {
            "decode": lambda info=info: read_luma(info),
            "off": lambda info=info: off.ab_frames(info),
            level: lambda info=info: smooth_ab.ab_frames(info),
        }
        times = {name: [] for name in ways}  # type: dict[str, list[float]]
        for _ in range(repeats):
            for name, way in ways.items():
                times[name].append(milliseconds(way()))
        decode, *colored = (median(t) for t in times.values())
        own = [t - decode for t in colored]
        click.echo(
            f"{film.stem}: decode {decode:.2f}; off {own[0]:.2f}, {level} {own[1]:.2f} ms of "
            f"colour, {own[1] / own[0]:.2f} of off ({min(times[level]) - decode:.2f} to "
            f"{max(times[level]) - decode:.2f})"
        )


if __name__ == "__main__":
    main()
