"""Stills for training, from films and from folders of photographs; reasons for rejection."""

import csv
import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import Film, shoot
from PIL import Image

from filmcolor.cli.main import main
from filmcolor.errors import InputError, OutputError, SettingsError
from filmcolor.images.sharpness import laplacian_variance_ratio as sharpness
from filmcolor.train.stills import quality, scan
from filmcolor.train.stills.extract import spread_order
from filmcolor.train.stills.letterbox import BarDetector, Bars, combine_bars
from filmcolor.train.stills.pick import PickOptions, pick_stills
from filmcolor.train.stills.quality import MIN_DIFFERENCE, SignatureIndex, find_flaw, signature
from filmcolor.train.stills.scan import Candidate, choose_sharpest, scan_film
from filmcolor.types.film import Part, TimeRange
from filmcolor.types.yuv import Coding
from filmcolor.video.probe import probe

pytestmark = pytest.mark.slow

WIDTH, HEIGHT, BAR = 96, 64, 12  # pixels; the bars are above and below the picture
CODING = Coding(6, False, 8)
Footage = list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]  # luma, (Cb, Cr)

# the shots of the film: name, number of frames
SHOTS = (("a", 24), ("black", 10), ("blurred", 20), ("grey", 16), ("a", 24), ("b", 20), ("c", 30))
STARTS = np.cumsum([0, *(num for _, num in SHOTS)]).tolist()
SHARP = 11  # the only sharp frame of the blurred shot
GOOD = {0: "a", 2: "blurred", 5: "b", 6: "c"}  # the shots with a still
SEEDS = {"a": 4, "blurred": 7, "grey": 5, "b": 10, "c": 12}  # chosen so that each cut is detected


