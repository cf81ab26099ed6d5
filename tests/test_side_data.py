"""Captions, HDR metadata, stereo 3D and alpha: kept, or told before the run."""

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ebml
import media
import numpy as np
import pytest
from captioned import (
    ERASE,
    PAUSE,
    add_captions,
    cc_data,
    insert_nal,
    insert_user_data,
    pop_on,
    registered_sei,
    with_parity,
)
from media import Film, shoot

from filmcolor.errors import OutputError, VerifyError
from filmcolor.output.captions import read_pairs, scc_text, sidecar_paths, srt_text
from filmcolor.output.luma_comparison import compare_luma
from filmcolor.output.options import Encoding
from filmcolor.output.plan import plan_output
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import Part, TimeRange
from filmcolor.video import side_data as side_data_module
from filmcolor.video.probe import probe

MASTER, EDIT = Encoding("master"), Encoding("edit")
SHARE = Encoding(preset="ultrafast")
ARCHIVE = Encoding("archive", preset="ultrafast")
QUIET = {"x265-params": "log-level=none"}
PAIRS = [(0, 0), *pop_on("Silence"), *PAUSE, ERASE]
NUM_FRAMES = len(PAIRS) + 1
PAL = Fraction(25)


def side_data(path: Path) -> list[dict[str, bytes]]:
    """Return the side data of each frame by kind."""
    with av.open(str(path)) as film:
        return [{d.type.name: bytes(d) for d in f.side_data} for f in film.decode(video=0)]


def notes_of(film: Path, encoding: Encoding, name: str = "") -> str:
    output = film.with_name(name) if name else None
    return "\n".join(plan_output(probe(film), output, encoding).notes)


# ---------------------------------------------------------------- captions

CAPTIONED: Mapping[str, Film] = {
    "h264.mp4": Film(shoot(NUM_FRAMES), options={"bf": "2"}),
    "h265.mp4": Film(shoot(NUM_FRAMES), codec="libx265", options=QUIET),
    "mpeg2.ts": Film(shoot(NUM_FRAMES), codec="mpeg2video", rate=PAL, time_base=1 / PAL),
}


