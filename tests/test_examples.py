"""The demo film and the pictures of the documents: their scripts make what is in examples/."""

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import media
import numpy as np
import pytest
from PIL import Image

from filmcolor.pipeline.options import ColorOptions
from filmcolor.shots.detector import find_transitions
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import add_proxies

EXAMPLES = Path(__file__).parent.parent / "examples"
FILM = EXAMPLES / "film.mp4"


def load(name: str) -> ModuleType:
    """Return a script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("make_film")


def test_it_is_what_the_demo_promises(script: ModuleType) -> None:
    info = probe(FILM)
    assert FILM.stat().st_size < 2_000_000
    assert (info.width, info.height, info.frame_rate) == (640, 480, 24)
    assert len(FrameIndex.read(info).pts) == script.NUM_FRAMES == 240
    assert [s.type for s in info.streams] == ["video", "audio"]
    num_samples, rate = media.num_samples(FILM)
    assert num_samples / rate == pytest.approx(10.0, abs=0.05)
    assert (info.coding.matrix, info.is_matrix_tagged) == (6, True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 60, 120, 200, 239])
def test_a_frame_of_the_film_is_the_scripts(script: ModuleType, number: int) -> None:
    (decoded,) = (f.luma for f in read_luma(probe(FILM), number, number + 1))
    expected = np.asarray(script.film_frame(number), dtype=float)
    error = np.sqrt(np.mean((decoded.astype(float) - expected) ** 2))
    assert error < 8.0  # code values: grain, coded at a low rate


def test_its_cuts_and_its_dissolve_are_the_scripts(script: ModuleType) -> None:
    info = probe(FILM)
    frames = find_transitions(add_proxies(read_luma(info), info, 96))
    transitions = [(frame.source.number, name) for frame, name in frames if name]
    (dissolve,) = (number for number, name in transitions if name == "dissolve")
    assert dissolve in script.DISSOLVE
    assert [number for number, name in transitions if name == "cut"] == list(script.CUTS)
    assert len(transitions) == len(script.CUTS) + 1
    assert len(script.SHOTS) >= 5


def test_it_moves_and_has_grain(script: ModuleType) -> None:
    lumas = [f.luma.astype(float) for f in read_luma(probe(FILM), 100, 110)]
    assert all(np.abs(a - b).mean() > 1.0 for a, b in pairwise(lumas))


def test_every_picture_is_credited(script: ModuleType) -> None:
    assert {shot.picture for shot in script.SHOTS} == set(script.CREDITS)


@pytest.fixture(scope="module")
def picture_script() -> ModuleType:
    return load("make_pictures")


def test_the_strokes_are_the_scripts_and_of_the_film(picture_script: ModuleType) -> None:
    script = picture_script
    np.testing.assert_array_equal(Image.open(script.HINTS), script.strokes())
    options = ColorOptions(hints=(str(script.HINTS.parent),))
    (reference,) = options.read_guidance(probe(FILM)).references
    assert reference.number == script.NUMBER
    assert 0.3 < reference.coverage.mean() < 0.9  # the face has no stroke
    sizes = [path.stat().st_size for path in (script.HINTS, script.HINTS_SHEET)]
    assert sum(sizes) < 150_000


@pytest.mark.slow
def test_before_and_after_are_the_scripts(picture_script: ModuleType) -> None:
    assert picture_script.BEFORE_AFTER.stat().st_size < 150_000
    stored = np.asarray(Image.open(picture_script.BEFORE_AFTER), dtype=float)
    made = np.asarray(picture_script.before_after(), dtype=float)
    assert stored.shape == made.shape
    assert np.sqrt(np.mean((stored - made) ** 2)) < 6.0  # code values: JPEG, and bf16 or float32


def test_every_photograph_is_credited(picture_script: ModuleType) -> None:
    assert set(picture_script.photographs()) == set(picture_script.CREDITS)
