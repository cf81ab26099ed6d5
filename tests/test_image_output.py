"""Films become numbered images: exact luma, headers, names, and runs that stop and go on."""

import re
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from click.testing import CliRunner
from images import DPX_HEADERS, KINDS, encode, exr, grey, image, with_all_headers, write_images
from PIL import Image

from filmcolor.cli.main import cli
from filmcolor.errors import (
    ContainerError,
    FilmcolorError,
    InputError,
    OutputError,
    SettingsError,
    VerifyError,
)
from filmcolor.output.image_names import ImagePattern, check_image_target
from filmcolor.output.image_writer import ImageWriter
from filmcolor.output.luma_comparison import compare_luma
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.rgb_frames import HalfFloats, rgb_codes
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.run import Run
from filmcolor.previews.clip import preview
from filmcolor.segments import segment
from filmcolor.types.film import TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.types.yuv import Coding, convert_luma
from filmcolor.video.decoder import read_luma
from filmcolor.video.image_header import read_image_header
from filmcolor.video.probe import probe
from filmcolor.video.source_options import SourceOptions

BT601, BT709 = (0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722)
DROP = Encoding(drop_unsupported=True)
# offsets in DPX files: SMPTE ST 268-1, tables 1 to 6
DATA_OFFSET, FILE_SIZE, CREATOR, PROJECT, TRANSFER = 4, 16, 160, 260, 801
SCANNER, FILM_COUNT, FRAME_POSITION, FILM_RATE, SLATE = 1556, 1676, 1712, 1724, 1764
TIMECODE, TELEVISION_RATE = 1920, 1940
UNKNOWN = 0xFFFFFFFF


def rgb(path: Path) -> np.ndarray:
    """Return R'G'B' (H, W, 3) of an image as PyAV reads it, in its own depth."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    names = {"rgb24": "rgb24", "rgb48be": "rgb48le", "rgb48le": "rgb48le"}
    if frame.format.name in names:
        return frame.to_ndarray(format=names[frame.format.name])
    dtype = {"gbrpf16le": np.float16, "gbrpf32le": np.float32}.get(frame.format.name, np.uint16)
    planes = [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
        for plane in frame.planes
    ]
    green, blue, red = (plane.view(dtype)[:, : frame.width] for plane in planes)
    return np.dstack([red, green, blue])


def luma_of(picture: np.ndarray, weights: tuple[float, float, float] = BT601) -> np.ndarray:
    return np.rint(picture.astype(float) @ weights)


def is_colored(picture: np.ndarray) -> bool:
    """Return whether more than some pixels are not grey."""
    return bool((np.ptp(picture.astype(float), axis=2) > 0).mean() > 0.2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flat_film(path: Path, codes: list[int], **changes: Any) -> Path:
    """Write a lossless film whose frames are of one luma each."""
    lumas = [np.full((48, 64), code, np.uint8) for code in codes]
    return media.make(path, media.Film(lumas, **{"codec": "ffv1", **changes}))


# ---------------------------------------------------------------- luma


@pytest.mark.parametrize(
    ("kind", "suffix", "pix_fmt"),
    [
        ("DPX 10", ".dpx", "gbrp10le"),
        ("DPX 12", ".dpx", "gbrp12le"),
        ("DPX 16", ".dpx", "rgb48be"),
        ("TIFF 8", ".tif", "rgb24"),
        ("TIFF 16", ".tiff", "rgb48le"),
        ("PNG 8", ".png", "rgb24"),
        ("PNG 16", ".png", "rgb48be"),
        ("PNG 16 RGB", ".png", "rgb48be"),
        ("PNG 8", ".dpx", "gbrp10le"),
        ("TIFF 16", ".dpx", "rgb48be"),
    ],
)
def test_images_in_colour_have_the_luma_of_grey_ones(
    tmp_path: Path, options: ColorOptions, kind: str, suffix: str, pix_fmt: str
) -> None:
    folder = write_images(tmp_path / "reel", kind, range(7, 9))
    output = tmp_path / "out" / f"color_%06d{suffix}"
    colorize(folder, output, options=options)
    assert names(tmp_path) == ["out", "reel"]
    assert names(output.parent) == [f"color_{n:06d}{suffix}" for n in (7, 8)]
    assert verify(folder, output) == 2
    assert probe(output).pix_fmt == pix_fmt
    assert compare_luma(probe(folder), probe(output)).num_different == 0
    peak = (1 << KINDS[kind].depth) - 1
    for number in (7, 8):
        picture = rgb(output.with_name(f"color_{number:06d}{suffix}"))
        scale = (1 << probe(output).coding.bit_depth) - 1
        expected = np.rint(grey(number, KINDS[kind].depth) * (scale / peak))
        np.testing.assert_array_equal(luma_of(picture), expected)
        assert is_colored(picture)


def halves(number: int) -> np.ndarray:
    """Return half floats (48, 64) in 0..1: all of them, in five images."""
    count = 48 * 64
    bits = np.arange(number * count, (number + 1) * count)
    white = int(np.float16(1.0).view(np.uint16))
    return bits.clip(max=white).astype(np.uint16).view(np.float16).reshape(48, 64)


def srgb(linear: np.ndarray) -> np.ndarray:
    """Return the curve of IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("writer", [b"acme", b"lavc"])
