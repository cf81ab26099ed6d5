"""Makes small test films, and reads films back with PyAV alone.

Reading does not use filmcolor: the tests compare filmcolor with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.filter
import cv2
import numpy as np
from av.codec.context import Flags
from av.stream import Disposition

from filmcolor.runtime.platform import no_realtime_threads

SIZE = (96, 64)  # (width, height)
RATE = Fraction(24)
TICK = Fraction(1, 24000)  # the default clock: a frame at 24 frames/s is 1000 ticks
MPEG_RANGE, JPEG_RANGE = 1, 2  # AVColorRange
MATRIX_NAMES = {1: "BT.709", 5: "BT.601 625", 6: "BT.601 525"}  # ITU-T H.273
NO_DISPOSITION = Disposition(0)
FIELD_ORDERS = {"tff": 2, "bff": 3}  # AVFieldOrder: top or bottom field coded and shown first
_LIMITED_8_BIT = 16, 235
_SAMPLES = {"flt": (np.float32, 1.0), "s16": (np.int16, 2**15 - 1), "s32": (np.int32, 2**31 - 1)}


# ---------------------------------------------------------------- making films


def shoot(
    num_frames: int,
    size: tuple[int, int] = SIZE,
    *,
    depth: int = 8,
    is_full_range: bool = False,
    seed: int = 0,
    step: float = 2.0,
    grain: float = 0.02,
) -> list[np.ndarray]:
    """Return the luma planes (H, W) of one shot: a soft texture that pans, with fine grain.

    `step`: pixels per frame to the left, and half as many up, rounded down. `grain`: its standard
    deviation, relative to white. Another seed is another scene, so two shots joined have a cut
    between them.
    """
    width, height = size
    rng = np.random.default_rng(seed)
    scene = cv2.resize(
        rng.random((6, 8), dtype=np.float32),
        (width + 2 * num_frames, height + num_frames),
        interpolation=cv2.INTER_CUBIC,
    )
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    peak = (1 << depth) - 1
    black, white = (0, peak) if is_full_range else (v << (depth - 8) for v in _LIMITED_8_BIT)
    dtype = np.uint8 if depth == 8 else np.uint16
    frames = []
    for number in range(num_frames):
        top, left = int(number * step / 2), int(number * step)
        view = scene[top : top + height, left : left + width]
        noise = rng.normal(0.0, grain, view.shape)
        luma = black + (view + noise).clip(0.0, 1.0) * (white - black)
        frames.append(np.rint(luma).astype(dtype))
    return frames


@dataclass(frozen=True)
class Sound:
    """A soundtrack: a tone as long as the picture."""

    codec: str = "aac"
    language: str | None = None
    title: str | None = None
    disposition: Disposition = Disposition.default
    pitch: float = 440.0  # Hz
    sample_rate: int = 48000
    layout: str = "mono"  # or "stereo", the same in both
    bit_rate: int | None = None  # where the encoder has none of its own


@dataclass(frozen=True)
class Titles:
    """Subtitles: (start, end, text) in milliseconds from the first frame; bytes are raw packets."""

    codec: str = "subrip"
    language: str | None = None
    lines: Sequence[tuple[int, int, str | bytes]] = (
        (40, 160, "Silence"),
        (250, 400, "She speaks"),
    )
    disposition: Disposition = NO_DISPOSITION


@dataclass(frozen=True)
class Film:
    """The content of a film for `make`."""

    lumas: Sequence[np.ndarray]
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    rate: Fraction = RATE
    time_base: Fraction = TICK
    pts: Sequence[int] | None = None  # at the constant rate `rate` when None
    start: Fraction = Fraction(0)  # seconds by which all streams start late
    color: Mapping[str, int] = field(default_factory=dict)  # of the codec context: colorspace, ...
    sar: Fraction | None = None
    rotation: int = 0
    matrix: tuple[int, ...] = ()  # display matrix, nine integers
    sounds: Sequence[Sound] = ()
    titles: Sequence[Titles] = ()
    chapters: Sequence[tuple[int, int, str]] = ()  # (start, end, title), milliseconds
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)  # of the video stream
    attachments: Sequence[tuple[str, str, bytes]] = ()  # (name, mimetype, data)
    cover: bytes | None = None  # JPEG, as an attached picture
    chromas: Sequence[tuple[np.ndarray, np.ndarray]] = ()  # (Cb, Cr) of each frame; else neutral
    scan: str = ""  # "tff" or "bff": interlaced, top or bottom field first

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.lumas[0].shape
        return width, height

    @property
    def all_pts(self) -> list[int]:
        """The frames' times in time_base units, `start` included."""
        step = 1 / (self.rate * self.time_base)
        pts = self.pts if self.pts is not None else [n * step for n in range(len(self.lumas))]
        return [round(p + self.start / self.time_base) for p in pts]

    @property
    def seconds(self) -> Fraction:
        """The duration of the video; the last frame lasts 1 / `rate`."""
        pts = self.all_pts
        return (pts[-1] - pts[0]) * self.time_base + 1 / self.rate


