"""Models of others carried through a film: key frames, parts and resumed runs, photographs."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import media
import numpy as np
import onnx
import onnx_models
import pytest
import scenes
import torch
from media import Film, shoot
from onnx_models import Tiny
from PIL import Image

import filmcolor.weights as weights_store
from filmcolor import Encoding, colorize, colorize_photo
from filmcolor.color.gamut import chroma_from_lab
from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import OutputError, SettingsError, WeightsError
from filmcolor.guidance.exemplars import Exemplar, ExemplarGuide, ExemplarPlan
from filmcolor.guidance.guides import Guide
from filmcolor.guidance.model_colors import ModelColors
from filmcolor.guidance.model_guide import plan_key_frames, span_rule
from filmcolor.network import predictor
from filmcolor.network.onnx_export import export_onnx
from filmcolor.network.onnx_model import OnnxColorizer
from filmcolor.pipeline import models
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.profiler import STAGES
from filmcolor.segments import segment
from filmcolor.segments.journal import Journal
from filmcolor.shots.key_frames import SpanRule, find_spans
from filmcolor.temporal.anchors import every_frame
from filmcolor.train.evaluation.evaluate import evaluate
from filmcolor.train.evaluation.options import EvaluationOptions
from filmcolor.types.film import Part
from filmcolor.types.frames import ColorFrame, FloatPlane, LumaFrame, PredictedFrame
from filmcolor.types.yuv import Coding
from filmcolor.video.probe import probe

SHOTS = (26, 64, 20)  # frames
CUTS = (0, 26, 90, 110)
_BT601 = 6  # ITU-T H.273
MASTER = Encoding(codec="ffv1")
RULE = SpanRule(period=16, shortest=4)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas = [luma for n, num in enumerate(SHOTS) for luma in shoot(num, seed=n, step=0.25)]
    return media.make(tmp_path_factory.mktemp("models") / "film.mkv", Film(lumas, codec="ffv1"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose ab are a linear function of luma."""
    return onnx_models.save(
        Tiny("ddcolor", size=(64, 64)), tmp_path_factory.mktemp("onnx") / "ddcolor.onnx"
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models.load_model.cache_clear()
    yield
    models.load_model.cache_clear()


@cache
def colored(film: Path, options: ColorOptions, part: Part = Part()) -> list[ColorFrame]:  # noqa: B008
    return list(Colorizer(options).frames(probe(film), part))


# ---------------------------------------------------------------- spans and key frames


def test_spans_are_shots_and_parts_of_long_ones(film: Path) -> None:
    spans = find_spans(probe(film), Part(), RULE)
    assert [(s.first, s.stop) for s in spans] == [
        (0, 16),
        (16, 26),
        (26, 32),
        (32, 48),
        (48, 64),
        (64, 80),
        (80, 90),
        (90, 96),
        (96, 110),
    ]
    assert [s.first for s in spans if s.is_cut] == [0, 26, 90]


def test_a_boundary_near_an_end_of_its_shot_is_left_out(film: Path) -> None:
    spans = find_spans(probe(film), Part(), SpanRule(period=16, shortest=8))
    assert [(s.first, s.stop) for s in spans] == [
        (0, 16),
        (16, 26),
        (26, 48),
        (48, 64),
        (64, 80),
        (80, 90),
        (90, 110),
    ]


@pytest.mark.parametrize("span", [(0, 5), (13, 30), (50, 51), (88, 110), (97, 105)])
def test_a_part_has_the_key_frames_of_the_whole(film: Path, span: tuple[int, int]) -> None:
    info, part = probe(film), Part(*span)
    whole = plan_key_frames(info, Part(), RULE)
    chosen = [k.number for k in plan_key_frames(info, part, RULE)]
    assert chosen
    assert set(chosen) <= {k.number for k in whole}
    for number in range(*span):  # the nearest on either side, in its shot
        own = [k for k in whole if k.first <= number < k.stop]
        nearest = [k.number for k in own if k.number <= number][-1:]
        nearest += [k.number for k in own if k.number > number][:1]
        assert set(nearest) <= set(chosen)


def test_key_frames_stand_for_their_shots_and_keep_clear_of_cuts(film: Path) -> None:
    info = probe(film)
    key_frames = plan_key_frames(info, Part(), span_rule("shot", info.frame_rate))
    assert [(k.first, k.stop) for k in key_frames] == list(pairwise(CUTS))
    for key_frame in key_frames:
        length = key_frame.stop - key_frame.first
        assert 0.2 * length <= key_frame.number - key_frame.first <= 0.8 * length


def test_a_shot_that_changes_has_more_key_frames(make_film: Callable[..., Path]) -> None:
    """A pan: one frame cannot stand for both ends."""
    rule = SpanRule(period=48, shortest=12, max_key_frames=3)
    film = make_film("pan.mkv", lumas=shoot(48, step=2.0), codec="ffv1")
    (span,) = find_spans(probe(film), Part(), rule)
    still = make_film("still.mkv", lumas=shoot(48, step=0.0), codec="ffv1")
    (still_span,) = find_spans(probe(still), Part(), rule)
    assert len(still_span.key_frames) == 1
    assert 2 <= len(span.key_frames) <= 3


# ---------------------------------------------------------------- colours of a film


def chroma_of_model(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (Cb, Cr) planes, 4:2:0, of the colours that the model gives a frame."""
    values = (cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) - 16.0) / 219.0
    ab = onnx_models.expected_ab("ddcolor", values)
    coding = Coding(_BT601, False, 8)
    planes = chroma_from_lab(
        *(p.astype(np.float32) for p in (values, ab[..., 0], ab[..., 1])), coding
    )
    cb, cr = (np.rint(128.0 + 224.0 * plane).astype(np.uint8) for plane in planes)
    return cb, cr


def expected_chroma(frame: ColorFrame) -> tuple[float, float]:
    """Return the mean a and b that the model gives a frame."""
    values = (frame.luma.astype(np.float64) - 16.0) / 219.0
    a, b = np.moveaxis(onnx_models.expected_ab("ddcolor", values), -1, 0)
    return float(a.mean()), float(b.mean())


def mean_ab(frame: ColorFrame) -> tuple[float, float]:
    luma, cb, cr = (p.astype(np.float32) for p in (frame.luma, frame.cb, frame.cr))
    cb, cr = (
        np.repeat(np.repeat(p, 2, 0), 2, 1)[: luma.shape[0], : luma.shape[1]] for p in (cb, cr)
    )
    y, cb, cr = (luma - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    _, a, b = lab_from_rgb(*(np.ascontiguousarray(c, np.float32) for c in (red, green, blue)))
    return float(a.mean()), float(b.mean())


@pytest.mark.slow
@pytest.mark.parametrize("anchors", ["shot", "0.5", "all"])
def test_every_frame_has_the_colours_of_the_model(
    film: Path, model: Path, options: ColorOptions, anchors: str
) -> None:
    with_model = replace(options, model=str(model), anchors=anchors)
    for frame in colored(film, with_model)[::9]:
        np.testing.assert_allclose(mean_ab(frame), expected_chroma(frame), atol=3.0)


def assert_alike(frame: ColorFrame, expected: ColorFrame) -> None:
    """Check that chroma differs by a rounding error at most: a network's batches cause some."""
    np.testing.assert_array_equal(frame.luma, expected.luma)
    for ours, theirs in ((frame.cb, expected.cb), (frame.cr, expected.cr)):
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("anchors", ["shot", "0.5", "all"])
@pytest.mark.parametrize("span", [(0, 9), (20, 42), (85, 110)])
def test_a_part_is_the_whole(
    film: Path, model: Path, options: ColorOptions, anchors: str, span: tuple[int, int]
) -> None:
    with_model = replace(options, model=str(model), anchors=anchors)
    whole, part = colored(film, with_model), colored(film, with_model, Part(*span))
    assert [f.number for f in part] == list(range(*span))
    for frame in part:
        assert_alike(frame, whole[frame.number])


@pytest.mark.slow
def test_the_model_runs_on_the_key_frames_of_a_part_alone(
    film: Path, model: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    predict = OnnxColorizer.predict

    def count(self: OnnxColorizer, gray: np.ndarray) -> np.ndarray:
        calls.append(gray)
        return predict(self, gray)

    monkeypatch.setattr(OnnxColorizer, "predict", count)
    with_model = replace(options, model=str(model), anchors="shot")
    colorizer = Colorizer(with_model)
    for part, num in ((Part(92, 100), 1), (Part(), 3)):
        calls.clear()
        list(colorizer.frames(probe(film), part))
        assert len(calls) == num


@pytest.mark.slow
def test_a_run_prints_what_the_model_is_and_how_often_it_runs(
    film: Path, model: Path, options: ColorOptions, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "filmcolor", "run", film, "-o", tmp_path / "out.mkv"]
    command += ["--model", model, "--anchors", "shot", "--size", "32"]
    result = subprocess.run(
        [*command, "--weights", options.weights], capture_output=True, text=True, check=True
    )
    lines = result.stderr.splitlines()
    assert sum("ddcolor.onnx: DDColor" in line for line in lines) == 1, lines
    assert (
        sum(bool(re.search(r"ddcolor\.onnx colours 3 frames, about \d+ s", x)) for x in lines) == 1
    )


# ---------------------------------------------------------------- resuming


def stop_at(number: int) -> Callable[[int, int | None], None]:
    """Interrupt a run when it has coloured so many frames; those that it searched come first."""
    seen: list[int] = []

    def progress(done: int, _: int | None) -> None:
        seen.append(done)
        if seen.count(number) == 2:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def interrupted(
    film: Path, model: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, ColorOptions]:
    """An output of which some segments are finished, and the options of its run."""
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1))
    output, with_model = tmp_path / "out.mkv", replace(options, model=str(model), anchors="shot")
    with pytest.raises(KeyboardInterrupt, match="segments are done"):
        colorize(film, output, options=with_model, encoding=MASTER, progress=stop_at(80))
    return output, with_model


@pytest.mark.slow
def test_a_resumed_run_is_the_whole_and_runs_the_model_on_the_rest(
    film: Path, interrupted: tuple[Path, ColorOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    output, with_model = interrupted
    calls = []
    predict = ModelColors.predict

    def count(self: ModelColors, frame: LumaFrame) -> FloatPlane:
        calls.append(frame.number)
        return predict(self, frame)

    monkeypatch.setattr(ModelColors, "predict", count)
    progress: list[int] = []
    colorize(
        film, output, options=with_model, encoding=MASTER, progress=lambda n, _: progress.append(n)
    )
    assert progress[0] > 1  # neither searched nor coloured again
    assert all(number >= CUTS[2] for number in calls)
    whole = colored(film, with_model)
    for shown, expected in zip(media.frames(output), whole, strict=True):
        assert_alike(ColorFrame(0, *shown.planes, 0, 0), expected)


@pytest.mark.slow
def test_a_run_does_not_resume_with_another_model_or_other_anchors(
    film: Path, interrupted: tuple[Path, ColorOptions], tmp_path: Path
) -> None:
    output, with_model = interrupted
    other = onnx_models.save(Tiny("zhang", size=(64, 64)), tmp_path / "other.onnx")
    for changed, name in (
        (replace(with_model, model=str(other)), r"model ddcolor\.onnx .* \(now other\.onnx"),
        (replace(with_model, anchors="2"), r"anchors shot \(now 2\)"),
        (replace(with_model, model=""), r"model ddcolor\.onnx"),
    ):
        with pytest.raises(OutputError, match=name):
            colorize(film, output, options=changed, encoding=MASTER)


@pytest.mark.slow
def test_processes_share_the_models_colours(
    film: Path, model: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "_SECONDS", Fraction(1))
    with_model = replace(options, model=str(model), anchors="shot")
    output = tmp_path / "out.mkv"
    colorize(film, output, options=with_model, encoding=MASTER, jobs=2)
    for shown, expected in zip(media.frames(output), colored(film, with_model), strict=True):
        assert_alike(ColorFrame(0, *shown.planes, 0, 0), expected)


# ---------------------------------------------------------------- settings and errors


@pytest.mark.parametrize("anchors", ["", "often", "0", "-1", "nan", "inf"])
def test_anchors_that_mean_nothing_are_refused(anchors: str) -> None:
    with pytest.raises(SettingsError, match="anchors"):
        ColorOptions(anchors=anchors)


@pytest.mark.parametrize(("seconds", "anchors"), [(0.02, "all"), (0.5, "2"), (1.9, "shot")])
def test_automatic_anchors_follow_the_time_that_a_model_takes(
    model: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, anchors: str
) -> None:
    options = ColorOptions(model=str(model))
    with monkeypatch.context() as patch:
        patch.setattr(OnnxColorizer, "seconds", lambda _: seconds)
        assert models.settle(options).anchors == anchors
    # a preview must choose what the run chooses, however busy the machine is by then
    monkeypatch.setattr(OnnxColorizer, "seconds", lambda _: 100.0)
    assert models.settle(options).anchors == anchors
    assert models.settle(replace(options, anchors="3")).anchors == "3"


def test_a_model_without_colours_stops_a_run_and_is_named(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    graph_of_nothing = Tiny("ddcolor", size=(64, 64), extra=None)
    path = onnx_models.save(graph_of_nothing, tmp_path / "loud.onnx")
    loud = onnx.load(path)
    for weight in loud.graph.initializer:
        values = onnx.numpy_helper.to_array(weight) * 100.0
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(loud, path)
    with_model = replace(options, model=str(path), anchors="shot")
    with pytest.raises(WeightsError, match=r"loud\.onnx"):
        colorize(film, tmp_path / "out.mkv", options=with_model)
    assert not (tmp_path / "out.mkv").exists()


def test_a_missing_model_is_one_line_before_anything_is_written(
    film: Path, options: ColorOptions, tmp_path: Path
) -> None:
    with_model = replace(options, model=str(tmp_path / "none.onnx"))
    with pytest.raises(WeightsError, match=r"none\.onnx"):
        colorize(film, tmp_path / "out.mkv", options=with_model)
    assert list(tmp_path.glob("out*")) == []


# ---------------------------------------------------------------- photographs, our own networks


def test_a_photograph_has_the_colours_of_the_model(
    model: Path, options: ColorOptions, tmp_path: Path
) -> None:
    gray = np.tile(np.linspace(40, 210, 96).astype(np.uint8), (64, 1))
    Image.fromarray(gray).save(tmp_path / "photo.png")
    path = colorize_photo(tmp_path / "photo.png", options=replace(options, model=str(model)))
    rgb = np.asarray(Image.open(path)).astype(np.float32) / 255.0
    _, a, b = lab_from_rgb(*(np.ascontiguousarray(rgb[..., n]) for n in range(3)))
    expected = onnx_models.expected_ab("ddcolor", gray / 255.0)
    np.testing.assert_allclose(a[:, 8:-8], expected[:, 8:-8, 0], atol=4.0)
    np.testing.assert_allclose(b[:, 8:-8], expected[:, 8:-8, 1], atol=4.0)


@pytest.mark.slow
def test_an_exported_network_gives_the_film_of_its_weights(
    film: Path, film_options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.onnx"
    export_onnx(weights_store.load(film_options.weights), path)
    part = Part(20, 34)
    own = replace(film_options, model=str(path), surfaces=0.9)
    exported = list(Colorizer(own).frames(probe(film), part))
    # other processors compute in bfloat16, and no network is loaded twice with the same options
    monkeypatch.setattr(predictor, "choose_dtype", lambda _: torch.float32)
    graded = replace(film_options, saturation=1.0, surfaces=0.9)
    for ours, theirs in zip(exported, Colorizer(graded).frames(probe(film), part), strict=True):
        assert_alike(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("is_film", [True, False])
def test_evaluation_compares_models_with_weights(
    make_film: Callable[..., Path],
    model: Path,
    options: ColorOptions,
    tmp_path: Path,
    is_film: bool,
) -> None:
    """The truth has the model's own colours."""
    if is_film:
        lumas = shoot(20)
        chromas = [chroma_of_model(luma) for luma in lumas]
        data = make_film("color.mkv", lumas=lumas, codec="ffv1", chromas=chromas)
    else:
        data = tmp_path / "pictures"
        data.mkdir()
        gray = np.tile(np.linspace(40, 210, 96).astype(np.uint8), (64, 1))
        Image.fromarray(gray).save(tmp_path / "photo.png")
        with_model = replace(options, model=str(model))
        colorize_photo(tmp_path / "photo.png", data / "color.png", options=with_model)
    evaluation = evaluate(
        data,
        EvaluationOptions(
            (options.weights, str(model)), sizes=(64,), saturations=(1.0,), anchors="shot"
        ),
    )
    rows = {row.name: row for row in evaluation.rows}
    assert rows[str(model)].ab_rmse < 4.0
    assert rows[options.weights].ab_rmse > 2 * rows[str(model)].ab_rmse


# ---------------------------------------------------------------- what a killed run leaves


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.filmcolor")


@pytest.fixture
def killed(
    film: Path, model: Path, options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, ColorOptions]:
    """An output whose run was killed when the model had coloured, but no segment was finished."""
    output, with_model = tmp_path / "killed.mkv", replace(options, model=str(model), anchors="shot")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "__exit__", lambda self, *_: self._lock.release())
        with pytest.raises(KeyboardInterrupt):
            colorize(film, output, options=with_model, encoding=MASTER, progress=stop_at(60))
    assert list(folder_of(output).glob("model-*.npz"))
    assert not list(folder_of(output).glob("0*.json"))
    return output, with_model


@pytest.mark.slow
@pytest.mark.parametrize("change", ["model", "anchors", "nothing"])
def test_a_killed_run_leaves_no_colours_of_other_settings(
    film: Path, killed: tuple[Path, ColorOptions], tmp_path: Path, change: str
) -> None:
    output, with_model = killed
    if change == "model":
        other = onnx_models.save(Tiny("zhang", size=(64, 64)), tmp_path / "other.onnx")
        with_model = replace(with_model, model=str(other))
    elif change == "anchors":
        with_model = replace(with_model, anchors="0.5")
    colorize(film, output, options=with_model, encoding=MASTER)
    for shown, expected in zip(media.frames(output), colored(film, with_model), strict=True):
        assert_alike(ColorFrame(0, *shown.planes, 0, 0), expected)


@pytest.mark.slow
def test_a_torn_file_of_colours_is_made_again(
    film: Path, killed: tuple[Path, ColorOptions]
) -> None:
    output, with_model = killed
    for path in folder_of(output).glob("model-*.npz"):
        path.write_bytes(b"")
    colorize(film, output, options=with_model, encoding=MASTER)
    for shown, expected in zip(media.frames(output), colored(film, with_model), strict=True):
        assert_alike(ColorFrame(0, *shown.planes, 0, 0), expected)


@pytest.mark.slow
def test_automatic_anchors_of_an_interrupted_run_stay(
    film: Path, interrupted: tuple[Path, ColorOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    output, with_model = interrupted  # by "shot"
    monkeypatch.setattr(models, "seconds_of", lambda _: 0.0)  # would choose "all"
    colorize(film, output, options=replace(with_model, anchors="auto"), encoding=MASTER)
    for shown, expected in zip(media.frames(output), colored(film, with_model), strict=True):
        assert_alike(ColorFrame(0, *shown.planes, 0, 0), expected)


def test_matched_colours_have_the_grade_of_the_frame_that_takes_them() -> None:
    luma = scenes.gray(scenes.texture())
    size = luma.shape[0] // 2, luma.shape[1] // 2
    given = np.full((*size, 2), 20.0, np.float32)
    exemplar = Exemplar.make("frame 3", luma, given, np.ones(size, np.float32)).of_frame(3, 1)
    plan = ExemplarPlan((exemplar,), ((0, (0,)),), ())
    features = np.random.default_rng(0).normal(size=(size[0] // 4, size[1] // 4, 16))
    features = features.astype(np.float32)
    guide = ExemplarGuide(
        plan, lambda _: features, lambda _: 2.0 * given, lambda number, ab: ab * number
    )
    frame = next(every_frame(scenes.proxy_frames([scenes.texture()], first=7)))
    (guided,) = guide.propagate([PredictedFrame(frame, given, features)])
    assert guided.ab is not None
    np.testing.assert_allclose(guided.ab[8:-8, 8:-8], 2.0 * 20.0 * 7.0, rtol=0.05)


def test_a_profile_has_a_line_for_every_guide() -> None:
    assert len(Guide.__subclasses__()) == 5
    assert {guide.name for guide in Guide.__subclasses__()} <= set(STAGES)
