"""Numbered images are one film: its luma is exact, its gaps keep their time, its runs resume."""

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import images
import media
import numpy as np
import pytest
from images import KINDS, encode, exr, grey, jpeg, write_images

from filmcolor.cli.inputs import list_films
from filmcolor.errors import InputError, OutputError, StorageError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.segments import segment
from filmcolor.video import image_sequence
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.sequence_names import find_sequence, group_by_number, is_pattern
from filmcolor.video.source_options import SourceOptions

DPX_FILM_RATE, DPX_TIMECODE, DPX_TRANSFER = 1724, 1920, 801  # SMPTE ST 268-1
MASTER = Encoding("master")
Change = Callable[[Path], object]


def rewrite(path: Path, offset: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


# ---------------------------------------------------------------- luma


@pytest.mark.parametrize("kind", KINDS)
def test_luma_is_the_images_own_code_values(tmp_path: Path, kind: str) -> None:
    folder = write_images(tmp_path / "reel", kind)
    depth = KINDS[kind].depth
    info = probe(folder)
    assert (info.coding.bit_depth, info.coding.is_full_range) == (depth, True)
    frames = list(read_luma(info))
    assert [frame.pts * info.time_base for frame in frames] == [Fraction(n, 24) for n in range(6)]
    for number, frame in enumerate(frames, 1):
        np.testing.assert_array_equal(frame.luma, grey(number, depth))


@pytest.mark.parametrize("kind", ["DPX 10", "TIFF 16", "PNG 8", "PNG 16 RGB"])
def test_a_master_of_images_has_their_luma(
    tmp_path: Path, options: ColorOptions, kind: str
) -> None:
    folder = write_images(tmp_path / "reel", kind, range(1, 4))
    output = tmp_path / "out.mkv"
    colorize(folder, output, options=options, encoding=MASTER)
    assert verify(folder, output) == 3
    depth = KINDS[kind].depth
    shown = media.frames(output)
    assert {frame.color_range for frame in shown} == {media.JPEG_RANGE}
    for number, frame in enumerate(shown, 1):
        np.testing.assert_array_equal(frame.luma, grey(number, depth))


def test_jpegs_are_full_range_as_coded(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    info = probe(tmp_path / "%d.jpg")
    assert (info.coding.matrix, info.coding.is_full_range, info.pix_fmt) == (5, True, "yuvj420p")
    for number, frame in enumerate(read_luma(info)):
        y, x = np.mgrid[:96, :128]
        assert np.abs(frame.luma.astype(int) - (x + y + number)).max() <= 4


def test_a_part_is_read_as_the_whole_is(tmp_path: Path) -> None:
    info = probe(write_images(tmp_path / "reel", "PNG 8", range(100, 130)))
    whole = list(read_luma(info))
    part = list(read_luma(info, 17, 23))
    assert [frame.number for frame in part] == list(range(17, 23))
    for frame in part:
        np.testing.assert_array_equal(frame.luma, whole[frame.number].luma)


# ---------------------------------------------------------------- OpenEXR


def srgb(linear: np.ndarray) -> np.ndarray:
    """Return the curve of IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("pix_fmt", ["grayf32le", "gbrpf32le"])
@pytest.mark.parametrize("channel", ["float", "half"])
def test_exr_is_linear_light_with_the_curve_of_srgb(
    tmp_path: Path, pix_fmt: str, channel: str
) -> None:
    linear = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
    linear = linear.astype(np.float16 if channel == "half" else np.float32).astype(np.float32)
    for number in range(2):
        data = exr(linear, pix_fmt, format=channel)
        (tmp_path / f"a.{number:04}.exr").write_bytes(data)
    info = probe(tmp_path)
    assert (info.coding.bit_depth, info.transfer) == (16, 13)  # H.273: sRGB
    assert any("linear light" in note for note in info.notes)
    expected = np.rint(srgb(linear.astype(float)) * 65535)
    for frame in read_luma(info):
        assert np.abs(frame.luma.astype(float) - expected).max() <= 1


def test_exr_written_by_ffmpeg_holds_code_values(tmp_path: Path) -> None:
    codes = grey(5, 10)
    for number in range(2):
        data = exr(codes / np.float32(1023), "gbrpf32le", b"lavc", format="half")
        (tmp_path / f"{number}.exr").write_bytes(data)
    info = probe(tmp_path)
    assert not any("curve" in note for note in info.notes)
    frame = next(read_luma(info))
    np.testing.assert_array_equal(np.rint(frame.luma / 65535 * 1023), codes)


def test_exr_outside_0_to_1_is_black_and_white(tmp_path: Path) -> None:
    values = np.tile(np.array([-1.0, 0.0, 1.0, 7.5, np.inf, -np.inf, np.nan, 0.5], np.float32), 8)
    for number in range(2):
        (tmp_path / f"{number}.exr").write_bytes(exr(np.tile(values, (48, 1))))
    luma = next(read_luma(probe(tmp_path))).luma[0, :8]
    assert luma.tolist() == [0, 0, 65535, 65535, 65535, 0, 0, round(float(srgb(0.5)) * 65535)]


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(18.0, Fraction(18)), (23.976, Fraction(24000, 1001)), (16.667, Fraction(16667, 1000))],
)
def test_the_rate_of_a_dpx_header_is_the_films(
    tmp_path: Path, rate: float, expected: Fraction
) -> None:
    folder = write_images(tmp_path / "reel")
    for path in folder.iterdir():
        rewrite(path, DPX_FILM_RATE, struct.pack("<f", rate))
    info = probe(folder)
    assert (info.frame_rate, info.time_base) == (expected, 1 / expected)


def test_pixels_of_a_dpx_without_those_headers_are_no_rate_and_timecode(tmp_path: Path) -> None:
    """FFmpeg's pixels begin where the film's header would."""
    content = bytearray(encode("dpx", "gbrp10le", [grey(0, 10)] * 3))
    assert struct.unpack_from("<I", content, 4) == (1664,)
    struct.pack_into("<f", content, DPX_FILM_RATE, 18.0)
    struct.pack_into("<I", content, DPX_TIMECODE, 0x01020304)
    for number in range(2):
        (tmp_path / f"{number}.dpx").write_bytes(content)
    info = probe(tmp_path)
    assert (info.frame_rate, info.timecode) == (24, None)


@pytest.mark.parametrize(
    ("bcd", "timecode"),
    [
        (0x01020304, "01:02:03:04"),
        (0x01020344, "01:02:03;04"),
        (0xFFFFFFFF, None),
        (0x25000000, None),
        (0x0A000000, None),
    ],
)
def test_the_timecode_of_a_dpx_header_is_kept(
    tmp_path: Path, bcd: int, timecode: str | None
) -> None:
    folder = write_images(tmp_path / "reel")
    rewrite(min(folder.iterdir()), DPX_TIMECODE, struct.pack("<I", bcd))
    assert probe(folder).timecode == timecode


def test_timecode_and_rate_arrive_in_the_output(tmp_path: Path, options: ColorOptions) -> None:
    folder = write_images(tmp_path / "reel")
    rewrite(min(folder.iterdir()), DPX_TIMECODE, struct.pack("<I", 0x10203017))
    report = colorize(folder, tmp_path / "out.mov", options=options)
    assert probe(report.output).timecode == "10:20:30:17"
    assert media.seconds(report.output) == [Fraction(n, 24) for n in range(6)]


def test_rate_and_timecode_of_exr_headers(tmp_path: Path) -> None:
    attributes = b"framesPerSecond\0rational\0" + struct.pack("<IiI", 8, 25, 1)
    attributes += b"timeCode\0timecode\0" + struct.pack("<III", 8, 0x23595924, 0)
    data = exr(np.zeros((48, 64)))
    table = struct.unpack_from("<48Q", data, len(data) - 48 * (8 + 8 + 256))  # no compression
    header, chunks = data[: table[0] - 48 * 8], data[table[0] :]
    offsets = struct.pack("<48Q", *(offset + len(attributes) for offset in table))
    for number in range(2):
        content = header[:-1] + attributes + b"\0" + offsets + chunks
        (tmp_path / f"{number}.exr").write_bytes(content)
    info = probe(tmp_path)
    assert (info.frame_rate, info.timecode) == (25, "23:59:59:24")
    assert len(list(read_luma(info))) == 2


@pytest.mark.parametrize(("transfer", "is_told"), [(1, True), (3, True), (6, False), (2, False)])
def test_log_dpx_is_told_and_kept(tmp_path: Path, transfer: int, is_told: bool) -> None:
    folder = write_images(tmp_path / "reel")
    for path in folder.iterdir():
        rewrite(path, DPX_TRANSFER, bytes([transfer]))
    info = probe(folder)
    assert any("looks flat" in note for note in info.notes) == is_told
    np.testing.assert_array_equal(next(read_luma(info)).luma, grey(1, 10))


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["a_001.dpx", "a_002.dpx"], {"a_%03d.dpx": 2}),
        (["8.png", "9.png", "10.png"], {"%d.png": 3}),
        (["a0998.jp2", "a0999.jp2", "a1000.jp2", "a10000.jp2"], {"a%04d.jp2": 4}),
        (["50%_1.tif", "50%_2.tif"], {"50%%_%d.tif": 2}),
        (
            ["s1_01.png", "s1_02.png", "s2_01.png", "s2_02.png"],
            {"s1_%02d.png": 2, "s2_%02d.png": 2},
        ),
        (["v1.0001.exr", "v1.0002.exr", "v1.0003.exr"], {"v1.%04d.exr": 3}),
        (["a.png", "a1.png", "b2.png"], {}),
        (["a1.png", "a2.tif"], {}),
    ],
)
def test_names_that_differ_in_one_number_are_a_sequence(
    names: list[str], groups: dict[str, int]
) -> None:
    found, others = group_by_number(names)
    assert {pattern: len(members) for pattern, members in found.items()} == groups
    assert len(others) == len(names) - sum(groups.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reel_%06d.dpx", True),
        ("reel_%d.tif", True),
        ("reel.####.exr", True),
        ("100%%_%03d.png", True),
        ("film%03d.mp4", False),
        ("a%d_%d.png", False),
        ("a*.png", False),
        ("a.png", False),
    ],
)
def test_patterns_of_sequences(name: str, expected: bool) -> None:
    assert is_pattern(name) == expected


def test_a_file_with_the_name_of_a_pattern_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a%03d.png"
    path.write_bytes(images.image(KINDS["PNG 8"], grey(0, 8)))
    assert not is_pattern(path) and find_sequence(path) is None
    assert probe(path).is_still


@pytest.mark.parametrize("folder_name", ["Nosferatu: reel 1", "50%d", "a[1]*?", "-scan", "http:"])
def test_any_name_of_a_folder(tmp_path: Path, folder_name: str) -> None:
    folder = write_images(tmp_path / folder_name, "PNG 8", name="%%d:%03d")
    for path in (folder, folder / "%%d:%03d.png", folder / "%%d:###.png"):
        np.testing.assert_array_equal(next(read_luma(probe(path))).luma, grey(1, 8))


def test_sequences_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = write_images(Path("scan"), "PNG 8")
    two = write_images(Path("reels/two"), "DPX 10")
    for name in ("a_%d", "b_%d"):
        write_images(Path("mixed"), "PNG 8", name=name)
    files = sorted(one.iterdir())
    for words in ([one], ["scan/*"], ["scan/*.png"], files, ["scan/reel_*"]):
        film_list = list_films(words)
        assert (film_list.films, film_list.is_single) == ((one,), True), words
    pattern = Path("scan/reel_%06d.png")
    assert list_films([pattern]).films == (pattern,)
    assert list_films(["scan", "reels/*"]).films == (one, two)
    assert list_films(["reels/**"]).films == (two,)
    assert list_films(["mixed/*"]).films == (Path("mixed/a_%d.png"), Path("mixed/b_%d.png"))
    assert list_films(["mixed/a*"]).films == (Path("mixed/a_%d.png"),)


def test_a_part_of_a_sequence_is_refused(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", "PNG 8")
    with pytest.raises(InputError, match=r"3 images are only a part of .*%06d.png; .*--frames"):
        list_films([folder / "reel_00000[123].png"])


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["poster.png"], r"images that are not numbered alike \(poster.png\); name one sequence"),
        (["b_1.png", "b_2.png"], "2 image sequences; name one sequence, '.*reel_%06d.png'"),
    ],
)
def test_a_folder_with_other_images_is_refused(
    tmp_path: Path, others: list[str], message: str
) -> None:
    folder = write_images(tmp_path / "scan", "PNG 8")
    for name in others:
        (folder / name).write_bytes(min(folder.iterdir()).read_bytes())
    with pytest.raises(InputError, match=message):
        list_films([folder])
    assert find_sequence(folder / "reel_%06d.png") is not None


def test_files_that_are_no_images_do_not_matter(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "scan", "PNG 8")
    for name in (".DS_Store", "notes.txt", "sound.wav", ".hidden_1.png"):
        (folder / name).write_bytes(b"x")
    assert len(list(read_luma(probe(folder)))) == 6


def test_a_folder_of_films_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="is a folder; for the films in it, write"):
        list_films([tmp_path])
    with pytest.raises(InputError, match="is a folder; name one film inside it"):
        probe(tmp_path)


def test_two_images_of_one_number_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "PNG 8", (1, 2), "a%02d")
    write_images(tmp_path, "PNG 8", (2, 3), "a%d")
    with pytest.raises(InputError, match=r"a0?2.png and a0?2.png have the same number"):
        probe(tmp_path / "a%d.png")


def test_numbers_that_are_no_sequence_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "PNG 8", (1, 20260101120000), "a%d")
    with pytest.raises(InputError, match="which is no sequence; number them by frame"):
        probe(tmp_path)


def test_a_pattern_without_a_match_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches '.*reel_%06d.dpx'"):
        probe(tmp_path / "reel_%06d.dpx")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("scan", "scan.color.mp4"),
        ("scan/reel_%06d.png", "reel.color.mp4"),
        ("Film: 1.v2", "Film: 1.v2.color.mp4"),
        ("Film: 1.v2/%04d.png", "Film: 1.v2.color.mp4"),
    ],
)
def test_the_output_is_beside_the_folder(
    tmp_path: Path, options: ColorOptions, words: str, output: str
) -> None:
    write_images(tmp_path / "scan", "PNG 8", range(2))
    write_images(tmp_path / "Film: 1.v2", "PNG 8", range(2), "%04d")
    assert colorize(tmp_path / words, options=options).output == tmp_path / output


# ---------------------------------------------------------------- gaps and damage


def test_gaps_keep_their_time_and_are_told(tmp_path: Path, options: ColorOptions) -> None:
    numbers = [3, 4, 7, 8, 9, 11]
    folder = write_images(tmp_path / "reel", "DPX 10", numbers)
    report = colorize(folder, tmp_path / "out.mkv", options=options, encoding=MASTER)
    shown = media.frames(report.output)
    times = [round(frame.seconds * 24) for frame in shown]
    assert times == [number - 3 for number in numbers]
    for number, frame in zip(numbers, shown):
        np.testing.assert_array_equal(frame.luma, grey(number, 10))
    assert any("3 images are missing" in n and "5 to 6, 10" in n for n in report.notes)
    assert len(report.damage) == 1 and report.damage[0].startswith("3 frames could not be decoded")
    assert verify(folder, report.output) == 6


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


@pytest.mark.parametrize("change", [cut_off, spoil, Path.unlink, lambda p: p.write_bytes(b"")])
@pytest.mark.parametrize("kind", [*KINDS, "JPEG", "EXR"])
def test_an_image_that_cannot_be_read_is_damage(tmp_path: Path, kind: str, change: Change) -> None:
    make = {"JPEG": jpeg, "EXR": lambda number: exr(grey(number, 16) / 65535.0)}
    if kind in make:
        for number in range(1, 7):
            path = tmp_path / f"reel_{number:06d}.{kind.lower()}"
            path.write_bytes(make[kind](number))
    else:
        write_images(tmp_path, kind)
    change(next(tmp_path.glob("reel_000003*")))
    info = probe(tmp_path)
    frames = list(read_luma(info))
    assert [frame.number for frame in frames] == [0, 1, 3, 4, 5]
    assert FrameIndex.read(info).pts == list(range(6))
    if kind in KINDS:
        for frame in frames:
            np.testing.assert_array_equal(frame.luma, grey(frame.number + 1, KINDS[kind].depth))


def test_the_first_image_may_be_the_broken_one(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "reel", "PNG 8")
    spoil(min(folder.iterdir()))
    info = probe(folder)
    assert [frame.pts for frame in read_luma(info)] == [1, 2, 3, 4, 5]


def test_a_sequence_without_a_readable_image_is_an_error(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.dpx").write_bytes(b"no image")
    with pytest.raises(InputError, match="none of its images can be read; are they complete"):
        probe(tmp_path)


def test_an_image_of_another_size_is_an_error(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "reel", "PNG 8")
    path = folder / "reel_000004.png"
    path.write_bytes(encode("png", "gray", [grey(4, 8)[:40, :32]]))
    with pytest.raises(InputError, match=r"frame 3 is 32×40 gray, the film began as 64×48 gray"):
        list(read_luma(probe(folder)))


# ---------------------------------------------------------------- runs


@pytest.fixture
def interrupted(
    tmp_path: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Return a sequence of 12 images and its output, which a run has begun in segments of 4."""
    monkeypatch.setattr(segment, "_SECONDS", Fraction(4, 24))
    folder, output = write_images(tmp_path / "reel", "DPX 10", range(12)), tmp_path / "out.mkv"

    def stop(done: int, _: int | None) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="1 of 3 segments are done"):
        colorize(folder, output, options=options, encoding=MASTER, progress=stop)
    return folder, output


def test_a_run_of_images_resumes(interrupted: tuple[Path, Path], options: ColorOptions) -> None:
    folder, output = interrupted
    done: list[int] = []
    colorize(folder, output, options=options, encoding=MASTER, progress=lambda n, _: done.append(n))
    assert done[0] == 5  # the first segment was kept
    for number, frame in enumerate(media.frames(output)):
        np.testing.assert_array_equal(frame.luma, grey(number, 10))


def replace_image(folder: Path) -> None:
    path = folder / "reel_000010.dpx"
    rewrite(path, 3000, b"\1\2\3\4")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        replace_image,
        lambda folder: (folder / "reel_000010.dpx").unlink(),
        lambda folder: write_images(folder, numbers=[12]),
    ],
)
def test_a_changed_sequence_does_not_resume(
    interrupted: tuple[Path, Path], options: ColorOptions, change: Change
) -> None:
    folder, output = interrupted
    change(folder)
    with pytest.raises(OutputError, match="holds segments of another film"):
        colorize(folder, output, options=options, encoding=MASTER)