def test_half_floats_in_colour_have_the_luma_of_grey_ones(
    tmp_path: Path, options: ColorOptions, writer: bytes
) -> None:
    (tmp_path / "reel").mkdir()
    for number in range(5):
        data = exr(halves(number), "gbrpf32le", writer, format="half")
        (tmp_path / "reel" / f"{number}.exr").write_bytes(data)
    output = tmp_path / "out" / "%d.exr"
    colorize(tmp_path / "reel", output, options=options)
    result = probe(output)
    assert (result.pix_fmt, result.is_linear) == ("gbrpf16le", writer == b"acme")
    for original, copy in zip(read_luma(probe(tmp_path / "reel")), read_luma(result), strict=True):
        np.testing.assert_array_equal(original.luma, copy.luma)
    for number in range(5):
        picture = rgb(tmp_path / "out" / f"{number}.exr").astype(float)
        source = halves(number).astype(float)
        if writer == b"acme":
            picture, source = srgb(picture), srgb(source)
        assert np.abs(luma_of(picture * 65535) - np.rint(source * 65535)).max() <= 1
    assert is_colored(rgb(tmp_path / "out" / "4.exr"))


@pytest.mark.parametrize(("suffix", "peak"), [(".png", 255), (".tif", 255), (".dpx", 1023)])
def test_a_film_of_limited_range_becomes_full_range(
    tmp_path: Path, options: ColorOptions, suffix: str, peak: int
) -> None:
    codes = [16, 17, 77, 128, 200, 234, 235]
    film, output = flat_film(tmp_path / "film.mkv", codes), tmp_path / "out" / f"%d{suffix}"
    report = colorize(film, output, options=options)
    assert any("limited range becomes full range" in note for note in report.notes)
    for number, code in enumerate(codes):
        expected = round((code - 16) * peak / 219)
        assert set(luma_of(rgb(output.with_name(f"{number}{suffix}"))).flat) == {expected}
    assert compare_luma(probe(film), probe(output)).num_different == 0  # and back


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_limited_range_in_full_range_comes_back(depth: int) -> None:
    codes = np.arange(16 << (depth - 8), (235 << (depth - 8)) + 1).astype(np.uint16)
    limited, full = Coding(1, False, depth), Coding(1, True, depth)
    there = convert_luma(codes.astype(np.uint8) if depth == 8 else codes, limited, full)
    assert (there.min(), there.max()) == (0, (1 << depth) - 1)
    np.testing.assert_array_equal(convert_luma(there, full, limited), codes)
    beyond = convert_luma(np.array([1, 254], np.uint8), Coding(1, False, 8), Coding(1, True, 8))
    assert beyond.tolist() == [0, 255]


