"""What do the colour stages cost, at a level of --smooth and frame by frame?

    python benchmarks/cost.py FILM... [--level normal] [--repeats 3]

Prints wall time per frame, as medians of alternating runs, of decoding alone, of colouring frame by
frame (`--smooth off`), and of colouring at a level of --smooth. Decoding is subtracted from the
figures of colour and from their ratio; chroma planes are not made and nothing is encoded.
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
    """Return the wall time per frame of iterating over frames."""
    started = perf_counter()
    num_frames = sum(1 for _ in frames)
    return 1000.0 * (perf_counter() - started) / num_frames


@click.command()
@click.argument("films", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--level", default="normal", type=click.Choice(LEVELS[1:]), show_default=True)
@click.option("--repeats", default=3, show_default=True)
def main(films: tuple[Path, ...], level: str, repeats: int) -> None:
    """Print milliseconds per frame for each of FILMS."""
    off, smoothed = (Colorizer(ColorOptions(smooth=name)) for name in ("off", level))
    for film in films:
        info = probe(film)
        stages: dict[str, Callable[[], Iterable[object]]] = {
            "decode": lambda info=info: read_luma(info),
            "off": lambda info=info: off.ab_frames(info),
            level: lambda info=info: smoothed.ab_frames(info),
        }
        times: dict[str, list[float]] = {name: [] for name in stages}
        for _ in range(repeats):
            for name, stage in stages.items():
                times[name].append(milliseconds(stage()))
        decode, *colored = (median(t) for t in times.values())
        cost = [t - decode for t in colored]
        click.echo(
            f"{film.stem}: decode {decode:.2f}; off {cost[0]:.2f}, {level} {cost[1]:.2f} ms of "
            f"colour, {cost[1] / cost[0]:.2f} of off ({min(times[level]) - decode:.2f} to "
            f"{max(times[level]) - decode:.2f})"
        )


if __name__ == "__main__":
    main()
