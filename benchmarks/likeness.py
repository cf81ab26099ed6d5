"""Do things that look alike take one another's colours, and nothing else?

    python benchmarks/likeness.py CLIP... [--num-frames 24] [--sheet PNG]

A film is made of clips in colour: the beginnings of all of them, then their ends, then their
beginnings again, mirrored, enlarged by a sixth and brighter. It is coloured from its luma:

- automatic;
- with matched shots (`--match-shots`);
- with a picture of each clip, its middle frame mirrored and cropped to a square, which is no frame
  of the film;
- with the first frame of each beginning as a reference, and with matched shots too.

Printed are the ab RMSE (CIELAB) of the beginnings, ends and copies, and `spread`: the RMS
difference of ab between places that show the same in a beginning and its copy. Then each picture is
given alone: the mean change of ab in its own shots, and in all others, where it should be zero.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click
import cv2
import numpy as np
from PIL import Image

from filmcolor import ColorOptions, probe
from filmcolor.color.spaces import lab_from_rgb, rgb_from_lab
from filmcolor.errors import InputError
from filmcolor.images.sheet import arrange_grid, save_sheet
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.types.frames import FloatPlane, Picture
from filmcolor.video.decoder import read_rgb

SIZE = 448, 256  # (width, height) of the film
AUTOMATIC, MATCHED, PICTURES = "automatic", "matched shots", "pictures"
REFERENCES, BOTH = "references", "references, matched"
BEGINNING, END, COPY = "beginnings", "ends", "copies"
GAMMA = 0.85  # of a copy
_ENLARGED = 7 / 6


def read_clip(path: Path) -> list[Picture]:
    """Return the frames of a clip at the film's size."""
    return [cv2.resize(f.rgb, SIZE, interpolation=cv2.INTER_AREA) for f in read_rgb(probe(path))]


def transform(picture: np.ndarray) -> np.ndarray:
    """Return a picture mirrored and enlarged about its middle."""
    height, width = picture.shape[:2]
    matrix = np.float32(
        [
            [-_ENLARGED, 0, (width - 1) * (1 + _ENLARGED) / 2],
            [0, _ENLARGED, (height - 1) * (1 - _ENLARGED) / 2],
        ]
    )
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)


def brighten(picture: Picture) -> Picture:
    """Return a brighter picture."""
    table = np.rint(255.0 * (np.arange(256) / 255.0) ** GAMMA).astype(np.uint8)
    return cv2.LUT(picture, table)


