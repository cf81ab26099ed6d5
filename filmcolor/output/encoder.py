"""The video encoder: opens it, chooses its pixel format, and builds the frames that it encodes."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer

from filmcolor.errors import SettingsError
from filmcolor.output.hdr import hdr_options
from filmcolor.output.image_formats import IMAGE_SEQUENCE
from filmcolor.output.options import NUM_ENCODER_THREADS, OutputPlan
from filmcolor.output.stereo import stereo_mode
from filmcolor.runtime.platform import no_realtime_threads
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ColorFrame, Plane
from filmcolor.types.yuv import SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444, Subsampling
from filmcolor.video.demux import JPEG_RANGE, MPEG_RANGE
from filmcolor.video.interlacing import FieldOrderMarker, is_interlaced_order
from filmcolor.video.side_data import FrameFactory

_SUBSAMPLINGS = {"420": SUBSAMPLING_420, "422": SUBSAMPLING_422, "444": SUBSAMPLING_444}
_ALPHA_ENCODERS = frozenset({"ffv1", "prores_ks"})  # others' alpha few players show
_FRAME_THREAD_ENCODERS = frozenset({"libx264"})  # PyAV's default makes a slice for each thread
_FIELD_ENCODERS = frozenset({"libx264", "prores_ks", "mpeg2video"})  # code a frame as two fields


class FrameBuilder:
    """Builds the `av.VideoFrame`s that the encoder takes, with the field order marked.

    They have the captions and the like of the source's frames, for encoders that write them.
    """

    def __init__(self, info: FilmInfo, plan: OutputPlan) -> None:
        self._plan, self._time_base = plan, info.time_base
        self._source_depth = info.coding.bit_depth
        self._has_alpha = has_alpha(plan.pix_fmt)
        self._frames = FrameFactory(plan.width, plan.height, plan.pix_fmt)
        self._marker = FieldOrderMarker(info.field_order)
        # an encoder that codes fields takes a frame without a mark for bottom field first
        self._marks_all = is_coded_as_fields(info, plan)

    def __call__(self, frame: ColorFrame, pts: int) -> av.VideoFrame:
        """Return `frame` for the encoder, shown at `pts`, FilmInfo.time_base units."""
        plan = self._plan
        built = self._frames.make(frame.side_data)
        planes = [frame.luma, frame.cb, frame.cr]
        if self._has_alpha:
            planes.append(self._alpha(frame))
        for plane, values in zip(built.planes, planes, strict=True):
            _fill(plane, values, plan.coding.bit_depth, self._marks_all)
        built.pts, built.time_base = pts, self._time_base
        built.duration = frame.duration
        is_marked = frame.is_interlaced or self._marks_all
        return self._marker.mark(built) if is_marked else built

    def _alpha(self, frame: ColorFrame) -> Plane:
        """Return a frame's alpha in the planned depth; opaque if it has none."""
        depth = self._plan.coding.bit_depth
        if frame.alpha is None:
            return np.full(frame.luma.shape, (1 << depth) - 1, frame.luma.dtype)
        if depth == self._source_depth:
            return frame.alpha
        peaks = [(1 << bits) - 1 for bits in (self._source_depth, depth)]
        return np.rint(frame.alpha * (peaks[1] / peaks[0])).astype(frame.luma.dtype)


def _fill(plane: Any, values: Plane, bit_depth: int, is_interlaced: bool) -> None:
    """Copy code values into a frame's plane, padded to its size.

    Clips code values to the bit depth, which a damaged film may exceed: x264 ends the process at
    such values.
    """
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    target = rows.view(values.dtype)[:, : plane.width]
    height, width = values.shape
    if (height, width) != target.shape:
        pad = plane.height - height, plane.width - width
        values = _pad_fields(values, *pad) if is_interlaced else _pad(values, *pad)
    if bit_depth < 8 * values.itemsize:
        np.minimum(values, (1 << bit_depth) - 1, out=target)
    else:
        target[:] = values


def _pad(values: Plane, num_rows: int, num_columns: int) -> Plane:
    """Return a plane with its last row and column repeated."""
    return cv2.copyMakeBorder(values, 0, num_rows, 0, num_columns, cv2.BORDER_REPLICATE)


def _pad_fields(values: Plane, num_rows: int, num_columns: int) -> Plane:
    """Return a plane with its last column and the last row of each field repeated."""
    height = values.shape[0]
    added = height - 2 + np.arange(num_rows) % 2
    return _pad(values[np.concatenate([np.arange(height), added.clip(min=0)])], 0, num_columns)


def av_versions() -> dict[str, tuple[int, int, int]]:
    """Return the versions of FFmpeg's libraries, by library name."""
    return dict(av.library_versions)


def choose_pix_fmt(codec: str, depth: int, min_depth: int, needs_alpha: bool = False) -> str:
    """Return the pixel format of at least both depths, in bits, or the encoder's deepest.

    4:2:0 where the encoder takes it, else 4:2:2. `needs_alpha`: with alpha, if the encoder is one
    for editing or for masters, and takes any. Raises SettingsError without planar YUV.
    """
    names = _pix_fmts(codec)
    if needs_alpha and codec in _ALPHA_ENCODERS:
        return _choose_alpha_format(names, max(depth, min_depth))
    sampling = "420" if any(re.match(r"yuv420p(\d|$)", name) for name in names) else "422"
    matches = [(name, re.fullmatch(rf"yuv{sampling}p(\d*)(le)?", name)) for name in names]
    depths = {int(match[1] or 8): name for name, match in matches if match}
    if not depths:
        raise SettingsError(f"{codec} takes no planar YUV; choose libx264, libx265 or ffv1")
    sufficient = [d for d in depths if d >= max(depth, min_depth)]
    return depths[min(sufficient) if sufficient else max(depths)]


