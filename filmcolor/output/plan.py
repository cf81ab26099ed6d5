"""Plans what a run will write, so that errors come before the first frame is decoded.

`probe` prints the same plan. Choices that depend on what FFmpeg supports are tried in memory
(`trial`).
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from filmcolor.errors import ContainerError, OutputError
from filmcolor.output.encoder import choose_pix_fmt, parse_pix_fmt
from filmcolor.output.options import (
    FORMATS,
    PURPOSES,
    Encoding,
    OutputPlan,
    Purpose,
    encoder_options,
)
from filmcolor.output.stream_plan import plan_streams
from filmcolor.output.trial import keeps_pixel_shape, keeps_timecode, loses_language, try_encoder
from filmcolor.types.film import FilmInfo
from filmcolor.types.yuv import UNSPECIFIED, Coding
from filmcolor.video.demux import open_film

_MILLISECOND = Fraction(1, 1000)  # the clock of Matroska and WebM


def plan_output(info: FilmInfo, path: Path | None, encoding: Encoding) -> OutputPlan:
    """Return what a run of this film writes; `path` None puts it beside the source.

    Without a path, a container that holds every stream unchanged is preferred to one that needs
    subtitles converted, and that to one without some streams.
    Raises ContainerError when the container cannot hold a stream of the film, SettingsError when
    the encoder does not exist or does not support its settings, OutputError when the folder is
    missing.
    """
    if path is not None:
        return _plan_for(info, path, encoding, True, encoding.drop_unsupported)
    first_error: ContainerError | None = None
    attempts = [(False, False), (True, False), (True, True)]  # convert, drop
    for convert, drop in attempts if encoding.drop_unsupported else attempts[:2]:
        for target in _default_paths(info, PURPOSES[encoding.purpose]):
            try:
                return _plan_for(info, target, encoding, convert, drop)
            except ContainerError as error:
                first_error = first_error or error
    assert first_error is not None  # every purpose names a container
    raise first_error


def _default_paths(info: FilmInfo, purpose: Purpose) -> Iterator[Path]:
    source_suffix = info.path.suffix.lower()
    for suffix in purpose.suffixes:
        if suffix or _is_writable_container(info, source_suffix):
            yield info.path.with_suffix(f".color{suffix or source_suffix}")


def _is_writable_container(info: FilmInfo, suffix: str) -> bool:
    """Return True when an output can be in the film's own container, and the suffix is right."""
    return suffix in FORMATS and suffix != ".webm" and FORMATS[suffix] in info.container


def _plan_for(
    info: FilmInfo, path: Path, encoding: Encoding, convert: bool, drop: bool
) -> OutputPlan:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ContainerError(
            f"{path}: cannot write {suffix or 'a file without a suffix'}; "
            f"name the output {', '.join(FORMATS)}"
        )
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is no folder; make it first, or choose another output")
    plan = _plan_picture(info, path, encoding)
    try_encoder(info, plan)
    if info.sar != 1 and not keeps_pixel_shape(info, plan):
        raise ContainerError(
            f"{path}: {suffix} does not keep {plan.codec}'s pixels of {info.sar}; "
            "name the output .mp4"
        )
    plan = replace(
        plan,
        stream_plan=plan_streams(info, path, convert, drop),
        keeps_timecode=keeps_timecode(info, plan),
    )
    return replace(plan, notes=(*_stream_notes(info, plan), *_picture_notes(info, plan)))


def _plan_picture(info: FilmInfo, path: Path, encoding: Encoding) -> OutputPlan:
    """Return the plan without its streams: container, encoder, pixel format, coded size."""
    purpose = PURPOSES[encoding.purpose]
    codec = encoding.codec or purpose.codec
    pix_fmt = encoding.pix_fmt or choose_pix_fmt(codec, info.coding.bit_depth, purpose.min_depth)
    subsampling, depth = parse_pix_fmt(pix_fmt, codec)
    is_padded = codec != "ffv1"
    columns, rows = subsampling.plane_size(info.width, info.height)
    return OutputPlan(
        path=path,
        format=FORMATS[path.suffix.lower()],
        codec=codec,
        options=encoder_options(codec, encoding, purpose),
        pix_fmt=pix_fmt,
        coding=Coding(info.coding.matrix, info.coding.is_full_range, depth),
        subsampling=subsampling,
        width=columns * subsampling.x if is_padded else info.width,
        height=rows * subsampling.y if is_padded else info.height,
        **_color_tags(info),
    )


def _color_tags(info: FilmInfo) -> dict[str, Any]:
    """Return the source's primaries and transfer, or the usual ones of its matrix."""
    usual = info.coding.matrix if info.coding.matrix in (1, 5, 6, 7, 9) else UNSPECIFIED
    transfer = {5: 6, 9: 14}.get(usual, usual)  # BT.601-625 and BT.2020 share others' curves
    return {
        "primaries": usual if info.primaries == UNSPECIFIED else info.primaries,
        "transfer": transfer if info.transfer == UNSPECIFIED else info.transfer,
    }


def _stream_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each stream that is left out, converted, or loses its language."""
    stream_plan, suffix = plan.stream_plan, plan.path.suffix
    for stream in stream_plan.left_out:
        yield f"left out, {suffix} cannot hold it: {stream.name}"
    for stream in stream_plan.copied:
        if codec := stream_plan.conversions.get(stream.index):
            yield (
                f"{stream.name} converted to {codec}: text, times, bold, italics and underlines "
                "are kept, colours and positions are not"
            )
    if plan.format == "mov":
        with open_film(info.path) as source:
            for stream in stream_plan.copied:
                codec = stream_plan.conversions.get(stream.index)
                is_tagged = stream.language not in (None, "und")
                if is_tagged and loses_language(source, stream, codec):
                    yield f".mov has no code for the language of {stream.name}; .mkv has"


def _picture_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each difference of the picture and its times from the film."""
    if (plan.width, plan.height) != (info.width, info.height):
        yield (
            f"{info.width}×{info.height} is odd, coded as {plan.width}×{plan.height}, "
            "the last column or row repeated"
        )
    if plan.coding.bit_depth < info.coding.bit_depth:
        yield (
            f"luma rounded from {info.coding.bit_depth} to {plan.coding.bit_depth} bits, "
            f"the most {plan.codec} takes; --for master keeps all"
        )
    if not plan.keeps_timecode:
        yield f"timecode {info.timecode} left out: it does not fit the frame rate"
    if info.is_deinterlaced:
        yield "deinterlaced by bwdif, one frame for each frame: luma is the filter's"
    if info.origin < 0:
        yield f"begins {float(-info.origin):.3f} s before zero: all times moved to begin at zero"
    if plan.format in ("matroska", "webm") and (info.time_base / _MILLISECOND) % 1 != 0:
        yield f"times rounded to 1 ms, all that {plan.path.suffix} keeps"
