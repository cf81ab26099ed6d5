"""One good frame of each shot is exported, and the folder serves as references."""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from media import shoot
from PIL import Image

import filmcolor
from filmcolor.cli.main import main
from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import InputError, OutputError
from filmcolor.guidance.picture_reader import read_pictures
from filmcolor.guidance.reference_sources import EXPORT_MANIFEST
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.previews.shot_export import export_shots
from filmcolor.shots import key_frames
from filmcolor.shots.key_frames import choose_key_frames
from filmcolor.types.film import TimeRange
from filmcolor.types.yuv import SUBSAMPLING_444
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
LENGTHS = 20, 12, 18  # frames
STARTS = 0, 20, 32


def shots(*lengths: int, soft: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Return lumas of shots; the frames numbered in `soft` are out of focus."""
    lumas = [luma for seed, n in enumerate(lengths) for luma in shoot(n, seed=seed, step=0.0)]
    return [cv2.GaussianBlur(a, (0, 0), 2) if n in soft else a for n, a in enumerate(lumas)]


@pytest.fixture
def film(make_film: MakeFilm) -> Path:
    return make_film("film.mkv", lumas=shots(*LENGTHS), codec="ffv1")


# ---------------------------------------------------------------- which frames


def test_the_sharp_frame_is_chosen_away_from_cuts(make_film: MakeFilm) -> None:
    soft = tuple(n for n in range(50) if n % 3)
    film = make_film("film.mkv", lumas=shots(*LENGTHS, soft=soft), codec="ffv1")
    for shot, number in choose_key_frames(probe(film)):
        assert number is not None
        assert number not in soft
        assert shot.first + (4 if shot.first else 0) <= number < shot.stop - 4


def test_a_frame_unlike_its_shot_is_not_chosen(make_film: MakeFilm) -> None:
    lumas = shots(20, soft=tuple(range(20)))
    lumas[8] = lumas[8].copy()
    lumas[8][10:50, 20:70] = np.tile([40, 200], (40, 25))  # sharp, but a mark at a splice
    ((_, number),) = choose_key_frames(probe(make_film("film.mkv", lumas=lumas, codec="ffv1")))
    assert number != 8


def test_short_shots_and_dissolves(make_film: MakeFilm) -> None:
    first, second = (shoot(1, seed=seed)[0] for seed in (0, 1))
    mixes = [round(first_, 3) for first_ in np.arange(1, 13) / 13]
    middle = [np.rint((1 - m) * first + m * second).astype(np.uint8) for m in mixes]
    lumas = [first] * 30 + middle + [second] * 30 + shoot(5, seed=7)
    film = make_film("film.mkv", lumas=lumas, codec="ffv1")
    chosen = [number for _, number in choose_key_frames(probe(film))]
    assert len(chosen) == 3
    assert chosen[0] < 30
    assert 42 <= chosen[1] < 68
    assert chosen[2] in range(72, 77)  # all five frames are beside the cut


def test_of_long_shots_some_frames_are_looked_at(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_frames, "_MAX_CANDIDATES", 3)
    chosen = [number for _, number in choose_key_frames(probe(film))]
    assert all(start <= n < start + length for n, start, length in zip(chosen, STARTS, LENGTHS))


# ---------------------------------------------------------------- what is written


def test_pictures_are_the_frames_of_a_run(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    calls: list[tuple[int, int | None]] = []
    exported = export_shots(
        film, tmp_path / "out", options=options, progress=lambda *p: calls.append(p)
    )
    assert [shot.first for shot, _ in exported] == list(STARTS)
    assert calls[-3:] == [(1, 3), (2, 3), (3, 3)]
    info = probe(film)
    whole = list(Colorizer(options).frames(info, subsampling=SUBSAMPLING_444))
    names = {EXPORT_MANIFEST}
    for _, path in exported:
        assert path is not None
        number = int(path.stem.removeprefix("frame-"))
        assert path.name == f"frame-{number:06}.png"
        picture = np.asarray(Image.open(path)).astype(int)
        expected = np.rint(rgb_picture(whole[number], info.coding) * 255)
        assert np.abs(picture - expected).max() <= 2  # arithmetic in batches
        grey_path = path.with_suffix(".grey.png")
        grey = np.asarray(Image.open(grey_path)).astype(float)
        luma = (whole[number].luma.astype(float) - 16) * 255 / 219
        assert np.abs(grey - luma.clip(0, 255)).max() <= 1
        names |= {path.name, grey_path.name}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names


def test_pictures_of_a_turned_film_are_upright_and_as_large_as_its_frames(
    make_film: MakeFilm, options: ColorOptions, tmp_path: Path
) -> None:
    film = make_film(lumas=shots(8), rotation=90, sar=Fraction(4, 3))
    ((_, path),) = export_shots(film, tmp_path / "out", options=options)
    assert path is not None
    assert Image.open(path).size == media.SIZE[::-1]
    info = probe(film)
    (reference,) = read_pictures([str(path)], info, FrameIndex.read(info), options.size).references
    assert f"frame-{reference.number:06}.png" == path.name


def test_a_folder_can_be_handed_back(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    paths = [path for _, path in export_shots(film, folder, options=options) if path]
    info = probe(film)
    index = FrameIndex.read(info)
    with pytest.raises(InputError, match="all pictures are unchanged since their export"):
        read_pictures([str(folder)], info, index, options.size)
    picture = Image.open(paths[1])
    picture.paste((40, 50, 160), (10, 10, 40, 30))
    picture.save(paths[1])
    (reference,) = read_pictures([str(folder)], info, index, options.size).references
    assert f"frame-{reference.number:06}.png" == paths[1].name
    (frame,) = (
        f for f in Colorizer(options).ab_frames(info) if f.source.number == reference.number
    )
    # unpainted parts come back with the exported colours
    ours, theirs = reference.ab[:, -4:], frame.ab[:, -4:]
    for channel in range(2):
        likeness = np.corrcoef(ours[..., channel].ravel(), theirs[..., channel].ravel())
        assert likeness[0, 1] > 0.9


def test_what_is_there_is_not_overwritten(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    (_, path), *_ = export_shots(
        film, folder, options=options, time_range=TimeRange(first=0, stop=20)
    )
    assert path is not None
    before = path.read_bytes()
    path.write_bytes(b"painted")
    with pytest.raises(OutputError, match=r"and may have been painted; .* --force"):
        export_shots(film, folder, options=options)
    assert len(list(folder.iterdir())) == 3
    export_shots(film, folder, options=options, force=True)
    assert path.read_bytes() == before
    assert len(list(folder.iterdir())) == 7


def test_what_cannot_be_a_folder(film: Path, options: ColorOptions, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a file, and pictures go into a folder"):
        export_shots(film, film, options=options)
    with pytest.raises(OutputError, match="cannot be made"):
        export_shots(film, film / "out", options=options)


def test_the_command_lists_shots_and_says_where_pictures_are(
    film: Path,
    options: ColorOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = [
        "shots",
        film,
        "--export",
        tmp_path / "out",
        "--weights",
        options.weights,
        "--size",
        32,
    ]
    for sheet in ([], ["--sheet", tmp_path / "shots.png", "--force"]):
        monkeypatch.setattr(sys, "argv", ["filmcolor", *map(str, [*words, *sheet])])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        assert stop.value.code == 0, err
        lines = out.splitlines()
        assert [line.split()[1] for line in lines[1:4]] == ["0", "20", "32"]
        assert lines[4:] == [str(p) for p in (*sheet[1:2], tmp_path / "out")]
    assert len(list((tmp_path / "out").glob("frame-*.png"))) == 6
    assert "export_shots" in filmcolor.__all__