def make(path: Path, film: Film) -> Path:
    """Write a film into the container that the path's suffix names."""
    options = {}
    if path.suffix in (".mp4", ".mov", ".m4v"):
        options["video_track_timescale"] = str(film.time_base.denominator)
    with av.open(str(path), "w", container_options=options) as output:
        video = _add_video(output, film)
        sounds = [_add_sound(output, sound) for sound in film.sounds]
        titles = [_add_titles(output, titles) for titles in film.titles]
        cover = _add_cover(output, film.cover) if film.cover else None
        for name, mimetype, data in film.attachments:
            output.add_attachment(name, mimetype, data)
        output.metadata.update(film.metadata)
        output.set_chapters(_chapters(film))
        with no_realtime_threads():
            output.start_encoding()
        packets = list(_video_packets(video, film))
        for stream, sound in zip(sounds, film.sounds):
            packets += _sound_packets(stream, sound, film)
        for stream, lines in zip(titles, film.titles):
            packets += _title_packets(stream, lines, film)
        if cover:
            output.mux(_packet(cover, film.cover, 0, 0))
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return path


def jpeg(size: tuple[int, int] = (32, 32)) -> bytes:
    """Return a picture as a JPEG file."""
    luma = shoot(1, size, is_full_range=True, seed=99)[0]
    return cv2.imencode(".jpg", luma)[1].tobytes()


def _add_video(output: Any, film: Film) -> Any:
    stream = output.add_stream(film.codec, rate=film.rate, options=dict(film.options))
    context = stream.codec_context
    context.width, context.height = film.size
    context.pix_fmt = film.pix_fmt
    context.time_base = stream.time_base = film.time_base
    if film.sar:
        context.sample_aspect_ratio = film.sar
    if film.rotation:
        stream.set_display_rotation(film.rotation)
    if film.matrix:
        stream.set_display_matrix(film.matrix)
    if film.scan:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = FIELD_ORDERS[film.scan]
    for name, value in film.color.items():
        setattr(context, name, value)
    stream.metadata.update(film.tags)
    return stream


def _add_sound(output: Any, sound: Sound) -> Any:
    stream = output.add_stream(sound.codec, rate=sound.sample_rate)
    stream.codec_context.layout = sound.layout
    if sound.bit_rate:
        stream.codec_context.bit_rate = sound.bit_rate
    tags = {"language": sound.language, "title": sound.title}
    stream.metadata.update({name: tag for name, tag in tags.items() if tag})
    stream.disposition = sound.disposition
    return stream


def _add_titles(output: Any, titles: Titles) -> Any:
    stream = output.add_mux_stream(titles.codec)
    stream.time_base = Fraction(1, 1000)
    if titles.language:
        stream.metadata["language"] = titles.language
    stream.disposition = titles.disposition
    return stream


def _add_cover(output: Any, picture: bytes) -> Any:
    height, width = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE).shape
    stream = output.add_mux_stream("mjpeg", width=width, height=height)
    stream.disposition = Disposition.attached_pic
    return stream


def _chapters(film: Film) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "start": start,
            "end": end,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for number, (start, end, title) in enumerate(film.chapters)
    ]


def _video_packets(stream: Any, film: Film) -> Iterator[av.Packet]:
    pts = film.all_pts
    steps = [b - a for a, b in pairwise(pts)] + [round(1 / (film.rate * film.time_base))]
    for number, (luma, stamp, step) in enumerate(zip(film.lumas, pts, steps)):
        frame = picture(film.pix_fmt, luma, *(film.chromas[number] if film.chromas else ()))
        frame.pts, frame.time_base, frame.duration = stamp, film.time_base, step
        yield from stream.encode(scanned(frame, film.scan) if film.scan else frame)
    yield from stream.encode(None)


def scanned(frame: av.VideoFrame, scan: str) -> av.VideoFrame:
    """Return a frame marked as interlaced, "tff" or "bff": PyAV needs a filter for that."""
    graph: Any = av.filter.Graph()
    size = {"width": frame.width, "height": frame.height, "format": frame.format.name}
    steps = [
        graph.add_buffer(**size, time_base=frame.time_base),
        graph.add("setfield", scan),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*steps).configure()
    graph.push(frame)
    return graph.pull()


