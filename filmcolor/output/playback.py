"""Short clips that every browser plays: H.264 and AAC in MP4, upright, with square pixels.

A frame without its colour is on the left, the same frame in colour on the right, so that a page
that plays both halves of one video has them in step. Frames have the film's times.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags

from filmcolor.errors import InputError
from filmcolor.files import media_url
from filmcolor.output.muxing import close_quietly, muxer_options, translate_write_errors
from filmcolor.output.plan import color_tags
from filmcolor.output.playback_sound import RATE, read_sound
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import ColorFrame, Plane
from filmcolor.types.yuv import Coding
from filmcolor.video.demux import MPEG_RANGE

_MAX_SIZE = 1920, 2160  # of a half: what the decoders in phones and graphics cards take
# without B-frames the first frame has time 0 without an edit list
_OPTIONS = {"preset": "veryfast", "crf": "18", "bf": "0"}
_SOUND_BITS = 192_000  # per second
_BLOCK = 1024  # samples of a packet of AAC
_NEUTRAL = 128  # chroma of 8 bits

# what browsers play, by FFmpeg's name of the container and by suffix
_VIDEO = {
    "mp4": ("h264", "vp9", "av1"),
    "webm": ("vp8", "vp9", "av1"),
}
_SOUND = {"mp4": ("aac", "mp3", "flac", "opus"), "webm": ("opus", "vorbis")}
_FAMILIES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mp4", ".webm": "webm"}
_H264_FORMATS = ("yuv420p", "yuvj420p")  # others are profiles that no browser decodes


def is_playable(info: FilmInfo) -> bool:
    """Return whether common browsers play a film and its first sound."""
    family = _FAMILIES.get(info.path.suffix.lower(), "")
    if info.codec not in _VIDEO.get(family, ()):
        return False
    if info.codec == "h264" and info.pix_fmt not in _H264_FORMATS:
        return False
    sounds = [stream.codec for stream in info.streams if stream.type == "audio"]
    return not sounds or sounds[0] in _SOUND[family]


def playback_coding(info: FilmInfo) -> Coding:
    """Return how the frames of a film's clips are coded: 8 bits, limited range."""
    return Coding(info.coding.matrix, False, 8)


def half_size(info: FilmInfo) -> tuple[int, int]:
    """Return the (width, height) of either half of a film's clips: even, at most 1920×2160."""
    width, height = info.width * info.sar, Fraction(info.height)
    if info.quarter_turns % 2:
        width, height = height, width
    scale = min(Fraction(1), _MAX_SIZE[0] / width, _MAX_SIZE[1] / height)
    return max(2, _even(width * scale)), max(2, _even(height * scale))


