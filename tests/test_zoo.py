"""The zoo: a small film of every kind is coloured correctly, or refused in one clear line."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import coded_fields
import media
import numpy as np
import pytest
from media import TICK, Film, Sound, Titles, shoot

from filmcolor.errors import FilmcolorError
from filmcolor.output.options import Encoding
from filmcolor.output.verify import verify
from filmcolor.pipeline.batch import colorize
from filmcolor.pipeline.options import ColorOptions
from filmcolor.types.film import TimeRange

pytestmark = pytest.mark.slow

MASTER = Encoding(purpose="master")
DROPPING = Encoding(purpose="master", drop_unsupported=True)
LOSSLESS = Encoding(codec="libx264", crf=0, preset="ultrafast")  # for MOV, which has no FFV1
MILLISECOND = Fraction(1, 1000)
FRAME = 1 / media.RATE
PAL, NTSC = Fraction(25), Fraction(30000, 1001)
QUIET = {"x265-params": "log-level=none"}
# parts of packets as in the specifications: enough to be copied
PGS = bytes.fromhex("16 0013 0060 0040 10 0000 80 00 00 00") + bytes(10) + b"\x80\0\0"
DVDSUB = b"\0\x20" + bytes(30)


@dataclass(frozen=True)
class Animal:
    """A film, and the expected result of a run."""

    film: Film
    output: str = "out.mkv"
    encoding: Encoding = MASTER
    refused: str = ""  # a pattern of the error's message
    noted: str = ""  # a pattern of one of the report's notes
    make: Callable[[Path, Film], Path] = media.make
    num_frames: int | None = None  # shown, where some are not
    is_moved: bool = False  # its times are, because it begins before zero
    is_converted: bool = False  # its subtitles are


def film(num_frames: int = 6, size: tuple[int, int] = media.SIZE, **fields: Any) -> Film:
    depth = fields.pop("depth", 8)
    is_full_range = fields.pop("is_full_range", False)
    lumas = shoot(num_frames, size, depth=depth, is_full_range=is_full_range)
    return Film(lumas, **fields)


def by_frame(codec: str, num_frames: int = 6, **fields: Any) -> Film:
    """A film of a codec with no clock finer than its frame rate."""
    return film(num_frames, codec=codec, **{"time_base": FRAME} | fields)


def broadcast(
    codec: str, rate: Fraction, size: tuple[int, int] = media.SIZE, **fields: Any
) -> Film:
    return film(4, size, codec=codec, rate=rate, time_base=1 / rate, **fields)


def in_mkv(**fields: Any) -> Film:
    return film(**{"time_base": MILLISECOND} | fields)


# ---------------------------------------------------------------- films edited byte by byte


def packed_b_frames(path: Path, made: Film) -> Path:
    """AVI as DivX wrote it: a P-frame and the B-frame shown before it in one chunk."""
    plain = media.make(path.with_name("plain.avi"), made)
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        data = [bytes(p) for p in source.demux(video=0) if p.size]
        # user data ahead of the first VOP (ISO 14496-2) that marks the film as packed
        position = data[0].index(b"\0\0\1\xb6")
        data[0] = data[0][:position] + b"\0\0\1\xb2DivX503b1393p" + data[0][position:]
        empty = b"\0\0\1\xb6\x50\x4f"  # a P-VOP that is not coded, in place of the B-frame
        chunks: list[bytes] = []
        number = 0
        while number < len(data):
            if number and number + 1 < len(data) and _vop_type(data[number + 1]) == 2:
                chunks += [data[number] + data[number + 1], empty]
                number += 2
            else:
                chunks.append(data[number])
                number += 1
        for number, chunk in enumerate(chunks):
            packet = av.Packet(chunk)
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base, packet.is_keyframe = FRAME, number == 0
            output.mux(packet)
    plain.unlink()
    return path


def _vop_type(data: bytes) -> int:
    return data[data.index(b"\0\0\1\xb6") + 4] >> 6  # 0: I, 1: P, 2: B


def soft_telecine(path: Path, made: Film) -> Path:
    """MPEG-2 at 24 frames/s that repeats a field of every second frame."""
    fields = [0, 3, 5, 8, 10, 13]
    clock = Fraction(1001, 60000)
    plain = media.make(path.with_name("plain.ts"), replace(made, time_base=clock, pts=fields))
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            data = bytearray(bytes(packet))
            start = data.index(b"\0\0\1\xb5", data.index(b"\0\0\1\0")) + 4  # ISO 13818-2, 6.2.3.1
            data[start + 3] = data[start + 3] & 0x7F | (0x80 if number % 4 in (0, 3) else 0)
            data[start + 3] |= 0x02 if number % 2 == 0 else 0  # repeat_first_field
            data[start + 4] |= 0x80  # progressive_frame
            changed = av.Packet(bytes(data))
            changed.stream, changed.time_base = stream, packet.time_base
            changed.pts, changed.dts = packet.pts, packet.dts
            changed.is_keyframe = packet.is_keyframe
            output.mux(changed)
    plain.unlink()
    return path


def hard_telecine(path: Path, made: Film) -> Path:
    """FFV1 with two of five frames marked as interlaced, as in telecined film."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=NTSC)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = *made.size, made.pix_fmt
        context.time_base = stream.time_base = made.time_base
        context.field_order = media.FIELD_ORDERS["tff"]
        for number, (luma, pts) in enumerate(zip(made.lumas, made.all_pts)):
            frame = media.picture(made.pix_fmt, luma)
            frame.pts, frame.time_base = pts, made.time_base
            output.mux(stream.encode(media.scanned(frame, "tff") if number % 5 > 2 else frame))
        output.mux(stream.encode(None))
    return path