@pytest.fixture(params=CAPTIONED)
def captioned(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return add_captions(tmp_path / request.param, CAPTIONED[request.param], PAIRS)


@pytest.mark.parametrize("encoding", [SHARE, ARCHIVE], ids=["x264", "x265"])
def test_captions_stay_in_the_picture(
    captioned: Path, encoding: Encoding, options: ColorOptions
) -> None:
    report = colorize(captioned, captioned.with_name("out.mp4"), options=options, encoding=encoding)
    assert not any("captions" in note for note in report.notes)
    expected = [cc_data(pair) for pair in [*PAIRS, (0, 0)]]
    assert [data["A53_CC"] for data in side_data(report.output)] == expected
    assert verify(captioned, report.output) == NUM_FRAMES
    compare_luma(probe(captioned), probe(report.output))


def test_captions_of_an_excerpt_are_those_of_its_frames(
    tmp_path: Path, options: ColorOptions
) -> None:
    film = add_captions(tmp_path / "film.mp4", CAPTIONED["h264.mp4"], PAIRS)
    part = TimeRange(first=3, stop=7)
    output = tmp_path / "out.mp4"
    colorize(film, output, options=options, encoding=SHARE, time_range=part)
    assert [data["A53_CC"] for data in side_data(output)] == [cc_data(p) for p in PAIRS[3:7]]


@pytest.mark.parametrize("encoding", [MASTER, EDIT, Encoding(codec="libsvtav1")])
def test_captions_that_the_encoder_drops_are_told_and_offered(
    tmp_path: Path, encoding: Encoding
) -> None:
    film = add_captions(tmp_path / "film.mp4", CAPTIONED["h264.mp4"], PAIRS)
    notes = notes_of(film, encoding)
    assert "left out" in notes and "closed captions" in notes
    assert "--captions" in notes


def test_captions_beside_the_output(captioned: Path, options: ColorOptions) -> None:
    output = captioned.with_name("out.mkv")
    encoding = Encoding("master", captions=True)
    report = colorize(captioned, output, options=options, encoding=encoding)
    assert any("out.scc" in note for note in report.notes)
    words = [with_parity(pair).hex() for pair in PAIRS]
    assert output.with_suffix(".scc").read_text() == (
        f"Scenarist_SCC V1.0\n\n00:00:00:01\t{' '.join(words[1:8])}\n\n00:00:00:12\t{words[12]}\n\n"
    )
    # shown when its last pair has come, in frame 7, and erased in frame 12
    start, end = (round(1000 * n / probe(captioned).frame_rate) for n in (7, 12))
    subtitles = f"1\n00:00:00,{start:03} --> 00:00:00,{end:03}\nSilence\n"
    assert output.with_suffix(".srt").read_text() == subtitles


def test_captions_beside_an_output_replace_no_file(tmp_path: Path, options: ColorOptions) -> None:
    film = add_captions(tmp_path / "film.mp4", CAPTIONED["h264.mp4"], PAIRS)
    (tmp_path / "out.srt").write_text("mine")
    encoding = Encoding("master", captions=True)
    with pytest.raises(OutputError, match=r"out\.srt exists"):
        colorize(film, tmp_path / "out.mkv", options=options, encoding=encoding)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("film.mkv", "film"),
        ("a.b.mp4", "a.b"),
        ("scan/reel_%06d.png", "scan/reel"),
        ("scan/%04d.tif", "scan/scan"),
    ],
)
def test_captions_have_the_name_of_their_output(output: str, expected: str) -> None:
    assert sidecar_paths(Path(output)) == (Path(f"{expected}.scc"), Path(f"{expected}.srt"))


def test_captions_of_dvds_are_one_pair_a_frame(tmp_path: Path) -> None:
    """A DVD has the pairs of a group of pictures with its first."""
    rate = Fraction(30000, 1001)
    made = Film(shoot(15), codec="mpeg2video", rate=rate, time_base=1 / rate)
    plain = media.make(tmp_path / "plain.mpg", made)
    pairs = [*pop_on("DVD!"), *[(0, 0)] * 10]
    content = b"CC\x01\xf8" + bytes([0x80 | len(pairs) << 1])
    content += b"".join(b"\xff" + with_parity(pair) + b"\xfe\x80\x80" for pair in pairs)
    film = tmp_path / "film.mpg"
    _copy(plain, film, lambda data, number: insert_user_data(data, content) if not number else data)
    pairs_read = list(read_pairs(probe(film), Part()))
    assert [round(time * rate) for time, _ in pairs_read] == [0, 1, 2, 3, 4]
    assert "00:00:00;00\t9420 9470 c4d6 c4a1 942f\n" in scc_text(pairs_read, rate)


def test_scc_numbers_are_dropped_as_smpte_says() -> None:
    rate = Fraction(30000, 1001)
    pairs = [(Fraction(1800) / rate, b"\x94\x2c"), (Fraction(3600) / rate, b"\x94\x2c")]
    text = scc_text(pairs, rate)
    assert "00:01:00;02\t942c\n" in text and "00:02:00;04\t942c\n" in text
    assert "00:02:00;04\t942c\n" in scc_text(pairs[1:], 2 * rate)  # of 60 fields, 30 are numbered


def test_italics_in_captions_are_italics_in_srt() -> None:
    codes = [(0x14, 0x20), (0x11, 0x4E), (ord("I"), ord("t")), (0x14, 0x2F), (0x14, 0x2C)]
    pairs = [(Fraction(n, 25), with_parity(code)) for n, code in enumerate(codes)]
    assert srt_text(pairs) == "1\n00:00:00,120 --> 00:00:00,160\n<i>It</i>\n"


