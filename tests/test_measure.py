"""Figures of finished films: as computed here by other means, and what is drawn of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
import pytest
from media import Film, shoot
from PIL import Image
from scipy.spatial.distance import jensenshannon
from skimage.color import rgb2lab, ycbcr2rgb
from skimage.metrics import peak_signal_noise_ratio

from filmcolor import PlotOptions, measure
from filmcolor.cli.main import main
from filmcolor.errors import FilmcolorError, InputError, OutputError, RangeError, SettingsError
from filmcolor.metrics.comparison import Shown
from filmcolor.metrics.plots import COLORS, clock, nice_seconds
from filmcolor.metrics.temporal import LONG_STEP, motion
from filmcolor.metrics.time_slice import MOST_LINES, Strip
from filmcolor.types.film import TimeRange

MakeFilm = Callable[..., Path]
SHOTS = (30, 12)  # frames
NUM_FRAMES = sum(SHOTS)
GAP, GUTTER, HEAD = 10, 62, 28  # pixels of a strip, as it is drawn


def planes(num_frames: int, seed: int, strength: float = 0.3) -> list[tuple[np.ndarray, ...]]:
    """A shot in colour: Y', Cb and Cr, each a texture that pans; BT.601, limited range."""
    luma, *chroma = (shoot(num_frames, seed=3 * seed + c) for c in range(3))
    soft = [
        [np.rint((c.astype(float) - 128) * strength + 128).astype(np.uint8) for c in frames]
        for frames in chroma
    ]
    return list(zip(luma, *soft, strict=True))


def in_color(frames: list[tuple[np.ndarray, ...]]) -> Film:
    chromas = [(cb, cr) for _, cb, cr in frames]
    return Film([p[0] for p in frames], codec="ffv1", pix_fmt="yuv444p", chromas=chromas)


def true_planes() -> list[tuple[np.ndarray, ...]]:
    return planes(SHOTS[0], 1) + planes(SHOTS[1], 2)


@pytest.fixture
def truth(make_film: MakeFilm) -> Path:
    return make_film("truth.mkv", in_color(true_planes()))


