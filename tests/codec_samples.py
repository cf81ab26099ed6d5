"""Small films of every sound, subtitle and data codec that PyAV can write, three grey frames each.

FFmpeg's encoders make most of them. The packets of the others are made by hand or were recorded
from encoders that PyAV's libraries lack.
"""

import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet

from filmcolor.output.subtitles import HEADER

NUM_FRAMES, RATE = 3, 25
SECONDS = Fraction(NUM_FRAMES, RATE)
_SPEECH = {"rate": 8000, "layout": "mono"}


@dataclass(frozen=True)
class Picture:
    """How the frames of a film are coded that is in one container."""

    codec: str = "mpeg4"
    size: tuple[int, int] = (32, 32)
    pix_fmt: str = "yuv420p"
    rate: int = RATE


_MPEG2 = Picture("mpeg2video")
PICTURES = {  # by FFmpeg's name of the container; MPEG-4 by default
    "flv": Picture("flv"),
    "mpegts": _MPEG2,
    "mxf": _MPEG2,
    "rm": Picture("rv20", (176, 144)),
    "roq": Picture("roqvideo", (64, 64), "yuvj444p", 30),
    "vob": _MPEG2,
    "webm": Picture("libvpx"),
    "3gp": Picture("mpeg4", (176, 144)),
}


@dataclass(frozen=True)
class Sample:
    """A film with one stream besides its picture, in a container that FFmpeg reads it from.

    `packets`: made by hand, of `packet_seconds` each; empty where `codec` is an encoder. `name`: of
    the codec in the film, where FFmpeg's name of the encoder is another.
    """

    type: str  # "audio", "subtitle", "data"
    codec: str
    container: str
    rate: int = 48000
    layout: str = "stereo"
    bit_rate: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    muxer_options: Mapping[str, str] = field(default_factory=dict)
    packets: tuple[bytes, ...] = ()
    packet_seconds: Fraction = Fraction(1, 50)
    name: str = ""

    @property
    def id(self) -> str:
        """The codec's name in the film and the container's."""
        return f"{self.name or self.codec} in {self.container}"


def _recorded(data: str, *sizes: int) -> tuple[bytes, ...]:
    """Return packets of some sizes from their compressed bytes; the last size is repeated."""
    joined = zlib.decompress(b64decode(data))
    packets, position = [], 0
    while position < len(joined):
        size = sizes[min(len(packets), len(sizes) - 1)]
        packets.append(joined[position : position + size])
        position += size
    return tuple(packets)


def sound(codec: str, container: str, **fields: Any) -> Sample:
    return Sample("audio", codec, container, **fields)