def test_captions_that_begin_late_are_told(tmp_path: Path) -> None:
    """The first frame has none: they are found among the next packets."""
    film = add_captions(tmp_path / "film.mp4", CAPTIONED["h264.mp4"], PAIRS, first=3)
    assert "closed captions" in notes_of(film, MASTER)
    assert "captions" not in notes_of(film, SHARE)


def test_captions_that_begin_very_late_are_told_after_the_run(
    tmp_path: Path, options: ColorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_data_module, "_MAX_SEARCHED_PACKETS", 1)
    film = add_captions(tmp_path / "film.mp4", CAPTIONED["h264.mp4"], PAIRS, first=3)
    assert "captions" not in notes_of(film, MASTER)
    report = colorize(film, tmp_path / "out.mkv", options=options, encoding=MASTER)
    assert any("later pictures" in note and "--captions" in note for note in report.notes)
    report = colorize(film, tmp_path / "out.mp4", options=options, encoding=SHARE)
    assert not any("captions" in note for note in report.notes)
    assert ["A53_CC" in data for data in side_data(report.output)] == (
        [False] * 3 + [True] * (NUM_FRAMES - 3)
    )


def test_lost_captions_are_missed(tmp_path: Path) -> None:
    film = add_captions(tmp_path / "film.mp4", CAPTIONED["h264.mp4"], PAIRS)
    bare = media.make(tmp_path / "bare.mp4", CAPTIONED["h264.mp4"])
    with pytest.raises(VerifyError, match="closed captions"):
        verify(film, bare)
    other = add_captions(tmp_path / "other.mp4", CAPTIONED["h264.mp4"], [*PAIRS[:-1], (1, 1)])
    with pytest.raises(VerifyError, match=r"frame 12 .* captions"):
        compare_luma(probe(film), probe(other))


def _copy(plain: Path, film: Path, change: Callable[[bytes, int], bytes]) -> None:
    """Copy a film's picture with its packets changed, by their number in coded order."""
    with av.open(str(plain)) as source, av.open(str(film), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            copy = av.Packet(change(bytes(packet), number))
            copy.stream, copy.time_base = stream, packet.time_base
            copy.pts, copy.dts, copy.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
            output.mux(copy)
    plain.unlink()


# ---------------------------------------------------------------- HDR

BT2020 = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
# red, green, blue and white in 1/50000; the least and the greatest luminance in 1/10000 cd/m²
DISPLAY = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 1, 10_000_000)
LIGHT = (1000, 400)
HDR_PARAMS = (
    "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,1):max-cll=1000,400"
)
H264_PARAMS = (
    "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,1):cll=1000,400"
)
AV1_PARAMS = (
    "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.0001):"
    "content-light=1000,400"
)
DEEP = {"pix_fmt": "yuv420p10le", "color": BT2020}
HDR = {
    "h265.mp4": Film(
        shoot(3, depth=10), codec="libx265", options={"x265-params": HDR_PARAMS}, **DEEP
    ),
    "h264.mkv": Film(
        shoot(3, depth=10),
        options={"x264-params": H264_PARAMS},
        time_base=Fraction(1, 1000),
        **DEEP,
    ),
    "av1.mp4": Film(
        shoot(3, depth=10), codec="libsvtav1", options={"svtav1-params": AV1_PARAMS}, **DEEP
    ),
}


def hdr_values(path: Path) -> tuple[list[float], tuple[int, ...]]:
    """Return a film's mastering display, coordinates and luminances, and its light levels."""
    data = side_data(path)[0]
    numbers = struct.unpack("=20i", data["MASTERING_DISPLAY_METADATA"][:80])
    values = [a / b for a, b in zip(numbers[::2], numbers[1::2])]
    return values, struct.unpack("=2I", data["CONTENT_LIGHT_LEVEL"])