def test_a_run_in_exr_of_a_film_is_linear_light(tmp_path: Path, options: ColorOptions) -> None:
    film = flat_film(tmp_path / "film.mkv", [16, 126, 235])
    for name, pix_fmt in (("half", None), ("float", "gbrpf32le")):
        output = tmp_path / name / "%d.exr"
        report = colorize(film, output, options=options, encoding=Encoding(pix_fmt=pix_fmt))
        assert probe(output).pix_fmt == {"half": "gbrpf16le", "float": "gbrpf32le"}[name]
        assert any("linear light in" in note for note in report.notes)
        luma = srgb(rgb(output.with_name("1.exr")).astype(float)) @ BT601
        assert np.abs(luma - 110 / 219).max() < 1e-3
        assert compare_luma(probe(film), probe(output)).num_different == 0


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_rgb_codes_have_the_luma_of_any_frame(depth: int, matrix: int) -> None:
    coding = Coding(matrix, True, depth)
    peak, dtype = coding.luma_scale, np.uint8 if depth == 8 else np.uint16
    planes = np.random.default_rng(depth).integers(0, peak + 1, (3, 200, 300)).astype(dtype)
    channels = np.dstack(rgb_codes(ColorFrame(0, *planes, 0, 1), coding))
    assert (channels.min(), channels.max()) == (0, peak)
    kr, kb = coding.kr_kb
    np.testing.assert_array_equal(luma_of(channels, (kr, 1 - kr - kb, kb)), planes[0])
    # the hue is kept: blue exceeds luma where Cb does, if it can
    is_blue = planes[1].astype(int) - coding.chroma_offset > peak // 20
    is_free = (planes[0] > peak // 10) & (planes[0] < peak - peak // 10)
    assert (channels[..., 2] > planes[0])[is_blue & is_free].all()


def test_grey_frames_stay_grey() -> None:
    coding = Coding(1, True, 10)
    luma = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    neutral = np.full((32, 32), 512, np.uint16)
    for channel in rgb_codes(ColorFrame(0, luma, neutral, neutral, 0, 1), coding):
        np.testing.assert_array_equal(channel, luma)


def test_half_floats_have_the_luma_of_16_bit_frames() -> None:
    coding = Coding(1, True, 16)
    rng = np.random.default_rng(0)
    luma = rng.integers(2000, 64000, (100, 200)) / np.float32(65535)
    wanted = [(luma + shift).clip(0, 1) for shift in rng.normal(0, 0.03, (3, 100, 200))]
    wanted[1] = (luma - BT709[0] * wanted[0] - BT709[2] * wanted[2]) / BT709[1]
    channels = HalfFloats(coding, True, 0.45 / 65535).nearest(
        luma.astype(np.float32), tuple(c.astype(np.float32).clip(0, 1) for c in wanted)
    )
    picture = np.dstack(channels)
    assert (picture == picture.astype(np.float16)).all()
    found = srgb(picture.astype(float)) @ BT709 * 65535
    assert np.abs(found - luma * 65535).max() < 0.51
    assert np.abs(srgb(picture.astype(float)) - np.dstack(wanted)).max() < 0.02


# ---------------------------------------------------------------- headers


def dpx(
    codes: np.ndarray, order: str = ">", fields: dict[int, bytes] | None = None, **words: int
) -> bytes:
    """Return a DPX of 10 bits with all headers, in a byte order.

    `fields`: bytes by their offset; `words`: numbers, by "at" and their offset.
    """
    data = encode("dpx", "gbrp10be" if order == ">" else "gbrp10le", [codes] * 3)
    header = bytearray(with_all_headers(data))
    for name, value in words.items():
        struct.pack_into(f"{order}I", header, int(name.removeprefix("at")), value)
    for offset, value in (fields or {}).items():
        header[offset : offset + len(value)] = value
    return bytes(header)


@pytest.mark.parametrize("order", ["<", ">"])
def test_dpx_headers_say_of_the_reel_what_the_sources_do(
    tmp_path: Path, options: ColorOptions, order: str
) -> None:
    reel, output = tmp_path / "reel", tmp_path / "out" / "%d.dpx"
    reel.mkdir()
    texts = {PROJECT: b"Nosferatu", SCANNER: b"scanner 7", SLATE: b"slate 3", TRANSFER: b"\1\1"}
    for number in range(3):
        count = f"{number + 40:04}".encode()
        data = dpx(
            grey(number, 10),
            order,
            texts | {FILM_COUNT: count, FILM_RATE: struct.pack(f"{order}f", 18)},
            at1920=0x01020310 + number,  # 01:02:03:10
            at1712=900 + number,
        )
        (reel / f"{number + 5}.dpx").write_bytes(data)
    colorize(reel, output, options=options, time_range=TimeRange(first=1))
    assert names(output.parent) == ["6.dpx", "7.dpx"]
    for number in (1, 2):
        data = output.with_name(f"{number + 5}.dpx").read_bytes()
        own = ">" if data[:4] == b"SDPX" else "<"
        for offset, text in texts.items():
            assert data[offset : offset + len(text)] == text
        assert data[FILM_COUNT : FILM_COUNT + 4] == f"{number + 40:04}".encode()
        assert struct.unpack_from(f"{own}I", data, FRAME_POSITION) == (900 + number,)
        assert read_image_header(data).timecode == f"01:02:03:{10 + number}"
        assert struct.unpack_from(f"{own}f", data, FILM_RATE) == (18.0,)
        np.testing.assert_array_equal(
            luma_of(rgb(output.with_name(f"{number + 5}.dpx"))), grey(number, 10)
        )


@pytest.mark.parametrize("suffix", [".dpx", ".exr"])
def test_timecode_and_rate_of_a_film_go_into_each_header(
    tmp_path: Path, options: ColorOptions, suffix: str
) -> None:
    film = media.make(
        tmp_path / "film.mkv",
        media.Film(
            media.shoot(6, (64, 48)),
            rate=Fraction(24000, 1001),
            metadata={"timecode": "01:00:00:22"},
        ),
    )
    output = tmp_path / "out" / f"%d{suffix}"
    colorize(film, output, options=options, time_range=TimeRange(first=1, stop=4))
    expected = {1: "01:00:00:23", 2: "01:00:01:00", 3: "01:00:01:01"}
    assert names(output.parent) == [f"{number}{suffix}" for number in expected]
    for number, timecode in expected.items():
        header = read_image_header(output.with_name(f"{number}{suffix}").read_bytes())
        assert (header.timecode, header.frame_rate) == (timecode, Fraction(24000, 1001))


def test_a_dpx_header_is_whole(tmp_path: Path, options: ColorOptions) -> None:
    film, output = flat_film(tmp_path / "film.mkv", [90] * 2), tmp_path / "out" / "%d.dpx"
    colorize(film, output, options=options)
    data = output.with_name("0.dpx").read_bytes()
    sizes = struct.unpack_from(">I", data, DATA_OFFSET) + struct.unpack_from(">I", data, FILE_SIZE)
    assert sizes == (DPX_HEADERS, len(data))
    assert len(data) == DPX_HEADERS + 4 * 64 * 48  # 10 bits each, three in 32
    assert struct.unpack_from(">I", data, TIMECODE) == (UNKNOWN,)
    for offset in (FILM_RATE, TELEVISION_RATE):
        assert struct.unpack_from(">f", data, offset) == (24.0,)
    assert data[TRANSFER : TRANSFER + 2] == b"\x08\x08"  # ITU-R 601, 525 lines


def test_images_say_that_their_colour_was_added(tmp_path: Path, options: ColorOptions) -> None:
    film = flat_film(tmp_path / "film.mkv", [90] * 2)
    found = {}
    for suffix in (".png", ".tif", ".dpx", ".exr"):
        for is_tagged in (True, False):
            output = tmp_path / f"{suffix}{is_tagged}" / f"%d{suffix}"
            colorize(film, output, options=options, tag=is_tagged)
            found[suffix, is_tagged] = output.with_name("1" + suffix).read_bytes()
    for (_, is_tagged), data in found.items():
        assert (b"colour added by filmcolor" in data) == is_tagged
    with Image.open(tmp_path / ".pngTrue" / "1.png") as picture:
        picture.verify()  # the checksums of all chunks
        assert picture.info["Comment"].startswith("colour added by filmcolor")
    with Image.open(tmp_path / ".tifTrue" / "1.tif") as picture:
        assert picture.tag_v2[270].startswith("colour added by filmcolor")  # ImageDescription
        np.testing.assert_array_equal(np.asarray(picture), rgb(tmp_path / ".tifTrue" / "1.tif"))


def test_pixels_that_are_not_square_are_in_the_header(
    tmp_path: Path, options: ColorOptions
) -> None:
    film = flat_film(tmp_path / "film.mp4", [90] * 2, sar=Fraction(64, 45), codec="libx264")
    for suffix in (".png", ".tif", ".dpx", ".exr"):
        output = tmp_path / suffix[1:] / f"%d{suffix}"
        colorize(film, output, options=options)
        assert float(probe(output).sar) == pytest.approx(64 / 45, rel=1e-6)
        assert verify(film, output) == 2


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("frame_%06d.png", 12, "frame_000012.png"),
        ("%d.dpx", 12, "12.dpx"),
        ("reel2_%03d_v1.tif", 1234, "reel2_1234_v1.tif"),
        ("a.####.exr", 7, "a.0007.exr"),
        ("100%%_%02d#.png", 3, "100%_03#.png"),
    ],
)
def test_patterns_make_names(tmp_path: Path, name: str, number: int, expected: str) -> None:
    pattern = ImagePattern.parse(tmp_path / name)
    assert pattern.name(number) == expected
    for other in (expected, "other_1.png", expected + "~"):
        (tmp_path / other).touch()
    assert pattern.existing() == [expected]


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        ("out/frame.png", OutputError, "is one picture, and a film is many: name a pattern, '.*"),
        ("out/a_%d_%04d.png", OutputError, "has 2 counters; write one"),
        ("out_%03d/a_%03d.png", OutputError, "name a folder without them"),
        ("no/such/%d.png", OutputError, "no is no folder; make it first"),
        ("film.mkv/%d.png", OutputError, "is a file; name another folder"),
        ("out/%d.jpg", ContainerError, r"cannot write .jpg; .*'frame_%06d.png'"),
        ("old/%d.png", OutputError, r"such images exist \(3.png\); .* or add --force"),
    ],
)
def test_bad_names_of_images_are_refused(
    tmp_path: Path, options: ColorOptions, output: str, error: type[FilmcolorError], message: str
) -> None:
    film = flat_film(tmp_path / "film.mkv", [90] * 2)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "3.png").touch()
    with pytest.raises(error, match=message) as raised:
        colorize(film, tmp_path / output, options=options)
    assert len(str(raised.value).splitlines()) == 1
    assert names(tmp_path) == ["film.mkv", "old"]