# silence and a tone, from FFmpeg's encoders
_TRUEHD = _recorded(
    "eNpboPz/xo+i/F0MDA2M24MYgKCnXpA1BEg3NDAwtMgqCH18xcDAKACS4XAAEsy6vzmYGDwakrUXODD2rGtkYGH4FL+A"
    "nYEhgWWiQ4MCB8OFbgdWBo0EJgeGl7IbWBkCICwBVoYKCAsouwDCWsDKcAIu+wHCSmBllIDpZXSAyTJmwGUnQFgAkLMv"
    "XQ==",
    *(70, 14, 10),
)
_MLP = _recorded(
    "eNpboPz/xo+i/N38/AyM24McGBgYeuoFWUOYGRgaGhik3T0UhD6+YmBgFABKMHCApJl1f3MwMXg0JGsvcGDsWdfIwMLw"
    "KX4BOwNDAstEhwYFDoYL3Q6sDBoJTA4ML2U3sDIEQFgCrAwVEBZQdgGEtYCV4QRc9gOElcDKKAHTy+gAk2XMgMtOgLAA"
    "gLIvSA==",
    *(70, 14, 10),
)
_DTS = _recorded(
    "eNqr/9fA+MemdMO2A4wWDMzv6x+w3Wb8//b//wcMDAoMEMC0be/76lvX1mZHXZoyZzH7zi6DJoE2LGItUPWMzeF5d3eX"
    "XV0dxiNhkLAyaKmn/yyNAA8FQnKjYIgAJiUlpdEYG42yUTAaZaMAa5Qx///DwAAAPuU72A==",
    1884,
)
_SPEEX = _recorded(
    "eNozCJmhdImBIeMFBDT+/FJSkuDRO6vE4duNWoU+wTm22kteL1E6aqvjr+2ibf1lNQhw7doxa9cGKBMIthsATbnAHJsx"
    "w/SuxYsTCpd/bK5bYRXOvm2tqoXV08ubHfrU116aI81pkCAUpvsz2yIBoRXVlCaFC1Nk5jT8yDih8WLr5VmnCqYkytSI"
    "xKQGWvuvmf0tysjKqH1BvkPiW3FJSWncpgDdsrNWZKLGj60bmjhiclbOShEWmVJan1o2fYXwXutZBkVCu3UeCGo5y8jL"
    "3sZrylTZLL8Ft4XWW2wM/lHwPcHzs0Iyw1MLJbFgHafAhgmT5nCefTld8Ar7um5cpgAARGSxMw==",
    70,
)
_GSM_MS = _recorded(
    "eNoBwwA8/4jd4RqFQu8WQJvSioLmHNtpJEcFYkP6L1mLRwLxv2Qthdg97lF4CMRJayfR2wSG0J5Cm7YGorrKak5IBcZy"
    "EltJiN3hGnUTYOUilpSWFKCdtnYbu3VgGuttbLc1YCNLiS2F3B2qUe4CxHYS60nLBFpOYymJ7QTKaSwpsckAOIktJbJI"
    "3eMexS5gWc1kPmEbILwH0aVkE4DuorVUljTATFZTmQ2CdCFN50tybiS3kUMCyJHkeIxMADCSHEmSdAAwkhxJkjYyVj0=",
    65,
)
_GSM = _recorded(
    "eNoBpQBa/9I27C2iUE98gJtEnVAG+OWtOSOoAjYN/ZLt8EIDv2S7YtI27G3i8ACo0na0prbAMGbNGbRs4BV1Rd0akUA5"
    "Y0paktI27C2ibwA7GVLIk5MAWtN2tuW3YDTlzblrtyA3JYlLYtI37Cmi3KApa0pc0pbAWxpyxJTawFjTlkSlkoBGlLYl"
    "JdI17G3i2KAy7oS94G2AGfMKaxJtAE1ZTtiLkyBoS7oi9qahUd8=",
    33,
)
# SMPTE ST 302, 5.2: size, two channels, 16 bits; five bytes for a sample of both
_S302M = ((1920 * 5).to_bytes(2, "big") + bytes(2) + bytes(1920 * 5),) * 3
_ILBC = tuple(bytes([n] * 49) + b"\0" for n in (0x11, 0x22, 0x33, 0x44))
_AMR_WB = tuple(b"\x04" + bytes([n] * 17) for n in range(1, 7))  # RFC 4867, 5.3: mode 0