@pytest.mark.parametrize("name", HDR)
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_hdr_metadata_are_kept(
    name: str, codec: str, tmp_path: Path, options: ColorOptions
) -> None:
    film, output = media.make(tmp_path / name, HDR[name]), tmp_path / "out.mp4"
    encoding = Encoding(codec=codec, preset="8" if codec == "libsvtav1" else "ultrafast")
    report = colorize(film, output, options=options, encoding=encoding)
    assert not any("HDR" in note for note in report.notes)
    display, light = hdr_values(output)
    expected = [n / 50_000 for n in DISPLAY[:8]] + [n / 10_000 for n in DISPLAY[8:]]
    assert display == pytest.approx(expected, rel=1e-6, abs=1 / 16384)  # AV1's coarsest step
    assert light == LIGHT
    assert verify(film, output) == 3


@pytest.mark.parametrize("encoding", [MASTER, EDIT, Encoding(codec="libvpx-vp9")])
def test_hdr_metadata_that_the_encoder_drops_are_told(encoding: Encoding, tmp_path: Path) -> None:
    film = media.make(tmp_path / "film.mp4", HDR["h265.mp4"])
    notes = notes_of(film, encoding, "out.mkv")
    assert "mastering display" in notes and "light levels" in notes


def test_other_hdr_metadata_are_missed(tmp_path: Path) -> None:
    film = media.make(tmp_path / "film.mp4", HDR["h265.mp4"])
    params = HDR_PARAMS.replace("1000,400", "900,400")
    made = Film(shoot(3, depth=10), codec="libx265", options={"x265-params": params}, **DEEP)
    with pytest.raises(VerifyError, match="light levels"):
        verify(film, media.make(tmp_path / "other.mp4", made))
    bare = Film(shoot(3, depth=10), codec="libx265", options=QUIET, **DEEP)
    with pytest.raises(VerifyError, match="mastering display"):
        verify(film, media.make(tmp_path / "bare.mp4", bare))


# SMPTE ST 2094-40 in ITU-T T.35 data: one window, display of 1000 cd/m², nothing more
HDR10_PLUS = bytes.fromhex("b5003c0001 0401 40001f400000000000000000000000")


def test_hdr10_plus_is_told(tmp_path: Path) -> None:
    made = Film(shoot(4, depth=10), codec="libx265", options=QUIET, **DEEP)
    plain, film = media.make(tmp_path / "plain.mp4", made), tmp_path / "film.mp4"
    unit = registered_sei(b"\x4e\x01", HDR10_PLUS)
    _copy(plain, film, lambda data, _: insert_nal(data, unit, lambda head: head >> 1 & 63 < 32))
    assert "HDR10+" in notes_of(film, ARCHIVE)


def test_dolby_vision_is_told(tmp_path: Path) -> None:
    made = Film(shoot(4, depth=10), codec="libx265", options=QUIET, **DEEP)
    film = media.make(tmp_path / "film.mp4", made)
    assert "Dolby" not in notes_of(film, ARCHIVE)
    # version 1.0, profile 8, level 1, with metadata for the base layer, like HLG
    record = bytes([1, 0, 8 << 1, 1 << 3 | 0b101, 4 << 4]) + bytes(19)
    add_to_description(film, b"hev1", b"dvvC", record)
    assert "Dolby Vision" in notes_of(film, ARCHIVE)
    assert "Dolby Vision" in notes_of(film, MASTER)


def add_to_description(film: Path, entry_name: bytes, name: bytes, content: bytes) -> None:
    """Append a box to the picture's sample description in an MP4 (ISO/IEC 14496-12, 8.5.2)."""
    data = bytearray(film.read_bytes())
    box = (8 + len(content)).to_bytes(4, "big") + name + content
    movie = data.index(b"moov")
    entry = data.index(entry_name, data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry_name):
        start = data.index(parent, movie) - 4
        size = int.from_bytes(data[start : start + 4], "big") + len(box)
        data[start : start + 4] = size.to_bytes(4, "big")
    data[end:end] = box
    film.write_bytes(data)


