"""The studio's engine: shots while a film is read, frames as a run gives them, what is kept."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from media import Film, shoot

from filmcolor.errors import SettingsError
from filmcolor.guidance.grading import Grade, Palette
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.references import Reference
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.shots.key_frames import choose_key_frames
from filmcolor.studio import scan as scan_module
from filmcolor.studio.colors import FilmColors
from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.gate import Gate
from filmcolor.studio.pictures import (
    COLOR,
    GREY,
    jpeg,
    shown_picture,
    shown_size,
)
from filmcolor.studio.scan import ShotScan
from filmcolor.studio.swatches import colors_of
from filmcolor.types.film import Part
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.poster import read_poster
from filmcolor.video.probe import probe

SHOTS = 30, 60, 40


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas = [luma for seed, length in enumerate(SHOTS) for luma in shoot(length, seed=seed)]
    return media.make(tmp_path_factory.mktemp("studio") / "film.mkv", Film(lumas, codec="ffv1"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "cache_folder", lambda: tmp_path / "cache")


class Corrections:
    """Corrections that a test sets."""

    def __init__(self, options: ColorOptions) -> None:
        self._options, self.version = options, "0"
        self._guidance = Guidance(Palette(options.grade))

    def set(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self.version = str(int(self.version) + 1)

    def snapshot(self) -> tuple[str, ColorOptions, Guidance]:
        return self.version, self._options, self._guidance

    def options(self) -> ColorOptions:
        return self._options

    def guidance(self) -> Guidance:
        return self._guidance


@pytest.fixture
def corrections(options: ColorOptions) -> Corrections:
    return Corrections(options)


@pytest.fixture
def colors(film: Path, options: ColorOptions, corrections: Corrections) -> FilmColors:
    info = probe(film)
    return FilmColors(info, FrameIndex.read(info), corrections, lambda: Colorizer(options), Gate())


def decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def finish(scan: ShotScan) -> None:
    scan.start()
    end = time.monotonic() + 60
    while not scan.is_complete and time.monotonic() < end:
        time.sleep(0.01)
    assert scan.is_complete and not scan.error


# ---------------------------------------------------------------- shots


def test_the_scan_finds_the_shots_and_key_frames_of_a_run(film: Path) -> None:
    info, touched = probe(film), list[int]()
    scan = ShotScan(info, FrameIndex.read(info), Gate(), touched.append)
    finish(scan)
    assert [(s.shot, s.key_frame) for s in scan.shots] == choose_key_frames(info)
    assert all(s.is_final for s in scan.shots) and scan.num_frames == sum(SHOTS)
    assert {1, 2, 3} <= set(touched)
    for number in (1, 2, 3):
        assert decode(scan.thumbnail(number) or b"").shape[0] <= 160
    assert scan.thumbnail(4) is None


def test_a_shot_appears_before_its_end_is_known(film: Path) -> None:
    info, seen = probe(film), list[tuple[int, int, int, bool]]()

    def note(_: int) -> None:
        last = scan.shots[-1]
        seen.append((last.shot.number, last.shot.first, last.shot.stop, last.is_final))
        assert scan.thumbnail(last.shot.number)

    scan = ShotScan(info, FrameIndex.read(info), Gate(), note)
    finish(scan)
    assert seen[0] == (1, 0, 1, False)
    assert (2, 30, 31, False) in seen and (2, 30, 79, False) in seen
    # a shot ends where the next begins
    assert scan.shots[0].shot.stop == scan.shots[1].shot.first == 30


def test_shots_are_found_once_for_a_film_under_any_name(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = probe(film)
    first = ShotScan(info, FrameIndex.read(info), Gate(), lambda _: None)
    finish(first)
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(film.read_bytes())

    def refuse(*_: object, **__: object) -> Iterator[None]:
        raise AssertionError("the film is read again")

    monkeypatch.setattr(scan_module, "iter_key_frames", refuse)
    again = ShotScan(probe(copy), FrameIndex.read(probe(copy)), Gate(), lambda _: None)
    again.start()
    assert again.is_complete and list(again.shots) == list(first.shots)
    assert again.thumbnail(2) == first.thumbnail(2)
    # another film, and a file that is broken, are read
    (kept,) = (tmp_path / "cache" / "shots").iterdir()
    kept.write_text("{")
    broken = ShotScan(info, FrameIndex.read(info), Gate(), lambda _: None)
    broken.start()
    broken.close()
    assert "cannot be found" in broken.error  # the refusal above: it was read


def test_a_scan_that_is_closed_stops_and_keeps_nothing(film: Path, tmp_path: Path) -> None:
    info, reached = probe(film), threading.Event()
    gate = Gate()

    def wait(_: int) -> None:
        reached.set()

    scan = ShotScan(info, FrameIndex.read(info), gate, wait)
    with gate.urgent():
        scan.start()
        assert reached.wait(20)
        scan._is_closed.set()
    scan.close()
    assert not scan.is_complete and not list(tmp_path.rglob("*.json"))


def test_background_work_waits_for_urgent_work() -> None:
    gate, done = Gate(), threading.Event()
    gate.wait()  # nothing is urgent

    def work() -> None:
        gate.wait()
        done.set()

    with gate.urgent():
        with gate.urgent():
            thread = threading.Thread(target=work)
            thread.start()
            assert not done.wait(0.05)
        assert not done.wait(0.05)
    assert done.wait(5)
    thread.join()


# ---------------------------------------------------------------- colours


@pytest.mark.slow
def test_frames_are_those_of_a_run(film: Path, options: ColorOptions, colors: FilmColors) -> None:
    info = probe(film)
    whole = list(Colorizer(options).frames(info))
    for number in (75, 3, 129):
        data, version = colors.jpeg(number, COLOR)
        exact = shown_picture(whole[number], info, COLOR)
        assert (data, version) == (jpeg(exact), "0")
        assert np.abs(decode(data).astype(int) - exact).mean() < 3.0
        grey = colors.jpeg(number, GREY)[0]
        assert np.ptp(decode(grey).astype(int), axis=2).max() == 0
        assert (
            np.abs(decode(grey) - shown_picture(whole[number], info, GREY).astype(int)).mean() < 3.0
        )
    part = list(colors.frames(40, 44))
    for one, other in zip(part, whole[40:44], strict=True):
        np.testing.assert_array_equal(one.cb, other.cb)
    thumbnail, key = colors.thumbnail(75)
    assert key == colors.key(75) and decode(thumbnail).shape[0] <= 160
    for number in (-1, 130, 10_000):
        with pytest.raises(NotFoundError, match="does not exist"):
            colors.jpeg(number, COLOR)
    assert (
        colors.guide(5).shape
        == next(iter(Colorizer(options).ab_frames(info, Part(5, 6)))).guide.shape
    )


@pytest.mark.slow
def test_a_correction_changes_what_it_concerns_and_taking_it_back_gives_the_same_bytes(
    colors: FilmColors, corrections: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = corrections.guidance()
    first, other = colors.jpeg(110, COLOR)[0], colors.jpeg(10, COLOR)[0]
    palette = Palette(before.palette.base, ((90, 130, Grade(saturation=3.0)),))
    corrections.set(replace(before, palette=palette))
    changed = colors.jpeg(110, COLOR)
    assert changed[1] == "1" and changed[0] != first
    corrections.set(before)

    def refuse(*_: object) -> None:
        raise AssertionError("a frame was coloured again")

    monkeypatch.setattr(colors, "_color", refuse)
    assert colors.jpeg(110, COLOR)[0] == first and colors.jpeg(10, COLOR)[0] == other
    corrections.set(replace(before, palette=palette))
    assert colors.jpeg(110, COLOR)[0] == changed[0]
    corrections.set(Guidance(Palette(Grade(saturation=2.0))))
    with pytest.raises(AssertionError, match="again"):  # the whole film's grade
        colors.jpeg(110, COLOR)


def test_the_key_of_a_frame_holds_the_references_that_may_serve_it(
    colors: FilmColors, corrections: Corrections
) -> None:
    def reference(number: int, value: float) -> Reference:
        ab = np.full((16, 24, 2), value, np.float32)
        return Reference(number, ab, np.ones((16, 24), np.float32))

    base = Palette(corrections.options().grade)
    keys = [colors.key(5)]
    for references in (
        (reference(8, 20.0),),
        (reference(8, 30.0),),
        (reference(9, 30.0),),
        (reference(9, 30.0), reference(129, 1.0)),
    ):
        corrections.set(Guidance(base, references))
        keys.append(colors.key(5))
    assert len(set(keys)) == len(keys)
    corrections.set(Guidance(base))
    assert colors.key(5) == keys[0] != colors.key(6)


@pytest.mark.slow
def test_a_change_while_a_frame_is_coloured_is_not_kept_as_the_frame_before(
    colors: FilmColors, corrections: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = corrections.guidance()
    exact = colors.jpeg(110, COLOR)[0]
    after = Guidance(Palette(Grade(saturation=0.0)))
    fresh = FilmColors(colors._info, colors._index, corrections, colors._make_colorizer, Gate())
    fresh.jpeg(108, COLOR)
    original = fresh._frames

    def change(*args: object, **settings: object) -> Iterator[object]:
        corrections.set(after)  # between the keys and the colours
        return original(*args, **settings)

    monkeypatch.setattr(fresh, "_frames", change)
    fresh.fill(lambda _: (105, 115))
    corrections.set(before)
    assert fresh.jpeg(110, COLOR)[0] == exact


def test_grey_frames_need_no_guidance(
    colors: FilmColors, corrections: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = colors.jpeg(3, GREY)[0]

    def refuse() -> None:
        raise SettingsError("palette.toml is broken")

    monkeypatch.setattr(corrections, "snapshot", refuse)
    assert colors.jpeg(3, GREY)[0] == expected
    with pytest.raises(SettingsError, match="broken"):
        colors.jpeg(3, COLOR)
    assert not colors.fill(lambda _: (0, 30))


@pytest.mark.slow
def test_frames_around_the_latest_one_are_coloured_ahead(
    colors: FilmColors, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not colors.fill(lambda _: (0, 130))  # nobody has looked yet
    expected = {n: colors.jpeg(n, COLOR)[0] for n in (95, 100)}
    again = FilmColors(
        colors._info, colors._index, colors._corrections, colors._make_colorizer, Gate()
    )
    again.jpeg(99, COLOR)
    while again.fill(lambda _: (90, 130)):
        pass
    monkeypatch.setattr(again, "_color", None)
    for number, data in expected.items():
        assert again.jpeg(number, COLOR)[0] == data
    with pytest.raises(TypeError):
        again.jpeg(89, COLOR)  # another shot


# ---------------------------------------------------------------- pictures


def test_pictures_are_upright_with_square_pixels(tmp_path: Path, options: ColorOptions) -> None:
    lumas = shoot(2, (64, 48))
    lumas[0][:, :8] = 235  # a white stripe on the left
    path = media.make(tmp_path / "turned.mp4", Film(lumas, rotation=-90, sar=Fraction(2)))
    info = probe(path)
    assert shown_size(info) == (48, 128)
    frame = next(iter(Colorizer(options).frames(info, Part(0, 1))))
    picture = shown_picture(frame, info, GREY)
    assert picture.shape == (128, 48, 3)
    top, bottom = picture[:8].mean(), picture[-8:].mean()
    assert top > 200 > bottom or bottom > 200 > top
    poster = read_poster(info)
    assert poster is not None and poster.shape == (48, 64)


def test_swatches_are_the_main_colours_of_a_picture() -> None:
    picture = np.full((60, 80, 3), 128, np.uint8)  # grey is no swatch
    assert colors_of(picture) == []
    picture[:, :30] = 200, 40, 40
    picture[:, 30:40] = 40, 60, 190
    first, *others = colors_of(picture)
    red = [int(first[n : n + 2], 16) for n in (1, 3, 5)]
    assert np.abs(np.array(red) - (200, 40, 40)).max() < 8
    assert any(abs(int(c[5:7], 16) - 190) < 12 for c in others)
    assert colors_of(picture) == colors_of(picture)