def field_pictures(
    coding: str, first_field: int = coded_fields.TOP
) -> Callable[[Path, Film], Path]:
    """Return a function that writes H.264 whose fields have packets of their own."""

    def make(path: Path, made: Film) -> Path:
        frames = coded_fields.h264_frames(len(made.lumas), coding, first_field=first_field)
        if path.suffix == ".h264":
            return coded_fields.write_bare(path, frames)
        return coded_fields.write(path, frames, is_split=True)

    return make


def clean_aperture(path: Path, made: Film) -> Path:
    """QuickTime with a clean aperture: 'clap' in the sample description crops the display."""
    data = bytearray(media.make(path, made).read_bytes())
    numbers = (90, 1, 60, 1, 0, 1, 0, 1)  # width, height and offsets, as fractions
    box = b"\0\0\0\x28clap" + b"".join(n.to_bytes(4, "big") for n in numbers)
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        start = data.index(name, data.index(b"moov")) - 4
        size = int.from_bytes(data[start : start + 4], "big") + len(box)
        data[start : start + 4] = size.to_bytes(4, "big")
    data[end:end] = box
    path.write_bytes(data)
    return path


def with_timecode(path: Path, made: Film) -> Path:
    return media.make(path, replace(made, tags={"timecode": "01:00:00:00"}))


def of_two_sizes(path: Path, made: Film) -> Path:
    """Two raw streams of different picture sizes, one after the other."""
    small = media.make(path.with_name("a.m2v"), made).read_bytes()
    other = replace(made, lumas=shoot(4, (128, 96)))
    path.write_bytes(small + media.make(path.with_name("b.m2v"), other).read_bytes())
    for name in ("a.m2v", "b.m2v"):
        path.with_name(name).unlink()
    return path


def without_picture(path: Path, made: Film) -> Path:
    """A film cut off right after its header."""
    path.write_bytes(media.make(path, made).read_bytes()[:700])
    return path


# ---------------------------------------------------------------- the animals

