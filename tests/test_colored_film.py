"""A film in colour already gives its colours: matched in time, laid over, and what is refused."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from media import shoot
from PIL import Image

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import FilmcolorError, InputError, OutputError, SettingsError
from filmcolor.guidance import film_comparison
from filmcolor.guidance.colored_film import (
    ColoredFilm,
    describe,
    read_colored_films,
    split_sources,
)
from filmcolor.guidance.film_matching import CELLS, NONE, match_frames
from filmcolor.guidance.film_placement import UNCHANGED, turned
from filmcolor.guidance.guidance import Guidance
from filmcolor.network.predictor import Predictor
from filmcolor.output.options import Encoding
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.pieces import PieceColorizer, color_missing
from filmcolor.pipeline.run import Run, RunSettings
from filmcolor.pipeline.saved_run import open_run, save_run
from filmcolor.types.film import Part, TimeRange
from filmcolor.types.frames import Gray
from filmcolor.video.decoder import read_rgb
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

SHOTS = (60, 48, 72)  # frames
CUTS = (60, 108)
NUM_FRAMES = sum(SHOTS)


def pan(num: int, seed: int) -> list[np.ndarray]:
    """Return the luma planes of a shot that pans over large and small shapes, with grain."""
    rng = np.random.default_rng(seed)
    width, height = media.SIZE
    size = width + num, height + num // 2
    scene = sum(
        cv2.resize(rng.random((cells, cells)), size, interpolation=cv2.INTER_CUBIC) / weight
        for cells, weight in ((8, 1), (20, 1), (50, 3))
    )
    scene = np.interp(scene, (scene.min(), scene.max()), (20.0, 230.0))
    views = [scene[n // 2 : n // 2 + height, n : n + width] for n in range(num)]
    return [np.rint(view + rng.normal(0.0, 2.0, view.shape)).astype(np.uint8) for view in views]


LUMAS = [luma for seed, num in enumerate(SHOTS) for luma in pan(num, seed)]
HUES = ((0.5, -0.3), (-0.4, 0.4), (0.2, 0.6))  # Cb and Cr per code of luma, by shot
TITLE = NONE  # in a list of frames: a card that the film does not have
ALL = range(NUM_FRAMES)
LOSSLESS = Encoding(codec="ffv1")


def shot_of(number: int) -> int:
    return sum(number >= cut for cut in CUTS)


def colored_frame(number: int) -> tuple[Gray, Gray, Gray]:
    """Return Y', Cb and Cr (H, W) of a frame in colour."""
    if number == TITLE:
        card = np.full(media.SIZE[::-1], 40, np.uint8)
        cv2.putText(card, "IN COLOUR", (4, 36), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1)
        return card, np.full_like(card, 128), np.full_like(card, 128)
    luma = LUMAS[number]
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.5).astype(np.float32) - 60.0
    cb, cr = (
        np.rint(128 + gain * smooth).clip(16, 240).astype(np.uint8)
        for gain in HUES[shot_of(number)]
    )
    return luma, cb, cr


Change = Callable[[Gray], Gray]


def write(
    path: Path,
    numbers: Sequence[int] = ALL,
    rate: int = 24,
    *,
    change: Change = lambda plane: plane,
    chroma: Callable[[int], tuple[int, int]] = lambda _: (0, 0),
    codec: str = "ffv1",
) -> Path:
    """Write a film in colour with some of the frames; `chroma`: added to Cb and Cr, by position."""
    lumas, chromas = [], []
    for position, number in enumerate(numbers):
        luma, *planes = (change(plane) for plane in colored_frame(number))
        lumas.append(np.ascontiguousarray(luma))
        size = luma.shape[1] // 2, luma.shape[0] // 2
        halves = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in planes]
        chromas.append(tuple(cv2.add(p, float(d)) for p, d in zip(halves, chroma(position))))
    film = media.Film(lumas, codec=codec, rate=Fraction(rate), chromas=chromas)
    return media.make(path, film)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return media.make(path, media.Film(LUMAS, codec="ffv1"))


@pytest.fixture(scope="module")
def companion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("companion") / "coloured.mkv")


@pytest.fixture(scope="module")
def small(weights_path: Path) -> ColorOptions:
    return ColorOptions(weights=str(weights_path), size=64, device="cpu")


def match(film: Path, *paths: Path) -> ColoredFilm:
    info = probe(film)
    return read_colored_films(paths, info, FrameIndex.read(info))[0]


def size_of(width: int, height: int) -> Change:
    return lambda plane: cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)