def test_another_rate_does_not_resume(
    interrupted: tuple[Path, Path], options: ColorOptions
) -> None:
    folder, output = interrupted
    slow = replace(options, source=SourceOptions(rate=18))
    with pytest.raises(OutputError, match=r"a run with rate  \(now 18\)"):
        colorize(folder, output, options=slow, encoding=MASTER)


def test_a_sequence_that_changes_during_the_run_is_refused(
    tmp_path: Path, options: ColorOptions
) -> None:
    folder = write_images(tmp_path / "reel", "DPX 10")

    def change(done: int, _: int | None) -> None:
        if done == 6:
            os.utime(folder / "reel_000002.dpx", ns=(1, 1))

    with pytest.raises(InputError, match="was changed during the run"):
        colorize(folder, tmp_path / "out.mkv", options=options, progress=change)
    assert not (tmp_path / "out.mkv").exists()


def test_the_index_of_images_reads_the_first_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = probe(write_images(tmp_path / "reel"))
    read: list[str] = []
    monkeypatch.setattr(
        image_sequence, "_read", lambda path: read.append(path.name) or path.read_bytes()
    )
    index = FrameIndex.read(info)
    assert (index.pts, index.is_exact, index.is_vfr) == (list(range(6)), True, False)
    assert read == ["reel_000001.dpx"]


def test_rate_sets_the_clock_of_images(tmp_path: Path, options: ColorOptions) -> None:
    folder = write_images(tmp_path / "reel", "DPX 10")
    source = SourceOptions(rate="18")
    report = colorize(folder, tmp_path / "out.mp4", options=replace(options, source=source))
    assert media.seconds(report.output) == [Fraction(n, 18) for n in range(6)]
    assert "shown at 18 frames/s, not 24, as chosen" in report.notes
    assert verify(folder, report.output, source_options=source) == 6


def test_a_disk_that_fails_is_no_damaged_image(
    options: ColorOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "reel", "DPX 10")
    read_bytes = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "reel_000002.dpx":
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    words = r"reel_000002\.dpx cannot be read \(Input/output error\); check the disk"
    with pytest.raises(StorageError, match=words):
        colorize(folder, tmp_path / "out.mkv", options=options)
    assert not (tmp_path / "out.mkv").exists()
    monkeypatch.undo()
    assert not colorize(folder, tmp_path / "out.mkv", options=options).damage
