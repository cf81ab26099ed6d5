"""Reference pictures: their frame, their colours, and what is refused."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from media import shoot
from PIL import Image

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.errors import FilmcolorError, InputError, RangeError, SettingsError
from filmcolor.guidance.picture_reader import read_pictures
from filmcolor.guidance.reference_sources import EXPORT_MANIFEST, file_digest
from filmcolor.guidance.references import Reference, digest_of
from filmcolor.types.film import FilmInfo
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import add_proxies

SIZE = 64  # short side that the network sees
LENGTHS = 20, 12, 18  # frames of the film's shots
COAT = (40, 50, 160)  # R'G'B'
NAVY = lab_from_rgb(*(np.float32([c / 255.0]) for c in COAT))[1:]


def shots(*lengths: int) -> list[np.ndarray]:
    return [luma for seed, length in enumerate(lengths) for luma in shoot(length, seed=seed)]


LUMAS = shots(*LENGTHS)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("references") / "film.mkv"
    return media.make(path, media.Film(LUMAS, codec="ffv1"))


@pytest.fixture(scope="module")
def info(film: Path) -> FilmInfo:
    return probe(film)


Read = Callable[..., list[Reference]]


@pytest.fixture(scope="module")
def read(info: FilmInfo) -> Read:
    index = FrameIndex.read(info)

    def read_all(*sources: object, hints: tuple[object, ...] = ()) -> list[Reference]:
        names = [str(s) for s in sources]
        return list(read_pictures(names, info, index, SIZE, [str(h) for h in hints]).references)

    return read_all


def painted(number: int, size: tuple[int, int] | None = None) -> Image.Image:
    """Return a painted frame: lighter, its middle painted over in blue."""
    grey = (LUMAS[number].astype(np.float32) - 16) / 219
    rgb = np.repeat(grey.clip(0, 1)[..., None] ** 0.8, 3, axis=2)
    rgb[20:50, 30:60] = 0.4 * rgb[20:50, 30:60] + 0.6 * np.array(COAT) / 255
    rgb[:16] += (0.2, -0.05, -0.2)
    picture = Image.fromarray(np.rint(rgb.clip(0, 1) * 255).astype(np.uint8))
    return picture if size is None else picture.resize(size, Image.Resampling.BICUBIC)


def strokes(*boxes: tuple[int, int, int, int], color: tuple[int, int, int] = COAT) -> Image.Image:
    picture = Image.new("RGBA", media.SIZE)
    for box in boxes:
        picture.paste((*color, 255), box)
    return picture


def saved(picture: Image.Image, path: Path) -> Path:
    picture.save(path)
    return path


# ---------------------------------------------------------------- which frame it is


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("frame-000007.png", 7),
        ("Frame-25 retouched.jpg", 25),
        ("frame-000033.painted.tif", 33),
        ("00-00-01.042.png", 25),  # 25/24 s, rounded up
        ("00-00-01.05.png", 25),  # shown until 26/24 s
        ("00-00-00.jpeg", 0),
        ("00-00-01,375 final.webp", 33),
    ],
)
def test_a_name_tells_the_frame(read: Read, tmp_path: Path, name: str, number: int) -> None:
    (reference,) = read(saved(painted(number), tmp_path / name))
    assert reference.number == number


def test_a_typed_time_tells_the_frame(read: Read, tmp_path: Path) -> None:
    picture = saved(painted(30), tmp_path / "frame-000001@home.png")
    assert [r.number for r in read(f"{picture}@00:00:01.25")] == [30]
    assert [r.number for r in read(f"{picture}@1.25")] == [30]


@pytest.mark.parametrize("number", [0, 11, 26, 49])
def test_a_picture_without_a_name_is_found(read: Read, tmp_path: Path, number: int) -> None:
    (reference,) = read(saved(painted(number, (480, 320)), tmp_path / "a coat.png"))
    assert reference.number == number


def test_a_folder_holds_several(read: Read, tmp_path: Path) -> None:
    saved(painted(40), tmp_path / "lost.png")
    saved(painted(3), tmp_path / "frame-000003.png")
    saved(painted(3).convert("L"), tmp_path / "frame-000003.grey.png")
    (tmp_path / "notes.txt").write_text("navy")
    (tmp_path / ".frame-000009.png").write_bytes(b"half written")
    assert [r.number for r in read(tmp_path)] == [3, 40]


def test_what_is_still_as_it_was_exported_is_no_reference(read: Read, tmp_path: Path) -> None:
    paths = [saved(painted(n), tmp_path / f"frame-{n:06}.png") for n in (3, 9)]
    digests = {path.name: file_digest(path) for path in paths}
    (tmp_path / EXPORT_MANIFEST).write_text(json.dumps(digests))
    with pytest.raises(InputError, match="unchanged since their export; paint some"):
        read(tmp_path)
    assert [r.number for r in read(paths[0])] == [3]  # a picture named explicitly is used
    saved(painted(9, (192, 128)), paths[1])
    assert [r.number for r in read(tmp_path)] == [9]


# ---------------------------------------------------------------- what it holds


@pytest.mark.parametrize("size", [None, (192, 128), (961, 640), (48, 32)])
def test_colors_are_means_in_lab_at_the_size_of_the_guide(
    read: Read, info: FilmInfo, tmp_path: Path, size: tuple[int, int] | None
) -> None:
    picture = painted(5, size)
    (reference,) = read(saved(picture, tmp_path / "frame-5.png"))
    guide = next(add_proxies(read_luma(info), info, SIZE)).guide
    assert reference.ab.shape == (*guide.shape, 2) == (32, 48, 2)
    assert reference.ab.dtype == reference.coverage.dtype == np.float32
    assert reference.coverage.shape == guide.shape
    assert reference.coverage.min() == 1.0
    exact = np.asarray(picture, np.float32) / 255
    wanted = np.dstack(lab_from_rgb(*cv2.split(exact))[1:])
    wanted = cv2.resize(wanted, (48, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(reference.ab - wanted).max() < 0.01


@pytest.mark.parametrize("kind", ["16 bits", "palette", "jpeg", "grey strip"])
def test_all_kinds_of_files_are_read(read: Read, tmp_path: Path, kind: str) -> None:
    picture, path = painted(5), tmp_path / "frame-5.png"
    rgb = np.asarray(picture)
    if kind == "16 bits":
        cv2.imwrite(str(path), rgb[..., ::-1].astype(np.uint16) * 257)
    elif kind == "palette":
        picture.quantize(200).save(path)
    elif kind == "jpeg":
        path = tmp_path / "frame-5.jpg"
        picture.save(path, quality=95)
    else:
        picture.save(path)
    (reference,) = read(path)
    centre = reference.ab[14:22, 18:27].mean(axis=(0, 1))
    wanted = np.dstack(lab_from_rgb(*cv2.split(np.float32(rgb) / 255))[1:])[28:44, 36:54]
    assert np.abs(centre - wanted.mean(axis=(0, 1))).max() < 2.5


def test_transparency_is_coverage(read: Read, tmp_path: Path) -> None:
    (reference,) = read(saved(strokes((24, 16, 47, 48)), tmp_path / "frame-5.png"))
    assert reference.coverage[10:22, 12:23].min() == 1.0
    assert reference.coverage[10:22, 23] == pytest.approx(0.5, abs=0.01)  # half a sample
    assert reference.coverage[:, 24:].max() == reference.coverage[:7].max() == 0.0
    assert np.allclose(reference.ab[10:22, 12:24], np.ravel(NAVY), atol=0.05)
    assert not reference.ab[:, 24:].any()


def test_hints_are_spread_in_their_frame(read: Read, tmp_path: Path) -> None:
    picture = strokes((40, 30, 56, 34))
    path = saved(picture, tmp_path / "frame-5.png")
    (given,), (spread,) = read(path), read(hints=(path,))
    assert spread.coverage.sum() > 3 * given.coverage.sum()
    assert np.allclose(spread.ab[15:17, 21:27], np.ravel(NAVY), atol=1.0)


def test_a_turned_film_of_oblong_pixels(make_film: Callable[..., Path], tmp_path: Path) -> None:
    film = make_film("film.mp4", lumas=LUMAS[:3], rotation=90, sar=Fraction(4, 3))
    info = probe(film)
    index = FrameIndex.read(info)
    turns = info.quarter_turns
    upright = Image.fromarray(np.rot90(np.asarray(painted(1)), turns))
    for size in (upright.size, (64, 128)):  # as coded, as shown
        path = saved(upright.resize(size), tmp_path / "frame-1.png")
        (reference,) = read_pictures([str(path)], info, index, SIZE).references
        guide = next(add_proxies(read_luma(info), info, SIZE)).guide
        assert reference.ab.shape[:2] == guide.shape == (32, 64)
        height, width = guide.shape
        assert reference.ab[height // 2, width // 2, 1] < -10  # the coat stays in place
        assert reference.ab[2, width // 2, 1] > 3  # the top is warm
    path = saved(painted(1), tmp_path / "frame-1.png")
    with pytest.raises(InputError, match="96×64, the film is shown as 64×128: another aspect"):
        read_pictures([str(path)], info, index, SIZE)


def test_digests_tell_pictures_and_frames_apart(read: Read, tmp_path: Path) -> None:
    path = saved(painted(5), tmp_path / "frame-000005.png")
    digest = digest_of(read(path))
    assert digest == digest_of(read(saved(painted(5), tmp_path / "frame-5 again.png")))
    near = saved(painted(5), tmp_path / "frame-000006.png")
    other = strokes((40, 30, 56, 34))
    hint = saved(other, tmp_path / "frame-000007.png")
    digests = {digest, digest_of(read(near)), digest_of(read(hint)), digest_of(read(hints=(hint,)))}
    assert len(digests) == 4
    assert digest_of([]) == ""


# ---------------------------------------------------------------- what is refused


def spoilt(path: Path) -> None:
    saved(painted(5), path)
    path.write_bytes(path.read_bytes()[:200])


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("name", "make", "error", "words"),
    [
        ("frame-5.png", lambda p: None, InputError, "no such file; check the spelling"),
        ("frame-5.png", lambda p: p.write_text("no"), InputError, "is not a picture; give a JPEG"),
        ("frame-5.png", spoilt, InputError, "is the file complete"),
        (
            "frame-5.png",
            lambda p: saved(painted(5).crop((0, 0, 96, 58)), p),
            InputError,
            "is 96×58, the film is shown as 96×64: another aspect; crop or scale",
        ),
        (
            "frame-25.png",
            lambda p: saved(painted(5), p),
            InputError,
            r"does not look like frame 25 of .*film\.mkv; is it of this film\?",
        ),
        ("frame-50.png", lambda p: saved(painted(5), p), RangeError, "no frame 50.* 0 to 49"),
        ("00-00-59.png", lambda p: saved(painted(5), p), RangeError, "at 59.000 s: .* 0 to 49"),
        (
            "frame-5.png",
            lambda p: saved(painted(5).convert("L"), p),
            InputError,
            "has no colour; hand over the picture that you coloured",
        ),
        ("frame-5.png", lambda p: saved(strokes(), p), InputError, "nothing is painted on it"),
        (
            "stroke.png",
            lambda p: saved(strokes((40, 30, 56, 34)), p),
            InputError,
            "strokes alone do not show which frame.*PICTURE@TIMECODE",
        ),
    ],
)
def test_what_is_no_reference_is_said(
    read: Read, tmp_path: Path, name: str, make: Spoil, error: type[FilmcolorError], words: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(error, match=words) as raised:
        read(tmp_path / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_hints_need_transparency(read: Read, tmp_path: Path) -> None:
    path = saved(painted(5), tmp_path / "frame-5.png")
    with pytest.raises(InputError, match=r"frame-5\.png has no transparency.*for --reference"):
        read(hints=(path,))


def test_one_frame_has_one_picture(read: Read, tmp_path: Path) -> None:
    paths = [saved(painted(5), tmp_path / name) for name in ("frame-5.png", "nameless.png")]
    with pytest.raises(InputError, match=r"frame-5\.png and .*less\.png are both of frame 5"):
        read(*paths)


def test_strokes_lie_over_the_reference_of_their_frame(read: Read, tmp_path: Path) -> None:
    whole = saved(painted(5), tmp_path / "frame-5.png")
    hint = saved(strokes((40, 30, 56, 34), color=(30, 140, 40)), tmp_path / "frame-5 strokes.png")
    (below,), (above,) = read(whole), read(hints=(hint,))
    (both,) = read(whole, hints=(hint,))
    assert both.number == 5
    assert both.coverage.min() == 1.0
    wanted = below.ab + (above.ab - below.ab) * above.coverage[..., None]
    assert np.abs(both.ab - wanted).max() < 1e-3
    other = saved(strokes((10, 10, 26, 14)), tmp_path / "frame-5 more.png")
    with pytest.raises(InputError, match=r"strokes\.png and .*more\.png are both of frame 5"):
        read(whole, hints=(hint, other))


def test_folders_without_pictures_and_times_without_sense(read: Read, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no pictures in colour.*shots FILM --export"):
        read(tmp_path)
    with pytest.raises(SettingsError, match="is a folder; only a picture can have a time"):
        read(f"{tmp_path}@00:00:01")
    path = saved(painted(5), tmp_path / "frame-5.png")
    with pytest.raises(SettingsError, match=r"frame-5\.png@noon: 'noon' is no time"):
        read(f"{path}@noon")
