"""Do skin, sky and foliage get the right hue? Colours photographs, compares labelled patches.

    python benchmarks/hues.py --pictures DIR [--weights NAME|PATH ...] [--size 256]

`hues.csv` beside this script lists the patches: rectangles in pixels of the upright picture, each
entirely inside its material, chosen by eye before any network's output was seen. The pictures may
not be distributed. Each picture is coloured from its luma alone. The hue of a patch is the angle of
its mean ab; the error is the angle between the hues of output and photograph, 0 to 180 degrees.
Prints the errors with the chroma of both, because the hue of near-grey means little.
"""

import csv
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from filmcolor import ColorOptions, FilmcolorError
from filmcolor.color.spaces import lab_from_rgb
from filmcolor.guidance.grading import SATURATION
from filmcolor.images.image_file import read_photo
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.photo import colorize_rgb

PATCHES = Path(__file__).with_suffix(".csv")
Patch = tuple[str, tuple[slice, slice]]  # label, rows and columns


def read_patches() -> dict[str, list[Patch]]:
    """Return the patches of each picture, by its file name."""
    patches = defaultdict(list)
    with PATCHES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
            area = slice(y, y + height), slice(x, x + width)
            patches[row["picture"]].append((row["label"], area))
    return patches


def mean_ab(rgb: NDArray[np.uint8] | NDArray[np.uint16], area: tuple[slice, slice]) -> complex:
    """Return the mean a + bi of a patch: its angle is the hue, its length the chroma."""
    part = rgb[area].astype(np.float64) / np.iinfo(rgb.dtype).max
    _, a, b = lab_from_rgb(*np.moveaxis(part, -1, 0))
    return complex(a.mean(), b.mean())


def measure(pictures: Path, colorizer: Colorizer) -> dict[str, list[tuple[complex, complex]]]:
    """Return the mean ab of every patch in output and photograph, by label."""
    pairs = defaultdict(list)
    for name, patches in read_patches().items():
        truth = read_photo(pictures / name).rgb
        output = colorize_rgb(truth, colorizer)
        for label, area in patches:
            if area[0].stop > truth.shape[0] or area[1].stop > truth.shape[1]:
                raise click.ClickException(
                    f"{pictures / name} is smaller than a patch in it; is it the set of {PATCHES}?"
                )
            pairs[label].append((mean_ab(output, area), mean_ab(truth, area)))
    return pairs


@click.command()
@click.option("--pictures", required=True, type=click.Path(path_type=Path))
@click.option("--weights", multiple=True, default=[ColorOptions().weights], show_default=True)
@click.option("--size", type=int, default=ColorOptions().size, show_default=True)
@click.option("--saturation", type=float, default=SATURATION, show_default=True)
def main(pictures: Path, weights: tuple[str, ...], size: int, saturation: float) -> None:
    """Print the hue errors of each of WEIGHTS on skin, sky and foliage."""
    click.echo(
        "weights, label: patches, hue error (median, upper quartile), chroma (output, truth)"
    )
    for name in weights:
        try:
            colorizer = Colorizer(ColorOptions(weights=name, size=size, saturation=saturation))
            pairs = measure(pictures, colorizer)
        except FilmcolorError as error:
            raise click.ClickException(str(error)) from error
        for label, values in sorted(pairs.items()):
            output, truth = np.array(values).T
            errors = np.abs(np.degrees(np.angle(output * truth.conj())))
            median, quartile = np.percentile(errors, (50, 75))
            click.echo(
                f"{name}, {label:8}{len(errors):3}  {median:5.1f}°  {quartile:5.1f}°  "
                f"{np.abs(output).mean():5.1f}  {np.abs(truth).mean():5.1f}"
            )


if __name__ == "__main__":
    main()
