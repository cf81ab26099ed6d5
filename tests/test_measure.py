"""Metrics of finished films equal independent computations; plots and slices show them."""

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

from filmcolor import TimeSlice, measure, plot_measures
from filmcolor.cli.main import main
from filmcolor.errors import FilmcolorError, InputError, OutputError, RangeError, SettingsError
from filmcolor.metrics.comparison import Rendition
from filmcolor.metrics.figure import COLORS, clock_ticks, format_clock
from filmcolor.metrics.plots import draw_measures
from filmcolor.metrics.temporal import LONG_STEP, find_motion
from filmcolor.metrics.time_slice import MAX_LINES
from filmcolor.types.film import TimeRange
from filmcolor.video.probe import probe

pytestmark = pytest.mark.slow

MakeFilm = Callable[..., Path]
SHOTS = (30, 12)  # frames
NUM_FRAMES = sum(SHOTS)


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
        metrics = result.rows[name]
        assert metrics.colorfulness == pytest.approx(
            np.mean([colorfulness(p) for p in row]), rel=1e-4
        )
        assert metrics.mean_chroma == pytest.approx(mean_chroma(row), abs=0.01)
        assert metrics.cdc == pytest.approx(cdc(row, shots, range(NUM_FRAMES)), rel=1e-3)
        if name == "truth":
            assert (metrics.ab_rmse, metrics.psnr) == (None, None)
            continue
        errors = np.concatenate([(a - b).ravel() for a, b in zip(lab(row), lab(true))])
        assert metrics.ab_rmse == pytest.approx(np.sqrt(np.mean(errors**2)), abs=0.01)
        expected = np.mean([peak_signal_noise_ratio(t, p) for t, p in zip(true, row)])
        assert metrics.psnr == pytest.approx(expected, abs=0.02)


def test_flicker_is_known_by_its_size(make_film: MakeFilm) -> None:
    """Over one luma that stands still, colours jump by what they jump."""
    luma = shoot(1, seed=5)[0]
    colors = [np.uint8([120, 140]), np.uint8([130, 150])]
    frames = [(luma, *(np.full_like(luma, c) for c in colors[n % 2])) for n in range(30)]
    film = make_film("flicker.mkv", in_color(frames))
    ab = lab(pictures(film)[:2])
    metrics = measure(film).rows["film"]
    assert metrics.warp_error == pytest.approx(np.hypot(*(ab[1] - ab[0]).T).mean(), rel=1e-3)
    assert metrics.long_warp_error == pytest.approx(0.0, abs=1e-3)


def test_motion_is_the_truths(film: Path, truth: Path, make_film: MakeFilm) -> None:
    """A film whose luma differs is judged along the same motion."""
    shown, seen = lab(pictures(film)), lumas(truth)
    jumps = []
    for n in range(1, NUM_FRAMES):
        if n != SHOTS[0]:
            motion = find_motion(seen[n - 1], seen[n])
            rows, columns = np.nonzero(motion.is_visible)
            targets = np.rint(np.stack([rows, columns], 1) + motion.forward[rows, columns, ::-1])
            y, x = targets.astype(int).T
            jumps.append(np.linalg.norm(shown[n][y, x] - shown[n - 1][rows, columns], axis=1))
    result = measure(film, truth)
    # by the nearest pixel instead of interpolation, as colours are soft
    assert result.rows["film"].warp_error == pytest.approx(np.concatenate(jumps).mean(), rel=0.03)
    swapped = [(255 - y, cb, cr) for y, cb, cr in (f.planes for f in media.frames(film))]
    negative = make_film("negative.mkv", in_color(swapped))
    assert measure(negative, truth).rows["grey"] == result.rows["grey"]


def test_seconds_are_of_the_frames_shown_in_them(film: Path, truth: Path) -> None:
    result, shown, true = measure(film, truth), pictures(film), pictures(truth)
    assert [s.start for s in result.seconds] == [0, 1]
    shots = [range(SHOTS[0]), range(SHOTS[0], NUM_FRAMES)]
    for second, frames in zip(result.seconds, (range(24), range(24, NUM_FRAMES)), strict=True):
        metrics, part = second.rows["film"], [shown[n] for n in frames]
        assert metrics.colorfulness == pytest.approx(
            np.mean([colorfulness(p) for p in part]), rel=1e-4
        )
        assert metrics.mean_chroma == pytest.approx(mean_chroma(part), abs=0.01)
        assert metrics.cdc == pytest.approx(cdc(shown, shots, frames), rel=1e-3)
        expected = np.mean([peak_signal_noise_ratio(true[n], shown[n]) for n in frames])
        assert metrics.psnr == pytest.approx(expected, abs=0.02)
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
    expected = mean_colorfulness(pictures(film)[3:9])
    assert result.rows["film"].colorfulness == pytest.approx(expected, rel=1e-4)
    assert calls == [(n, 6) for n in range(1, 7)]
    later = measure(film, time_range=TimeRange(start_seconds=Fraction(1)))
    assert [s.start for s in later.seconds] == [1]
    assert later.num_frames == NUM_FRAMES - 24


