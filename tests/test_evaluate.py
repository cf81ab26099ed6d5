"""Evaluation of weights: figures against independent computations, sheets, and errors."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import media
import numpy as np
import pytest
import torch
from media import Film, shoot
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import jensenshannon
from skimage.color import rgb2lab, ycbcr2rgb
from skimage.metrics import peak_signal_noise_ratio

import filmcolor.weights as weights_store
from filmcolor.cli.main import main
from filmcolor.color.chroma import rgb_picture
from filmcolor.errors import (
    FilmcolorError,
    InputError,
    OutputError,
    RangeError,
    SettingsError,
    WeightsError,
)
from filmcolor.metrics.temporal import find_motion
from filmcolor.network import predictor as predict
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.train.evaluation.evaluate import evaluate
from filmcolor.train.evaluation.options import EvaluationOptions
from filmcolor.train.evaluation.pictures import finish
from filmcolor.train.evaluation.sheet import SheetOptions
from filmcolor.train.evaluation.table import GREY, TRUTH, Row
from filmcolor.types.film import TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.video.probe import probe

MakeFilm = Callable[..., Path]
SIZES = {"a.png": (64, 48), "b.png": (48, 48), "c.png": (48, 80)}  # (width, height)
SIZE = 48  # their short side: nothing is resized
SHOT, CUT = 12, 12  # frames


def colorful(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Return a picture of soft colours, uint8 (H, W, 3)."""
    channels = [shoot(1, size, is_full_range=True, seed=3 * seed + c)[0] for c in range(3)]
    return np.dstack(channels) // 2 + 60


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "choose_dtype", lambda device: torch.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        Image.fromarray(colorful(seed, size)).save(path / name)
    return path


@pytest.fixture
def evaluation(weights_path: Path) -> EvaluationOptions:
    return EvaluationOptions((str(weights_path),), (SIZE,), (1.0, 1.5), device="cpu")


def pictures(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(p)) for p in sorted(folder.glob("*.png"))]


def luma_of(rgb: np.ndarray) -> np.ndarray:
    """Return Y' in 0..1 (ITU-R BT.709-6, item 3.2)."""
    return rgb @ np.array([0.2126, 0.7152, 0.0722]) / 255.0


def predictions(weights: Path, lumas: list[np.ndarray]) -> list[np.ndarray]:
    """Return the network's full-size ab (H, W, 2) for denoised 8-bit luma."""
    net = weights_store.load(weights)
    lumas = [np.rint(y * 255.0) / 255.0 for y in lumas]
    lumas = [gaussian_filter(y, 1.0, mode="mirror", truncate=3.0) for y in lumas]
    with torch.inference_mode():
        coded = [net(torch.from_numpy(y)[None, None].float())[0] for y in lumas]
    return [(c * 255.0 - 128.0).permute(1, 2, 0).numpy() for c in coded]


def rmse(predicted: list[np.ndarray], truths: list[np.ndarray]) -> float:
    """Return the ab RMSE over all pixels of all pictures."""
    errors = np.concatenate([(g - t).ravel() for g, t in zip(predicted, truths, strict=True)])
    return float(np.sqrt(np.mean(errors**2)))


def colorfulness(rgb: np.ndarray) -> float:
    red, green, blue = rgb.reshape(-1, 3).astype(float).T
    first, second = red - green, (red + green) / 2 - blue
    return float(
        np.sqrt(first.var() + second.var()) + 0.3 * np.sqrt(first.mean() ** 2 + second.mean() ** 2)
    )


