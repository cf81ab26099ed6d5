"""Some frames of a film that was coloured elsewhere as references: how near is the rest?

    python benchmarks/companion.py FILM COMPANION [--frames 84,170,408] [--sheet FILE]

COMPANION shows the frames of FILM, in colour, at any size. Some of its frames are handed over as
pictures, as anyone would. Prints PSNR of 8-bit chroma (Cb and Cr, BT.601) of all other frames
against the companion's, at its size: of grey, of automatic colours, and of ours; and of the
shots that have a reference apart from those that have none.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
from PIL import Image

from filmcolor import ColorOptions, probe
from filmcolor.color.chroma import rgb_picture
from filmcolor.images.sheet import GAP, save_sheet
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.shots.listing import iter_shots
from filmcolor.types.frames import FloatPlane
from filmcolor.video.decoder import read_rgb

GREY, AUTOMATIC, OURS, THEIRS = "grey", "automatic", "with references", "companion"
SHEET_PLACES = 8  # frames of a sheet


def chroma(rgb: FloatPlane) -> FloatPlane:
    """Return Cb and Cr (H, W, 2), 8-bit codes, of R'G'B' in 0..1."""
    ycc = cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2YCrCb)
    return (ycc[..., :0:-1] - np.float32(0.5)) * np.float32(224.0)


@click.command()
@click.argument("film", type=click.Path(path_type=Path, exists=True))
@click.argument("companion", type=click.Path(path_type=Path, exists=True))
@click.option("--frames", default="84,170,408", show_default=True)
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False))
def main(film: Path, companion: Path, frames: str, sheet: Path | None) -> None:
    """Compare the colours of FILM with those that COMPANION has."""
    numbers = [int(number) for number in frames.split(",")]
    theirs = [frame.rgb for frame in read_rgb(probe(companion))]
    height, width = theirs[0].shape[:2]
    info = probe(film)
    with TemporaryDirectory() as folder:
        paths = []
        for number in numbers:
            paths.append(str(Path(folder, f"frame-{number:06d}.png")))
            Image.fromarray(theirs[number]).save(paths[-1])
        all_options = {AUTOMATIC: ColorOptions(), OURS: ColorOptions(references=tuple(paths))}
        colored = {
            name: list(_pictures(options, film, (width, height)))
            for name, options in all_options.items()
        }
    shots = list(iter_shots(info))
    is_reference = np.zeros(len(theirs), bool)
    for shot in shots:
        is_reference[shot.first : shot.stop] = any(shot.first <= n < shot.stop for n in numbers)
    errors: dict[str, list[float]] = {name: [] for name in (GREY, AUTOMATIC, OURS)}
    for n, picture in enumerate(theirs):
        wanted = chroma(picture / np.float32(255.0))
        errors[GREY].append(float(np.square(wanted).mean()))
        for name, pictures in colored.items():
            errors[name].append(float(np.square(chroma(pictures[n]) - wanted).mean()))
    is_counted = np.ones(len(theirs), bool)
    is_counted[numbers] = False
    for told, chosen in (
        ("all other frames", is_counted),
        ("shots with a reference", is_counted & is_reference),
        ("shots without one", ~is_reference),
    ):
        values = {
            k: 10.0 * np.log10(255.0**2 / np.array(v)[chosen].mean()) for k, v in errors.items()
        }
        told_values = ", ".join(f"{name} {value:.2f} dB" for name, value in values.items())
        click.echo(f"{told} ({chosen.sum()}): {told_values}")
    if sheet is not None:
        columns = np.linspace(0, len(theirs) - 1, SHEET_PLACES + 2, dtype=int)[1:-1]
        image = Image.new("RGB", ((width + GAP) * len(columns), (height + GAP) * 3), "white")
        for column, n in enumerate(columns):
            rows = [np.rint(colored[name][n] * 255.0).astype(np.uint8) for name in colored]
            for row, picture in enumerate([*rows, theirs[n]]):
                place = column * (width + GAP), row * (height + GAP)
                image.paste(Image.fromarray(picture), place)
        save_sheet(image, sheet)


def _pictures(options: ColorOptions, film: Path, size: tuple[int, int]) -> list[FloatPlane]:
    """Return a film's frames in colour, R'G'B' in 0..1 (h, w, 3)."""
    info = probe(film)
    return [
        cv2.resize(rgb_picture(frame, info.coding), size, interpolation=cv2.INTER_AREA)
        for frame in Colorizer(options).frames(info)
    ]


if __name__ == "__main__":
    main()