CONTAINERS = {
    "h264-aac.mp4": Animal(film(sounds=[Sound()])),
    "h264-pcm.mov": Animal(film(sounds=[Sound("pcm_s16le")])),
    "h264-opus.mkv": Animal(in_mkv(sounds=[Sound("libopus")])),
    "h264-aac.m4v": Animal(film(sounds=[Sound()])),
    "vp8-opus.webm": Animal(in_mkv(codec="libvpx", sounds=[Sound("libopus")])),
    "vp9-opus.webm": Animal(in_mkv(codec="libvpx-vp9", sounds=[Sound("libopus")])),
    "mpeg4-mp3.avi": Animal(by_frame("mpeg4", sounds=[Sound("libmp3lame")])),
    "b-frames.avi": Animal(by_frame("mpeg4", 8, options={"bf": "2"})),
    "packed-b-frames.avi": Animal(
        by_frame("mpeg4", 8, options={"bf": "1", "b_strategy": "0"}), make=packed_b_frames
    ),
    "h264-b-frames.avi": Animal(by_frame("libx264", 8, options={"bf": "2"})),
    "mjpeg-pcm.avi": Animal(by_frame("mjpeg", pix_fmt="yuvj420p", sounds=[Sound("pcm_s16le")])),
    "huffyuv.avi": Animal(by_frame("huffyuv", pix_fmt="yuv422p")),
    "uncompressed.avi": Animal(by_frame("rawvideo")),
    "ffv1.avi": Animal(by_frame("ffv1")),
    "h264-aac.ts": Animal(film(sounds=[Sound()])),
    "mpeg2-mp2.ts": Animal(by_frame("mpeg2video", options={"bf": "2"}, sounds=[Sound("mp2")])),
    "hevc-ac3.ts": Animal(film(codec="libx265", options=QUIET, sounds=[Sound("ac3")])),
    "h264.m2ts": Animal(film(sounds=[Sound("ac3")])),
    "mpeg2-mp2-to-mp4.ts": Animal(by_frame("mpeg2video", sounds=[Sound("mp2")]), "out.mp4"),
    "mpeg1-mp2.mpg": Animal(by_frame("mpeg1video", options={"bf": "2"}, sounds=[Sound("mp2")])),
    "mpeg2-ac3.vob": Animal(by_frame("mpeg2video", options={"bf": "2"}, sounds=[Sound("ac3")])),
    "wmv2.wmv": Animal(by_frame("wmv2")),
    "msmpeg4-mp3.asf": Animal(by_frame("msmpeg4", sounds=[Sound("libmp3lame")])),
    "wmv2-wma.wmv": Animal(by_frame("wmv2", sounds=[Sound("wmav2", bit_rate=64000)])),
    "wma-dropped.wmv": Animal(
        by_frame("wmv2", sounds=[Sound("wmav2", bit_rate=64000)]),
        "out.mp4",
        encoding=DROPPING,
        noted="left out.*wmav2",
    ),
    "theora.ogv": Animal(by_frame("libtheora")),
    "vp8.ogv": Animal(by_frame("libvpx", sounds=[Sound("libopus")])),
    "mpeg2-pcm.mxf": Animal(broadcast("mpeg2video", PAL, sounds=[Sound("pcm_s16le")])),
    "mpeg2-pcm-to-mov.mxf": Animal(
        broadcast("mpeg2video", PAL, sounds=[Sound("pcm_s16le")]), "out.mov", LOSSLESS
    ),
    "h264-b-frames.mxf": Animal(broadcast("libx264", PAL, options={"bf": "2"})),
    "prores.mxf": Animal(broadcast("prores_ks", PAL, depth=10, pix_fmt="yuv422p10le")),
    "flv1-mp3.flv": Animal(in_mkv(codec="flv", sounds=[Sound("libmp3lame")])),
    "h264-aac.flv": Animal(in_mkv(sounds=[Sound()])),
    "h263.3gp": Animal(broadcast("h263", NTSC, (176, 144)), "out.mp4"),
    "rv20.rm": Animal(by_frame("rv20")),
    "ffv1.nut": Animal(film(codec="ffv1")),
    "bare.h264": Animal(film()),
    "bare.m2v": Animal(by_frame("mpeg2video")),
    "bare.y4m": Animal(by_frame("wrapped_avframe")),
}

CODECS = {
    "hevc.mp4": Animal(film(codec="libx265", options=QUIET)),
    "hevc-10.mkv": Animal(in_mkv(codec="libx265", options=QUIET, depth=10, pix_fmt="yuv420p10le")),
    "av1.mp4": Animal(film(codec="libsvtav1", options={"preset": "12"})),
    "mpeg4.mp4": Animal(by_frame("mpeg4", options={"bf": "2"})),
    "prores-422.mov": Animal(film(codec="prores_ks", depth=10, pix_fmt="yuv422p10le")),
    "prores-4444.mov": Animal(film(codec="prores_ks", depth=10, pix_fmt="yuv444p10le")),
    "dnxhr.mov": Animal(
        broadcast("dnxhd", PAL, (320, 256), pix_fmt="yuv422p", options={"profile": "dnxhr_hq"})
    ),
    "v210.mov": Animal(film(codec="v210", depth=10, pix_fmt="yuv422p10le")),
    "uncompressed-gray.mov": Animal(film(codec="rawvideo", pix_fmt="gray", is_full_range=True)),
    "cineform.mov": Animal(film(codec="cfhd", depth=10, pix_fmt="yuv422p10le")),
    "svq1.mov": Animal(film(codec="svq1", pix_fmt="yuv410p")),
    "png-gray.mov": Animal(film(codec="png", pix_fmt="gray", is_full_range=True)),
    "png-gray-16.mov": Animal(film(codec="png", pix_fmt="gray16be", depth=16, is_full_range=True)),
    "png-rgb.mov": Animal(film(codec="png", pix_fmt="rgb24")),
    "rle-rgb.mov": Animal(film(codec="qtrle", pix_fmt="rgb24")),
    "mjpeg.mov": Animal(film(codec="mjpeg", pix_fmt="yuvj444p", is_full_range=True)),
    "jpeg2000.mov": Animal(film(codec="jpeg2000", pix_fmt="gray")),
    "jpeg2000.mkv": Animal(in_mkv(codec="jpeg2000", pix_fmt="gray")),
    "magicyuv.avi": Animal(by_frame("magicyuv", pix_fmt="gray")),
    "snow.avi": Animal(by_frame("snow")),
    "gif.gif": Animal(film(codec="gif", pix_fmt="gray", time_base=Fraction(1, 100))),
    "apng.apng": Animal(film(codec="apng", pix_fmt="gray")),
    "ffv1-gray.mkv": Animal(in_mkv(codec="ffv1", pix_fmt="gray", is_full_range=True)),
} | {
    f"ffv1-gray-{depth}.mkv": Animal(
        in_mkv(codec="ffv1", pix_fmt=f"gray{depth}le", depth=depth, is_full_range=True)
    )
    for depth in (10, 12, 16)
}

