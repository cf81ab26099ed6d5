"""Colour casts: warm tints over whole pictures are reduced, in films, photographs and runs."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from media import Film, shoot
from stills import save_stills

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError
from filmcolor.guidance.cast import CASTS, reduce_cast, reduce_casts
from filmcolor.network.model import encode_ab
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_rgb
from filmcolor.train.evaluation.evaluate import evaluate
from filmcolor.train.evaluation.options import EvaluationOptions
from filmcolor.types.film import Part
from filmcolor.types.frames import LumaFrame, PredictedFrame, TrackedFrame
from filmcolor.video.probe import probe

LUMA = np.full((32, 48), 128, np.uint8)


@pytest.fixture
def warm_options(options, tmp_path):
    """Options whose network paints an amber cast over the colours of `options`."""
    state = dict(weights_store.load_state(Path(options.weights)))
    name = next(n for n, tensor in state.items() if tensor.shape == (2,))  # the output's bias
    state[name] = state[name] + encode_ab(torch.tensor([8.0, 30.0])) - encode_ab(torch.zeros(2))
    weights_store.save(state, tmp_path / "warm.safetensors")
    return replace(options, weights=str(tmp_path / "warm.safetensors"))


def room(cast):
    """Grey walls and a coat of strong colour, ab (16, 24, 2), under a cast."""
    ab = np.zeros((16, 24, 2), np.float32)
    ab[4:12, 6:14] = 40.0, -20.0
    return ab + np.float32(cast)


def hue_and_chroma(degrees, chroma):
    """Return the ab of a hue and a chroma."""
    return chroma * np.cos(np.radians(degrees)), chroma * np.sin(np.radians(degrees))


@pytest.mark.parametrize("chroma", [2.0, 7.0, 12.0])
def test_three_quarters_of_an_amber_cast_go_and_differences_stay(chroma):
    reduced = reduce_cast(room(hue_and_chroma(75.0, chroma)), LUMA)
    expected = room(hue_and_chroma(75.0, chroma / 4.0))
    np.testing.assert_allclose(reduced, expected, atol=1e-4)
    assert reduced.dtype == np.float32


def test_a_picture_without_a_cast_stays_as_it_is():
    np.testing.assert_array_equal(reduce_cast(room((0.0, 0.0)), LUMA), room((0.0, 0.0)))


@pytest.mark.parametrize("degrees", [165.0, 255.0, 345.0])
def test_a_pale_sky_stays_blue(degrees):
    """Only warm casts are reduced, and none when its hue is 90° or more from amber."""
    sky = room(hue_and_chroma(degrees, 6.0))
    np.testing.assert_allclose(reduce_cast(sky, LUMA), sky, atol=1e-5)


def test_a_strong_colour_is_no_cast():
    """Autumn leaves stay yellow: no more than three quarters of 12 units are taken away."""
    leaves = np.full((16, 24, 2), hue_and_chroma(75.0, 50.0), np.float32)
    moved = leaves - reduce_cast(leaves, LUMA)
    np.testing.assert_allclose(np.hypot(moved[..., 0], moved[..., 1]), 9.0, rtol=1e-4)


def test_the_reduction_is_continuous_in_the_cast():
    """No cast is a threshold: anchors of one shot must not jump."""
    casts = [hue_and_chroma(d, 8.0) for d in np.arange(0.0, 360.0, 2.0)]
    casts += [hue_and_chroma(60.0, c) for c in np.arange(0.0, 20.0, 0.25)]
    moved = np.array([(room(cast) - reduce_cast(room(cast), LUMA))[0, 0] for cast in casts])
    steps = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    assert steps[np.arange(len(steps)) != 179].max() < 0.3  # 179: from one series to the other


def test_black_and_white_pixels_are_not_judged():
    luma = LUMA.copy()
    luma[:, :24] = 0
    ab = np.full((16, 24, 2), hue_and_chroma(75.0, 4.0), np.float32)
    ab[:, :12] = 0.0
    reduced = reduce_cast(ab, luma)[:, 12:]
    np.testing.assert_allclose(reduced, np.float32(ab[:, 12:] / 4.0), atol=1e-4)
    np.testing.assert_array_equal(reduce_cast(ab, luma * 0), ab)


def test_only_anchors_are_changed():
    tracked = TrackedFrame(
        LumaFrame(0, LUMA, 0, 1), LUMA, False, LUMA[::2, ::2], LUMA[::4, ::4], True, None, None
    )
    frames = [PredictedFrame(tracked, room((5.0, 5.0))), PredictedFrame(tracked)]
    anchor, between = reduce_casts(frames)
    np.testing.assert_array_equal(anchor.ab, reduce_cast(room((5.0, 5.0)), LUMA[::2, ::2]))
    assert not np.array_equal(anchor.ab, room((5.0, 5.0)))
    assert between is frames[1]


def test_the_option_reduces_the_cast_of_a_film(make_film, warm_options):
    film = probe(make_film())
    means = {
        cast: np.mean([f.ab for f in Colorizer(changed).ab_frames(film)], (0, 1, 2))
        for cast, changed in with_each_cast(warm_options)
    }
    assert means["reduce"][1] < means["keep"][1] - 1.0


def with_each_cast(options):
    """Return (cast, options) for both casts."""
    return [(cast, replace(options, cast=cast)) for cast in CASTS]


def test_a_part_of_a_film_equals_the_whole(make_film, warm_options):
    film, colorizer = probe(make_film()), Colorizer(replace(warm_options, cast="reduce"))
    whole = [frame.ab for frame in colorizer.ab_frames(film)]
    part = [frame.ab for frame in colorizer.ab_frames(film, Part(5, 9))]
    np.testing.assert_array_equal(part, whole[5:9])


def test_the_option_is_for_photographs_too(warm_options):
    gray = np.dstack([shoot(1, (48, 32), is_full_range=True)[0]] * 3)
    blue = {
        cast: colorize_rgb(gray, Colorizer(changed))[..., 2].mean()
        for cast, changed in with_each_cast(warm_options)
    }
    assert blue["reduce"] > blue["keep"] + 1.0


@pytest.mark.parametrize("kind", ["pictures", "film"])
def test_an_evaluation_reduces_casts(make_film, tmp_path, warm_options, kind):
    if kind == "film":
        lumas, blues, reds = (shoot(6, (64, 48), seed=seed) for seed in range(3))
        chromas = list(zip(blues, reds, strict=True))
        base = Film(lumas, codec="ffv1", pix_fmt="yuv444p", chromas=chromas)
        data = make_film("film.mkv", base)
    else:
        data = save_stills(tmp_path / "stills", 2)
    chroma = {
        cast: evaluate(data, EvaluationOptions((warm_options.weights,), (48,), cast=cast)).rows[1]
        for cast in CASTS
    }
    assert chroma["reduce"].mean_chroma < chroma["keep"].mean_chroma - 1.0


@pytest.mark.parametrize("options_type", [ColorOptions, partial(EvaluationOptions, ("film",))])
@pytest.mark.parametrize(
    ("change", "message"),
    [({"cast": "none"}, "cast 'none' must be keep or reduce"), ({"surfaces": 2}, "must be 0 to 1")],
)
def test_values_without_meaning_are_refused(options_type, change, message):
    with pytest.raises(SettingsError, match=message):
        options_type(**change)