def picture(pix_fmt: str, luma: np.ndarray, *chroma: np.ndarray) -> av.VideoFrame:
    """Return a frame of code values, with neutral chroma unless Cb and Cr are given."""
    height, width = luma.shape
    frame = av.VideoFrame(width, height, pix_fmt)
    if pix_fmt == "rgb24":
        plane: Any = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height]
        rows[:, : 3 * width] = luma.repeat(3, axis=1)
        return frame
    for number, plane in enumerate(frame.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        depth = frame.format.components[number].bits
        values = rows.view(_dtype(frame))[:, : plane.width]
        neutral = 1 << (depth - 1)
        values[:] = (luma, *chroma)[number] if number <= len(chroma) else neutral
    return frame


def _dtype(frame: av.VideoFrame) -> str:
    if frame.format.components[0].bits == 8:
        return "u1"
    return ">u2" if frame.format.is_big_endian else "<u2"


def _sound_packets(stream: Any, sound: Sound, film: Film) -> list[av.Packet]:
    num_samples = round(film.seconds * sound.sample_rate)
    tone = np.sin(np.arange(num_samples) * (2 * np.pi * sound.pitch / sound.sample_rate))
    # a slow swell makes all packets differ
    tone *= np.linspace(0.1, 0.8, num_samples)
    name = stream.codec_context.format.name
    dtype, peak = _SAMPLES[name.rstrip("p")]
    values = (tone * peak).astype(dtype)
    size = stream.codec_context.frame_size or 1024
    base = Fraction(1, sound.sample_rate)
    offset = round(film.start * sound.sample_rate)
    packets = []
    for first in range(0, num_samples, size):
        samples = np.stack([values[first : first + size]] * stream.codec_context.channels)
        if not name.endswith("p"):  # packed: the channels are interleaved
            samples = samples.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), name, sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.sample_rate, first + offset, base
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _title_packets(stream: Any, titles: Titles, film: Film) -> list[av.Packet]:
    packets = []
    offset = round(film.start * 1000)
    for start, end, line in titles.lines:
        text = line.encode() if isinstance(line, str) else line
        if titles.codec == "mov_text" and isinstance(line, str):
            text = len(text).to_bytes(2, "big") + text
        packets.append(_packet(stream, text, start + offset, end - start))
    return packets


def _packet(stream: Any, data: bytes | None, milliseconds: int, duration: int) -> av.Packet:
    packet = av.Packet(data)
    packet.stream = stream
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = milliseconds
    packet.duration = duration
    packet.is_keyframe = True
    return packet


# ---------------------------------------------------------------- reading films


@dataclass(frozen=True)
class Shown:
    """One decoded frame."""

    seconds: Fraction  # exact, from the container's zero
    planes: tuple[np.ndarray, ...]  # code values
    pix_fmt: str
    color_range: int
    matrix: int
    rotation: int

    @property
    def luma(self) -> np.ndarray:
        return self.planes[0]


@dataclass(frozen=True)
class Sent:
    """One packet of a stream other than the video."""

    seconds: Fraction | None
    data: bytes


@dataclass(frozen=True)
class Stream:
    """A stream as its container describes it."""

    type: str
    codec: str
    language: str | None
    title: str | None
    disposition: Disposition
    index: int


def frames(path: Path) -> list[Shown]:
    """Decode every frame of a film's video."""
    with av.open(str(path)) as film:
        stream = film.streams.best("video")
        return [
            Shown(
                frame.pts * Fraction(stream.time_base),
                _planes(frame),
                frame.format.name,
                frame.color_range,
                frame.colorspace,
                frame.rotation,
            )
            for frame in film.decode(stream)
        ]


def lumas(path: Path) -> list[np.ndarray]:
    """Return each frame's luma; for R'G'B' by BT.601, in limited range."""
    with av.open(str(path)) as film:
        return [_luma(frame) for frame in film.decode(film.streams.best("video"))]


def _luma(frame: av.VideoFrame) -> np.ndarray:
    pixels = frame.format
    if not (pixels.is_rgb or pixels.has_palette or pixels.is_bit_stream):
        packed = {"yuyv422": slice(0, None, 2), "uyvy422": slice(1, None, 2)}
        if pixels.name in packed:
            plane: Any = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            return rows[: frame.height, : 2 * frame.width][:, packed[pixels.name]].copy()
        return _planes(frame)[0]
    rgb = frame.to_ndarray(format="rgb24") / 255.0
    return np.rint(16 + 219 * (rgb @ (0.299, 0.587, 0.114))).astype(np.uint8)


def field_order(path: Path) -> int:
    """Return the AVFieldOrder in a film's header."""
    with av.open(str(path)) as film:
        return film.streams.best("video").codec_context.field_order