def eight_bits(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def mean_psnr(shown: list[np.ndarray], truths: list[np.ndarray]) -> float:
    return float(
        np.mean([peak_signal_noise_ratio(t, s, data_range=255) for s, t in zip(shown, truths)])
    )


def figures(row: Row) -> list[float | None]:
    return [row.ab_rmse, row.chroma_percent, row.colorfulness, row.psnr]


# ---------------------------------------------------------------- pictures


def test_errors_are_those_of_an_independent_computation(
    folder: Path, evaluation: EvaluationOptions, weights_path: Path
) -> None:
    truths = [rgb2lab(p)[..., 1:] for p in pictures(folder)]
    predicted = predictions(weights_path, [luma_of(p) for p in pictures(folder)])
    grey, plain, vivid, truth = evaluate(folder, evaluation).rows
    nothing = [np.zeros_like(t) for t in truths]
    assert grey.ab_rmse == pytest.approx(rmse(nothing, truths), abs=2e-3)
    assert plain.ab_rmse == pytest.approx(rmse(predicted, truths), abs=5e-3)
    assert vivid.ab_rmse == pytest.approx(rmse([1.5 * g for g in predicted], truths), abs=5e-3)
    under = 100.0 * (1.0 - plain.ab_rmse / grey.ab_rmse)
    assert plain.percent_under_grey == pytest.approx(under)
    chroma = [
        np.concatenate([np.hypot(*p.reshape(-1, 2).T) for p in ab]) for ab in (predicted, truths)
    ]
    assert truth.mean_chroma == pytest.approx(chroma[1].mean(), abs=2e-3)
    assert plain.chroma_percent == pytest.approx(100 * chroma[0].mean() / chroma[1].mean(), abs=0.1)
    assert vivid.chroma_percent == pytest.approx(1.5 * plain.chroma_percent)
    assert (grey.chroma_percent, truth.chroma_percent) == (0.0, 100.0)


def test_pictures_are_finished_with_their_own_luma(
    folder: Path, evaluation: EvaluationOptions
) -> None:
    shown = pictures(folder)
    greys = [np.repeat(eight_bits(luma_of(p))[..., None], 3, axis=2) for p in shown]
    grey, plain, vivid, truth = evaluate(folder, evaluation).rows
    assert grey.psnr == pytest.approx(mean_psnr(greys, shown), abs=1e-3)
    assert truth.colorfulness == pytest.approx(np.mean([colorfulness(p) for p in shown]))
    assert grey.colorfulness == 0.0 < plain.colorfulness < vivid.colorfulness
    assert plain.psnr > vivid.psnr  # the weights are random; more saturation is worse
    assert (truth.psnr, truth.ab_rmse, truth.percent_under_grey) == (None, None, None)
    assert {r.cdc for r in (grey, plain, vivid, truth)} == {None}


def test_finishing_keeps_true_colours() -> None:
    """Otherwise PSNR would not measure the colours."""
    rgb = colorful(7, (64, 48))
    shown = finish(luma_of(rgb).astype(np.float32), rgb2lab(rgb)[..., 1:].astype(np.float32))
    assert np.abs(shown.rgb.astype(int) - rgb).max() <= 2


def test_a_network_without_colour_is_grey(folder: Path, evaluation: EvaluationOptions) -> None:
    grey, pale, _ = evaluate(folder, replace(evaluation, saturations=(0.0,))).rows
    # the white of CIE's D65 differs from that of sRGB's matrix by 1e-5: a few code values by one
    assert figures(pale) == pytest.approx(figures(grey), abs=0.1)
    assert pale.ab_rmse == grey.ab_rmse
    assert pale.percent_under_grey == pytest.approx(0.0)


def test_every_combination_is_a_row(
    folder: Path, evaluation: EvaluationOptions, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(evaluation.weights[0]).read_bytes())
    names = (evaluation.weights[0], str(other))
    result = evaluate(folder, replace(evaluation, weights=names, sizes=(48, 32, 48)))
    expected = []
    for size in (48, 32):
        expected += [(GREY, size, None)]
        expected += [(name, size, saturation) for name in names for saturation in (1.0, 1.5)]
        expected += [(TRUTH, size, None)]
    assert [(r.name, r.size, r.saturation) for r in result.rows] == expected
    first, second = (result.rows[n : n + 2] for n in (1, 3))
    assert [figures(r) for r in first] == [figures(r) for r in second]
    assert result.rows[0].ab_rmse != result.rows[6].ab_rmse
    assert (result.num_pictures, result.is_film) == (3, False)


def test_mirror_images_score_the_same_when_flips_are_averaged(
    folder: Path, evaluation: EvaluationOptions, tmp_path: Path
) -> None:
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    for path in folder.iterdir():
        Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(mirrored / path.name)
    plain = [evaluate(f, evaluation).rows[1].ab_rmse for f in (folder, mirrored)]
    averaged = replace(evaluation, is_flip_averaged=True)
    both = [evaluate(f, averaged).rows[1].ab_rmse for f in (folder, mirrored)]
    assert plain[0] != pytest.approx(plain[1], abs=1e-3)
    assert both[0] == pytest.approx(both[1], abs=1e-4)
    assert both[0] < max(plain)


def test_film_stock_changes_the_networks_input_only(
    folder: Path, evaluation: EvaluationOptions
) -> None:
    clean, aged, again = (
        evaluate(folder, replace(evaluation, is_old_stock=is_old)).rows
        for is_old in (False, True, True)
    )
    assert aged == again
    assert (aged[0], aged[-1]) == (clean[0], clean[-1])
    assert abs(aged[1].ab_rmse - clean[1].ab_rmse) > 0.01


def test_pictures_without_colour_or_content_are_left_out_by_name(
    folder: Path, evaluation: EvaluationOptions
) -> None:
    rows = evaluate(folder, evaluation).rows
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "old").mkdir()
    Image.fromarray(shoot(1, is_full_range=True)[0]).save(folder / "old" / "grey.png")
    calls: list[tuple[int, int | None]] = []
    result = evaluate(folder, evaluation, progress=lambda *call: calls.append(call))
    assert result.rows == rows
    assert (result.num_pictures, result.unreadable, result.colorless) == (
        3,
        ("broken.jpg",),
        ("old/grey.png",),
    )
    assert calls == [(n, 5) for n in range(1, 6)]


