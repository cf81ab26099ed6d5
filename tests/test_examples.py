"""The demo film: what stands in examples/ is what its script films."""

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


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_film", EXAMPLES / "make_film.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_film"] = module
    spec.loader.exec_module(module)
    return module


def test_it_is_what_the_demo_promises(script: ModuleType) -> None:
    info = probe(FILM)
    assert FILM.stat().st_size < 2_000_000
    assert (info.width, info.height, info.frame_rate) == (640, 480, 24)
    assert len(FrameIndex(info).pts) == script.NUM_FRAMES == 240
    assert [s.type for s in info.streams] == ["video", "audio"]
    num_samples, rate = media.num_samples(FILM)
    assert num_samples / rate == pytest.approx(10.0, abs=0.05)
    assert (info.coding.matrix, info.is_matrix_tagged) == (6, True)


@pytest.mark.parametrize("number", [0, 60, 120, 200, 239])
def test_a_frame_of_the_film_is_the_scripts(script: ModuleType, number: int) -> None:
    (found,) = (f.luma for f in read_luma(probe(FILM), number, number + 1))
    wanted = np.asarray(script.film_frame(number), dtype=float)
    error = np.sqrt(np.mean((found.astype(float) - wanted) ** 2))
    assert error < 8.0  # code values: grain, coded at a low rate


def test_its_cuts_and_its_dissolve_are_the_scripts(script: ModuleType) -> None:
    info = probe(FILM)
    seen = find_transitions(add_proxies(read_luma(info), info, 96))
    found = [(frame.source.number, kind) for frame, kind in seen if kind]
    (dissolve,) = (number for number, kind in found if kind == "dissolve")
    assert dissolve in script.DISSOLVE
    assert [number for number, kind in found if kind == "cut"] == list(script.CUTS)
    assert len(found) == len(script.CUTS) + 1
    assert len(script.SHOTS) >= 5


def test_it_moves_and_has_grain(script: ModuleType) -> None:
    lumas = [f.luma.astype(float) for f in read_luma(probe(FILM), 100, 110)]
    assert all(np.abs(a - b).mean() > 1.0 for a, b in pairwise(lumas))


def test_every_picture_is_credited(script: ModuleType) -> None:
    assert {shot.picture for shot in script.SHOTS} == set(script.CREDITS)


def test_the_strokes_are_the_scripts_and_of_the_film() -> None:
    spec = importlib.util.spec_from_file_location("make_pictures", EXAMPLES / "make_pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    np.testing.assert_array_equal(Image.open(script.HINTS), script.strokes())
    (reference,) = ColorOptions(hints=(str(script.HINTS.parent),)).guidance(probe(FILM)).references
    assert reference.number == script.NUMBER
    assert 0.3 < reference.coverage.mean() < 0.9  # the face has no stroke
    sizes = [path.stat().st_size for path in (script.HINTS, script.SHOWN)]
    assert sum(sizes) < 150_000