def chroma_thumbnail(num: int, seed: int, strength: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return chroma planes (H/2, W/2) that pan with the luma, of other textures."""
    planes = [
        [np.rint(128 + (t.astype(float) - 125) * strength).astype(np.uint8) for t in texture]
        for texture in (shoot(num, (WIDTH // 2, HEIGHT // 2), seed=s) for s in (seed, seed + 1))
    ]
    return list(zip(*planes))


def film_shot(name: str, num: int) -> Footage:
    """Return the frames of one shot."""
    if name == "black":
        rng = np.random.default_rng(0)
        lumas = [rng.integers(16, 20, (HEIGHT, WIDTH), np.uint8) for _ in range(num)]
        return [(luma, chroma_thumbnail(1, 0, 0.0)[0]) for luma in lumas]
    lumas = shoot(num, (WIDTH, HEIGHT), seed=SEEDS[name])
    if name == "blurred":
        lumas = [
            luma if n == SHARP else cv2.GaussianBlur(luma, (0, 0), 2.0)
            for n, luma in enumerate(lumas)
        ]
    return list(zip(lumas, chroma_thumbnail(num, 50 + SEEDS[name], 0.0 if name == "grey" else 0.4)))


def letterboxed(footage: Footage, bar: int = BAR) -> Footage:
    """Return footage with noisy bars above and below."""
    rng = np.random.default_rng(7)

    def framed(luma: np.ndarray) -> np.ndarray:
        bars = rng.integers(15, 22, (2, bar, luma.shape[1]), np.uint8)
        return np.vstack([bars[0], luma, bars[1]])

    def neutral(plane: np.ndarray) -> np.ndarray:
        return np.pad(plane, ((bar // 2, bar // 2), (0, 0)), constant_values=128)

    return [(framed(luma), (neutral(cb), neutral(cr))) for luma, (cb, cr) in footage]


def film_of(footage: Footage, **changes: Any) -> Film:
    return Film(
        [frame[0] for frame in footage],
        chromas=[frame[1] for frame in footage],
        codec="ffv1",
        **changes,
    )


@pytest.fixture(scope="module")
def footage() -> Footage:
    return letterboxed([frame for name, num in SHOTS for frame in film_shot(name, num)])


@pytest.fixture(scope="module")
def film(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.make(tmp_path_factory.mktemp("footage") / "film.mkv", film_of(footage))


@pytest.fixture(scope="module")
def picked(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picked") / "stills"
    pick_stills([film], folder)
    return folder


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def shots(folder: Path) -> list[int]:
    return [int(line["shot"]) for line in lines(folder)]


def colorful(seed: int, size: tuple[int, int] = (120, 90)) -> np.ndarray:
    """Return a photograph, R'G'B' (H, W, 3), of three textures."""
    planes = [shoot(1, size, is_full_range=True, seed=seed * 3 + c)[0] for c in range(3)]
    return np.dstack(planes)


# ---------------------------------------------------------------- films


def test_every_still_lies_inside_its_shot(picked: Path, footage: Footage) -> None:
    for line in lines(picked):
        shot, frame = int(line["shot"]), int(line["frame"])
        assert STARTS[shot] <= frame < STARTS[shot + 1]
        assert line["file"] == f"film/film-{frame:07}.jpg"
        seconds = frame / 24
        assert line["timecode"] == f"00:00:{int(seconds):02}.{round(seconds % 1 * 1000):03}"
        # the still's luma is that of the frame
        luma = (footage[frame][0][BAR:-BAR].astype(float) - 16) / 219 * 255
        still = pixels(picked / line["file"]) @ np.array([0.299, 0.587, 0.114])
        assert np.abs(still - luma[1:-1]).mean() < 4.0


def test_black_and_grey_shots_and_repeats_give_none(picked: Path) -> None:
    assert shots(picked) == list(GOOD)


def test_the_sharp_frame_of_a_blurred_shot_is_picked(picked: Path) -> None:
    assert str(STARTS[2] + SHARP) in [line["frame"] for line in lines(picked)]


def test_bars_are_gone_within_a_pixel(picked: Path) -> None:
    for line in lines(picked):
        still = pixels(picked / line["file"])
        assert still.shape == (int(line["height"]), int(line["width"]), 3)
        assert line["width"] == str(WIDTH)
        assert HEIGHT - 2 <= still.shape[0] <= HEIGHT
        assert still[0].mean() > 40 and still[-1].mean() > 40


@pytest.mark.parametrize("per_shot", [1, 3])
def test_no_two_stills_are_alike(film: Path, tmp_path: Path, per_shot: int) -> None:
    pick_stills([film], tmp_path / "out", options=PickOptions(per_shot))
    lumas = []
    for line in lines(tmp_path / "out"):
        thumbnail = cv2.resize(
            pixels(tmp_path / "out" / line["file"]), (16, 12), interpolation=cv2.INTER_AREA
        )
        luma = thumbnail @ np.array([0.2126, 0.7152, 0.0722])
        lumas.append((luma - luma.mean()) / luma.std())
    differences = [np.abs(a - b).mean() for n, a in enumerate(lumas) for b in lumas[:n]]
    assert min(differences) > MIN_DIFFERENCE - 0.05  # JPEG changes it a little


def test_two_runs_give_identical_bytes(film: Path, picked: Path, tmp_path: Path) -> None:
    pick_stills([film], tmp_path / "second")
    assert files(tmp_path / "second") == files(picked)


def test_the_report_counts_rejections(film: Path, tmp_path: Path) -> None:
    report = pick_stills([film], tmp_path / "out")
    assert report.num_kept == len(GOOD)
    nums = {rejection.reason: rejection.num for rejection in report.rejections}
    assert nums == {"blank": 1, "grey": 1, "near-duplicate": 1}
    assert f"4 stills of 1 film → {tmp_path / 'out'}" in str(report)
    assert "1 blank (film.mkv at 00:00:01.000)" in str(report)


def test_a_part_gives_the_stills_of_the_part(film: Path, picked: Path, tmp_path: Path) -> None:
    pick_stills([film], tmp_path / "out", time_range=TimeRange(first=STARTS[5], stop=STARTS[6]))
    assert shots(tmp_path / "out") == [0]
    (name,) = (line["file"] for line in lines(tmp_path / "out"))
    assert files(tmp_path / "out")[name] == files(picked)[name]


@settings(max_examples=12, deadline=None)
@given(first=st.integers(0, STARTS[-1] - 1), length=st.integers(1, STARTS[-1]))
def test_shots_of_a_part_are_those_of_the_whole(film: Path, first: int, length: int) -> None:
    stop = min(STARTS[-1], first + length)
    result = scan_film(probe(film), Part(first, stop), 1)
    assert result.error is None
    bounds = [n for n in STARTS if first < n < stop]
    assert [shot.first for shot in result.shots] == [first, *bounds]
    assert [shot.stop for shot in result.shots] == [*bounds, stop]


def test_a_limit_is_respected_and_spread(film: Path, picked: Path, tmp_path: Path) -> None:
    report = pick_stills([film], tmp_path / "out", options=PickOptions(limit=2))
    kept = shots(tmp_path / "out")
    assert len(kept) == report.num_kept == 2
    assert set(kept) <= {0, 2, 4, 5, 6} and max(kept) >= 4 > min(kept)
    assert "over the limit" in [rejection.reason for rejection in report.rejections]


def test_a_long_shot_gives_more_spread_in_time(tmp_path: Path) -> None:
    rate = Fraction(2)  # frames/s: 20 s in 40 frames
    path = media.make(tmp_path / "long.mkv", film_of(film_shot("c", 40), rate=rate))
    pick_stills([path], tmp_path / "out", options=PickOptions(per_shot=4))
    numbers = [int(line["frame"]) for line in lines(tmp_path / "out")]
    assert [n // 10 for n in numbers] == [0, 1, 2, 3]


def test_films_of_one_name_have_separate_folders(tmp_path: Path) -> None:
    for folder, name in (("x", "b"), ("y", "c")):
        (tmp_path / folder).mkdir()
        media.make(tmp_path / folder / "film.mkv", film_of(film_shot(name, 12)))
    sources = [tmp_path / "x/film.mkv", tmp_path / "y/film.mkv"]
    assert pick_stills(sources, tmp_path / "out").num_kept == 2
    rows = lines(tmp_path / "out")
    assert [line["film"] for line in rows] == [str(s) for s in sources]
    assert [line["file"].split("/")[0] for line in rows] == ["film", "film~2"]


def test_a_repeat_in_another_film_is_left_out(film: Path, tmp_path: Path) -> None:
    other = media.make(tmp_path / "other.mkv", film_of(film_shot("a", 24) + film_shot("grey", 12)))
    report = pick_stills([film, other], tmp_path / "out")
    assert report.num_kept == len(GOOD)
    assert {line["film"] for line in lines(tmp_path / "out")} == {str(film)}


def test_a_film_without_seeking_gives_the_same_stills(tmp_path: Path) -> None:
    footage = film_shot("b", 12) + film_shot("c", 12)
    for suffix in ("mkv", "avi"):
        media.make(tmp_path / f"film.{suffix}", film_of(footage))
        pick_stills([tmp_path / f"film.{suffix}"], tmp_path / suffix)
    outputs = [files(tmp_path / suffix) for suffix in ("mkv", "avi")]
    assert [f.pop("manifest.csv").count(b"\n") for f in outputs] == [3, 3]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(("rotation", "size"), [(0, (WIDTH, HEIGHT)), (90, (HEIGHT, WIDTH))])
def test_a_still_is_upright(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    footage = film_shot("b", 12)
    film = Film(
        [frame[0] for frame in footage], chromas=[frame[1] for frame in footage], rotation=rotation
    )
    pick_stills([media.make(tmp_path / "film.mp4", film)], tmp_path / "out")
    (line,) = lines(tmp_path / "out")
    assert (int(line["width"]), int(line["height"])) == size


def test_pixels_are_made_square_and_the_short_side_is_respected(tmp_path: Path) -> None:
    footage = film_shot("b", 12)
    film = Film(
        [frame[0] for frame in footage], chromas=[frame[1] for frame in footage], sar=Fraction(4, 3)
    )
    path = media.make(tmp_path / "film.mp4", film)
    for short_side, size in ((0, (96, 48)), (256, (96, 48)), (32, (64, 32))):
        pick_stills([path], tmp_path / f"{short_side}", options=PickOptions(short_side=short_side))
        (line,) = lines(tmp_path / f"{short_side}")
        assert (int(line["width"]), int(line["height"])) == size


def test_a_film_that_breaks_off_gives_its_readable_stills(film: Path, tmp_path: Path) -> None:
    """A change of the frame size ends the reading of that film only."""
    first, second = (film_shot("b", 12), letterboxed(film_shot("c", 12)))
    parts = []
    for name, part in (("1.h264", first), ("2.h264", second)):
        film_ = Film([t[0] for t in part], chromas=[t[1] for t in part])
        parts.append(media.make(tmp_path / name, film_).read_bytes())
    (tmp_path / "joined.h264").write_bytes(b"".join(parts))
    report = pick_stills([tmp_path / "joined.h264", film], tmp_path / "out")
    assert {line["film"] for line in lines(tmp_path / "out")} >= {str(film)}
    assert len(report.notes) == 1 and "joined.h264" in report.notes[0]


def test_progress_never_goes_back(film: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    pick_stills([film], tmp_path / "out", progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= STARTS[-1]
    assert all(total is not None and total >= done for done, total in steps)
    assert steps[-1][0] == steps[-1][1]


# ---------------------------------------------------------------- bars


@pytest.mark.parametrize("bars", [Bars(), Bars(12, 12), Bars(0, 0, 20, 20), Bars(9, 0, 0, 5)])
def test_noisy_bars_are_found(bars: Bars) -> None:
    rng = np.random.default_rng(1)
    detector = BarDetector(HEIGHT, WIDTH)
    for luma in shoot(12, seed=6):
        frame = rng.normal(18, 2.5, luma.shape).clip(0, 255).astype(np.uint8)
        inside = slice(bars.top, HEIGHT - bars.bottom), slice(bars.left, WIDTH - bars.right)
        frame[inside] = np.maximum(luma, 40)[inside]
        detector.add(frame, CODING)
    assert detector.bars(0.1) == bars


def test_a_dark_side_is_no_bar() -> None:
    """A night sky that is brighter toward the ground has no sharp edge."""
    detector = BarDetector(HEIGHT, WIDTH)
    slope = np.linspace(0.0, 0.6, HEIGHT) ** 2
    for _ in range(6):
        frame = (16 + 219 * np.repeat(slope[:, None], WIDTH, axis=1)).astype(np.uint8)
        detector.add(frame, CODING)
    assert detector.dark_edges(0.1).top > 5
    assert detector.bars(0.1) == Bars()


def test_one_bright_frame_does_not_hide_the_bars() -> None:
    detector = BarDetector(HEIGHT, WIDTH)
    for number, luma in enumerate(shoot(30, seed=6)):
        frame = np.maximum(luma, 40)
        if number != 4:
            frame[:10] = frame[-10:] = 17
        detector.add(frame, CODING)
    assert detector.bars(0.1) == Bars(10, 10)


def test_a_dark_shot_has_the_bars_of_its_film() -> None:
    film_bars = Bars(12, 12, 0, 0)
    assert combine_bars(Bars(30, 14, 3, 0), Bars(0, 0, 0, 0), film_bars) == film_bars
    assert combine_bars(Bars(0, 0, 20, 20), Bars(0, 0, 20, 20), film_bars) == Bars(0, 0, 20, 20)
    assert combine_bars(Bars(), Bars(), film_bars) == Bars()


# ---------------------------------------------------------------- choosing


@given(num=st.integers(1, 300), kept=st.integers(1, 300))
def test_every_beginning_of_the_order_is_spread(num: int, kept: int) -> None:
    order = spread_order(num)
    assert sorted(order) == list(range(num))
    chosen = sorted(order[: min(kept, num)])
    gaps = np.diff([*chosen, num])
    assert chosen[0] == 0 and max(gaps) <= 4 * num / len(chosen)


@given(
    values=st.lists(st.floats(0.01, 9.0), min_size=1, max_size=80),
    num=st.integers(1, 5),
    first=st.integers(0, 1000),
)
def test_the_sharpest_of_each_part_is_chosen(values: list[float], num: int, first: int) -> None:
    candidates = [Candidate(first + n, n, value) for n, value in enumerate(values)]
    stop = first + len(values)
    chosen = choose_sharpest(candidates, first, stop, num)
    parts = [(c.number - first) * num // len(values) for c in chosen]
    assert 1 <= len(chosen) <= num and len(set(parts)) == len(parts)
    assert [c.number for c in chosen] == sorted(c.number for c in chosen)
    edge = min(6, len(values) // 8)
    inner = values[edge : len(values) - edge]
    assert max(c.sharpness for c in chosen) == max(inner)


def test_memory_does_not_grow_with_a_shot(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(scan, "_MAX_INTERVALS", 8)
    add = scan._ShotScanner.add

    def count(self: Any, *args: Any) -> None:
        add(self, *args)
        sizes.append(len(self.candidates))

    monkeypatch.setattr(scan._ShotScanner, "add", count)
    result = scan_film(probe(film), Part(), 1)
    assert max(sizes) == 8
    assert [shot.number for shot in result.shots if shot.best] == [0, 2, 3, 4, 5, 6]


def test_near_duplicates_have_similar_luma_and_colors() -> None:
    picture = colorful(1)
    index = SignatureIndex()
    index.add(signature(picture))
    dimmed = np.rint(picture * 0.93).astype(np.uint8)
    assert not index.is_new(signature(picture[1:-1, 1:-1]))
    assert not index.is_new(signature(dimmed))
    assert index.is_new(signature(colorful(2)))
    assert index.is_new(signature(np.ascontiguousarray(picture[..., [0, 2, 1]])))


def test_the_newest_signatures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_MAX_SIGNATURES", 3)
    index, signatures = SignatureIndex(), [signature(colorful(seed)) for seed in range(1, 6)]
    for values in signatures:
        index.add(values)
    assert [index.is_new(values) for values in signatures] == [True, True, False, False, False]


@pytest.mark.parametrize("gain", [0.3, 1.0])
def test_sharpness_does_not_depend_on_contrast(gain: float) -> None:
    luma = shoot(1, seed=2)[0].astype(np.float32) / 255
    assert sharpness(luma * gain) == pytest.approx(sharpness(luma), rel=0.01)
    assert sharpness(cv2.GaussianBlur(luma, (0, 0), 2.0)) < sharpness(luma) / 4


def test_flaws_are_found() -> None:
    picture = colorful(1)
    grey = np.repeat(picture[..., :1], 3, axis=2)
    sepia = np.rint(grey * np.array([1.0, 0.85, 0.62])).astype(np.uint8)
    assert find_flaw(picture) is None
    assert find_flaw(np.zeros_like(picture)) == "blank"
    assert find_flaw(np.full_like(picture, 200)) == "blank"
    assert find_flaw(grey) == "grey"
    assert find_flaw(sepia) == "tinted"


# ---------------------------------------------------------------- photographs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with good pictures of four kinds, and one for each reason of rejection."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(colorful(1)).save(folder / "turned.jpg", exif=turned.tobytes())
    deep = np.rint(colorful(2).astype(float) * 257).astype(np.uint16)
    cv2.imwrite(str(folder / "sub" / "deep.png"), deep[..., ::-1])
    Image.fromarray(colorful(3)).save(folder / "sub" / "one.webp", quality=95)
    framed = np.pad(np.maximum(colorful(4), 30), ((15, 15), (0, 0), (0, 0)))
    Image.fromarray(framed).save(folder / "one.png")
    Image.fromarray(colorful(4)[::2, ::2]).save(folder / "repeat.png")
    Image.fromarray(colorful(5)[..., 0]).save(folder / "grey.tif")
    Image.new("RGB", (90, 90), "navy").save(folder / "blank.bmp")
    soft = cv2.GaussianBlur(colorful(6, (400, 300)), (0, 0), 12)
    Image.fromarray(soft).save(folder / "soft.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


def test_photographs_are_cropped_rotated_and_checked(photos: Path, tmp_path: Path) -> None:
    report = pick_stills([photos], tmp_path / "out")
    rows = {line["file"]: line for line in lines(tmp_path / "out")}
    assert list(rows) == [
        "photos/one.jpg",
        "photos/sub/deep.jpg",
        "photos/sub/one.jpg",
        "photos/turned.jpg",
    ]
    sizes = {name: (int(line["width"]), int(line["height"])) for name, line in rows.items()}
    assert sizes["photos/turned.jpg"] == (90, 120)
    assert sizes["photos/one.jpg"][0] == 120 and 88 <= sizes["photos/one.jpg"][1] <= 90
    assert {line["kind"] for line in rows.values()} == {"photo"}
    assert rows["photos/sub/deep.jpg"]["film"] == str(photos / "sub" / "deep.png")
    difference = np.abs(pixels(tmp_path / "out/photos/sub/deep.jpg").astype(int) - colorful(2))
    assert difference.mean() < 6.0  # JPEG changes grain
    nums = {rejection.reason: rejection.num for rejection in report.rejections}
    reasons = {"near-duplicate", "grey", "blank", "blurred", "unreadable"}
    assert nums == dict.fromkeys(reasons, 1)
    assert str(photos / "broken.jpg") in str(report)


def test_colors_have_full_resolution(photos: Path, tmp_path: Path) -> None:
    pick_stills([photos], tmp_path / "out")
    with Image.open(tmp_path / "out/photos/one.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # 4:4:4


def test_pictures_of_one_name_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for seed, suffix in enumerate(("jpg", "png", "bmp"), 1):
        Image.fromarray(colorful(seed)).save(tmp_path / "in" / f"one.{suffix}")
    pick_stills([tmp_path / "in"], tmp_path / "out")
    names = [line["file"] for line in lines(tmp_path / "out")]
    assert names == ["in/one.jpg", "in/one~2.jpg", "in/one~3.jpg"]


def test_films_and_photographs_can_be_mixed(film: Path, photos: Path, tmp_path: Path) -> None:
    report = pick_stills([film, photos], tmp_path / "out")
    assert report.num_kept == len(GOOD) + 4
    assert str(report).startswith("8 stills of 1 film and 9 pictures → ")


# ---------------------------------------------------------------- the folder


def test_a_folder_with_other_files_is_not_touched(film: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"no manifest\.csv"):
            pick_stills([film], tmp_path, force=force)
    assert files(tmp_path) == {"letter.txt": b"mine"}


def test_a_folder_is_refilled_when_forced(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pick_stills([film], out)
    (out / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        pick_stills([film], out)
    pick_stills([film], out, options=PickOptions(limit=1), force=True)
    assert set(files(out)) == {"manifest.csv", "letter.txt", lines(out)[0]["file"]}


def test_a_manifest_removes_nothing_outside_its_folder(film: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim.jpg"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.csv").write_text(f"file,film\n../victim.jpg,x\n{victim},x\n")
    pick_stills([film], tmp_path / "out", force=True)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_run_that_ends_early_leaves_nothing(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    replace, done = Path.replace, []

    def limited(self: Path, target: Path) -> Path:
        if self.suffix == ".partial" and ".jpg" in self.name:
            done.append(target)
            if len(done) == 3:
                assert done[0].exists() and not done[2].exists()
                raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", limited)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match=r"the disk is full: make room|^$"):
        pick_stills([film], tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_an_error(film: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be"):
        pick_stills([film], tmp_path / "out")


def test_a_file_in_place_of_the_folder_is_an_error(film: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        pick_stills([film], tmp_path / "file")
    with pytest.raises(OutputError, match="choose another"):
        pick_stills([film], tmp_path / "file" / "out")


# ---------------------------------------------------------------- errors


def test_a_film_without_color_is_an_error(tmp_path: Path) -> None:
    path = media.make(tmp_path / "old.mkv", film_of(film_shot("grey", 16) + film_shot("black", 8)))
    with pytest.raises(InputError, match=r"old\.mkv: no colour in it .*1 grey"):
        pick_stills([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_without_film_or_pictures_is_an_error(film: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        pick_stills([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(InputError, match="no such file"):
        pick_stills([film, tmp_path / "none.mp4"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_output_is_not_inside_a_source(photos: Path) -> None:
    with pytest.raises(OutputError, match="which is read"):
        pick_stills([photos], photos / "out")


def test_hdr_is_refused(tmp_path: Path) -> None:
    film = film_of(film_shot("b", 4), color={"color_trc": 16})
    path = media.make(tmp_path / "hdr.mkv", film)
    with pytest.raises(InputError, match="HDR"):
        pick_stills([path], tmp_path / "out")


def test_a_range_needs_a_single_film(film: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="one film"):
        pick_stills([film, photos], tmp_path / "out", time_range=TimeRange(first=3))


@pytest.mark.parametrize("choice", [{"per_shot": 0}, {"short_side": 8}, {"limit": 0}])
def test_options_without_meaning_are_refused(choice: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        PickOptions(**choice)


# ---------------------------------------------------------------- the command


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., CommandResult]:
    def run(*args: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["filmcolor", "stills", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        return CommandResult(stop.value.code, *capfd.readouterr())

    return run


def test_the_command_reports_on_stdout(
    run_command: Callable[..., CommandResult], film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run_command(
        film, "-o", out, "--frames", f"{STARTS[5]}:{STARTS[6]}", "--short-side", 32
    )
    assert (result.code, result.out) == (0, f"1 still of 1 film → {out}\n")
    refused = run_command(film, "-o", out, "-q")
    assert (refused.code, refused.out) == (1, "")
    assert "--force" in refused.err
    again = run_command(film, "-o", out, "-q", "--force", "--from", 1, "--to", 3)
    assert (again.code, again.out, again.err) == (0, "", "")


@pytest.mark.parametrize(
    "args", [("--frames", "1:9", "--to", "3"), ("--from", "3", "--to", "2"), ("--from", "1", "x")]
)
def test_wrong_usage_exits_with_2(
    run_command: Callable[..., CommandResult], film: Path, tmp_path: Path, args: tuple[str, ...]
) -> None:
    assert run_command(film, "-o", tmp_path / "out", *args).code == 2
