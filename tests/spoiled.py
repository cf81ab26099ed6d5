"""Small films of many kinds, and copies of them that are spoiled by a seed.

`benchmarks/soak.py` uses them too.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np

Random = np.random.Generator
RATE = 24
# name: video encoder, pixel format, its options, audio encoder
KINDS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "h264.mp4": ("libx264", "yuv420p", {"g": "8", "preset": "veryfast"}, "aac"),
    "h264.mkv": ("libx264", "yuv420p", {"g": "10", "x264-params": "open-gop=1"}, "flac"),
    "h264.ts": ("libx264", "yuv420p", {"g": "8", "preset": "veryfast"}, "aac"),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {"g": "9", "bf": "2"}, "mp2"),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"g": "12"}, "pcm_s16le"),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}, "pcm_s16le"),
    "ffv1.mkv": ("ffv1", "gray", {"level": "3", "slicecrc": "1"}, "pcm_s16le"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, "libopus"),
}


def make_films(folder: Path, num_frames: int = 24, size: tuple[int, int] = (96, 64)) -> list[Path]:
    """Write a film of each kind."""
    return [make_film(folder / name, num_frames, size) for name in KINDS]


def make_film(
    path: Path,
    num_frames: int,
    size: tuple[int, int] = (96, 64),
    rate: int = RATE,
    sample_rate: int = 48000,
) -> Path:
    """Write a film of a panning texture with a cut in the middle and a tone.

    The file name is one of KINDS.
    """
    codec, pix_fmt, options, audio_codec = KINDS[path.name]
    muxer_options = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=muxer_options) as output:
        video = output.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        audio = output.add_stream(audio_codec, rate=sample_rate)
        audio.codec_context.layout = "mono"
        video_packets = _encode_pictures(video, num_frames, size, rate)
        audio_packets = _encode_tone(audio, num_frames * sample_rate // rate, sample_rate)
        for packet in merge(video_packets, audio_packets, key=lambda p: (p.dts or 0) * p.time_base):
            output.mux(packet)
    return path


def _encode_pictures(
    stream: Any, num_frames: int, size: tuple[int, int], rate: int
) -> Iterator[av.Packet]:
    width, height = size
    rng = np.random.default_rng(num_frames)
    period = 256  # of the pan, frames
    scenes = [
        cv2.resize(rng.random((6, 16), np.float32), (width + period, height)) * 200 + 20
        for _ in range(2)
    ]
    scenes = [np.hstack([scene, scene[:, ::-1]]) for scene in scenes]
    for number in range(num_frames):
        left = number % period
        view = scenes[number * 2 // num_frames][:, left : left + width]
        amplitude = 3 + 24 * number // num_frames  # it grows, so every segment has its own size
        grain = rng.integers(-amplitude, amplitude + 1, view.shape)
        luma = np.clip(view + grain, 16, 235).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encode_tone(stream: Any, num_samples: int, sample_rate: int) -> Iterator[av.Packet]:
    name = stream.codec_context.format.name
    size = stream.codec_context.frame_size or 1024
    for first in range(0, num_samples, size):
        time = np.arange(first, min(first + size, num_samples)) / sample_rate
        tone = (0.3 * np.sin(2 * np.pi * (200 + 40 * (time % 9)) * time))[None]
        values = (tone * 32767).astype(np.int16) if "s16" in name else tone.astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), name, "mono")
        frame.sample_rate, frame.pts = sample_rate, first
        frame.time_base = Fraction(1, sample_rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


# ---------------------------------------------------------------- bytes


def _bits(data: bytearray, rng: Random, _films: list[Path]) -> None:
    """Flip bits anywhere, or at the beginning, where headers and indexes are."""
    num = int(2 ** rng.uniform(0, 8))
    end = len(data) if rng.random() < 0.6 else min(len(data), 2048)
    for position in rng.integers(0, end, num):
        data[position] ^= 1 << int(rng.integers(8))


def _tail_bits(data: bytearray, rng: Random, _films: list[Path]) -> None:
    num = int(rng.integers(1, 20))
    for position in rng.integers(max(0, len(data) - 1024), len(data), num):
        data[position] ^= 1 << int(rng.integers(8))


def _field(data: bytearray, rng: Random, _films: list[Path]) -> None:
    """Put an extreme number of 1 to 8 bytes into a header."""
    size = int(rng.choice([1, 2, 4, 8]))
    position = int(rng.integers(0, min(len(data), 4096)))
    extremes = b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + b"\0" * 7
    data[position : position + size] = extremes[int(rng.integers(4))][:size]


def _cut_off(data: bytearray, rng: Random, _films: list[Path]) -> None:
    del data[int(rng.integers(1, len(data))) :]


def _random_slice(rng: Random, length: int) -> slice:
    first = int(rng.integers(0, length))
    return slice(first, min(length, first + int(2 ** rng.uniform(0, 13))))


def _zeros(data: bytearray, rng: Random, _films: list[Path]) -> None:
    span = _random_slice(rng, len(data))
    data[span] = bytes(span.stop - span.start)


def _noise(data: bytearray, rng: Random, _films: list[Path]) -> None:
    span = _random_slice(rng, len(data))
    data[span] = rng.bytes(span.stop - span.start)


def _hole(data: bytearray, rng: Random, _films: list[Path]) -> None:
    del data[_random_slice(rng, len(data))]


def _splice(data: bytearray, rng: Random, films: list[Path]) -> None:
    """Insert bytes of this film, or of another, at a wrong position."""
    other = bytes(data) if rng.random() < 0.6 else films[int(rng.integers(len(films)))].read_bytes()
    position = int(rng.integers(0, len(data)))
    data[position:position] = other[_random_slice(rng, len(other))]


def _append(data: bytearray, rng: Random, films: list[Path]) -> None:
    """Append a second film, as a recorder that was started twice does."""
    other = films[int(rng.integers(len(films)))].read_bytes()
    data += bytes(data) if rng.random() < 0.5 else other


_BYTES: tuple[Callable[[bytearray, Random, list[Path]], None], ...] = (
    *(_bits, _bits, _bits, _tail_bits, _field, _field, _cut_off, _cut_off),
    *(_zeros, _noise, _hole, _splice, _append),
)

# ---------------------------------------------------------------- packets


def _spoil_packets(packets: list[av.Packet], rng: Random) -> list[av.Packet]:
    """Drop, repeat, permute, zero or cut packets, or change their times."""
    fault = int(rng.integers(9))
    first = int(rng.integers(len(packets)))
    chosen = range(first, min(len(packets), first + int(rng.integers(1, 12))))
    if fault == 0:
        return [p for n, p in enumerate(packets) if n not in chosen]
    if fault == 1:
        copies = [_copy_packet(packets[n], bytes(packets[n])) for n in chosen]
        return packets[: chosen.stop] + copies + packets[chosen.stop :]
    if fault == 2:
        mixed = [packets[n] for n in rng.permutation(chosen)]
        return packets[:first] + mixed + packets[chosen.stop :]
    if fault == 3:
        return [_copy_packet(p, bytes(p.size)) if n in chosen else p for n, p in enumerate(packets)]
    if fault == 4:
        halves = [_copy_packet(p, bytes(p)[: 1 + p.size // 2]) for p in packets]
        return [halves[n] if n in chosen else p for n, p in enumerate(packets)]
    ticks = int(rng.choice([-1, 1, 3, 40, 1000, 90_000, 2**33, 2**40]))
    for n, packet in enumerate(packets):
        if (fault == 5 and n in chosen) or (fault == 6 and n >= first):  # some, or all from here on
            _shift(packet, ticks)
        elif fault == 7 and n >= first:  # the clock is set back
            _shift(packet, -abs(ticks))
        elif fault == 8 and n in chosen:  # a repeated time
            packet.pts, packet.dts = packets[first].pts, packets[first].dts
    return packets


def _copy_packet(packet: av.Packet, data: bytes) -> av.Packet:
    copy = av.Packet(data)
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy


def _shift(packet: av.Packet, ticks: int) -> None:
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


def _remux(film: Path, path: Path, rng: Random) -> None:
    """Copy a film with one stream's packets spoiled, leaving out those that the muxer refuses."""
    spoiled = 0 if rng.random() < 0.7 else 1
    with av.open(str(film)) as source, av.open(str(path), "w") as output:
        streams = [output.add_stream_from_template(s) for s in source.streams]
        packets: list[list[av.Packet]] = [[], []]
        for packet in source.demux():
            if packet.size:
                packets[packet.stream_index].append(packet)
        packets[spoiled] = _spoil_packets(packets[spoiled], rng)
        merged = [packet for stream_packets in packets for packet in stream_packets]
        times = [float((packet.dts or 0) * packet.time_base) for packet in merged]
        for n in np.argsort(times, kind="stable"):
            packet = merged[n]
            packet.stream = streams[packet.stream_index]
            try:
                output.mux(packet)
            except (av.error.FFmpegError, ValueError):
                continue


def spoil(films: list[Path], seed: int, folder: Path) -> Path:
    """Write a spoiled copy of one of the films, and return its path."""
    rng = np.random.default_rng(seed)
    film = films[int(rng.integers(len(films)))]
    path = folder / f"{seed:06d}-{film.name}"
    if rng.random() < 0.3:
        try:
            _remux(film, path, rng)
            return path
        except (av.error.FFmpegError, ValueError):  # the muxer could not write its end
            pass
    data = bytearray(film.read_bytes())
    for _ in range(1 if rng.random() < 0.7 else 2):
        if data:
            _BYTES[int(rng.integers(len(_BYTES)))](data, rng, films)
    path.write_bytes(data)
    return path