def test_images_never_replace_those_of_the_film(tmp_path: Path, options: ColorOptions) -> None:
    reel = write_images(tmp_path / "reel", "PNG 8", range(2))
    pattern = reel / "reel_%06d.png"
    with pytest.raises(OutputError, match="is the film itself"):
        colorize(pattern, pattern, options=options, force=True)
    with pytest.raises(OutputError, match="would be among the film's own images"):
        check_image_target(reel / "color_%d.png", reel, force=True)
    colorize(pattern, reel / "color_%d.png", options=options)
    assert names(reel) == ["color_0.png", "color_1.png", "reel_000000.png", "reel_000001.png"]


def test_images_can_be_written_into_the_working_folder(
    tmp_path: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    colorize(flat_film(Path("film.mkv"), [90] * 2), "%d.png", options=options)
    assert names(tmp_path) == ["0.png", "1.png", "film.mkv"]


def test_an_excerpt_has_the_numbers_of_its_frames(tmp_path: Path, options: ColorOptions) -> None:
    film, output = flat_film(tmp_path / "film.mkv", [90] * 6), tmp_path / "out" / "f_%02d.png"
    colorize(film, output, options=options, time_range=TimeRange(first=2, stop=5))
    assert names(output.parent) == ["f_02.png", "f_03.png", "f_04.png"]
    reel = write_images(tmp_path / "reel", "PNG 8", range(100, 106))
    colorize(reel, tmp_path / "o" / "%d.png", options=options, time_range=TimeRange(first=4))
    assert names(tmp_path / "o") == ["104.png", "105.png"]


def test_gaps_in_the_source_are_gaps_in_the_output(tmp_path: Path, options: ColorOptions) -> None:
    reel = write_images(tmp_path / "reel", "DPX 10", [3, 4, 7])
    report = colorize(reel, tmp_path / "out" / "%d.dpx", options=options)
    assert names(tmp_path / "out") == ["3.dpx", "4.dpx", "7.dpx"]
    assert report.num_frames == 3
    assert verify(reel, tmp_path / "out") == 3
    for number in (3, 4, 7):
        picture = rgb(tmp_path / "out" / f"{number}.dpx")
        np.testing.assert_array_equal(luma_of(picture), grey(number, 10))


def test_force_replaces_images_of_the_same_numbers_only(
    tmp_path: Path, options: ColorOptions
) -> None:
    output = tmp_path / "out" / "%d.png"
    colorize(flat_film(tmp_path / "a.mkv", [90] * 4), output, options=options)
    old = {name: (output.parent / name).read_bytes() for name in names(output.parent)}
    film = flat_film(tmp_path / "b.mkv", [200] * 4)
    report = colorize(
        film, output, options=options, time_range=TimeRange(first=1, stop=3), force=True
    )
    new = {name: (output.parent / name).read_bytes() for name in names(output.parent)}
    assert {name for name in old if old[name] != new[name]} == {"1.png", "2.png"}
    assert "beside them are images of an earlier run: 0.png and 1 more" in report.notes


# ---------------------------------------------------------------- what images cannot hold


def test_sound_is_refused_or_dropped(tmp_path: Path, options: ColorOptions) -> None:
    film = media.make(
        tmp_path / "film.mkv", media.Film(media.shoot(3, (64, 48)), sounds=[media.Sound()])
    )
    output = tmp_path / "out" / "%d.png"
    with pytest.raises(ContainerError, match=r"cannot hold stream 1 \(audio.*--drop-unsupported"):
        colorize(film, output, options=options)
    report = colorize(film, output, options=options, encoding=DROP)
    assert any(note.startswith("left out, .png cannot hold it: stream 1") for note in report.notes)
    assert names(output.parent) == ["0.png", "1.png", "2.png"]
    with pytest.raises(VerifyError, match="has 0 audio streams"):
        verify(film, output)


def test_a_variable_frame_rate_is_refused_or_dropped(tmp_path: Path, options: ColorOptions) -> None:
    film = flat_film(tmp_path / "film.mkv", [50, 90, 130], pts=[0, 1000, 5000])
    output = tmp_path / "out" / "%d.png"
    with pytest.raises(ContainerError, match=r"has a variable frame rate.*--drop-unsupported"):
        colorize(film, output, options=options)
    report = colorize(film, output, options=options, encoding=DROP)
    assert any(note.startswith("times left out") for note in report.notes)
    assert names(output.parent) == ["0.png", "1.png", "2.png"]
    assert compare_luma(probe(film), probe(output)).num_different == 0


@pytest.mark.parametrize(
    ("changes", "suffix", "note"),
    [
        ({"rotation": 90}, ".png", "the images are as coded"),
        ({"scan": "tff", "codec": "libx264"}, ".png", "interlaced, top field first: the fields"),
        ({"chapters": [(0, 100, "One")]}, ".dpx", "left out, images have none: 1 chapters"),
        ({"metadata": {"artist": "Murnau"}}, ".exr", "left out, images have none: .* ARTIST"),
        ({"metadata": {"timecode": "01:00:00:00"}}, ".tif", "timecode 01:00:00:00 left out"),
        ({"rate": Fraction(18)}, ".png", ".png images have no frame rate: theirs is 18.000"),
        (
            {"rate": Fraction(50), "metadata": {"timecode": "01:00:00:00"}},
            ".dpx",
            "timecode 01:00:00:00 left out: .dpx images cannot hold it",
        ),
        ({"pix_fmt": "yuva420p"}, ".exr", r"transparency \(alpha\) left out"),
    ],
)
def test_what_images_lack_is_told_before_the_run(
    tmp_path: Path, changes: dict[str, Any], suffix: str, note: str
) -> None:
    name = "film.mp4" if "rotation" in changes else "film.mkv"
    film = flat_film(tmp_path / name, [90] * 3, **changes)
    notes = plan_output(probe(film), tmp_path / f"%d{suffix}", Encoding()).notes
    assert any(re.search(note, line, re.IGNORECASE) for line in notes), notes


def test_alpha_is_kept_where_it_can_be(tmp_path: Path, options: ColorOptions) -> None:
    reel = tmp_path / "reel"
    reel.mkdir()
    alpha = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    for number in range(2):
        luma = grey(number, 8)
        picture = np.dstack([luma, luma, luma, alpha])
        (reel / f"{number}.png").write_bytes(encode("png", "rgba", [picture]))
    for suffix, purpose, peak in ((".png", "share", 255), (".tif", "archive", 65535)):
        output = tmp_path / suffix[1:] / f"%d{suffix}"
        colorize(reel, output, options=options, encoding=Encoding(purpose))
        with av.open(str(output.with_name(f"1{suffix}"))) as container:
            frame = next(container.decode(video=0))
        pixels = frame.to_ndarray(format="rgba" if peak == 255 else "rgba64le")
        np.testing.assert_array_equal(pixels[..., 3], np.rint(alpha * (peak / 255)))
        assert compare_luma(probe(reel), probe(output)).num_different == 0


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        (Encoding(crf=3), "png has no crf"),
        (Encoding(preset="slow"), "png has no presets"),
        (Encoding(codec="libx264"), "coded by png, not libx264; leave --codec out"),
        (Encoding(pix_fmt="yuv420p"), "png images are written as rgb24, rgba, rgb48be, rgba64be"),
    ],
)
def test_settings_that_images_do_not_have(tmp_path: Path, encoding: Encoding, message: str) -> None:
    film = flat_film(tmp_path / "film.mkv", [90] * 2)
    with pytest.raises(SettingsError, match=message):
        plan_output(probe(film), tmp_path / "%d.png", encoding)