def display_matrix(path: Path) -> tuple[int, ...] | None:
    """Return the display matrix of a film's first frame, None if it has none."""
    with av.open(str(path)) as film:
        for side_data in next(film.decode(video=0)).side_data:
            if side_data.type.name == "DISPLAYMATRIX":
                return tuple(int(value) for value in np.frombuffer(bytes(side_data), np.int32, 9))
    return None


def first_fields(path: Path) -> list[str]:
    """Return each frame's field order, "tff" or "bff", or "" for progressive frames."""
    with av.open(str(path)) as film:
        return [_first_field(frame) for frame in film.decode(film.streams.best("video"))]


def _first_field(frame: av.VideoFrame) -> str:
    if not frame.interlaced_frame:
        return ""
    size = {"width": frame.width, "height": frame.height, "format": frame.format.name}
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(**size, time_base=Fraction(1, 25))
    steps = source, graph.add("separatefields"), graph.add("buffersink")
    graph.link_nodes(*steps).configure()
    graph.push(frame)
    graph.push(None)
    return {0: "tff", 1: "bff"}[
        (graph.pull().planes[0].buffer_ptr - frame.planes[0].buffer_ptr)
        // frame.planes[0].line_size
    ]


def seconds(path: Path) -> list[Fraction]:
    """Return the display time of each frame."""
    return [frame.seconds for frame in frames(path)]


def packets(path: Path, type_name: str, number: int = 0) -> list[Sent]:
    """Return the packets of the stream with a number, from 0, among those of its type."""
    with av.open(str(path)) as film:
        stream = [s for s in film.streams if s.type == type_name][number]
        return [
            Sent(None if p.pts is None else p.pts * Fraction(p.time_base), bytes(p))
            for p in film.demux(stream)
            if p.size
        ]


def num_samples(path: Path) -> tuple[int, int]:
    """Return (number of decoded samples, samples per second) of the first soundtrack."""
    with av.open(str(path)) as film:
        decoded = list(film.decode(audio=0))
        return sum(frame.samples for frame in decoded), decoded[0].sample_rate


def all_packets(path: Path) -> list[tuple[str, int | None, bytes]]:
    """Return the packets of all streams: type, time and content."""
    with av.open(str(path)) as container:
        return [(p.stream.type, p.pts, bytes(p)) for p in container.demux() if p.size]


def streams(path: Path, type_name: str | None = None) -> list[Stream]:
    """Return a film's streams, of one type if named."""
    with av.open(str(path)) as film:
        return [
            Stream(
                s.type,
                s.codec_context.codec.canonical_name if s.codec_context else s.name or "",
                s.metadata.get("language"),
                s.metadata.get("title", s.metadata.get("name")),  # as MP4 calls it
                s.disposition,
                s.index,
            )
            for s in film.streams
            if type_name in (None, s.type)
        ]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Return (start, end, title) of each chapter, in seconds."""
    with av.open(str(path)) as film:
        return [
            (
                c["start"] * Fraction(c["time_base"]),
                c["end"] * Fraction(c["time_base"]),
                c["metadata"].get("title", ""),
            )
            for c in film.chapters()
        ]


def picture_context(path: Path) -> dict[str, Any]:
    """Return the properties in the video's header: size, tags, aspect."""
    with av.open(str(path)) as film:
        stream = film.streams.best("video")
        context = stream.codec_context
        return {
            "size": (context.width, context.height),
            "codec": context.codec.canonical_name,
            "pix_fmt": context.pix_fmt,
            "range": context.color_range,
            "matrix": context.colorspace,
            "primaries": context.color_primaries,
            "transfer": context.color_trc,
            "sar": Fraction(stream.sample_aspect_ratio or 1),
        }


def metadata(path: Path) -> dict[str, str]:
    """Return the container's own metadata."""
    with av.open(str(path)) as film:
        return dict(film.metadata)


def attachments(path: Path) -> list[tuple[str, str, bytes]]:
    """Return (name, mimetype, data) of each attachment that is not a picture."""
    with av.open(str(path)) as film:
        return [
            (s.metadata["filename"], s.metadata["mimetype"], bytes(s.data))
            for s in film.streams
            if s.type == "attachment"
        ]


def covers(path: Path) -> list[bytes]:
    """Return the bytes of the attached pictures."""
    with av.open(str(path)) as film:
        indexes = [s.index for s in film.streams if s.disposition & Disposition.attached_pic]
        pictures = []
        for index in indexes:
            pictures += [bytes(p) for p in film.demux(film.streams[index]) if p.size][:1]
            film.seek(0)
        return pictures


def _planes(frame: av.VideoFrame) -> tuple[np.ndarray, ...]:
    dtype = _dtype(frame)
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        values = rows.view(dtype)[:, : plane.width]
        planes.append(values.astype(values.dtype.newbyteorder("=")))
    return tuple(planes)