@pytest.fixture
def film(make_film: MakeFilm) -> Path:
    """The same luma, with paler colours and a flicker of them."""
    pale = [
        (y, *((c.astype(int) - 128) // 2 + 128 + 6 * (n % 2) for c in (cb, cr)))
        for n, (y, cb, cr) in enumerate(true_planes())
    ]
    return make_film("film.mkv", in_color([tuple(p.astype(np.uint8) for p in f) for f in pale]))


def pictures(path: Path) -> list[np.ndarray]:
    """The film's frames by scikit-image, whose YCbCr is BT.601 in limited range."""
    values = [ycbcr2rgb(np.dstack(f.planes).astype(float)) for f in media.frames(path)]
    return [np.rint(v.clip(0.0, 1.0) * 255.0).astype(np.uint8) for v in values]


def lumas(path: Path) -> list[np.ndarray]:
    values = [(f.luma.astype(float) - 16) / 219 for f in media.frames(path)]
    return [np.rint(v.clip(0.0, 1.0) * 255.0).astype(np.uint8) for v in values]


def lab(shown: list[np.ndarray]) -> list[np.ndarray]:
    return [rgb2lab(p)[..., 1:] for p in shown]


def mean_chroma(shown: list[np.ndarray]) -> float:
    return float(np.mean([np.hypot(ab[..., 0], ab[..., 1]) for ab in lab(shown)]))


def colorfulness(rgb: np.ndarray) -> float:
    red, green, blue = rgb.reshape(-1, 3).astype(float).T
    first, second = red - green, (red + green) / 2 - blue
    return float(
        np.sqrt(first.var() + second.var()) + 0.3 * np.sqrt(first.mean() ** 2 + second.mean() ** 2)
    )


def mean_colorfulness(shown: list[np.ndarray]) -> float:
    return float(np.mean([colorfulness(p) for p in shown]))


def cdc(shown: list[np.ndarray], shots: list[range], last: range) -> float:
    """Of the pairs whose later frame is in `last`."""
    shares = [[np.bincount(f[..., c].ravel(), minlength=256) for f in shown] for c in range(3)]
    steps = []
    for step in (1, 2, 4):
        pairs = [(n - step, n) for shot in shots for n in shot if n - step in shot and n in last]
        steps.append(np.mean([jensenshannon(s[a], s[b]) ** 2 for s in shares for a, b in pairs]))
    return float(np.mean(steps))


def test_figures_are_those_of_an_independent_computation(film: Path, truth: Path) -> None:
    result = measure(film, truth)
    shown, true = pictures(film), pictures(truth)
    greys = [np.repeat(y[..., None], 3, axis=2) for y in lumas(truth)]
    assert (result.film, result.truth, result.num_frames) == (film, truth, NUM_FRAMES)
    assert result.cuts == pytest.approx((SHOTS[0] / 24,))
    assert (list(result.rows), result.notes) == (["grey", "film", "truth"], ())
    shots = [range(SHOTS[0]), range(SHOTS[0], NUM_FRAMES)]
    for name, row in (("grey", greys), ("film", shown), ("truth", true)):
        found = result.rows[name]
        assert found.colorfulness == pytest.approx(
            np.mean([colorfulness(p) for p in row]), rel=1e-4
        )
        assert found.mean_chroma == pytest.approx(mean_chroma(row), abs=0.01)
        assert found.cdc == pytest.approx(cdc(row, shots, range(NUM_FRAMES)), rel=1e-3)
        if name == "truth":
            assert (found.ab_rmse, found.psnr) == (None, None)
            continue
        errors = np.concatenate([(a - b).ravel() for a, b in zip(lab(row), lab(true))])
        assert found.ab_rmse == pytest.approx(np.sqrt(np.mean(errors**2)), abs=0.01)
        wanted = np.mean([peak_signal_noise_ratio(t, p) for t, p in zip(true, row)])
        assert found.psnr == pytest.approx(wanted, abs=0.02)


def test_flicker_is_known_by_its_size(make_film: MakeFilm) -> None:
    """Over one luma that stands still, colours jump by what they jump."""
    luma = shoot(1, seed=5)[0]
    colors = [np.uint8([120, 140]), np.uint8([130, 150])]
    frames = [(luma, *(np.full_like(luma, c) for c in colors[n % 2])) for n in range(30)]
    film = make_film("flicker.mkv", in_color(frames))
    ab = lab(pictures(film)[:2])
    found = measure(film).rows["film"]
    assert found.warp_error == pytest.approx(np.hypot(*(ab[1] - ab[0]).T).mean(), rel=1e-3)
    assert found.long_warp_error == pytest.approx(0.0, abs=1e-3)


def test_motion_is_the_truths(film: Path, truth: Path, make_film: MakeFilm) -> None:
    """A film whose luma differs is judged along the same motion."""
    shown, seen = lab(pictures(film)), lumas(truth)
    jumps, weights = [], []
    for n in range(1, NUM_FRAMES):
        if n != SHOTS[0]:
            moved = motion(seen[n - 1], seen[n])
            rows, columns = np.nonzero(moved.is_seen)
            there = np.rint(np.stack([rows, columns], 1) + moved.flow[rows, columns, ::-1])
            y, x = there.astype(int).T
            jumps.append(np.linalg.norm(shown[n][y, x] - shown[n - 1][rows, columns], axis=1))
            weights.append(len(rows))
    result = measure(film, truth)
    # here the nearest pixel, there a mean of four: colours are soft
    assert result.rows["film"].warp_error == pytest.approx(np.concatenate(jumps).mean(), rel=0.03)
    swapped = [(255 - y, cb, cr) for y, cb, cr in (f.planes for f in media.frames(film))]
    negative = make_film("negative.mkv", in_color(swapped))
    assert measure(negative, truth).rows["grey"] == result.rows["grey"]


def test_seconds_are_of_the_frames_shown_in_them(film: Path, truth: Path) -> None:
    result, shown, true = measure(film, truth), pictures(film), pictures(truth)
    assert [s.start for s in result.seconds] == [0, 1]
    shots = [range(SHOTS[0]), range(SHOTS[0], NUM_FRAMES)]
    for second, frames in zip(result.seconds, (range(24), range(24, NUM_FRAMES)), strict=True):
        found, part = second.rows["film"], [shown[n] for n in frames]
        assert found.colorfulness == pytest.approx(
            np.mean([colorfulness(p) for p in part]), rel=1e-4
        )
        assert found.mean_chroma == pytest.approx(mean_chroma(part), abs=0.01)
        assert found.cdc == pytest.approx(cdc(shown, shots, frames), rel=1e-3)
        wanted = np.mean([peak_signal_noise_ratio(true[n], shown[n]) for n in frames])
        assert found.psnr == pytest.approx(wanted, abs=0.02)
    first, second = (s.rows["film"] for s in result.seconds)
    assert first.ab_rmse != pytest.approx(second.ab_rmse, rel=1e-3)
    assert (first.long_warp_error, second.long_warp_error is None) == (None, False)
    # the only pair a second apart lies in the second second: 0 to 24
    assert LONG_STEP == 24 and second.long_warp_error == result.rows["film"].long_warp_error


def test_the_truth_beside_itself_has_no_error(truth: Path) -> None:
    result = measure(truth, truth)
    assert (result.rows["film"].ab_rmse, result.rows["film"].psnr) == (0.0, None)
    assert replace(result.rows["film"], ab_rmse=None) == result.rows["truth"]
    assert result.rows["grey"].ab_rmse > 1.0
    alone = measure(truth)
    assert list(alone.rows) == ["grey", "film"]
    assert alone.rows["film"] == result.rows["truth"]
    assert alone.rows["grey"].ab_rmse is None


def test_a_film_without_colour_is_told(make_film: MakeFilm, truth: Path) -> None:
    film = make_film("grey.mkv", Film([p[0] for p in true_planes()], codec="ffv1"))
    result = measure(film)
    (note,) = result.notes
    assert note == f"{film} has no colour at all: its figures are those of grey"
    assert result.rows["film"].colorfulness == pytest.approx(0.0, abs=0.1)
    assert measure(truth, film).notes == (f"{film}{note.removeprefix(str(film))}",)


def test_a_part_is_measured_alone(film: Path, truth: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    part = TimeRange(first=3, stop=9)
    result = measure(film, truth, time_range=part, progress=lambda *call: calls.append(call))
    wanted = mean_colorfulness(pictures(film)[3:9])
    assert result.rows["film"].colorfulness == pytest.approx(wanted, rel=1e-4)
    assert calls == [(n, 6) for n in range(1, 7)]
    later = measure(film, time_range=TimeRange(start_seconds=Fraction(1)))
    assert [s.start for s in later.seconds] == [1]
    assert later.num_frames == NUM_FRAMES - 24


def test_a_larger_truth_is_compared_at_the_films_size(make_film: MakeFilm, film: Path) -> None:
    large = [tuple(np.kron(p, np.ones((2, 2), np.uint8)) for p in f) for f in true_planes()]
    doubled = make_film("large.mkv", in_color(large))
    plain = make_film("plain.mkv", in_color(true_planes()))
    found, wanted = (
        measure(film, t, time_range=TimeRange(first=0, stop=6)).rows for t in (doubled, plain)
    )
    assert found["film"].ab_rmse == pytest.approx(wanted["film"].ab_rmse, rel=0.01)


def refused(
    error: type[FilmcolorError], match: str, *films: Path, **anchor_requests: object
) -> None:
    with pytest.raises(error, match=match):
        measure(*films, **anchor_requests)


def test_films_that_differ_are_refused(film: Path, make_film: MakeFilm, tmp_path: Path) -> None:
    short = make_film("short.mkv", in_color(true_planes()[:-1]))
    refused(InputError, "film.mkv has 42 frames, .*short.mkv has 41", film, short)
    cropped = [tuple(p[:, :64] for p in f) for f in true_planes()]
    narrow = make_film("narrow.mkv", in_color(cropped))
    refused(InputError, "96×64, .*narrow.mkv 64×64 and of another shape", film, narrow)
    refused(RangeError, "frames 0 to 41", film, time_range=TimeRange(first=50))
    refused(InputError, "no such file", film, tmp_path / "nothing.mkv")


# ---------------------------------------------------------------- drawings


def columns(picture: np.ndarray, number: int, times: int) -> np.ndarray:
    """A strip out of its picture, each line once."""
    left = GUTTER + number * (media.SIZE[0] + GAP)
    return picture[HEAD : HEAD + NUM_FRAMES * times : times, left : left + media.SIZE[0]]


@pytest.mark.parametrize(("share", "row"), [(0.0, 0), (0.5, 32), (1.0, 63)])
def test_a_strip_is_one_row_over_time(
    film: Path, truth: Path, tmp_path: Path, share: float, row: int
) -> None:
    target = tmp_path / "strip.png"
    measure(film, truth, drawings=PlotOptions(strip=target, row=share))
    picture = np.asarray(Image.open(target))
    times = 12  # 42 lines are made at least 480 pixels
    assert picture.shape[1] == GUTTER + 5 * (media.SIZE[0] + GAP)
    shown, true = (np.stack([p[row] for p in pictures(path)]) for path in (film, truth))
    assert np.abs(columns(picture, 1, times).astype(int) - shown).max() <= 1
    assert np.abs(columns(picture, 3, times).astype(int) - true).max() <= 1
    grey = columns(picture, 0, times)
    assert np.ptp(grey, axis=2).max() == 0
    assert np.abs(grey[..., 0].astype(int) - np.stack([y[row] for y in lumas(truth)])).max() == 0
    found = rgb2lab(columns(picture, 4, times))
    assert np.abs(found[..., 0] - 65).mean() < 0.5  # but for what is out of gamut
    assert np.abs(found[..., 1:] - rgb2lab(true)[..., 1:]).mean() < 0.5
    edge = picture[HEAD : HEAD + NUM_FRAMES * times, GUTTER - 5]
    marked = np.flatnonzero((edge != 255).any(axis=1))
    assert np.abs(marked - SHOTS[0] * times).max() <= 1


def test_a_strip_of_a_long_film_has_so_many_lines(film: Path) -> None:
    from filmcolor.video.probe import probe

    num = 2 * MOST_LINES + 7
    strip = Strip(num, 0.5, probe(film))
    for number in range(num):
        rgb = np.full((3, 4, 3), number * 250 // num, np.uint8)
        view = Shown(rgb, np.zeros((3, 4, 2), np.float32))
        strip.add(number / 24, {"film": view}, number == MOST_LINES + 1)
    picture = np.asarray(strip.drawn("film"))
    lines = picture[HEAD : HEAD + MOST_LINES, GUTTER, 0].astype(int)
    wanted = [(-(-line * num // MOST_LINES)) * 250 // num for line in range(MOST_LINES)]
    assert lines.tolist() == wanted
    marked = np.flatnonzero((picture[HEAD : HEAD + MOST_LINES, GUTTER - 5] != 255).any(axis=1))
    assert abs(int(marked[0]) - MOST_LINES // 2) <= 1  # also of a cut between two lines


def test_a_plot_has_a_panel_for_each_figure(film: Path, truth: Path, tmp_path: Path) -> None:
    plain, beside = tmp_path / "plain.png", tmp_path / "beside.png"
    result = measure(film, drawings=PlotOptions(plot=plain))
    measure(film, truth, drawings=PlotOptions(plot=beside))
    shown = [np.asarray(Image.open(p)).astype(int) for p in (plain, beside)]
    heights = [p.shape[0] for p in shown]
    assert heights[1] - heights[0] == 2 * (132 + 36)  # ab RMSE and PSNR
    assert shown[0].shape[1] == 1084

    def dots(picture: np.ndarray, row: str, top: int) -> np.ndarray:
        is_it = np.abs(picture[top : top + 133, 64:1064] - COLORS[row]).max(axis=2) < 12
        return np.argwhere(is_it)

    # colourfulness: two seconds, each in the middle of its half, as high as it says
    found = dots(shown[0], "film", 54)
    values = [s.rows["film"].colorfulness for s in result.seconds]
    heights_found = [float(found[np.abs(found[:, 1] - x) <= 1][:, 0].mean()) for x in (250, 750)]
    assert np.sign(np.diff(heights_found)) == -np.sign(np.diff(values))
    assert len(dots(shown[0], "grey", 54)) > 0
    assert len(dots(shown[0], "truth", 54)) == 0 < len(dots(shown[1], "truth", 54))
    cut = shown[0][54:186, 64 + round(1000 * SHOTS[0] / 48)]
    field = shown[0][54:186, 64 + 400]
    assert (cut.sum(axis=1) < 765).mean() > 0.9 > (field.sum(axis=1) < 765).mean()


def test_times_of_an_axis_are_round() -> None:
    assert nice_seconds(0, 3, 10) == [0, 1, 2, 3]
    assert nice_seconds(61, 130, 10) == [70, 80, 90, 100, 110, 120, 130]
    assert len(nice_seconds(0, 5400, 10)) == 10
    assert [clock(s) for s in (0, 61.9, 3600)] == ["0:00", "1:01", "1:00:00"]


def test_drawings_are_refused_before_anything_is_read(
    film: Path, truth: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    called: list[int] = []
    for match, wish in (
        ("--force", PlotOptions(plot=there)),
        ("name it .png", PlotOptions(strip=tmp_path / "strip.jpg")),
        ("is no folder", PlotOptions(strip=tmp_path / "nowhere" / "strip.png")),
    ):
        for films in ((film,), (film, truth)):
            with pytest.raises(OutputError, match=match):
                measure(*films, drawings=wish, progress=lambda *_: called.append(1))
    assert (called, there.read_bytes()) == ([], b"mine")
    measure(film, time_range=TimeRange(stop=6), drawings=PlotOptions(plot=there, force=True))
    assert Image.open(there).format == "PNG"
    for wish in ({"row": 1.2}, {"row": -0.1}, {"plot": there, "strip": there}):
        with pytest.raises(SettingsError):
            PlotOptions(**wish)


# ---------------------------------------------------------------- the command


@dataclass(frozen=True)
class Typed:
    code: int
    out: str
    err: str


Type = Callable[..., Typed]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Type:
    def run(*words: object) -> Typed:
        monkeypatch.setattr(sys, "argv", ["filmcolor", "measure", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return Typed(stop.value.code, *capfd.readouterr())

    return run


def test_the_command_prints_a_table(film: Path, truth: Path, typed: Type, tmp_path: Path) -> None:
    said = typed(film, "--truth", truth, "--plot", tmp_path / "plot.png", "-q")
    title, _, *lines = said.out.splitlines()
    assert (said.code, said.err, title) == (0, "", f"{film}: 42 frames, 1 cut")
    assert [line.split()[0] for line in lines] == ["grey", "film", "truth"]
    found = measure(film, truth).rows["film"]
    assert lines[1].split()[1:] == [
        f"{found.ab_rmse:.2f}",
        f"{found.psnr:.2f}",
        f"{found.mean_chroma:.1f}",
        f"{found.colorfulness:.1f}",
        f"{found.cdc:.5f}",
        f"{found.warp_error:.2f}",
        f"{found.long_warp_error:.2f}",
    ]
    assert (tmp_path / "plot.png").exists()
    alone = typed(film, "--frames", "0:6", "-q").out.splitlines()
    assert (alone[0], "PSNR" in alone[1], len(alone)) == (f"{film}: 6 frames, no cut", False, 4)


def test_the_command_prints_json(film: Path, typed: Type) -> None:
    said = typed(film, "--to", "1", "--json", "-q")
    result = json.loads(said.out)
    assert (said.code, result["film"], result["truth"]) == (0, str(film), None)
    assert (result["num_frames"], len(result["seconds"])) == (24, 1)
    assert result["seconds"][0]["rows"] == result["rows"]


def test_the_command_refuses_in_one_line(film: Path, typed: Type, tmp_path: Path) -> None:
    for code, words in (
        (1, (tmp_path / "nothing.mkv",)),
        (1, (film, "--plot", film)),
        (1, (film, "--row", 2)),
        (2, ()),
        (2, (film, "--frames", "0:3", "--to", "1")),
    ):
        said = typed(*words)
        assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)


def test_measuring_needs_no_torch() -> None:
    code = "import sys, filmcolor.measuring; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