# ---------------------------------------------------------------- stereo 3D, projections, profiles

# AVStereo3DType and whether the right eye's view comes first, by Matroska's name
LAYOUTS = {
    "left_right": (1, 0),
    "bottom_top": (2, 1),
    "checkerboard_rl": (4, 1),
    "row_interleaved_lr": (6, 0),
}


def stereo_film(path: Path, mode: str) -> Path:
    return media.make(path, Film(shoot(2), codec="ffv1", tags={"stereo_mode": mode}, **CLOCK))


CLOCK: dict[str, Any] = {"time_base": Fraction(1, 1000)}


def layout(film: Path) -> tuple[int, int] | None:
    data = side_data(film)[0].get("STEREO3D")
    return None if data is None else struct.unpack("=2i", data[:8])


@pytest.mark.parametrize("mode", LAYOUTS)
def test_stereo_is_kept_in_matroska(mode: str, tmp_path: Path, options: ColorOptions) -> None:
    film, output = stereo_film(tmp_path / "film.mkv", mode), tmp_path / "out.mkv"
    assert layout(film) == LAYOUTS[mode]
    report = colorize(film, output, options=options, encoding=MASTER)
    assert layout(output) == LAYOUTS[mode]
    assert not any("stereo" in note for note in report.notes)
    assert verify(film, output) == 2


@pytest.mark.parametrize("mode", LAYOUTS)
def test_stereo_is_kept_in_h264_or_told(mode: str, tmp_path: Path, options: ColorOptions) -> None:
    """FFmpeg writes no layouts with the right eye's view first into H.264."""
    film, output = stereo_film(tmp_path / "film.mkv", mode), tmp_path / "out.mp4"
    report = colorize(film, output, options=options, encoding=SHARE)
    is_kept = LAYOUTS[mode][1] == 0
    assert layout(output) == (LAYOUTS[mode] if is_kept else None)
    assert any("stereo" in note for note in report.notes) == (not is_kept)
    assert verify(film, output) == 2


def test_stereo_of_the_coded_picture_is_kept_in_matroska(
    tmp_path: Path, options: ColorOptions
) -> None:
    made = Film(shoot(2), options={"x264-params": "frame-packing=3"}, time_base=Fraction(1, 1000))
    film = media.make(tmp_path / "film.mp4", made)
    assert layout(film) == (1, 0)
    colorize(film, tmp_path / "out.mkv", options=options, encoding=MASTER)
    assert layout(tmp_path / "out.mkv") == (1, 0)


@pytest.mark.parametrize("mode", ["left_right", "anaglyph_cyan_red"])
def test_stereo_that_is_lost_is_told(mode: str, tmp_path: Path) -> None:
    film = stereo_film(tmp_path / "film.mkv", mode)
    assert "stereo 3D" in notes_of(film, ARCHIVE, "out.mp4")
    assert "stereo 3D" not in notes_of(film, MASTER)


def test_another_stereo_layout_is_missed(tmp_path: Path) -> None:
    films = [stereo_film(tmp_path / f"{mode}.mkv", mode) for mode in ("left_right", "right_left")]
    with pytest.raises(VerifyError, match="stereo"):
        verify(*films)