def refused(
    error: type[FilmcolorError],
    match: str,
    data: Path,
    evaluation: EvaluationOptions,
    **arguments: object,
) -> None:
    with pytest.raises(error, match=match):
        evaluate(data, evaluation, **arguments)


def test_data_without_colour_is_refused(
    folder: Path, evaluation: EvaluationOptions, tmp_path: Path
) -> None:
    for path in folder.iterdir():
        Image.open(path).convert("L").save(path)
    refused(InputError, r"no picture in colour \(3 grey, 0 unreadable\)", folder, evaluation)
    refused(InputError, "is one picture; name the folder", folder / "a.png", evaluation)
    refused(InputError, "no such file", tmp_path / "nothing", evaluation)
    (tmp_path / "empty").mkdir()
    refused(InputError, "holds no pictures", tmp_path / "empty", evaluation)


def test_options_without_meaning_are_refused(
    folder: Path, evaluation: EvaluationOptions, tmp_path: Path
) -> None:
    refused(
        SettingsError, "a range is of a film", folder, evaluation, time_range=TimeRange(first=3)
    )
    refused(WeightsError, "no weights", folder, replace(evaluation, weights=("nobody",)))
    for changes in ({"sizes": (16,)}, {"saturations": (5.0,)}, {"batch_size": 0}, {"weights": ()}):
        with pytest.raises(SettingsError):
            replace(evaluation, **changes)
    with pytest.raises(SettingsError, match="ask for 1 or more"):
        SheetOptions(tmp_path / "sheet.png", 0)


# ---------------------------------------------------------------- films