@pytest.mark.parametrize(
    ("suffix", "pix_fmt", "purpose", "depth"),
    [
        (".png", None, "share", 8),
        (".png", None, "archive", 16),
        (".png", "rgb48be", "share", 16),
        (".dpx", "rgb24", "share", 8),
        (".dpx", "gbrp12le", "share", 12),
        (".tif", "rgb24", "archive", 8),
    ],
)
def test_the_depth_of_images_can_be_chosen(
    tmp_path: Path,
    options: ColorOptions,
    suffix: str,
    pix_fmt: str | None,
    purpose: str,
    depth: int,
) -> None:
    film, output = flat_film(tmp_path / "film.mkv", [60, 90]), tmp_path / "o" / f"%d{suffix}"
    colorize(film, output, options=options, encoding=Encoding(purpose, pix_fmt=pix_fmt))
    assert probe(output).coding.bit_depth == depth
    assert compare_luma(probe(film), probe(output)).num_different == 0


def test_a_preview_is_no_images(tmp_path: Path) -> None:
    film = flat_film(tmp_path / "film.mkv", [90] * 2)
    with pytest.raises(ContainerError, match="a preview is a clip of film"):
        preview(film, tmp_path / "%d.png")


# ---------------------------------------------------------------- verify


@pytest.fixture
def written(tmp_path: Path, options: ColorOptions) -> tuple[Path, Path]:
    """Return a film of five frames and the DPX images that a run has made of it."""
    film = media.make(
        tmp_path / "film.mkv",
        media.Film(media.shoot(5, (64, 48)), metadata={"timecode": "01:00:00:00"}),
    )
    output = tmp_path / "out" / "%d.dpx"
    colorize(film, output, options=options)
    return film, output


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4000])