def test_a_larger_truth_is_compared_at_the_films_size(make_film: MakeFilm, film: Path) -> None:
    large = [tuple(np.kron(p, np.ones((2, 2), np.uint8)) for p in f) for f in true_planes()]
    doubled = make_film("large.mkv", in_color(large))
    plain = make_film("plain.mkv", in_color(true_planes()))
    metrics, expected = (
        measure(film, t, time_range=TimeRange(first=0, stop=6)).rows for t in (doubled, plain)
    )
    assert metrics["film"].ab_rmse == pytest.approx(expected["film"].ab_rmse, rel=0.01)


def refused(error: type[FilmcolorError], match: str, *films: Path, **options: object) -> None:
    with pytest.raises(error, match=match):
        measure(*films, **options)


def test_films_that_differ_are_refused(film: Path, make_film: MakeFilm, tmp_path: Path) -> None:
    short = make_film("short.mkv", in_color(true_planes()[:-1]))
    refused(InputError, "film.mkv has 42 frames, .*short.mkv has 41", film, short)
    cropped = [tuple(p[:, :64] for p in f) for f in true_planes()]
    narrow = make_film("narrow.mkv", in_color(cropped))
    refused(InputError, "96×64, .*narrow.mkv 64×64 and of another shape", film, narrow)
    refused(RangeError, "frames 0 to 41", film, time_range=TimeRange(first=50))
    refused(InputError, "no such file", film, tmp_path / "nothing.mkv")


# ---------------------------------------------------------------- plots and slices


def panels(picture: np.ndarray, time_slice: TimeSlice) -> list[np.ndarray]:
    """Return the panels of a drawn time slice, each line once."""
    num, drawn = len(time_slice), []
    for axes in time_slice.draw().axes:
        box = axes.get_window_extent()
        top, repeats = picture.shape[0] - round(box.y1), round(box.height) // num
        lines = picture[top : top + num * repeats, round(box.x0) : round(box.x1)]
        assert np.array_equal(lines, np.repeat(lines[::repeats], repeats, axis=0))
        drawn.append(lines[::repeats])
    return drawn


def cut_lines(time_slice: TimeSlice) -> list[float]:
    """Return the lines at which cuts are marked beside the first panel."""
    return [float(mark.get_ydata()[0]) for mark in time_slice.draw().axes[0].lines]


@pytest.mark.parametrize(("share", "row"), [(0.0, 0), (0.5, 32), (1.0, 63)])
def test_a_time_slice_is_one_row_over_time(
    film: Path, truth: Path, tmp_path: Path, share: float, row: int
) -> None:
    target, time_slice = tmp_path / "slice.png", TimeSlice(share)
    result = measure(film, truth, time_slice=time_slice)
    assert result == measure(film, truth)
    assert time_slice.save(target) == target
    drawn = panels(np.asarray(Image.open(target)), time_slice)
    assert [p.shape[:2] for p in drawn] == [(NUM_FRAMES, media.SIZE[0])] * 5
    shown, true = (np.stack([p[row] for p in pictures(path)]) for path in (film, truth))
    grey, ours, _, theirs, chroma = drawn
    assert np.abs(ours.astype(int) - shown).max() <= 1
    assert np.abs(theirs.astype(int) - true).max() <= 1
    assert np.ptp(grey, axis=2).max() == 0
    assert np.array_equal(grey[..., 0], np.stack([y[row] for y in lumas(truth)]))
    in_lab = rgb2lab(chroma)
    assert np.abs(in_lab[..., 0] - 65).mean() < 0.5  # except colours out of gamut
    assert np.abs(in_lab[..., 1:] - rgb2lab(true)[..., 1:]).mean() < 0.5
    assert cut_lines(time_slice) == [SHOTS[0]]
    titles = [axes.get_title(loc="left") for axes in time_slice.draw().axes]
    assert titles == ["grey", "film", "film, chroma", "truth", "truth, chroma"]