SCANS = (
    {
        "pal.dv": Animal(broadcast("dvvideo", PAL, (720, 576), scan="bff"), "out.mp4"),
        "ntsc.dv": Animal(
            broadcast("dvvideo", NTSC, (720, 480), pix_fmt="yuv411p", scan="bff"), "out.mp4"
        ),
        "pal-dv.avi": Animal(broadcast("dvvideo", PAL, (720, 576), scan="bff"), "out.mp4"),
        "ntsc-dv.mov": Animal(
            broadcast("dvvideo", NTSC, (720, 480), pix_fmt="yuv411p", scan="bff"), "out.mp4"
        ),
        "hard-telecine.mkv": Animal(in_mkv(num_frames=10, rate=NTSC), make=hard_telecine),
        "soft-telecine.ts": Animal(
            film(codec="mpeg2video", rate=Fraction(60000, 1001)), make=soft_telecine
        ),
    }
    | {
        name: Animal(replace(made, scan=scan))
        for scan in ("tff", "bff")
        for name, made in {
            f"h264-{scan}.mp4": film(),
            f"h264-{scan}.mkv": in_mkv(),
            f"h264-{scan}.ts": film(),
            f"mpeg2-{scan}.ts": broadcast("mpeg2video", PAL),
            f"mpeg2-{scan}.mpg": broadcast("mpeg2video", NTSC),
            f"mpeg4-{scan}.avi": by_frame("mpeg4"),
            f"ffv1-{scan}.mkv": in_mkv(codec="ffv1"),
            f"prores-{scan}.mov": film(codec="prores_ks", depth=10, pix_fmt="yuv422p10le"),
            # 486 rows of NTSC are, like 54, no multiple of four
            f"ffv1-54-rows-{scan}.mkv": in_mkv(size=(96, 54), codec="ffv1"),
            f"v210-54-rows-{scan}.mov": film(
                size=(96, 54), codec="v210", depth=10, pix_fmt="yuv422p10le"
            ),
            f"prores-54-rows-{scan}.mov": film(
                size=(96, 54), codec="prores_ks", depth=10, pix_fmt="yuv422p10le"
            ),
        }.items()
    }
    | {
        # "stored interleaved": frames are not marked, the container has QuickTime's 9 or 14
        name: Animal(replace(made, scan=scan, color={"field_order": order}))
        for scan, order in (("tff", 4), ("bff", 5))
        for name, made in {
            f"cineform-{scan}.mov": film(codec="cfhd", depth=10, pix_fmt="yuv422p10le"),
            f"jpeg2000-{scan}.mov": film(codec="jpeg2000", pix_fmt="gray"),
            f"jpeg2000-{scan}.mkv": in_mkv(codec="jpeg2000", pix_fmt="gray"),
            f"png-{scan}.mov": film(codec="png", pix_fmt="gray", is_full_range=True),
            f"uncompressed-{scan}.mov": film(codec="rawvideo", pix_fmt="gray", is_full_range=True),
        }.items()
    }
)