def change_timecode(path: Path) -> None:
    data = bytearray(path.with_name("0.dpx").read_bytes())
    struct.pack_into(">I", data, TIMECODE, 0x02000000)
    path.with_name("0.dpx").write_bytes(data)


def change_rate(path: Path) -> None:
    data = bytearray(path.with_name("0.dpx").read_bytes())
    for offset in (FILM_RATE, TELEVISION_RATE):
        struct.pack_into(">f", data, offset, 25.0)
    path.with_name("0.dpx").write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, "has 4 images where .* has 5 frames"),
        (
            lambda path: path.rename(path.with_name("9.dpx")),
            "4.dpx has another number than frame 3",
        ),
        (cut_off, "3.dpx of .* cannot be decoded"),
        (lambda path: path.write_bytes(image(KINDS["DPX 10"], grey(1, 10)[:40])), "64×40"),
        (change_timecode, "begins at timecode 02:00:00:00 where .* is at 01:00:00:00"),
        (change_rate, "has 25.000 frames/s where .* has 24.000"),
    ],
)
def test_verify_finds_what_is_wrong_with_images(
    written: tuple[Path, Path], change: Callable[[Path], object], message: str
) -> None:
    film, output = written
    assert verify(film, output) == verify(film, output.parent) == 5
    change(output.with_name("3.dpx"))
    with pytest.raises((VerifyError, InputError), match=message):
        verify(film, output)