def test_spherical_video_is_told(tmp_path: Path) -> None:
    """Google's Spherical Video V2: 'sv3d' in the sample description."""
    film = media.make(tmp_path / "film.mp4", Film(shoot(2)))

    def box(name: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return (8 + len(content)).to_bytes(4, "big") + name + content

    header = box(b"svhd", bytes(4), b"test\0")
    pose, equirectangular = box(b"prhd", bytes(16)), box(b"equi", bytes(20))
    content = header + box(b"proj", pose, equirectangular)
    add_to_description(film, b"avc1", b"sv3d", content)
    assert "spherical" in notes_of(film, SHARE)


def test_cropping_is_told(tmp_path: Path) -> None:
    """The clean aperture of QuickTime, and Matroska's own; that of the whole picture is none."""
    for size, is_cropped in (((90, 60), True), (media.SIZE, False)):
        film = media.make(tmp_path / "film.mov", Film(shoot(2)))
        numbers = (size[0], 1, size[1], 1, 0, 1, 0, 1)
        aperture = b"".join(number.to_bytes(4, "big") for number in numbers)
        add_to_description(film, b"avc1", b"clap", aperture)
        assert ("cropping to 90×60" in notes_of(film, SHARE)) == is_cropped
    film = media.make(tmp_path / "film.mkv", Film(shoot(2), **CLOCK))
    [track] = [c for n, c in ebml.children(ebml.top(film, ebml.TRACKS) or b"") if n == ebml.TRACK]
    crop = ebml.element(0x54BB, 4) + ebml.element(0x54CC, 2) + ebml.element(0x54DD, 4)
    fields = [ebml.element(n, c, crop if n == 0xE0 else b"") for n, c in ebml.children(track)]
    ebml.change(film, {ebml.TRACKS: ebml.element(ebml.TRACKS, ebml.element(ebml.TRACK, *fields))})
    assert "cropping to 90×60" in notes_of(film, MASTER)


def test_icc_profile_and_exif_of_pictures_are_told(tmp_path: Path) -> None:
    """PyAV has no name for Exif data and reads no side data beside it."""
    from PIL import Image, ImageCms

    picture = Image.fromarray(shoot(1, is_full_range=True)[0]).convert("RGB")
    exif = picture.getexif()
    exif[0x010F] = "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    jpeg, film = tmp_path / "picture.jpg", tmp_path / "film.mov"
    picture.save(jpeg, exif=exif, icc_profile=profile)
    with av.open(str(film), "w") as output:
        stream = output.add_mux_stream("mjpeg", rate=PAL, width=96, height=64)
        stream.time_base = 1 / PAL
        for number in range(2):
            packet = av.Packet(jpeg.read_bytes())
            packet.stream, packet.time_base, packet.is_keyframe = stream, 1 / PAL, True
            packet.pts = packet.dts = number
            packet.duration = 1
            output.mux(packet)
    notes = notes_of(film, SHARE)
    assert "ICC profile" in notes and "Exif" in notes


def test_plain_films_have_no_notes_of_side_data(tmp_path: Path) -> None:
    for name, made in {"film.mp4": Film(shoot(2)), "film.mkv": Film(shoot(2), **CLOCK)}.items():
        assert notes_of(media.make(tmp_path / name, made), SHARE) == ""


# ---------------------------------------------------------------- alpha

ALPHA = {  # (encoder, pixel format, bits of alpha as decoded)
    "prores.mov": ("prores_ks", "yuva444p10le", 12),
    "png.mov": ("png", "rgba", 8),
    "animation.mov": ("qtrle", "argb", 8),
    "ffv1-8.mkv": ("ffv1", "yuva420p", 8),
    "ffv1-10.mkv": ("ffv1", "yuva422p10le", 10),
    "ffv1-gray.mkv": ("ffv1", "ya8", 8),
    "ffv1-rgb.mkv": ("ffv1", "gbrap16le", 16),
}


# items from one opacity to the next, and the offset of the first
PACKED_ALPHA = {"rgba": (4, 3), "argb": (4, 0), "ya8": (2, 1)}


def alpha_film(path: Path) -> Path:
    """A gray film of three frames whose alpha is noise."""
    codec, pix_fmt, _ = ALPHA[path.name]
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        options = {"profile": "4444"} if codec == "prores_ks" else {}
        stream: Any = output.add_stream(codec, rate=PAL, options=options)
        stream.width, stream.height, stream.pix_fmt = *media.SIZE, pix_fmt
        for number, luma in enumerate(shoot(3, grain=0.0)):
            frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format=pix_fmt)
            _set_alpha(frame, rng)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _set_alpha(frame: av.VideoFrame, rng: np.random.Generator) -> None:
    component = frame.format.components[-1]
    assert component.is_alpha
    plane: Any = frame.planes[component.plane]
    items = np.frombuffer(plane, np.uint8 if component.bits <= 8 else np.uint16)
    step, offset = PACKED_ALPHA.get(frame.format.name, (1, 0))
    items[offset::step] = rng.integers(0, 1 << component.bits, len(items[offset::step]))