class PlaybackWriter:
    """Writes a clip of a part of a film; leaving the context without `finish` deletes it."""

    def __init__(self, path: Path, info: FilmInfo, part: Part) -> None:
        """Take a part with both `start` and `end`: the clip has the film's sound between them."""
        assert part.start is not None and part.end is not None
        self._path, self._info, self._size = path, info, half_size(info)
        self._start_pts = round(part.start / info.time_base)
        self._end_pts = round(part.end / info.time_base)
        self._sound = read_sound(info, part.start, part.end)
        self._sound_position = 0  # of the next sample to encode
        self._waiting: av.VideoFrame | None = None  # until it is known how long it is shown
        self._stack = ExitStack()

    def __enter__(self) -> "PlaybackWriter":
        with ExitStack() as stack, translate_write_errors(self._path):
            stack.callback(self._path.unlink, missing_ok=True)
            options = muxer_options("mp4", self._info.time_base)
            self._output = av.open(
                media_url(self._path),
                "w",
                format="mp4",
                container_options={**options, "movflags": "+faststart"},
            )
            stack.callback(close_quietly, self._output)
            self._video = self._add_video()
            self._audio: Any = None if self._sound is None else self._add_audio()
            self._output.start_encoding()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, frame: ColorFrame) -> None:
        """Write a frame, coded as `playback_coding` says, 4:2:0."""
        # where the first frames cannot be decoded, the next one is shown for them
        pts = 0 if self._waiting is None else frame.pts - self._start_pts
        self._encode_waiting(pts)
        self._waiting = av.VideoFrame.from_ndarray(self._side_by_side(frame), "yuv420p")
        self._waiting.pts, self._waiting.time_base = pts, self._info.time_base

    def finish(self) -> None:
        """Write what is left, and close the file. Raises InputError without a frame."""
        if self._waiting is None:
            raise InputError(
                f"{self._info.path}: none of these frames can be decoded; choose others"
            )
        self._encode_waiting(self._end_pts - self._start_pts)
        self._mux(self._video.encode(None))
        self._mux_sound(None)
        with translate_write_errors(self._path):
            self._output.close()
        self._stack.pop_all()

    def _encode_waiting(self, end: int) -> None:
        """Encode the frame that is waiting, which is shown until `end`, ticks."""
        if self._waiting is not None:
            pts = self._waiting.pts or 0
            self._waiting.duration = max(1, end - pts)
            self._mux_sound(pts * self._info.time_base)
            self._mux(self._video.encode(self._waiting))

    def _add_video(self) -> Any:
        info, (width, height) = self._info, self._size
        stream: Any = self._output.add_stream("libx264", rate=info.frame_rate, options=_OPTIONS)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = 2 * width, height, "yuv420p"
        context.time_base = stream.time_base = info.time_base
        context.gop_size = max(1, round(info.frame_rate))  # a second: seeking is quick
        tags = color_tags(info)
        context.color_range, context.colorspace = MPEG_RANGE, info.coding.matrix
        context.color_primaries, context.color_trc = tags["primaries"], tags["transfer"]
        context.flags |= Flags.frame_duration
        return stream

    def _add_audio(self) -> Any:
        stream: Any = self._output.add_stream("aac", rate=RATE)
        stream.codec_context.layout = "stereo"
        stream.codec_context.bit_rate = _SOUND_BITS
        return stream

    def _side_by_side(self, frame: ColorFrame) -> Plane:
        """Return both halves of a frame, (3 / 2 H, W): the planes of yuv420p one after another."""
        width, height = self._size
        luma, cb, cr = frame.luma, frame.cb, frame.cr
        rows, columns = (2 * side - full for side, full in zip(cb.shape, luma.shape))
        luma = cv2.copyMakeBorder(luma, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
        luma = self._show(luma, (width, height))
        chroma = [self._show(plane, (width // 2, height // 2)) for plane in (cb, cr)]
        grey = np.full_like(chroma[0], _NEUTRAL)
        planes = [np.hstack([luma, luma]), *(np.hstack([grey, plane]) for plane in chroma)]
        values: Plane = np.concatenate([plane.ravel() for plane in planes])
        return values.reshape(3 * height // 2, 2 * width)

    def _show(self, plane: Plane, size: tuple[int, int]) -> Plane:
        """Return a plane upright, with square pixels."""
        upright: Plane = np.ascontiguousarray(self._info.orientation.upright(plane))
        if upright.shape[1::-1] == size:
            return upright
        is_smaller = upright.size > size[0] * size[1]
        method = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
        resized: Plane = cv2.resize(upright, size, interpolation=method)
        return resized

    def _mux_sound(self, until: Fraction | None) -> None:
        """Encode the sound up to a time in the clip; None: all of it."""
        if self._sound is None:
            return
        for block in self._sound_blocks(until):
            self._mux(self._audio.encode(block))
        if until is None:
            self._mux(self._audio.encode(None))

    def _sound_blocks(self, until: Fraction | None) -> Iterator[av.AudioFrame]:
        assert self._sound is not None
        num_samples = self._sound.shape[1]
        end = num_samples if until is None else min(num_samples, int(until * RATE))
        while self._sound_position < end and (
            until is None or self._sound_position + _BLOCK <= num_samples
        ):
            stop = min(self._sound_position + _BLOCK, num_samples)
            values = np.ascontiguousarray(self._sound[:, self._sound_position : stop])
            block = av.AudioFrame.from_ndarray(values, "fltp", "stereo")
            block.sample_rate, block.time_base = RATE, Fraction(1, RATE)
            block.pts, self._sound_position = self._sound_position, stop
            yield block

    def _mux(self, packets: list[av.Packet]) -> None:
        with translate_write_errors(self._path):
            self._output.mux(packets)


def _even(length: Fraction) -> int:
    return 2 * -(-length // 2)