OF_FIELDS = Film([coded_fields.luma_of(number) for number in range(8)])
FIELD_PICTURES = {
    "fields.ts": Animal(OF_FIELDS, make=field_pictures("field")),
    "fields-bff.ts": Animal(OF_FIELDS, make=field_pictures("field", coded_fields.BOTTOM)),
    "fields-and-frames.ts": Animal(OF_FIELDS, make=field_pictures("mixed")),
    "fields-and-frames.m2ts": Animal(OF_FIELDS, make=field_pictures("mixed")),
    "fields-and-frames.mkv": Animal(OF_FIELDS, make=field_pictures("mixed")),
    "fields-and-frames.mp4": Animal(OF_FIELDS, "out.mp4", make=field_pictures("mixed")),
    "fields-and-frames.h264": Animal(OF_FIELDS, make=field_pictures("mixed")),
}

ONE = 1 << 16
MATRICES = {
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 96 * ONE, 0, 1 << 30),
    "flipped": (ONE, 0, 0, 0, -ONE, 0, 0, 64 * ONE, 1 << 30),
    "transposed": (0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "transversed": (0, -ONE, 0, -ONE, 0, 0, 64 * ONE, 96 * ONE, 1 << 30),
    "turned-left": (0, -ONE, 0, ONE, 0, 0, 0, 96 * ONE, 1 << 30),
    "tilted": (65503, 1966, 0, -1966, 65503, 0, 0, 0, 1 << 30),
    "of-zeros": (0,) * 9,
}
ORIENTATIONS = {
    f"{word}.{suffix}": Animal(film(matrix=matrix), f"out.{output}", encoding)
    for word, matrix in MATRICES.items()
    for suffix, output, encoding in (("mp4", "mkv", MASTER), ("mov", "mov", LOSSLESS))
}

SHAPES = {
    "16x16.mp4": Animal(film(size=(16, 16))),
    "16x16.mkv": Animal(in_mkv(size=(16, 16), codec="ffv1")),
    "97x61.mkv": Animal(in_mkv(size=(97, 61), codec="ffv1")),
    "8k.mkv": Animal(
        Film([np.full((4320, 7680), 100, np.uint8)], codec="ffv1", time_base=MILLISECOND)
    ),
    "anamorphic.mp4": Animal(film(sar=Fraction(64, 45)), "out.mp4"),
    "anamorphic.mkv": Animal(in_mkv(sar=Fraction(4, 3), codec="libx264"), "out.mp4"),
    "anamorphic-to-mkv.mp4": Animal(
        film(sar=Fraction(64, 45)), refused=r"\.mkv does not keep .*\.mp4"
    ),
    "rotated.mp4": Animal(film(rotation=90), "out.mp4"),
    "upside-down.mov": Animal(film(rotation=180), "out.mp4"),
    "clean-aperture.mov": Animal(film(), make=clean_aperture),
    "full-range.mp4": Animal(film(pix_fmt="yuvj420p", is_full_range=True)),
    "limited-gray.mkv": Animal(
        in_mkv(codec="ffv1", pix_fmt="gray", color={"color_range": media.MPEG_RANGE})
    ),
    "two-sizes.m2v": Animal(by_frame("mpeg2video", 4), make=of_two_sizes, refused="the film began"),
}

TIMES = {
    "uneven.mp4": Animal(film(pts=[0, 1000, 1400, 4000, 9999, 24001]), "out.mp4"),
    "uneven.mkv": Animal(in_mkv(pts=[0, 41, 43, 300, 1000, 2501])),
    "one-frame.mp4": Animal(film(1)),
    "one-frame.mkv": Animal(in_mkv(num_frames=1)),
    "one-frame.ts": Animal(film(1)),
    "one-frame.mpg": Animal(by_frame("mpeg1video", 1)),
    "one-frame.avi": Animal(by_frame("mpeg4", 1)),
    "trimmed-by-an-edit-list.mp4": Animal(film(12, start=Fraction(-1, 4)), num_frames=6),
    "trimmed-amid-b-frames.mp4": Animal(
        film(12, start=Fraction(-1, 4), options={"bf": "2"}, sounds=[Sound()]), num_frames=6
    ),
    "late.mp4": Animal(film(start=Fraction(36000), sounds=[Sound()])),
    "late.mkv": Animal(in_mkv(start=Fraction(36000), sounds=[Sound()])),
    "late.ts": Animal(film(start=Fraction(50000), sounds=[Sound()])),
    "clock-wraps.ts": Animal(film(start=Fraction(190887, 2), sounds=[Sound()]), is_moved=True),
    "cut-off.mp4": Animal(film(), make=without_picture, refused="is it complete"),
}