def write_film(path: Path, frames: Sequence[Picture]) -> None:
    """Write frames without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def ab_of(picture: Picture, size: tuple[int, int]) -> FloatPlane:
    """Return the ab (h, w, 2) of a picture at a size (w, h)."""
    small = cv2.resize(picture / np.float32(255.0), size, interpolation=cv2.INTER_AREA)
    _, a, b = lab_from_rgb(*(np.ascontiguousarray(small[..., n]) for n in range(3)))
    return np.dstack([a, b])


class PseudoFilm:
    """A film of clips, with its true colours."""

    def __init__(self, clips: Sequence[Sequence[Picture]], num_frames: int, folder: Path) -> None:
        self.path, self.folder = folder / "film.mkv", folder
        self.shots: list[tuple[str, int, int]] = []  # (kind, clip, first frame)
        frames: list[Picture] = []
        for kind in (BEGINNING, END, COPY):
            for n, clip in enumerate(clips):
                chosen = list(clip[-num_frames:] if kind == END else clip[:num_frames])
                if kind == COPY:
                    chosen = [brighten(transform(frame)) for frame in chosen]
                self.shots.append((kind, n, len(frames)))
                frames += chosen
        self.frames, self.num_frames = frames, num_frames
        write_film(self.path, frames)
        self.pictures, self.references = [], []
        for n, clip in enumerate(clips):
            middle = clip[len(clip) // 2][:, ::-1]
            left = (SIZE[0] - SIZE[1]) // 2
            self.pictures.append(folder / f"clip{n}.png")
            Image.fromarray(np.ascontiguousarray(middle[:, left : left + SIZE[1]])).save(
                self.pictures[-1]
            )
            first = self.shots[n][2]
            self.references.append(folder / f"frame-{first:06d}.png")
            Image.fromarray(frames[first]).save(self.references[-1])

    def accepts(self, picture: Path) -> bool:
        """Return whether a picture, alone, shows something of the film."""
        options = ColorOptions(references=(str(picture),))
        try:
            options.read_guidance(options.probe(self.path))
        except InputError as error:
            click.echo(str(error), err=True)
            return False
        return True

    def color(self, **options: object) -> list[FloatPlane]:
        """Return the ab of every frame, coloured with options."""
        colorizer = Colorizer(ColorOptions(recolor=True, **options))
        info = colorizer.options.probe(self.path)
        guidance = colorizer.options.read_guidance(info)
        for note in guidance.notes:
            click.echo(f"  {note}", err=True)
        return [frame.ab for frame in colorizer.ab_frames(info, guidance=guidance)]

    def errors(self, abs_: Sequence[FloatPlane]) -> dict[str, float]:
        """Return the ab RMSE by kind of shot, without the first frames, which are references."""
        squares: dict[str, list[float]] = {}
        size = abs_[0].shape[1::-1]
        for kind, _, first in self.shots:
            for n in range(first + 1, min(first + self.num_frames, len(abs_))):
                error = abs_[n] - ab_of(self.frames[n], size)
                squares.setdefault(kind, []).append(float((error**2).sum(axis=2).mean()))
        return {kind: float(np.sqrt(np.mean(values))) for kind, values in squares.items()}

    def spread(self, abs_: Sequence[FloatPlane]) -> float:
        """Return the RMS difference of ab between beginnings and copies."""
        firsts = {(kind, clip): first for kind, clip, first in self.shots}
        squares = []
        for (kind, clip), first in firsts.items():
            if kind == COPY:
                for n in range(0, self.num_frames, 4):
                    expected = transform(abs_[firsts[BEGINNING, clip] + n])
                    squares.append(((abs_[first + n] - expected) ** 2).sum(axis=2).mean())
        return float(np.sqrt(np.mean(squares)))


def change(abs_: Sequence[FloatPlane], others: Sequence[FloatPlane], numbers: Sequence[int]):
    """Return the mean change of ab in some frames, and the share of samples that changed."""
    changes = [np.linalg.norm(abs_[n] - others[n], axis=2) for n in numbers]
    return float(np.mean(changes)), float(np.mean([c > 2.0 for c in changes]))


def draw(film: PseudoFilm, rows: Mapping[str, Sequence[FloatPlane]], path: Path) -> None:
    """Draw the middle frame of each shot: true colours, then each row's."""
    cells = []
    for _, _, first in film.shots:
        n = first + film.num_frames // 2
        rgb = film.frames[n]
        cells.append(Image.fromarray(rgb))
        light, _, _ = lab_from_rgb(
            *(np.ascontiguousarray(rgb[..., c]) / np.float32(255.0) for c in range(3))
        )
        for abs_ in rows.values():
            ab = cv2.resize(abs_[n], SIZE)
            planes = rgb_from_lab(light, ab[..., 0], ab[..., 1])
            colored = np.dstack(planes).clip(0.0, 1.0)
            cells.append(Image.fromarray(np.rint(colored * 255.0).astype(np.uint8)))
    save_sheet(arrange_grid(cells, len(rows) + 1), path)


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--num-frames", type=int, default=24, show_default=True)
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--alone/--not-alone", default=True, show_default=True)
def main(clips: tuple[Path, ...], num_frames: int, sheet: Path | None, alone: bool) -> None:
    """Print the errors of a film made of CLIPS, and what each picture changes."""
    with TemporaryDirectory() as folder:
        film = PseudoFilm([read_clip(path) for path in clips], num_frames, Path(folder))
        pictures = tuple(str(picture) for picture in film.pictures if film.accepts(picture))
        click.echo(f"{len(pictures)} of {len(film.pictures)} pictures are accepted")
        references = tuple(map(str, film.references))
        all_options = {
            AUTOMATIC: {},
            MATCHED: {"match_shots": True},
            PICTURES: {"references": pictures},
            REFERENCES: {"references": references},
            BOTH: {"references": references, "match_shots": True},
        }
        rows = {}
        kinds = BEGINNING, END, COPY
        click.echo(" " * 24 + "".join(kind.rjust(14) for kind in (*kinds, "spread")))
        for row, options in all_options.items():
            rows[row] = film.color(**options)
            errors = film.errors(rows[row])
            values = [*(errors[kind] for kind in kinds), film.spread(rows[row])]
            click.echo(row.ljust(24) + "".join(f"{value:14.2f}" for value in values))
        if sheet is not None:
            draw(film, rows, sheet)
        for n, path in enumerate(film.pictures if alone else ()):
            if str(path) not in pictures:
                continue
            abs_ = film.color(references=(str(path),))
            numbers: dict[bool, list[int]] = {True: [], False: []}
            for _, clip, first in film.shots:
                numbers[clip == n] += range(first, first + num_frames)
            own = change(abs_, rows[AUTOMATIC], numbers[True])
            other = change(abs_, rows[AUTOMATIC], numbers[False])
            click.echo(
                f"{clips[n].stem}: own shots {own[0]:.2f} ({own[1]:.1%} of samples), "
                f"others {other[0]:.3f} ({other[1]:.2%})"
            )


if __name__ == "__main__":
    main()