SOUNDS = (
    sound("aac", "mov"),
    sound("aac", "mpegts"),
    sound("aac", "mpegts", name="aac_latm", muxer_options={"mpegts_flags": "latm"}),
    sound("aac", "avi"),
    sound("ac3", "mpegts"),
    sound("ac3", "rm"),
    sound("adpcm_ima_qt", "mov"),
    sound("adpcm_ima_wav", "avi"),
    sound("adpcm_ms", "avi", rate=22050),
    sound("adpcm_swf", "flv", rate=22050),
    sound("adpcm_yamaha", "asf"),
    sound("alac", "mov"),
    sound("amr_wb", "3gp", **_SPEECH | {"rate": 16000}, packets=_AMR_WB),
    sound("comfortnoise", "nut", **_SPEECH),
    sound("dca", "matroska", packets=_DTS * 12, packet_seconds=Fraction(512, 48000), name="dts"),
    sound("dfpwm", "asf", layout="mono"),
    sound("eac3", "mpegts"),
    sound("flac", "matroska"),
    sound("g722", "asf", rate=16000, layout="mono", name="adpcm_g722"),
    sound("g723_1", "avi", **_SPEECH, bit_rate=6300),
    sound("g726", "avi", **_SPEECH, name="adpcm_g726"),
    sound("gsm", "mov", **_SPEECH, packets=_GSM),
    sound("gsm_ms", "avi", **_SPEECH, packets=_GSM_MS, packet_seconds=Fraction(1, 25)),
    sound("ilbc", "mov", **_SPEECH, packets=_ILBC, packet_seconds=Fraction(3, 100)),
    sound("libmp3lame", "mpegts", name="mp3"),
    sound("libmp3lame", "flv", rate=44100, name="mp3"),
    sound("libmp3lame", "avi", name="mp3"),
    sound("libopencore_amrnb", "3gp", **_SPEECH, name="amr_nb"),
    sound("libopus", "mpegts", name="opus"),
    sound("libopus", "matroska", name="opus"),
    sound("mlp", "matroska", packets=_MLP, packet_seconds=Fraction(40, 48000)),
    sound("mp2", "mpegts"),
    sound("nellymoser", "flv", **_SPEECH),
    sound("pcm_alaw", "avi", **_SPEECH),
    sound("pcm_bluray", "mpegts", muxer_options={"mpegts_m2ts_mode": "1"}),
    sound("pcm_dvd", "vob"),
    sound("pcm_f32be", "mov"),
    sound("pcm_f32le", "avi"),
    sound("pcm_f64be", "mov"),
    sound("pcm_f64le", "avi"),
    sound("pcm_mulaw", "mov", **_SPEECH),
    sound("pcm_s16be", "mov"),
    sound("pcm_s16be_planar", "nut"),
    sound("pcm_s16le", "avi"),
    sound("pcm_s16le_planar", "nut"),
    sound("pcm_s24be", "mov"),
    sound("pcm_s24le", "mxf"),
    sound("pcm_s24le_planar", "nut"),
    sound("pcm_s32be", "mov"),
    sound("pcm_s32le", "avi"),
    sound("pcm_s32le_planar", "nut"),
    sound("pcm_s64le", "avi"),
    sound("pcm_s8", "mov"),
    sound("pcm_s8_planar", "nut"),
    sound("pcm_u16be", "nut"),
    sound("pcm_u16le", "nut"),
    sound("pcm_u24be", "nut"),
    sound("pcm_u24le", "nut"),
    sound("pcm_u32be", "nut"),
    sound("pcm_u32le", "nut"),
    sound("pcm_u8", "avi"),
    sound("real_144", "rm", **_SPEECH, name="ra_144"),
    sound("roq_dpcm", "roq", rate=22050, layout="mono"),
    sound("s302m", "mpegts", packets=_S302M, packet_seconds=Fraction(1, 25)),
    sound("nellymoser", "flv", rate=16000, layout="mono", packets=_SPEEX, name="speex"),
    sound("truehd", "matroska", packets=_TRUEHD, packet_seconds=Fraction(40, 48000)),
    sound("tta", "matroska"),
    sound("vorbis", "matroska", options={"strict": "experimental"}),
    sound("wavpack", "matroska"),
    sound("wmav1", "asf", bit_rate=128_000),
    sound("wmav2", "asf", bit_rate=128_000),
)
# encoders whose sound no container with a picture holds
SOUND_ONLY = frozenset(
    {
        *("adpcm_adx", "adpcm_argo", "adpcm_ima_alp", "adpcm_ima_amv", "adpcm_ima_apm"),
        *("adpcm_ima_ssi", "adpcm_ima_ws", "anull", "aptx", "aptx_hd", "g726le", "pcm_s24daud"),
        *("pcm_s64be", "pcm_vidc", "sbc"),
    }
)

_TITLE = b"0,0,Default,,0,0,0,,Silence"  # an event of ASS, from which FFmpeg's encoders make text
_TIMES = ((0, 40), (60, 100))  # milliseconds at which titles are shown


def title(codec: str, container: str, *packets: bytes, **fields: Any) -> Sample:
    return Sample("subtitle", codec, container, packets=packets, **fields)