SOUNDS = {
    f"{codec}.{suffix}": Animal(
        film(time_base=clock, sounds=[Sound(codec)]),
        output,
        LOSSLESS if output == "out.mov" else MASTER,
    )
    for suffix, clock, output, codecs in (
        ("mp4", TICK, "out.mp4", ("aac", "ac3", "eac3", "libopus", "flac", "libmp3lame", "alac")),
        ("mov", TICK, "out.mkv", ("pcm_s24le", "pcm_f32le", "pcm_s16be", "alac", "ac3")),
        ("mov", TICK, "out.mov", ("pcm_s32le",)),
        ("mkv", MILLISECOND, "out.mkv", ("aac", "ac3", "flac", "pcm_s16le", "libmp3lame")),
        ("mkv", MILLISECOND, "out.mp4", ("eac3", "pcm_s24le", "mp2")),
    )
    for codec in codecs
} | {
    "four-tracks.mkv": Animal(
        in_mkv(sounds=[Sound(c, "eng") for c in ("aac", "ac3", "flac", "libopus")])
    ),
    "opus-to-mov.mkv": Animal(
        in_mkv(sounds=[Sound("libopus")]), "out.mov", LOSSLESS, refused=r"opus.*\.mp4 or \.mkv"
    ),
    "flac-to-mov.mkv": Animal(
        in_mkv(sounds=[Sound("flac")]), "out.mov", LOSSLESS, refused=r"flac.*\.mp4 or \.mkv"
    ),
}

DIALOGUE = [(40, 160, "0,0,Default,,0,0,0,,Silence"), (200, 240, "1,0,Default,,0,0,0,,No")]
PICTURES = [(40, 160, PGS), (200, 240, PGS)]
FONT = ("Intertitle.ttf", "font/ttf", bytes(range(256)))
STYLED = [(40, 160, "<i>Silence</i>\nor <b>not</b>"), (160, 230, "Ümläut")]
CHAPTERS = ((0, 100, "The arrival"), (100, 250, "The duel"))

TITLES = {
    "srt.mkv": Animal(in_mkv(titles=[Titles("subrip", "fre")])),
    "srt-to-mp4.mkv": Animal(
        in_mkv(titles=[Titles("subrip", "fre", STYLED)]),
        "out.mp4",
        noted="converted to mov_text",
        is_converted=True,
    ),
    "srt-to-mov.mkv": Animal(
        in_mkv(titles=[Titles("subrip", "eng")]),
        "out.mov",
        LOSSLESS,
        noted="mov_text",
        is_converted=True,
    ),
    "mov-text.mp4": Animal(film(titles=[Titles("mov_text", "fre")]), "out.mp4"),
    "mov-text-to-mkv.mp4": Animal(
        film(titles=[Titles("mov_text", "fre")]), noted="converted to subrip", is_converted=True
    ),
    "two-at-a-time.mkv": Animal(
        in_mkv(titles=[Titles("subrip", "fre", [(0, 200, "One"), (100, 220, "Two")])]),
        "out.mp4",
        refused=r"subrip.*\.mkv",
    ),
    "ass.mkv": Animal(in_mkv(titles=[Titles("ass", "fre", DIALOGUE)], attachments=[FONT])),
    "ass-to-mp4.mkv": Animal(
        in_mkv(titles=[Titles("ass", "fre", DIALOGUE)]), "out.mp4", refused=r"ass.*\.mkv"
    ),
    "ass-dropped.mkv": Animal(
        in_mkv(titles=[Titles("ass", "fre", DIALOGUE)], sounds=[Sound()]),
        "out.mp4",
        DROPPING,
        noted=r"left out.* ass",
    ),
    "pgs.mkv": Animal(in_mkv(titles=[Titles("hdmv_pgs_subtitle", "fre", PICTURES)])),
    "pgs-to-mp4.mkv": Animal(
        in_mkv(titles=[Titles("hdmv_pgs_subtitle", "fre", PICTURES)]),
        "out.mp4",
        refused=r"pgs.*\.mkv",
    ),
    "dvdsub.mkv": Animal(in_mkv(titles=[Titles("dvd_subtitle", "fre", [(40, 160, DVDSUB)])])),
    "dvdsub-to-mp4.mkv": Animal(
        in_mkv(titles=[Titles("dvd_subtitle", "fre", [(40, 160, DVDSUB)])]), "out.mp4"
    ),
    "dvdsub-to-mov.mkv": Animal(
        in_mkv(titles=[Titles("dvd_subtitle", "fre", [(40, 160, DVDSUB)])]),
        "out.mov",
        LOSSLESS,
        refused=r"dvd_subtitle.*\.mp4 or \.mkv",
    ),
    "webvtt.webm": Animal(
        in_mkv(codec="libvpx-vp9", titles=[Titles("webvtt", "fre")], sounds=[Sound("libopus")])
    ),
}

