"""Rotated and mirrored films are shown as they were, in every container."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from media import shoot

from filmcolor.errors import VerifyError
from filmcolor.guidance.picture_reader import read_pictures
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify, verify_output
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.previews.shot_export import export_shots
from filmcolor.types.orientation import AS_CODED, Orientation
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]

ONE, W, H = 1 << 16, *media.SIZE
# the eight orientations of EXIF (tag 0x0112): each as a display matrix, and as NumPy does it
EXIF: dict[int, tuple[tuple[int, ...], Any]] = {
    1: ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), lambda p: p),
    2: ((-ONE, 0, 0, 0, ONE, 0, W * ONE, 0, 1 << 30), np.fliplr),
    3: ((-ONE, 0, 0, 0, -ONE, 0, W * ONE, H * ONE, 1 << 30), lambda p: np.rot90(p, 2)),
    4: ((ONE, 0, 0, 0, -ONE, 0, 0, H * ONE, 1 << 30), np.flipud),
    5: ((0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), np.transpose),
    6: ((0, ONE, 0, -ONE, 0, 0, H * ONE, 0, 1 << 30), lambda p: np.rot90(p, -1)),
    7: ((0, -ONE, 0, -ONE, 0, 0, H * ONE, W * ONE, 1 << 30), lambda p: np.rot90(p, 2).T),
    8: ((0, -ONE, 0, ONE, 0, 0, 0, W * ONE, 1 << 30), np.rot90),
}
ENCODINGS = {".mp4": Encoding(), ".mov": Encoding("edit"), ".mkv": Encoding("master")}


def shown_in(make_film: MakeFilm, name: str, matrix: tuple[int, ...]) -> Path:
    """Make a film of three frames with a display matrix."""
    return make_film(name, lumas=shoot(3), matrix=matrix)


@pytest.mark.parametrize("number", EXIF)
def test_a_picture_is_shown_as_exif_defines(number: int) -> None:
    matrix, show = EXIF[number]
    picture = np.arange(12).reshape(3, 4)
    orientation = Orientation.from_bytes(np.array(matrix, np.int32).tobytes())
    np.testing.assert_array_equal(orientation.upright(picture), show(picture))
    np.testing.assert_array_equal(orientation.as_coded(show(picture)), picture)
    assert orientation.is_mirrored == (number in (2, 4, 5, 7))


@pytest.mark.parametrize("suffix", ENCODINGS)
@pytest.mark.parametrize("number", EXIF)
def test_every_orientation_is_kept(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, number: int, suffix: str
) -> None:
    matrix, _ = EXIF[number]
    film, output = shown_in(make_film, "film.mp4", matrix), tmp_path / f"out{suffix}"
    colorize(film, output, options=options, encoding=ENCODINGS[suffix])
    written = media.display_matrix(output)
    if suffix == ".mkv":  # holds angles and mirrors, not the place on the screen
        assert (written or EXIF[1][0])[:6] == matrix[:6]
    else:
        assert (written or EXIF[1][0]) == matrix
    assert verify(film, output) == 3


@pytest.mark.parametrize("number", [n for n in EXIF if n != 2])
def test_another_orientation_is_no_copy(make_film: MakeFilm, number: int) -> None:
    film = shown_in(make_film, "film.mp4", EXIF[2][0])
    other = shown_in(make_film, "other.mp4", EXIF[number][0])
    with pytest.raises(VerifyError, match="orientation"):
        verify_output(probe(film), other)


@pytest.mark.parametrize("suffix", ENCODINGS)
def test_a_tilted_film_stays_tilted(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, suffix: str
) -> None:
    tilt = (65503, 1966, 0, -1966, 65503, 0, 0, 0, 1 << 30)  # 1.72 degrees clockwise
    film, output = shown_in(make_film, "film.mp4", tilt), tmp_path / f"out{suffix}"
    assert probe(film).rotation == pytest.approx(-1.72, abs=0.01)
    colorize(film, output, options=options, encoding=ENCODINGS[suffix])
    assert probe(output).rotation == pytest.approx(-1.72, abs=0.01)
    assert verify(film, output) == 3


@pytest.mark.parametrize("matrix", [(0,) * 9, (ONE, 0, 0, ONE, 0, 0, 0, 0, 1 << 30)])
def test_a_matrix_that_shows_nothing_is_ignored(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, matrix: tuple[int, ...]
) -> None:
    film, output = shown_in(make_film, "film.mp4", matrix), tmp_path / "out.mp4"
    assert probe(film).orientation == AS_CODED
    colorize(film, output, options=options)
    assert media.display_matrix(output) is None
    assert verify(film, output) == 3


@pytest.mark.parametrize("number", [2, 5, 6])
def test_an_exported_shot_is_upright_and_fits_as_reference(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path, number: int
) -> None:
    matrix, show = EXIF[number]
    film = shown_in(make_film, "film.mp4", matrix)
    export_shots(film, tmp_path / "shots", options=options)
    (path,) = (tmp_path / "shots").glob("*grey*")
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    frame_number = int(path.name.split("-")[1][:6])
    luma = show(media.lumas(film)[frame_number].astype(float))
    assert np.corrcoef(grey.ravel(), luma.ravel())[0, 1] > 0.99

    half = np.zeros((*luma.shape, 3), np.uint8)  # upright: the left half blue
    half[:, : luma.shape[1] // 2] = 200, 60, 60  # B'G'R'
    painted = half + (luma[..., None] / 8).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "frame-0.png"), painted)
    info = probe(film)
    sources = [str(tmp_path / "frame-0.png")]
    (reference,) = read_pictures(sources, info, FrameIndex.read(info), 64).references
    blue = show(np.ascontiguousarray(reference.ab[..., 1])) < -10  # CIELAB's b
    assert blue[:, : blue.shape[1] // 2 - 2].all()
    assert not blue[:, blue.shape[1] // 2 + 2 :].any()