def test_another_luma_is_found(written: tuple[Path, Path]) -> None:
    film, output = written
    before = compare_luma(probe(film), probe(output)).num_different
    shutil.copy(output.with_name("0.dpx"), output.with_name("3.dpx"))
    assert compare_luma(probe(film), probe(output)).num_different > before


def test_the_command_line_writes_and_verifies_images(
    tmp_path: Path, weights_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flat_film(Path("film.mkv"), [40, 90, 150])
    arguments = ["--weights", str(weights_path), "--size", "32", "--device", "cpu"]
    run = ["run", "film.mkv", "-o", "out/frame_%04d.png", *arguments]
    result = CliRunner().invoke(cli, run)
    assert result.exit_code == 0 and "→ out/frame_%04d.png" in result.output
    result = CliRunner().invoke(cli, ["verify", "film.mkv", "out/frame_%04d.png", "--luma", "-q"])
    assert result.exit_code == 0
    result = CliRunner().invoke(cli, [*run, "--skip-existing"])
    assert "is there already, left alone" in result.output
    flat_film(Path("other.mkv"), [40, 90])
    result = CliRunner().invoke(cli, ["run", "*.mkv", "-o", "new/%d.png", *arguments])
    assert isinstance(result.exception, OutputError)
    assert "new/%d.png looks like one film's images" in str(result.exception)


# ---------------------------------------------------------------- runs that stop


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "_SECONDS", Fraction(4, 24))  # four frames