def alphas(path: Path, bits: int) -> list[np.ndarray]:
    """Return the alpha of each frame in a number of bits."""
    planes = []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            component = frame.format.components[-1]
            plane: Any = frame.planes[component.plane]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
            step, offset = PACKED_ALPHA.get(frame.format.name, (1, 0))
            items = rows.view(np.uint8 if component.bits <= 8 else np.uint16)
            values = items[:, offset::step][:, : frame.width]
            planes.append(np.rint(values * (((1 << bits) - 1) / ((1 << component.bits) - 1))))
    return planes


@pytest.mark.parametrize("name", ALPHA)
@pytest.mark.parametrize(("output_name", "encoding"), [("out.mkv", MASTER), ("out.mov", EDIT)])
def test_alpha_is_kept(
    name: str, output_name: str, encoding: Encoding, tmp_path: Path, options: ColorOptions
) -> None:
    film, output = alpha_film(tmp_path / name), tmp_path / output_name
    report = colorize(film, output, options=options, encoding=encoding)
    assert not any("alpha" in note for note in report.notes)
    # ProRes is encoded from 10 bits
    bits = min(ALPHA[name][2], 10) if encoding == EDIT else ALPHA[name][2]
    assert all(map(np.array_equal, alphas(output, bits), alphas(film, bits)))
    assert len(alphas(output, bits)) == 3
    assert verify(film, output) == 3
    if encoding == MASTER:
        compare_luma(probe(film), probe(output))


def test_luma_of_films_with_alpha_is_unchanged(tmp_path: Path, options: ColorOptions) -> None:
    film, output = alpha_film(tmp_path / "ffv1-10.mkv"), tmp_path / "out.mkv"
    colorize(film, output, options=options, encoding=MASTER)
    assert all(map(np.array_equal, media.lumas(output), media.lumas(film)))


@pytest.mark.parametrize("encoding", [SHARE, ARCHIVE, Encoding("master", pix_fmt="yuv420p")])
def test_alpha_that_is_dropped_is_told(encoding: Encoding, tmp_path: Path) -> None:
    for name in ("png.mov", "ffv1-8.mkv", "ffv1-gray.mkv"):
        notes = notes_of(alpha_film(tmp_path / name), encoding)
        assert "alpha" in notes and "--for master" in notes


def test_alpha_beside_the_picture_is_told(tmp_path: Path) -> None:
    """VP9 keeps alpha in additional blocks, which FFmpeg's own decoder does not read."""
    made = Film(shoot(2), codec="libvpx-vp9", tags={"alpha_mode": "1"}, **CLOCK)
    film = media.make(tmp_path / "film.webm", made)
    assert "alpha" in notes_of(film, MASTER)


def test_other_alpha_is_missed(tmp_path: Path, options: ColorOptions) -> None:
    film, output = alpha_film(tmp_path / "ffv1-8.mkv"), tmp_path / "out.mkv"
    opaque = Film(shoot(3, grain=0.0), codec="ffv1", pix_fmt="yuva420p", rate=PAL, **CLOCK)
    media.make(output, opaque)
    with pytest.raises(VerifyError, match=r"frame 0 .* alpha"):
        compare_luma(probe(film), probe(output))