EXTRAS = {
    "chapters.mp4": Animal(film(chapters=CHAPTERS)),
    "chapters-to-mp4.mkv": Animal(in_mkv(chapters=CHAPTERS), "out.mp4"),
    "font.mkv": Animal(in_mkv(attachments=[FONT])),
    "font-to-mp4.mkv": Animal(in_mkv(attachments=[FONT]), "out.mp4", refused=r"attachment.*\.mkv"),
    "font-dropped.mkv": Animal(
        in_mkv(attachments=[FONT]), "out.mp4", DROPPING, noted="left out.*attachment"
    ),
    "cover.mp4": Animal(film(cover=media.jpeg()), "out.mp4"),
    "cover-to-mov.mp4": Animal(
        film(cover=media.jpeg()), "out.mov", LOSSLESS, refused=r"mjpeg.*\.mp4 or \.mkv"
    ),
    "cover-to-mkv.mp4": Animal(film(cover=media.jpeg())),
    "timecode.mov": Animal(film(), "out.mov", LOSSLESS, make=with_timecode),
    "timecode.mp4": Animal(film(), "out.mp4", make=with_timecode),
    "timecode-to-mkv.mov": Animal(film(), make=with_timecode),
}

ZOO = CONTAINERS | CODECS | SCANS | FIELD_PICTURES | SHAPES | ORIENTATIONS
ZOO |= TIMES | SOUNDS | TITLES | EXTRAS


def test_the_zoo_is_large() -> None:
    assert len(ZOO) >= 200


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str, options: ColorOptions, tmp_path: Path) -> None:
    animal = ZOO[name]
    source, output = _made(animal, tmp_path / name), tmp_path / animal.output
    if animal.refused:
        with pytest.raises(FilmcolorError, match=animal.refused) as caught:
            colorize(source, output, options=options, encoding=animal.encoding)
        assert "\n" not in str(caught.value)
        assert not output.exists()
        return
    report = colorize(source, output, options=options, encoding=animal.encoding)
    assert not report.damage
    _assert_noted(animal, report.notes)
    _assert_same_picture(source, output, animal)
    _assert_same_streams(source, output, animal)
    if not animal.encoding.drop_unsupported:  # else verify misses the dropped streams
        assert verify(source, output) == report.num_frames


# no container holds them, or no decoder reads them
HOPELESS = ("two-sizes.m2v", "cut-off.mp4")
COSTLY = ("8k.mkv",)


@pytest.mark.parametrize("name", [n for n in ZOO if n not in (*HOPELESS, *COSTLY)])
def test_zoo_by_default(name: str, options: ColorOptions, tmp_path: Path) -> None:
    """Without a named output each film gets a container that holds it; none fails at the end."""
    animal = ZOO[name]
    source = _made(animal, tmp_path / name)
    is_dropping = animal.encoding.drop_unsupported
    encoding = Encoding(preset="ultrafast", drop_unsupported=is_dropping)
    report = colorize(source, options=options, encoding=encoding)
    assert report.num_frames == (animal.num_frames or len(animal.film.lumas))
    assert not report.damage
    if not is_dropping:
        assert verify(source, report.output) == report.num_frames


@pytest.mark.parametrize("name", [n for n in ZOO if n not in (*HOPELESS, *COSTLY, *SOUNDS)])
def test_zoo_in_part(name: str, options: ColorOptions, tmp_path: Path) -> None:
    animal = ZOO[name]
    source = _made(animal, tmp_path / name)
    num = min(2, len(animal.film.lumas))
    encoding = replace(MASTER, drop_unsupported=animal.encoding.drop_unsupported)
    first = 1 if num == 2 else 0
    time_range = TimeRange(first=first, stop=first + num)
    report = colorize(source, options=options, encoding=encoding, time_range=time_range)
    lumas, originals = media.lumas(report.output), media.lumas(source)
    assert len(lumas) == num
    assert all(np.array_equal(a, b) for a, b in zip(lumas, originals[first:]))
    assert media.seconds(report.output)[0] == 0


def _made(animal: Animal, path: Path) -> Path:
    for codec in (animal.film.codec, *(sound.codec for sound in animal.film.sounds)):
        try:
            av.Codec(codec, "w")
        except ValueError:
            pytest.skip(f"this build of PyAV has no encoder {codec}")
    return animal.make(path, animal.film)