@pytest.fixture(params=[False, True], ids=["new folder", "old folder"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return the pattern of images in a folder that does not exist, or that holds a file."""
    folder = tmp_path / "out"
    if request.param:
        folder.mkdir()
        (folder / "readme.txt").touch()
    yield folder / "%02d.dpx"
    with suppress(FileNotFoundError):
        (folder / "readme.txt").unlink()
    assert names(folder) == [f"{number:02}.dpx" for number in range(12)]
    assert names(tmp_path) == ["out", "reel"]
    for number in range(12):
        np.testing.assert_array_equal(luma_of(rgb(folder / f"{number:02}.dpx")), grey(number, 10))


@pytest.fixture
def reel(tmp_path: Path) -> Path:
    return write_images(tmp_path / "reel", "DPX 10", range(12))


@pytest.mark.usefixtures("short_segments")
def test_a_run_into_images_resumes(output: Path, reel: Path, options: ColorOptions) -> None:
    def stop(done: int, _: int | None) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="1 of 3 segments are done"):
        colorize(reel, output, options=options, progress=stop)
    assert not list(output.parent.glob("*.dpx"))
    done: list[int] = []
    colorize(reel, output, options=options, progress=lambda n, _: done.append(n))
    assert done[0] == 5


@pytest.mark.usefixtures("short_segments")
def test_a_full_disk_while_images_are_written_loses_nothing(
    output: Path, reel: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ImageWriter.write_packet

    def fail(self: ImageWriter, packet: av.Packet, pts: int, *rest: int) -> None:
        if pts == 7:  # a folder where a file should be written
            (self.partial.with_name("07.dpx")).mkdir()
        write(self, packet, pts, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(ImageWriter, "write_packet", fail)
        with pytest.raises(OutputError, match=r"cannot be written .*3 of 3 segments are done"):
            colorize(reel, output, options=options)
    assert not list(output.parent.glob("*.dpx"))
    done: list[int] = []
    colorize(reel, output, options=options, progress=lambda n, _: done.append(n))
    assert done == []


@pytest.mark.usefixtures("short_segments")
def test_a_killed_run_leaves_no_images(
    output: Path, reel: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process runs no clean-up code: its folder of images stays, until the next run."""
    with monkeypatch.context() as patch:
        patch.setattr(ImageWriter, "__exit__", lambda *_: None)
        patch.setattr(ImageWriter, "finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            colorize(reel, output, options=options)
    assert not list(output.parent.glob("*.dpx"))
    colorize(reel, output, options=options)


@pytest.mark.usefixtures("short_segments")
def test_a_run_that_stops_while_images_are_moved_goes_on(
    output: Path, reel: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if path.name == "05.dpx":
            raise KeyboardInterrupt
        return replace_file(path, target)

    def stop_rename(_: Path, __: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        patch.setattr(Path, "rename", stop_rename)
        with pytest.raises(KeyboardInterrupt):
            colorize(reel, output, options=options)
    num_moved = len(list(output.parent.glob("*.dpx")))
    assert num_moved == (5 if output.parent.exists() else 0)
    colorize(reel, output, options=options)


@pytest.mark.usefixtures("short_segments")
def test_images_that_differ_are_kept_under_another_name(
    tmp_path: Path, reel: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: ImageWriter) -> None:
        self.partial.with_name("04.dpx").write_bytes(b"no image")

    monkeypatch.setattr(ImageWriter, "finish", spoil)
    with pytest.raises(VerifyError, match=r"04.dpx of %02d.dpx cannot be decoded; .*unverified"):
        colorize(reel, tmp_path / "out" / "%02d.dpx", options=options)
    assert names(tmp_path) == ["out", "reel"]
    assert names(tmp_path / "out") == [f"{number:02}.unverified.dpx" for number in range(12)]


@pytest.mark.slow
@pytest.mark.usefixtures("short_segments")
def test_processes_share_a_run_into_images(output: Path, reel: Path, options: ColorOptions) -> None:
    colorize(reel, output, options=options, jobs=2)


def test_another_image_format_does_not_resume(
    tmp_path: Path, options: ColorOptions, reel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        colorize(reel, tmp_path / "out" / "%d.png", options=options)
    with pytest.raises(OutputError, match="holds segments of a run with codec png"):
        colorize(reel, tmp_path / "out" / "%d.tif", options=options)


@pytest.mark.parametrize("rate", ["0.5", "23.98", "1000"])
def test_any_rate_can_be_written(tmp_path: Path, options: ColorOptions, rate: str) -> None:
    film, source = flat_film(tmp_path / "film.mkv", [60, 90, 120]), SourceOptions(rate=rate)
    output = tmp_path / "out" / "%d.dpx"
    colorize(film, output, options=replace(options, source=source))
    data = output.with_name("1.dpx").read_bytes()
    assert struct.unpack_from(">f", data, FILM_RATE)[0] == pytest.approx(float(source.rate or 0))
    assert verify(film, output, source_options=source) == 3


def test_rate_is_written_into_headers(tmp_path: Path, options: ColorOptions, reel: Path) -> None:
    source = SourceOptions(rate=16)
    output = tmp_path / "out" / "%d.dpx"
    colorize(reel, output, options=replace(options, source=source))
    header = read_image_header(output.with_name("3.dpx").read_bytes())
    assert header.frame_rate == 16
    assert verify(reel, output, source_options=source) == 12