def test_a_time_slice_of_a_turned_film_is_a_row_of_the_upright_picture(
    make_film: MakeFilm, tmp_path: Path
) -> None:
    film = make_film("turned.mp4", rotation=90)
    time_slice = TimeSlice(0.0)
    measure(film, time_range=TimeRange(stop=6), time_slice=time_slice)
    target = time_slice.save(tmp_path / "slice.png")
    grey = panels(np.asarray(Image.open(target)), time_slice)[0]
    upright = np.stack([np.rot90(y)[0] for y in lumas(film)[:6]])
    assert grey.shape == (6, media.SIZE[1], 3)
    assert np.abs(grey[..., 0].astype(int) - upright).max() <= 1


def test_a_time_slice_of_a_long_film_has_so_many_lines(film: Path, tmp_path: Path) -> None:
    num = 2 * MAX_LINES + 7
    time_slice = TimeSlice()
    time_slice.start([probe(film)], num)
    for number in range(num):
        rgb = np.full((3, 4, 3), number * 250 // num, np.uint8)
        rendition = Rendition(rgb, np.zeros((3, 4, 2), np.float32))
        time_slice.add(number / 24, {"film": rendition}, number == MAX_LINES + 1)
    picture = np.asarray(Image.open(time_slice.save(tmp_path / "slice.png")))
    lines = panels(picture, time_slice)[0][:, 0, 0].astype(int)
    expected = [(-(-line * num // MAX_LINES)) * 250 // num for line in range(MAX_LINES)]
    assert lines.tolist() == expected
    (cut,) = cut_lines(time_slice)
    assert abs(cut - MAX_LINES // 2) <= 1  # also of a cut between two lines


def test_a_time_slice_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no frames; pass it to measure"):
        TimeSlice().save(tmp_path / "slice.png")
    for row in (1.2, -0.1):
        with pytest.raises(SettingsError, match="choose from 0, the top, to 1"):
            TimeSlice(row)


def test_a_plot_has_a_panel_for_each_metric(film: Path, truth: Path, tmp_path: Path) -> None:
    alone, beside = measure(film), measure(film, truth)
    for result, num_panels, names in (
        (alone, 5, ["grey", "film"]),
        (beside, 7, ["grey", "film", "truth"]),  # and ab RMSE and PSNR
    ):
        figure = draw_measures(result)
        assert len(figure.axes) == num_panels
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [*names, "cut"]
        colorfulness = figure.axes[0]
        assert colorfulness.get_title(loc="left") == "colourfulness"
        curves = {line.get_color(): line for line in colorfulness.lines}
        assert list(curves) == [COLORS[name] for name in names]
        for name in names:
            times, values = curves[COLORS[name]].get_data()
            assert list(times) == [0.5, 1.5]  # the middles of two seconds
            assert list(values) == [s.rows[name].colorfulness for s in result.seconds]
        (cuts,) = colorfulness.collections
        assert [segment[0][0] for segment in cuts.get_segments()] == list(result.cuts)
    target = plot_measures(alone, tmp_path / "plot.png")
    picture = np.asarray(Image.open(target)).astype(int)
    film_color = np.array([int(COLORS["film"][i : i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(picture - film_color).max(axis=2) < 12).sum() > 100
    assert (picture == 255).all(axis=2).mean() > 0.8


def test_a_plot_shows_gaps_and_single_points(film: Path) -> None:
    result = measure(film)
    empty = replace(result.rows["film"], long_warp_error=None)
    full = replace(empty, long_warp_error=1.0)
    seconds = [
        replace(result.seconds[0], start=n, rows={"grey": empty, "film": empty if n % 3 else full})
        for n in range(200)
    ]
    figure = draw_measures(replace(result, seconds=tuple(seconds)))
    (line,) = next(a for a in figure.axes if "24 frames" in a.get_title(loc="left")).lines
    assert line.get_markevery() == list(range(0, 200, 3))
    assert np.isnan(line.get_ydata()).sum() == 133
    colorfulness = figure.axes[0].lines[-1]
    assert colorfulness.get_markevery() == []


def test_plots_leave_the_host_program_alone(film: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from matplotlib import rcParams\n"
        "settings = lambda: {k: rcParams[k] for k in rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from filmcolor import TimeSlice, measure, plot_measures\n"
        "film, plot, strip = sys.argv[1:]; time_slice = TimeSlice()\n"
        "plot_measures(measure(film, time_slice=time_slice), plot); time_slice.save(strip)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"  # which would choose a backend
        "assert settings() == before"
    )
    targets = [str(tmp_path / name) for name in ("plot.png", "slice.png")]
    subprocess.run([sys.executable, "-c", code, str(film), *targets], check=True)


def test_without_matplotlib_films_are_measured_and_plots_refused(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    time_slice = TimeSlice()
    result = measure(film, time_range=TimeRange(stop=6), time_slice=time_slice)
    for draw in (lambda path: plot_measures(result, path), time_slice.save):
        with pytest.raises(SettingsError, match=r"pip install 'filmcolor\[plots\]'"):
            draw(tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()


def test_times_of_an_axis_are_round() -> None:
    assert clock_ticks(0, 3, 10) == [0, 1, 2, 3]
    assert clock_ticks(61, 130, 10) == [70, 80, 90, 100, 110, 120, 130]
    assert len(clock_ticks(0, 5400, 10)) == 10
    assert [format_clock(s) for s in (0, 61.9, 3600)] == ["0:00", "1:01", "1:00:00"]


def test_plots_replace_files_only_with_force(film: Path, truth: Path, tmp_path: Path) -> None:
    existing = tmp_path / "existing.png"
    existing.write_bytes(b"mine")
    time_slice = TimeSlice()
    result = measure(film, truth, time_range=TimeRange(stop=6), time_slice=time_slice)
    for match, target in (
        ("--force", existing),
        ("name it .png", tmp_path / "slice.jpg"),
        ("is no folder", tmp_path / "nowhere" / "slice.png"),
    ):
        for draw in (lambda path: plot_measures(result, path), time_slice.save):
            with pytest.raises(OutputError, match=match):
                draw(target)
    assert existing.read_bytes() == b"mine"
    plot_measures(result, existing, force=True)
    assert Image.open(existing).format == "PNG"


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
    done = typed(film, "--truth", truth, "--plot", tmp_path / "plot.png", "-q")
    title, _, *lines = done.out.splitlines()
    assert (done.code, done.err, title) == (0, "", f"{film}: 42 frames, 1 cut")
    assert [line.split()[0] for line in lines] == ["grey", "film", "truth"]
    metrics = measure(film, truth).rows["film"]
    assert lines[1].split()[1:] == [
        f"{metrics.ab_rmse:.2f}",
        f"{metrics.psnr:.2f}",
        f"{metrics.mean_chroma:.1f}",
        f"{metrics.colorfulness:.1f}",
        f"{metrics.cdc:.5f}",
        f"{metrics.warp_error:.2f}",
        f"{metrics.long_warp_error:.2f}",
    ]
    assert (tmp_path / "plot.png").exists()
    alone = typed(film, "--frames", "0:6", "-q").out.splitlines()
    assert (alone[0], "PSNR" in alone[1], len(alone)) == (f"{film}: 6 frames, no cut", False, 4)


def test_the_command_prints_json(film: Path, typed: Type) -> None:
    done = typed(film, "--to", "1", "--json", "-q")
    result = json.loads(done.out)
    assert (done.code, result["film"], result["truth"]) == (0, str(film), None)
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
        done = typed(*words)
        assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)


def test_the_command_refuses_plots_before_anything_is_read(
    film: Path, truth: Path, typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a film was read")

    monkeypatch.setattr("filmcolor.metrics.measure.read_paired_frames", fail)
    existing, free = tmp_path / "existing.png", tmp_path / "free.png"
    existing.write_bytes(b"mine")
    for match, words in (
        ("--force", ("--plot", existing)),
        ("name it .png", ("--plot", free, "--strip", tmp_path / "slice.jpg")),
        ("is no folder", ("--strip", tmp_path / "nowhere" / "slice.png")),
        ("cannot be plot and strip", ("--plot", free, "--strip", free)),
        ("choose from 0", ("--row", 1.2)),
    ):
        for films in ((film,), (film, "--truth", truth)):
            done = typed(*films, *words)
            assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
            assert match in done.err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = typed(film, "--plot", free)
    assert (done.code, "pip install 'filmcolor[plots]'" in done.err) == (1, True)
    assert (existing.read_bytes(), free.exists()) == (b"mine", False)


def test_the_command_draws_both_in_one_pass(
    film: Path, typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import filmcolor.metrics.measure as module

    calls: list[object] = []
    read = module.read_paired_frames
    monkeypatch.setattr(module, "read_paired_frames", lambda *a: calls.append(a) or read(*a))
    plot, strip = tmp_path / "plot.png", tmp_path / "strip.png"
    plot.write_bytes(b"old")
    options = ("--plot", plot, "--strip", strip, "--row", 0, "--frames", "0:6", "--force", "-q")
    done = typed(film, *options)
    assert (done.code, len(calls)) == (0, 1)
    assert [Image.open(path).format for path in (plot, strip)] == ["PNG", "PNG"]


def test_measuring_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, filmcolor.metrics.measure, filmcolor.metrics.plots\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