def planes_of(num_frames: int, seed: int) -> list[tuple[np.ndarray, ...]]:
    """Return a shot in colour: Y', Cb and Cr, each a panning texture."""
    luma, *chroma = (shoot(num_frames, seed=3 * seed + c) for c in range(3))
    soft = [[(c // 3 + 86).astype(np.uint8) for c in frames] for frames in chroma]
    return list(zip(luma, *soft, strict=True))


@pytest.fixture
def film(make_film: MakeFilm) -> Path:
    planes = planes_of(SHOT, 1) + planes_of(SHOT, 2)
    return make_film("film.mkv", in_color(planes))


def in_color(planes: list[tuple[np.ndarray, ...]]) -> Film:
    chromas = [(cb, cr) for _, cb, cr in planes]
    return Film([p[0] for p in planes], codec="ffv1", pix_fmt="yuv444p", chromas=chromas)


def cdc(frames: list[np.ndarray], shots: list[range]) -> float:
    steps = []
    for step in (1, 2, 4):
        pairs = [(n, n + step) for shot in shots for n in shot if n + step in shot]
        distances = []
        for channel in range(3):
            shares = [np.bincount(f[..., channel].ravel(), minlength=256) for f in frames]
            distances += [jensenshannon(shares[a], shares[b]) ** 2 for a, b in pairs]
        steps.append(np.mean(distances))
    return float(np.mean(steps))


def warp_error(ab: list[np.ndarray], lumas: list[np.ndarray], cuts: tuple[int, ...]) -> float:
    """Return the mean error, warping pixel by pixel with bilinear interpolation."""
    jumps = []
    for now, then in pairwise(range(len(ab))):
        if then in cuts:
            continue
        motion = find_motion(lumas[now], lumas[then])
        rows, columns = np.nonzero(motion.is_visible)
        x, y = columns + motion.forward[rows, columns, 0], rows + motion.forward[rows, columns, 1]
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        warped = 0.0
        for down in (0, 1):
            for right in (0, 1):
                share = (1 - abs(x - left - right)) * (1 - abs(y - top - down))
                index = (
                    np.minimum(top + down, ab[0].shape[0] - 1),
                    np.minimum(left + right, ab[0].shape[1] - 1),
                )
                warped = warped + share[:, None] * ab[then][index]
        jumps.append(np.linalg.norm(warped - ab[now][rows, columns], axis=1))
    return float(np.concatenate(jumps).mean())


def truths_of(film: Path) -> list[np.ndarray]:
    """Return the film's frames by scikit-image: BT.601, limited range."""
    return [eight_bits(ycbcr2rgb(np.dstack(f.planes).astype(float))) for f in media.frames(film)]


def colored(film: Path, options: ColorOptions, saturation: float) -> list[ColorFrame]:
    return list(
        Colorizer(replace(options, saturation=saturation, recolor=True)).frames(probe(film))
    )


@pytest.mark.slow
@pytest.mark.parametrize("time_range", [TimeRange(), TimeRange(first=3, stop=17)])
def test_a_film_is_compared_as_it_is_coloured(
    film: Path, evaluation: EvaluationOptions, options: ColorOptions, time_range: TimeRange
) -> None:
    kept = slice(time_range.first or 0, time_range.stop)
    result = evaluate(film, replace(evaluation, sizes=(options.size,)), time_range=time_range)
    assert (result.num_pictures, result.is_film) == (len(range(24)[kept]), True)
    coding = probe(film).coding
    lumas = [(f.luma.astype(float) - 16) / 219 for f in media.frames(film)[kept]]
    greys = [np.repeat(eight_bits(y)[..., None], 3, axis=2) for y in lumas]
    shown = {(GREY, None): greys, (TRUTH, None): truths_of(film)[kept]}
    for saturation in evaluation.saturations:
        frames = colored(film, options, saturation)[kept]
        shown[(evaluation.weights[0], saturation)] = [
            eight_bits(rgb_picture(frame, coding)) for frame in frames
        ]
    truths = shown[(TRUTH, None)]
    true_ab = [rgb2lab(t)[..., 1:] for t in truths]
    cut = CUT - kept.start
    shots = [range(cut), range(cut, len(truths))]
    for row in result.rows:
        pictures = shown[(row.name, row.saturation)]
        ab = [rgb2lab(p)[..., 1:] for p in pictures]
        if row.name != TRUTH:
            assert row.ab_rmse == pytest.approx(rmse(ab, true_ab), abs=2e-3)
            assert row.psnr == pytest.approx(mean_psnr(pictures, truths), abs=2e-3)
        assert row.colorfulness == pytest.approx(np.mean([colorfulness(p) for p in pictures]))
        assert row.cdc == pytest.approx(cdc(pictures, shots), rel=1e-3)  # ties of rounding
        seen = [g[..., 0] for g in greys]
        # OpenCV warps with a precision of 1/32 pixel
        assert row.warp_error == pytest.approx(warp_error(ab, seen, (cut,)), abs=0.02)
    grey, plain, _, truth = result.rows
    assert grey.warp_error == pytest.approx(0.0, abs=0.02) and grey.colorfulness == 0.0
    assert plain.warp_error > 0.2 and truth.warp_error > 0.2


def test_a_large_film_is_compared_at_256_pixels(
    make_film: MakeFilm, evaluation: EvaluationOptions, options: ColorOptions, tmp_path: Path
) -> None:
    luma = shoot(2, (400, 320))
    blue = [(np.full_like(y, 160), np.full_like(y, 110)) for y in luma]
    film = make_film("large.mkv", Film(luma, codec="ffv1", pix_fmt="yuv444p", chromas=blue))
    sheet_options = SheetOptions(tmp_path / "sheet.png", num_pictures=1)
    result = evaluate(film, replace(evaluation, sizes=(options.size,)), sheet=sheet_options)
    truth = result.rows[-1]
    true_ab = [rgb2lab(t)[..., 1:] for t in truths_of(film)]
    assert truth.mean_chroma == pytest.approx(
        np.hypot(*np.moveaxis(true_ab, 3, 0)).mean(), rel=0.02
    )
    assert Image.open(sheet_options.path).width == 192 + 2 * 8


@pytest.mark.parametrize("name", ["grey.mkv", "grey.avi"])
def test_a_film_without_colour_is_refused(
    make_film: MakeFilm, evaluation: EvaluationOptions, name: str
) -> None:
    film = make_film(name, Film(shoot(12), codec="ffv1"), time_base=1 / media.RATE)
    refused(
        InputError, "has no colour in the frames asked for", film, replace(evaluation, sizes=(32,))
    )


def test_options_for_pictures_are_refused_for_a_film(
    film: Path, evaluation: EvaluationOptions
) -> None:
    for changes in ({"is_old_stock": True}, {"is_flip_averaged": True}):
        refused(SettingsError, "are for folders of pictures", film, replace(evaluation, **changes))
    refused(RangeError, "frames 0 to 23", film, evaluation, time_range=TimeRange(first=40))


# ---------------------------------------------------------------- sheet and command


def test_a_sheet_has_a_row_for_each_rendition(
    folder: Path, evaluation: EvaluationOptions, tmp_path: Path
) -> None:
    (folder / "b.png").write_bytes(b"broken")  # the second: the next one replaces it
    sheet = tmp_path / "sheet.png"
    sheet_options = SheetOptions(sheet, num_pictures=2)
    evaluate(folder, evaluation, sheet=sheet_options)
    shown = np.asarray(Image.open(sheet)).astype(int)
    width, height, gap, text = 64, 80, 8, 22  # of the widest and the tallest picture
    assert shown.shape == (4 * (text + height + gap) + gap + text, 2 * (width + gap) + gap, 3)
    tops = [gap + text + n * (text + height + gap) + (height - 48) // 2 for n in range(4)]
    first = [shown[top : top + 48, gap : gap + 64] for top in tops]
    assert np.array_equal(first[3], colorful(0, SIZES["a.png"]))
    assert np.ptp(first[0], axis=2).max() == 0 < np.ptp(first[1], axis=2).max()
    with pytest.raises(OutputError, match="--force"):
        evaluate(folder, evaluation, sheet=sheet_options)
    evaluate(folder, evaluation, sheet=replace(sheet_options, force=True, num_pictures=1))
    assert Image.open(sheet).size == (48 + 2 * gap, 4 * (text + 80 + gap) + gap + text)


def test_a_sheet_has_a_picture_when_chosen_ones_are_left_out(
    folder: Path, evaluation: EvaluationOptions, tmp_path: Path
) -> None:
    for name in ("b.png", "c.png"):
        (folder / name).write_bytes(b"broken")
    sheet = tmp_path / "sheet.png"
    evaluate(folder, evaluation, sheet=SheetOptions(sheet, num_pictures=1))
    assert Image.open(sheet).width == 64 + 2 * 8


def test_a_sheet_is_not_written_among_the_pictures(
    folder: Path, evaluation: EvaluationOptions
) -> None:
    sheet_options = SheetOptions(folder / "sheet.png")
    refused(OutputError, "among the pictures", folder, evaluation, sheet=sheet_options)
    sheet_options = SheetOptions(folder.parent / "sheet.jpg")
    refused(OutputError, "name it .png", folder, evaluation, sheet=sheet_options)


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str


RunCommand = Callable[..., CommandResult]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunCommand:
    def run(*args: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["filmcolor", "evaluate", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        return CommandResult(stop.value.code, *capfd.readouterr())

    return run


def test_the_command_prints_a_table(
    folder: Path, weights_path: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights_path.parent)
    (folder / "broken.jpg").write_bytes(b"no picture")
    output = run_command(
        weights_path.name, "--data", folder, "--size", 48, "--size", 32, "--saturation", 1,
        "--device", "cpu", "-q",
    )  # fmt: skip
    title, heading, *lines = output.out.splitlines()
    assert (output.code, title) == (0, f"{folder}: 3 pictures")
    assert (
        output.err
        == "filmcolor: left out, as they cannot be read: 1 of the pictures (broken.jpg)\n"
    )
    assert len({len(line) for line in (heading, *lines)}) == 1
    assert "warp error" not in heading
    assert [line.split()[:3] for line in lines] == [
        ["grey", "48", "–"],
        ["seed0.safetensors", "48", "1"],
        ["truth", "48", "–"],
        ["grey", "32", "–"],
        ["seed0.safetensors", "32", "1"],
        ["truth", "32", "–"],
    ]


def test_the_command_prints_json(film: Path, weights_path: Path, run_command: RunCommand) -> None:
    args = (weights_path, "--data", film, "--size", 32, "--frames", "2:9", "--device", "cpu")
    output = run_command(*args, "--json", "-q")
    result = json.loads(output.out)
    assert (output.code, output.err) == (0, "")
    assert (result["data"], result["num_pictures"], len(result["rows"])) == (str(film), 7, 3)
    assert result["rows"][1]["saturation"] == ColorOptions().grade.saturation
    assert result["rows"][2]["psnr"] is None
    table = run_command(*args, "-q").out.splitlines()
    assert table[0] == f"{film}: 7 frames"
    assert table[1].split()[-3:] == ["CDC", "warp", "error"]
    assert table[3].split()[-1] == f"{result['rows'][1]['warp_error']:.2f}"


def test_the_command_refuses_in_one_line(
    folder: Path, film: Path, weights_path: Path, run_command: RunCommand
) -> None:
    for code, args in (
        (1, (weights_path, "--data", folder / "nothing")),
        (1, (weights_path, "--data", folder, "--frames", "0:3")),
        (1, (weights_path, "--data", film, "--flip")),
        (1, (weights_path, "--data", folder, "--batch-size", 0)),
        (2, (weights_path,)),
        (2, ("--data", folder)),
        (2, (weights_path, "--data", film, "--frames", "0:3", "--to", "1")),
    ):
        output = run_command(*args)
        assert (output.code, output.out, output.err.count("\n")) == (code, "", 1)