# ---------------------------------------------------------------- matched in time


def test_the_same_frames_are_matched_one_by_one(film: Path, companion: Path) -> None:
    found = match(film, companion)
    np.testing.assert_array_equal(found.matches, ALL)
    np.testing.assert_array_equal(found.placement, UNCHANGED)
    info = probe(film)
    assert describe(found, FrameIndex.read(info), info) == (
        f"coloured.mkv: colours for all {NUM_FRAMES} frames"
    )


def test_a_long_film_is_compared_in_places(
    film: Path, companion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_comparison, "_LONG", 100)
    seen: list[int] = []
    monkeypatch.setattr(
        film_comparison, "match_frames", lambda f, *_: seen.append(1) or f[:, 0] * 0
    )
    np.testing.assert_array_equal(match(film, companion).matches, ALL)
    assert not seen
    late = write(tmp_path / "late.mkv", [0, *range(NUM_FRAMES - 1)])  # as long, one frame late
    match(film, late)
    assert seen


@pytest.mark.parametrize(
    ("rate", "numbers"),
    [
        (25, [n for n in ALL for _ in range(1 + (n % 24 == 23))]),  # one in 24 is shown twice
        (30, [n * 24 // 30 for n in range(72, NUM_FRAMES * 30 // 24)]),  # the beginning is cut off
        (24, [TITLE] * 30 + list(range(20, 150))),  # a title, then an excerpt
        (24, [n for n in ALL if not 60 <= n < 108]),  # a scene is missing
        (25, list(ALL)),  # faster, as on television
    ],
)
def test_another_rate_beginning_or_cut_is_matched(
    film: Path, tmp_path: Path, rate: int, numbers: list[int]
) -> None:
    found = match(film, write(tmp_path / "coloured.mp4", numbers, rate, codec="libx264"))
    partners = np.array([*numbers, NONE])[found.matches]  # NONE is the last
    is_there = np.isin(ALL, numbers)
    distance = np.abs(partners - np.arange(NUM_FRAMES))
    assert distance[is_there].max() <= 1
    assert (distance[is_there] == 0).mean() > 0.95
    # at a cut of the other film a few frames may take their neighbour's colours, but not across
    # a cut of this one
    is_extra = ~is_there & (found.matches != NONE)
    assert is_extra.sum() <= 4
    assert all(shot_of(p) == shot_of(n) for n, p in enumerate(partners) if is_extra[n])
    ordered = found.matches[found.matches != NONE]
    assert (np.diff(ordered) >= 0).all()


def test_the_line_says_what_has_no_colors(film: Path, tmp_path: Path) -> None:
    info, numbers = probe(film), [n for n in ALL if not 60 <= n < 108]
    found = match(film, write(tmp_path / "coloured.mkv", numbers))
    line = describe(found, FrameIndex.read(info), info)
    assert line == "coloured.mkv: colours for 132 of 180 frames; 0:00:02 to 0:00:04 has none"
    part = replace(found, matches=np.where(np.arange(NUM_FRAMES) < 30, found.matches, NONE))
    line = describe(part, FrameIndex.read(info), info)
    assert line == "coloured.mkv: colours for 30 of 180 frames: 0:00:00 to 0:00:01"
    assert part.digest != found.digest


@pytest.mark.parametrize("speed", [1.0, 1.25, 25 / 24])
def test_frames_are_matched_in_order_at_any_speed(speed: float) -> None:
    """Views that come again are told apart by their order."""
    rng = np.random.default_rng(1)
    views = rng.normal(0.0, 30.0, (3, CELLS * CELLS))
    drift = np.cumsum(rng.normal(0.0, 3.0, (240, CELLS * CELLS)), axis=0)
    film = np.rint(views[np.arange(240) // 40 % 3] + drift - drift.mean(axis=0))
    numbers = (np.arange(round(240 * speed)) / speed).astype(int)
    other = film[numbers] + rng.normal(0.0, 2.0, (len(numbers), CELLS * CELLS))
    codes = [
        np.rint(500.0 * s / np.linalg.norm(s, axis=1, keepdims=True)).clip(-127, 127)
        for s in (film, other)
    ]
    codes = [c.astype(np.int8) for c in codes]
    matches = match_frames(codes[0], codes[1], (1.0, speed))
    distance = np.abs(numbers[matches] - np.arange(240))
    assert distance.max() <= 1
    assert distance.mean() < 0.02
    backward = match_frames(codes[0], codes[1][::-1].copy(), (1.0, speed))
    assert (np.diff(backward[backward != NONE]) >= 0).all()


# ---------------------------------------------------------------- laid over the film


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (size_of(160, 108), [[1, 0, 0], [0, 1, 0]]),
        (size_of(128, 64), [[1, 0, 0], [0, 1, 0]]),  # stretched
        (lambda p: p[2:-2, 4:-4], [[96 / 88, 0, -4 / 88], [0, 64 / 60, -2 / 60]]),  # cropped
        (lambda p: p[::-1, ::-1], turned(2)),
        (lambda p: p[:, ::-1], turned(4)),
        (np.rot90, turned(1)),
    ],
)
def test_the_place_of_the_picture_is_found(
    film: Path, tmp_path: Path, change: Change, expected: object
) -> None:
    path = write(tmp_path / "coloured.mkv", range(120), change=change)
    found = match(film, path)
    np.testing.assert_allclose(found.placement, expected, atol=0.012)
    assert (np.abs(found.matches[:120] - np.arange(120)) <= 1).mean() > 0.95


def test_black_borders_are_found(film: Path, tmp_path: Path) -> None:
    def boxed_frame(plane: Gray) -> Gray:
        return cv2.copyMakeBorder(plane, 0, 0, 24, 24, cv2.BORDER_CONSTANT, value=16)

    found = match(film, write(tmp_path / "boxed.mkv", range(90), change=boxed_frame))
    np.testing.assert_allclose(found.placement, [[96 / 144, 0, 24 / 144], [0, 1, 0]], atol=0.012)
    assert (np.abs(found.matches[:90] - np.arange(90)) <= 1).all()


# ---------------------------------------------------------------- colours


def true_ab(path: Path, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the ab of a film in colour at a size (width, height)."""
    frames = []
    for frame in read_rgb(probe(path)):
        rgb = frame.rgb.astype(np.float32) / 255
        _, a, b = lab_from_rgb(*(np.ascontiguousarray(rgb[..., c]) for c in range(3)))
        frames.append(cv2.resize(np.dstack([a, b]), size, interpolation=cv2.INTER_AREA))
    return frames


def ab_of(film: Path, options: ColorOptions) -> list[np.ndarray]:
    info = probe(film)
    guidance = options.read_guidance(info)
    return [frame.ab for frame in Colorizer(options).ab_frames(info, guidance=guidance)]


def rmse(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.square(np.array(first) - np.array(second)))))


@pytest.fixture(scope="module")
def plain(film: Path, small: ColorOptions) -> list[np.ndarray]:
    return ab_of(film, small)


@pytest.fixture(scope="module")
def truth(companion: Path) -> list[np.ndarray]:
    return true_ab(companion, (48, 32))


def test_a_film_takes_the_colors(
    film: Path,
    companion: Path,
    small: ColorOptions,
    plain: list[np.ndarray],
    truth: list[np.ndarray],
) -> None:
    """As they are: they are not graded."""
    guided = replace(small, references=(str(companion),), saturation=0.0, warmth=1.0)
    assert rmse(plain, truth) > 30.0
    assert rmse(ab_of(film, guided), truth) < 3.5


def test_another_rate_and_size_give_the_same_colors(
    film: Path, small: ColorOptions, truth: list[np.ndarray], tmp_path: Path
) -> None:
    numbers = [n * 24 // 30 for n in range(NUM_FRAMES * 30 // 24)]
    path = write(tmp_path / "coloured.mp4", numbers, 30, change=size_of(160, 108), codec="libx264")
    assert rmse(ab_of(film, replace(small, references=(str(path),))), truth) < 4.5


def test_a_scene_that_it_lacks_keeps_the_colors_of_the_network(
    film: Path,
    small: ColorOptions,
    plain: list[np.ndarray],
    truth: list[np.ndarray],
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "coloured.mkv", [n for n in ALL if not 60 <= n < 108])
    guided = ab_of(film, replace(small, references=(str(path),)))
    assert rmse(guided[60:108], plain[60:108]) < 0.5
    assert rmse(guided[:60] + guided[108:], truth[:60] + truth[108:]) < 4.0


def test_two_films_with_parts_serve_together(
    film: Path, small: ColorOptions, truth: list[np.ndarray], tmp_path: Path
) -> None:
    paths = [
        write(tmp_path / f"part{n}.mkv", numbers)
        for n, numbers in enumerate([range(108), range(108, NUM_FRAMES)])
    ]
    guided = ab_of(film, replace(small, references=tuple(map(str, paths))))
    assert rmse(guided, truth) < 3.5


def test_a_logo_and_broken_frames_do_not_show(
    film: Path, small: ColorOptions, truth: list[np.ndarray], tmp_path: Path
) -> None:
    numbers = [TITLE if n in (30, 31, 150) else n for n in ALL]
    path = write(tmp_path / "coloured.mkv", numbers)
    guided = ab_of(film, replace(small, references=(str(path),)))
    for number in (30, 31, 150):
        assert rmse(guided[number : number + 1], truth[number : number + 1]) < 3.0


def test_flicker_is_steadied(film: Path, small: ColorOptions, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    shifts = rng.integers(-12, 13, (NUM_FRAMES, 2))
    path = write(tmp_path / "flicker.mkv", chroma=lambda n: tuple(shifts[n]))
    guided = ab_of(film, replace(small, references=(str(path),)))
    theirs = true_ab(path, (48, 32))

    def unsteadiness(frames: list[np.ndarray]) -> float:
        means = np.array([frame.mean(axis=(0, 1)) for frame in frames])
        steps = np.diff(means, axis=0)
        return float(np.abs(np.delete(steps, [cut - 1 for cut in CUTS], axis=0)).mean())

    assert unsteadiness(guided) < 0.2 * unsteadiness(theirs)


def test_its_frames_cost_no_runs_of_the_network(
    film: Path, companion: Path, small: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    predict = Predictor.predict_with_features

    def count(self: Predictor, luma: Gray, has_features: bool = True) -> object:
        seen.append(len(luma))
        return predict(self, luma, has_features)

    monkeypatch.setattr(Predictor, "predict_with_features", count)
    ab_of(film, small)
    alone = sum(seen)
    seen.clear()
    ab_of(film, replace(small, references=(str(companion),)))
    assert sum(seen) == alone


def test_a_picture_comes_before_a_film(
    film: Path, companion: Path, small: ColorOptions, truth: list[np.ndarray], tmp_path: Path
) -> None:
    grey = np.repeat(LUMAS[80][..., None], 3, axis=2).astype(float)
    picture = tmp_path / "frame-000080.png"
    Image.fromarray((grey * (1.0, 0.5, 0.5)).astype(np.uint8)).save(picture)
    guided = ab_of(film, replace(small, references=(str(companion), str(picture))))
    painted = ab_of(film, replace(small, references=(str(picture),)))
    assert rmse(guided[80:81], painted[80:81]) < 0.1
    assert rmse(guided[75:86], painted[75:86]) < rmse(guided[75:86], truth[75:86])


# ---------------------------------------------------------------- laws, identity


@pytest.mark.parametrize(
    ("level", "shots", "colored", "parts"),
    [  # without smoothing the network colours every frame: a short film is enough
        ("off", (30, 12), (8, 36), ((0, 7), (8, 10), (27, 37))),
        ("normal", (170, 60), (30, 200), ((0, 7), (27, 31), (139, 152), (165, 175), (221, 230))),
    ],
)
def test_a_part_is_the_whole_with_a_film_of_another_rate(
    small: ColorOptions,
    tmp_path: Path,
    level: str,
    shots: tuple[int, int],
    colored: tuple[int, int],
    parts: Sequence[tuple[int, int]],
) -> None:
    lumas = [luma for seed, num in enumerate(shots) for luma in pan(num, seed + 5)]
    film = media.make(tmp_path / "film.mkv", media.Film(lumas, codec="ffv1"))
    numbers = [n * 24 // 25 for n in range(*colored)]
    chromas = [
        tuple(np.full((32, 48), 128 + 20 * np.sin(n / 5 + c), np.uint8) for c in range(2))
        for n in numbers
    ]
    content = media.Film(
        [lumas[n] for n in numbers], codec="ffv1", rate=Fraction(25), chromas=chromas
    )
    path = media.make(tmp_path / "coloured.mkv", content)
    options = replace(small, references=(str(path),), smooth=level, batch_size=1)
    info, colorizer = probe(film), Colorizer(options)
    guidance = options.read_guidance(info)
    guidance = pickle.loads(pickle.dumps(guidance))  # as worker processes get it
    whole = [frame.ab for frame in colorizer.ab_frames(info, guidance=guidance)]
    plain = colorizer.ab_frames(info, guidance=replace(guidance, colored_films=()))
    assert sum(not np.array_equal(a, frame.ab) for a, frame in zip(whole, plain)) > 20
    for first, stop in parts:
        part = [f.ab for f in colorizer.ab_frames(info, Part(first, stop), guidance=guidance)]
        np.testing.assert_array_equal(part, whole[first:stop])


def run_of(film: Path, options: ColorOptions, output: str = "out.mkv", **more: object) -> Run:
    settings = RunSettings(options, LOSSLESS, TimeRange(first=0, stop=10), **more)
    return Run.prepare(film, film.with_name(output), settings)


def test_another_film_in_color_makes_another_run(
    film: Path, small: ColorOptions, tmp_path: Path
) -> None:
    path = write(tmp_path / "coloured.mkv", range(60))
    directed = replace(small, references=(str(path),))
    run = run_of(film, directed)
    with run.locked():
        color_missing(run, PieceColorizer(Colorizer(directed)))
        save_run(run)
        (kept,) = open_run(run.journal.folder).guidance.colored_films
    (read,) = run.guidance.colored_films
    np.testing.assert_array_equal(kept.matches, read.matches)
    np.testing.assert_array_equal(kept.placement, read.placement)
    assert (kept.info, kept.index) == (read.info, read.index)
    with run_of(film, directed).locked():
        pass  # the same film resumes
    write(path, range(60), chroma=lambda _: (9, 0))
    words = "holds segments of a run with films in colour"
    with pytest.raises(OutputError, match=words), run_of(film, directed).locked():
        pass
    run.journal.remove()


def test_a_plan_is_small(film: Path, companion: Path, small: ColorOptions) -> None:
    guidance = replace(small, references=(str(companion),)).read_guidance(probe(film))
    assert len(pickle.dumps(guidance)) < 20_000 + 40 * NUM_FRAMES
    assert guidance.notes == (f"coloured.mkv: colours for all {NUM_FRAMES} frames",)
    assert isinstance(guidance, Guidance)


# ---------------------------------------------------------------- what is refused, and what is one


def test_what_gives_no_colors_is_refused(film: Path, small: ColorOptions, tmp_path: Path) -> None:
    grey = media.make(tmp_path / "grey.mkv", media.Film(LUMAS[:30], codec="ffv1"))
    lumas = shoot(40, seed=90)
    chroma = np.full((32, 48), 160, np.uint8)
    other = media.make(
        tmp_path / "other.mkv", media.Film(lumas, codec="ffv1", chromas=[(chroma, chroma)] * 40)
    )
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(range(256)) * 20)
    for path, error, words in (
        (film, InputError, "film.mkv is the film itself; name the same film in colour"),
        (grey, InputError, "grey.mkv has no colour; name the film that is in colour already"),
        (other, InputError, "other.mkv: its frames do not look like those of .*film.mkv"),
        (broken, InputError, "broken.mp4 is not a film that can be opened"),
        (tmp_path / "none.mp4", InputError, "none.mp4: no such file"),
        (f"{grey}@00:00:01", SettingsError, "only a picture can have a time"),
    ):
        with pytest.raises(error, match=words) as caught:
            replace(small, references=(str(path),)).read_guidance(probe(film))
        assert isinstance(caught.value, FilmcolorError)
        assert "\n" not in str(caught.value)


def test_the_film_that_gives_the_colors_is_not_replaced(film: Path, small: ColorOptions) -> None:
    path = write(film.with_name("film.color.mkv"), range(60))
    with pytest.raises(OutputError, match="is the film that gives the colours"):
        run_of(film, replace(small, references=(str(path),)), path.name, force=True)


def test_films_and_pictures_are_told_apart(companion: Path, tmp_path: Path) -> None:
    def folder(name: str, pattern: str, num: int, first: int = 0) -> Path:
        (tmp_path / name).mkdir()
        for n in range(first, first + num):
            (tmp_path / name / (pattern % n)).write_bytes(b"")
        return tmp_path / name

    images = folder("images", "%06d.png", 60)
    films = [str(companion), str(images), str(images / "%06d.png")]
    pictures = [
        str(folder("exported", "frame-%06d.png", 60)),
        str(folder("few", "%02d.png", 12)),
        str(images / "000001.png"),
        f"{images / '000002.png'}@00:00:01",
        str(tmp_path / "missing.mp4"),
    ]
    assert split_sources([*films, *pictures]) == ([Path(f) for f in films], pictures)


def test_a_folder_of_images_is_a_film_in_color(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(20, 80):
        planes = np.dstack([p.astype(np.uint8) for p in colored_frame(number)])
        rgb = cv2.cvtColor(planes[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB)
        Image.fromarray(rgb).save(folder / f"{number:04}.png")
    found = match(film, folder)
    np.testing.assert_array_equal(found.matches[20:80], range(60))
