"""Guidance is read before a run and is part of the run's identity."""

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
import pytest
from media import shoot
from PIL import Image

from filmcolor.cli.main import main
from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.guidance.references import Reference
from filmcolor.output.options import Encoding
from filmcolor.pipeline import batch
from filmcolor.pipeline.batch import colorize, colorize_many
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer, color_missing
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.pipeline.saved_run import open_run, save_run
from filmcolor.previews.clip import preview
from filmcolor.previews.contact_sheet import contact_sheet
from filmcolor.segments import segment as segments
from filmcolor.types.film import Part, TimeRange
from filmcolor.video.probe import probe

NUM_FRAMES = 24
LOSSLESS = Encoding(codec="ffv1")


@pytest.fixture
def film(make_film: Callable[..., Path]) -> Path:
    return make_film("film.mkv", lumas=shoot(NUM_FRAMES), codec="ffv1")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A frame of the film, tinted as if by hand."""
    grey = np.repeat(shoot(NUM_FRAMES)[7][..., None], 3, axis=2).astype(float)
    path = tmp_path / "frame-000007.png"
    Image.fromarray((grey * (0.7, 0.8, 1.0)).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def hint(tmp_path: Path) -> Path:
    strokes = Image.new("RGBA", media.SIZE)
    strokes.paste((40, 50, 160, 255), (30, 20, 50, 24))
    path = tmp_path / "frame-000011.png"
    strokes.save(path)
    return path


def run_of(film: Path, options: ColorOptions) -> Run:
    return Run.prepare(film, film.with_name("out.mkv"), RunSettings(options, LOSSLESS, TimeRange()))


def test_a_run_knows_its_references(
    film: Path, options: ColorOptions, picture: Path, hint: Path
) -> None:
    directed = replace(options, references=(str(picture),), hints=(f"{hint}@00:00:00.5",))
    references = run_of(film, directed).guidance.references
    assert [reference.number for reference in references] == [7, 12]
    assert all(isinstance(reference, Reference) for reference in references)
    assert references[0].coverage.min() == 1.0 > references[1].coverage.min()
    assert run_of(film, options).guidance.references == ()


def test_processes_are_told_what_was_read(
    film: Path, options: ColorOptions, picture: Path, tmp_path: Path
) -> None:
    directed = replace(options, references=(str(picture),), saturation=0.5)
    first = run_of(film, directed)
    with first.locked():
        save_run(first)
        picture.unlink()
        again = open_run(first.journal.folder)
    (reference,), (same,) = again.guidance.references, first.guidance.references
    np.testing.assert_array_equal(reference.ab, same.ab)
    assert again.guidance.palette == first.guidance.palette


@pytest.mark.parametrize("saturation", [0.0, 1.0, 1.4])
def test_given_colors_are_not_graded(
    film: Path, options: ColorOptions, picture: Path, saturation: float
) -> None:
    directed = replace(options, references=(str(picture),), saturation=saturation, warmth=0.5)
    info = probe(film)
    (reference,) = (guidance := directed.read_guidance(info)).references
    part = Part(reference.number, reference.number + 1)
    (frame,) = Colorizer(directed).ab_frames(info, part, guidance=guidance)
    np.testing.assert_allclose(frame.ab, reference.ab, atol=1e-3)


@pytest.mark.slow
def test_segments_in_processes_are_the_run(
    film: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_SECONDS", Fraction(1, 2))
    path = tmp_path / "film.toml"
    path.write_text("[times.'0.3-0.7']\nwarmth = 1\n")
    directed = replace(options, palette=str(path))
    colorize(film, tmp_path / "one.mkv", options=directed, encoding=LOSSLESS)
    colorize(film, tmp_path / "two.mkv", jobs=2, options=directed, encoding=LOSSLESS)
    films = (media.frames(tmp_path / name) for name in ("one.mkv", "two.mkv"))
    for one, two in zip(*films, strict=True):
        np.testing.assert_allclose(one.planes[1].astype(int), two.planes[1], atol=1)


def test_other_pictures_make_another_run(
    film: Path, options: ColorOptions, picture: Path, tmp_path: Path
) -> None:
    directed = replace(options, references=(str(picture),))
    run = run_of(film, directed)
    with run.locked():
        color_missing(run, PieceColorizer(Colorizer(directed)))
    with run_of(film, directed).locked():
        pass  # the same guidance resumes
    before = picture.read_bytes()
    Image.open(picture).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(picture)
    with pytest.raises(InputError, match="does not look like frame 7"):
        run_of(film, directed)
    picture.write_bytes(before)
    painted = Image.open(picture)
    painted.paste((160, 50, 40), (30, 20, 50, 40))
    painted.save(picture)
    for other in (directed, options):
        words = "holds segments of a run with references"
        with pytest.raises(OutputError, match=words), run_of(film, other).locked():
            pass


def test_pictures_are_refused_before_anything_is_written(
    film: Path, options: ColorOptions, picture: Path, tmp_path: Path
) -> None:
    wrong = replace(options, hints=(str(picture),))
    there = sorted(tmp_path.iterdir())
    for make in (colorize, preview):
        with pytest.raises(InputError, match="has no transparency"):
            make(film, options=wrong)
    with pytest.raises(InputError, match="has no transparency"):
        contact_sheet(film, options=wrong, at_seconds=[Fraction(0)])
    assert sorted(tmp_path.iterdir()) == there


def test_references_are_of_one_film(
    film: Path, options: ColorOptions, picture: Path, tmp_path: Path
) -> None:
    other = media.make(tmp_path / "other.mkv", media.Film(shoot(3, seed=1), codec="ffv1"))
    with pytest.raises(SettingsError, match="are of one film; run the films one by one"):
        colorize_many([film, other], options=replace(options, references=(str(picture),)))


def test_options_are_the_looks(
    film: Path, picture: Path, hint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[ColorOptions] = []
    monkeypatch.setattr(batch, "colorize", lambda *_, options, **__: given.append(options) or 1 / 0)
    palette = film.with_suffix(".toml")
    typed = f"run {film} --reference {picture} --reference {picture}@1 --hints {hint}"
    typed += f" --palette {palette} --warmth -0.5 --skin-protect 1"
    monkeypatch.setattr(sys, "argv", ["filmcolor", *typed.split()])
    with pytest.raises(ZeroDivisionError):
        main()
    (options,) = given
    assert options.references == (str(picture), f"{picture}@1")
    assert (options.hints, options.palette) == ((str(hint),), str(palette))
    assert (options.warmth, options.skin_protect) == (-0.5, 1.0)