def data(codec: str, container: str, *packets: bytes, **fields: Any) -> Sample:
    return Sample("data", codec, container, packets=packets, **fields)


# parts of packets as in the specifications: enough to be copied
_PGS = bytes.fromhex("16 0013 0020 0020 10 0000 80 00 00 00") + bytes(10) + b"\x80\0\0"
_DVDSUB = b"\0\x20" + bytes(30)
# ETSI EN 300 743, 7.2: a page composition without regions, and the end of the display set
_DVBSUB = bytes.fromhex("0f 10 0001 0002 05 10") + bytes.fromhex("0f 80 0001 0000")
_TELETEXT = b"\x10" + (b"\x02\x2c" + bytes(44))  # ETSI EN 300 472, 4.2: one data unit
_CAPTION = bytes.fromhex("0000000a 63646174 9420")  # a box of CEA-608: resume caption loading
_KLV = bytes.fromhex("060e2b34020b01010e01030101000000 02 0102")  # SMPTE ST 336
_ID3 = b"ID3\4\0\0\0\0\0\0"
_ANC = bytes.fromhex("00 02 40 00 61 40 60 00 00 ff")

TITLES = (
    title("ass", "matroska"),
    title("dvb_subtitle", "mpegts", _DVBSUB, _DVBSUB),
    title("dvb_teletext", "mpegts", _TELETEXT, _TELETEXT),
    title("dvd_subtitle", "matroska", _DVDSUB, _DVDSUB),
    title("eia_608", "mov", _CAPTION, _CAPTION),
    title("hdmv_pgs_subtitle", "matroska", _PGS, _PGS),
    title("hdmv_pgs_subtitle", "mpegts", _PGS, _PGS, muxer_options={"mpegts_m2ts_mode": "1"}),
    title("hdmv_text_subtitle", "matroska", b"\x81\0\0", b"\x81\0\0"),
    title("mov_text", "mp4"),
    title("subrip", "matroska"),
    title("ttml", "mp4"),
    title("webvtt", "matroska"),
    title("webvtt", "webm"),
)
DATA = (
    data("bin_data", "mp4", b"GPS5 3.1 4.1", b"GPS5 3.2 4.2"),
    data("klv", "mpegts", _KLV, _KLV),
    data("smpte_2038", "mpegts", _ANC, _ANC),
    data("timed_id3", "mpegts", _ID3, _ID3),
)
SAMPLES = (*SOUNDS, *TITLES, *DATA)


def make(path: Path, sample: Sample) -> Path:
    """Write the film of a sample."""
    picture = PICTURES.get(sample.container, Picture())
    options = dict(sample.muxer_options)
    with av.open(str(path), "w", format=sample.container, container_options=options) as output:
        video = _add_picture(output, picture)
        stream: Any
        if sample.packets and sample.name != "speex":
            stream = _add_stream_of_packets(output, sample)
        else:
            stream = _add_encoded_stream(output, sample)
        output.start_encoding()
        packets = [*_picture_packets(video, picture), *_packets(stream, sample)]
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
            output.mux(packet)
    if sample.name == "speex":
        _mark_as_speex(path)
    return path


def _mark_as_speex(path: Path) -> None:
    """Change the codec of the sound of an FLV film: PyAV adds Speex to none."""
    content = bytearray(path.read_bytes())
    position = 13  # E.4.2 and E.4.3 of the Flash Video specification, 10.1: header, tags
    while position < len(content):
        if content[position] == 8:  # sound
            content[position + 11] = 11 << 4 | content[position + 11] & 15
        position += 15 + int.from_bytes(content[position + 1 : position + 4], "big")
    path.write_bytes(content)


def _add_picture(output: Any, picture: Picture) -> Any:
    stream = output.add_stream(picture.codec, rate=picture.rate)
    stream.width, stream.height = picture.size
    stream.pix_fmt = picture.pix_fmt
    return stream


