"""How close are colours to those of a film coloured elsewhere, given some of its frames, or it all?

    python benchmarks/companion.py FILM COMPANION [--frames 84,170,408] [--sheet FILE]

COMPANION has the frames of FILM in colour, at any size. Some of them are passed as references; then
the whole film is. Prints PSNR of 8-bit chroma (Cb and Cr, BT.601) of all other frames against the
companion at its size, for grey, for automatic colours, with references and with the film; also
separately for the shots with and without a reference. Then the warp errors, CIELAB units, between
neighbouring frames and over 24 frames, along the motion of the film's luma, of each and of the
companion itself.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
from PIL import Image

from filmcolor import ColorOptions, probe
from filmcolor.color.chroma import rgb_picture
from filmcolor.images.sheet import arrange_grid, save_sheet
from filmcolor.metrics.comparison import Rendition, to_8_bits
from filmcolor.metrics.temporal import MotionTracker, WarpErrors
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.shots.listing import iter_shots
from filmcolor.types.frames import FloatPlane
from filmcolor.video.decoder import read_rgb

GREY, AUTOMATIC, GUIDED = "grey", "automatic", "with references"
WHOLE, COMPANION = "with the film", "companion"
NUM_SHEET_FRAMES = 8


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
    """Compare the colours of FILM with those of COMPANION."""
    numbers = [int(number) for number in frames.split(",")]
    true_frames = [frame.rgb for frame in read_rgb(probe(companion))]
    height, width = true_frames[0].shape[:2]
    info = probe(film)
    with TemporaryDirectory() as folder:
        paths = []
        for number in numbers:
            paths.append(str(Path(folder, f"frame-{number:06d}.png")))
            Image.fromarray(true_frames[number]).save(paths[-1])
        all_options = {
            AUTOMATIC: ColorOptions(),
            GUIDED: ColorOptions(references=tuple(paths)),
            WHOLE: ColorOptions(references=(str(companion),)),
        }
        colored = {
            name: list(_pictures(options, film, (width, height)))
            for name, options in all_options.items()
        }
    shots = list(iter_shots(info))
    has_reference = np.zeros(len(true_frames), bool)
    for shot in shots:
        has_reference[shot.first : shot.stop] = any(shot.first <= n < shot.stop for n in numbers)
    errors: dict[str, list[float]] = {name: [] for name in (GREY, *all_options)}
    for n, picture in enumerate(true_frames):
        truth = chroma(picture / np.float32(255.0))
        errors[GREY].append(float(np.square(truth).mean()))
        for name, pictures in colored.items():
            errors[name].append(float(np.square(chroma(pictures[n]) - truth).mean()))
    is_counted = np.ones(len(true_frames), bool)
    is_counted[numbers] = False
    for label, chosen in (
        ("all other frames", is_counted),
        ("shots with a reference", is_counted & has_reference),
        ("shots without one", ~has_reference),
    ):
        values = {
            k: 10.0 * np.log10(255.0**2 / np.array(v)[chosen].mean()) for k, v in errors.items()
        }
        figures = ", ".join(f"{name} {value:.2f} dB" for name, value in values.items())
        click.echo(f"{label} ({chosen.sum()}): {figures}")
    cuts = {shot.first for shot in shots}
    companions = [picture / np.float32(255.0) for picture in true_frames]
    for name, warp in _warp_errors(colored | {COMPANION: companions}, cuts).items():
        click.echo(f"warp error {name}: {warp.value:.3f}, over 24 frames {warp.long_value:.3f}")
    if sheet is not None:
        columns = np.linspace(0, len(true_frames) - 1, NUM_SHEET_FRAMES + 2, dtype=int)[1:-1]
        rows = [[to_8_bits(pictures[n]) for n in columns] for pictures in colored.values()]
        rows.append([true_frames[n] for n in columns])
        cells = [Image.fromarray(picture) for row in rows for picture in row]
        save_sheet(arrange_grid(cells, len(columns)), sheet)


def _warp_errors(
    films: Mapping[str, Sequence[FloatPlane]], cuts: Collection[int]
) -> dict[str, WarpErrors]:
    """Return the warp errors of colourings of one film, R'G'B' in 0..1 (h, w, 3) each."""
    errors, tracker = {name: WarpErrors() for name in films}, MotionTracker()
    for number, pictures in enumerate(zip(*films.values(), strict=True)):
        gray = cv2.cvtColor(to_8_bits(pictures[0]), cv2.COLOR_RGB2GRAY)  # the film's luma
        motion = tracker.add(gray, number in cuts)
        for error, picture in zip(errors.values(), pictures, strict=True):
            error.add(Rendition.from_rgb(picture).ab, motion)
    return errors


def _pictures(options: ColorOptions, film: Path, size: tuple[int, int]) -> list[FloatPlane]:
    """Return a film's coloured frames at a size, R'G'B' in 0..1 (h, w, 3)."""
    info = probe(film)
    return [
        cv2.resize(rgb_picture(frame, info.coding), size, interpolation=cv2.INTER_AREA)
        for frame in Colorizer(options).frames(info)
    ]


if __name__ == "__main__":
    main()