def _choose_alpha_format(names: Collection[str], depth: int) -> str:
    """Return the pixel format with alpha of at least a depth, or the deepest; 4:2:0 if possible.

    Not of 12 bits: FFmpeg reads such FFV1 since version 7.1 only.
    """
    matches = [re.fullmatch(r"yuva(420|422|444)p(\d*)(?<!12)(le)?", name) for name in names]
    choices = sorted((int(match[2] or 8), match[1], match[0]) for match in matches if match)
    return next((name for bits, _, name in choices if bits >= depth), choices[-1][2])


def has_alpha(pix_fmt: str) -> bool:
    """Return whether a planned pixel format holds alpha."""
    return pix_fmt.startswith("yuva")


def parse_pix_fmt(pix_fmt: str, codec: str) -> tuple[Subsampling, int]:
    """Return the chroma subsampling and the bit depth of a pixel format.

    Raises SettingsError for a format that filmcolor does not write or the encoder does not take.
    """
    match = re.fullmatch(r"yuva?(420|422|444)p(\d+le)?", pix_fmt)
    if not match:
        raise SettingsError(
            f"pixel format {pix_fmt!r}: filmcolor writes yuv420p, yuv422p or yuv444p, "
            "or one of them with 10le, 12le or 16le, and the same with alpha (yuva420p)"
        )
    names = _pix_fmts(codec)
    if pix_fmt not in names:
        planar = ", ".join(name for name in names if re.fullmatch(r"yuva?4\d\dp(\d+le)?", name))
        raise SettingsError(f"{codec} does not take {pix_fmt}; it takes {planar}")
    return _SUBSAMPLINGS[match[1]], int((match[2] or "8")[:2].rstrip("le"))


def _pix_fmts(codec: str) -> list[str]:
    """Return the names of the pixel formats that an encoder takes."""
    try:
        encoder = av.Codec(codec, "w")
    except ValueError as error:
        raise SettingsError(
            f"this build of PyAV has no encoder {codec!r}; "
            "libx264, libx265, libsvtav1, prores_ks and ffv1 come with the usual one"
        ) from error
    if encoder.type != "video":
        raise SettingsError(f"{codec} encodes {encoder.type}, not video; try libx264")
    return [video_format.name for video_format in encoder.video_formats or ()]


def add_video_stream(output: OutputContainer, info: FilmInfo, plan: OutputPlan) -> Any:
    """Add the stream that the coloured frames are encoded into, with all colour tags.

    Open its encoder by `start_encoding`.
    """
    options = dict(plan.options)
    for name, value in hdr_options(plan.codec, info.side_data).items():
        options[name] = ":".join(filter(None, [options.get(name), value]))
    stream: Any = output.add_stream(plan.codec, rate=info.frame_rate, options=options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pix_fmt
    context.time_base = stream.time_base = info.time_base
    context.sample_aspect_ratio = info.sar
    context.color_range = JPEG_RANGE if plan.coding.is_full_range else MPEG_RANGE
    context.colorspace = plan.coding.matrix
    context.color_primaries, context.color_trc = plan.primaries, plan.transfer
    if info.output_field_order:
        context.field_order = info.output_field_order
    if is_coded_as_fields(info, plan):
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    context.flags |= Flags.frame_duration  # packets last as long as their frames, not 1 / rate
    context.thread_count = NUM_ENCODER_THREADS
    if plan.format == IMAGE_SEQUENCE or plan.codec in _FRAME_THREAD_ENCODERS:
        context.thread_type = "FRAME"
    if output.format.name in ("matroska", "webm") and (mode := stereo_mode(info)):
        stream.metadata["stereo_mode"] = mode
    if info.orientation.matrix:
        stream.set_display_matrix(list(info.orientation.matrix))
    return stream


def start_encoding(output: OutputContainer) -> None:
    """Open the encoders and write the header of a container whose streams are all added."""
    codecs = [stream.codec_context.name for stream in output.streams.video]
    if "libsvtav1" in codecs:
        # it prints its settings on stderr otherwise
        with _environment_default("SVT_LOG", "1"), no_realtime_threads():
            output.start_encoding()
    else:
        output.start_encoding()


@contextmanager
def _environment_default(name: str, value: str) -> Iterator[None]:
    """Set an environment variable that is not set, and remove it again."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


def is_coded_as_fields(info: FilmInfo, plan: OutputPlan) -> bool:
    """Return True when the encoder codes every frame as two fields.

    Such encoders (x264, ProRes) mark all frames as interlaced, also those of a telecined film that
    are not.
    """
    return plan.codec in _FIELD_ENCODERS and is_interlaced_order(info.output_field_order)


def coded_multiples(info: FilmInfo, codec: str, subsampling: Subsampling) -> tuple[int, int]:
    """Return the columns and rows of which an encoder's pictures must be multiples.

    H.264 crops a picture of fields to whole chroma rows of each field (ITU-T H.264, 7.4.2.1.1):
    720×486 is coded as 720×488.
    """
    is_h264_fields = codec == "libx264" and is_interlaced_order(info.output_field_order)
    return subsampling.x, subsampling.y * (2 if is_h264_fields else 1)