def _assert_noted(animal: Animal, notes: Sequence[str]) -> None:
    if animal.noted:
        assert any(re.search(animal.noted, note) for note in notes), notes
    assert any("before zero" in note for note in notes) == animal.is_moved


def _tolerance(output: Path) -> Fraction:
    """Return the tolerance of times: Matroska rounds to a millisecond."""
    return MILLISECOND / 2 if output.suffix == ".mkv" else Fraction(0)


def _assert_same_picture(source: Path, output: Path, animal: Animal) -> None:
    originals, lumas = media.lumas(source), media.lumas(output)
    assert len(originals) == (animal.num_frames or len(animal.film.lumas))
    assert len(lumas) == len(originals)
    for number, (luma, original) in enumerate(zip(lumas, originals)):
        assert luma.dtype == original.dtype
        assert np.array_equal(luma, original), f"luma of frame {number}"
    expected = _times(source)
    moved = expected[0] - media.seconds(output)[0] if animal.is_moved else Fraction(0)
    for time, original in zip(media.seconds(output), expected):
        assert abs(time + moved - original) <= (2 if moved else 1) * _tolerance(output)
    assert media.picture_context(output)["sar"] == media.picture_context(source)["sar"]
    assert _shown(output) == pytest.approx(_shown(source), abs=1e-3)
    marks = media.first_fields(source)
    if animal.film.codec == "png":  # FFmpeg marks its interlaced pixels like fields
        marks = [""] * len(marks)
    assert media.first_fields(output) == (marks if any(marks) else [animal.film.scan] * len(marks))
    if animal.film.scan:
        assert media.field_order(output) == media.FIELD_ORDERS[animal.film.scan]


def _shown(path: Path) -> list[float]:
    """Return the linear part of a film's display matrix, the identity for one of zeros."""
    matrix = media.display_matrix(path) or (0,) * 9
    linear = [value / ONE for value in (*matrix[:2], *matrix[3:5])]
    return linear if any(linear) else [1.0, 0.0, 0.0, 1.0]


def _times(source: Path) -> list[Fraction]:
    """Return the display times of frames, sorted; those of raw streams by the frame rate."""
    with av.open(str(source)) as opened:
        stream = opened.streams.best("video")
        pts = [frame.pts for frame in opened.decode(stream)]
        if pts[0] is None:
            return [number / Fraction(stream.average_rate) for number in range(len(pts))]
        # AVI and MXF number B-frames in the order of their packets
        return sorted(p * Fraction(stream.time_base) for p in pts)


def _assert_same_streams(source: Path, output: Path, animal: Animal) -> None:
    for which in range(len(media.streams(output, "audio"))):
        originals, copies = (media.packets(path, "audio", which) for path in (source, output))
        assert originals
        if animal.film.sounds[which].codec.startswith(
            "pcm"
        ):  # MOV reads it in packets of another size
            assert b"".join(p.data for p in copies) == b"".join(p.data for p in originals)
            assert abs(copies[0].seconds - originals[0].seconds) <= MILLISECOND
            continue
        assert len(copies) == len(originals)
        assert all(p.data.endswith(q.data) for p, q in zip(originals, copies))
        assert {len(p.data) - len(q.data) for p, q in zip(originals, copies)} <= {0, 7}  # ADTS
        if not animal.is_moved:
            gaps = [abs(p.seconds - q.seconds) for p, q in zip(originals, copies) if p.seconds]
            assert max(gaps, default=Fraction(0)) <= MILLISECOND
    is_kept = not animal.encoding.drop_unsupported
    if is_kept:
        assert len(media.streams(output, "audio")) == len(animal.film.sounds)
    for titles in animal.film.titles if is_kept else ():
        packets = [p for p in media.packets(output, "subtitle") if len(p.data) > 2]
        assert len(packets) == len(titles.lines)
        for packet, (start, _, line) in zip(packets, titles.lines):
            assert packet.seconds == start * MILLISECOND
            if not animal.is_converted:
                text = line.encode() if isinstance(line, str) else line
                assert packet.data.endswith(text)
    if is_kept:
        assert media.attachments(output) == media.attachments(source)
        assert media.covers(output) == media.covers(source)
    assert media.chapters(output) == media.chapters(source)
    assert _timecode(output) == _timecode(source)


def _timecode(path: Path) -> str | None:
    with av.open(str(path)) as opened:
        tags = {**opened.metadata, **opened.streams.video[0].metadata}
        return tags.get("timecode", tags.get("TIMECODE"))