def _add_encoded_stream(output: Any, sample: Sample) -> Any:
    if sample.type == "subtitle":
        stream = output.add_stream(sample.codec)
        stream.codec_context.subtitle_header = HEADER
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        return stream
    stream = output.add_stream(sample.codec, rate=sample.rate, options=dict(sample.options))
    stream.codec_context.layout = sample.layout
    if sample.bit_rate:
        stream.codec_context.bit_rate = sample.bit_rate
    return stream


def _add_stream_of_packets(output: Any, sample: Sample) -> Any:
    if sample.type == "data":
        return output.add_data_stream(sample.codec)
    rate = sample.rate if sample.type == "audio" else None
    stream = output.add_mux_stream(sample.codec, rate=rate)
    stream.time_base = Fraction(1, sample.rate if sample.type == "audio" else 1000)
    return stream


def _picture_packets(stream: Any, picture: Picture) -> Iterator[av.Packet]:
    noise = np.random.default_rng(0)
    for number in range(NUM_FRAMES):
        frame = av.VideoFrame(*picture.size, picture.pix_fmt)
        for plane in frame.planes:  # noise, or a transport stream is too short to be recognized
            plane.update(noise.integers(96, 160, plane.buffer_size, np.uint8).tobytes())
        frame.pts, frame.time_base = number, Fraction(1, picture.rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _packets(stream: Any, sample: Sample) -> Iterator[av.Packet]:
    if sample.packets:
        yield from _made_packets(stream, sample)
    elif sample.type == "subtitle":
        for start, end in _TIMES:
            context = stream.codec_context
            packet = context.encode_subtitle(SubtitleSet.create(_TITLE, 0, end - start))
            yield _timed(packet, stream, start, end - start)
    else:
        for frame in sound_frames(stream.codec_context):
            yield from stream.encode(frame)
        yield from stream.encode(None)


def _made_packets(stream: Any, sample: Sample) -> Iterator[av.Packet]:
    for number, content in enumerate(sample.packets):
        packet = av.Packet(content)
        if sample.type == "audio":
            ticks = round(sample.packet_seconds * sample.rate)
            packet = _timed(packet, stream, number * ticks, ticks, Fraction(1, sample.rate))
        else:
            start, end = _TIMES[number]
            packet = _timed(packet, stream, start, end - start)
        yield packet


def _timed(
    packet: av.Packet, stream: Any, pts: int, duration: int, base: Fraction = Fraction(1, 1000)
) -> av.Packet:
    packet.stream, packet.time_base = stream, base
    packet.pts = packet.dts = pts
    packet.duration, packet.is_keyframe = duration, True
    return packet


_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def sound_frames(
    context: Any, seconds: Fraction = SECONDS, pitch: float = 300.0
) -> Iterator[av.AudioFrame]:
    """Yield frames for an encoder: another tone in each channel, with a little noise."""
    rate, num_channels = context.sample_rate, context.channels
    times = np.arange(round(rate * seconds)) / rate
    tones = [0.4 * np.sin(times * 2.0 * np.pi * (pitch + 70.0 * n)) for n in range(num_channels)]
    noise = np.random.default_rng(0).normal(0.0, 0.01, (num_channels, len(times)))
    values = _quantize(np.stack(tones) + noise, context.format.name.rstrip("p"))
    size = context.frame_size if 0 < context.frame_size < 8192 else 1024
    for first in range(0, len(times), size):
        part = values[:, first : first + size]
        frame = av.AudioFrame(context.format.name, context.layout.name, part.shape[1])
        rows = part if context.format.is_planar else [part.T]
        for plane, row in zip(frame.planes, rows, strict=True):
            content = np.ascontiguousarray(row).tobytes()
            plane.update(content + bytes(plane.buffer_size - len(content)))
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        yield frame


def _quantize(values: np.ndarray, name: str) -> np.ndarray:
    """Return values of -1 to 1 in a sample format."""
    if name in ("flt", "dbl"):
        return values.astype(_DTYPES[name])
    if name == "u8":
        return (np.rint(values * 127) + 128).astype("u1")
    bits = {"s16": 15, "s32": 31, "s64": 63}[name]
    return (values * 2.0**bits).astype(_DTYPES[name])
