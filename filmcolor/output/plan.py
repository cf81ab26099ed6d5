"""Plans what a run will write, so that errors come before the first frame is decoded.

`probe` prints the same plan. Choices that depend on what FFmpeg supports are tried in memory
(`trial`).
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from filmcolor.errors import ContainerError, InputError, OutputError
from filmcolor.output.audio_target import AudioTarget
from filmcolor.output.encoder import (
    choose_pix_fmt,
    coded_multiples,
    is_coded_as_fields,
    parse_pix_fmt,
)
from filmcolor.output.film_notes import film_notes
from filmcolor.output.image_formats import is_image_output
from filmcolor.output.image_plan import plan_images
from filmcolor.output.metadata import keeps_timecode
from filmcolor.output.options import (
    FORMATS,
    PURPOSES,
    Encoding,
    OutputPlan,
    Purpose,
    encoder_options,
)
from filmcolor.output.side_data_comparison import kept_kinds
from filmcolor.output.stream_plan import StreamPlanner
from filmcolor.output.trial import try_picture
from filmcolor.types.film import BOTTOM_FIRST, FilmInfo
from filmcolor.types.yuv import UNSPECIFIED, Coding
from filmcolor.video.interlacing import is_interlaced_order
from filmcolor.video.sequence_names import explain_still

_MILLISECOND = Fraction(1, 1000)  # the clock of Matroska and WebM


def plan_output(info: FilmInfo, path: Path | None, encoding: Encoding) -> OutputPlan:
    """Return what a run of this film writes; `path` None puts it beside the source.

    Without a path, a container that holds every stream unchanged is preferred to one that needs
    subtitles converted, and that to one without some streams.
    Raises ContainerError when the container cannot hold a stream of the film, SettingsError when
    the encoder does not exist or does not support its settings, OutputError when the folder is
    missing, InputError for a still.
    """
    if info.is_still:
        raise InputError(explain_still(info.path))
    if path is not None and is_image_output(path):
        return plan_images(info, path, encoding)
    planner = StreamPlanner.of(info)
    if path is not None:
        return _plan_for(planner, path, encoding, True, encoding.drop_unsupported)
    first_error: ContainerError | None = None
    attempts = [(False, False), (True, False), (True, True)]  # convert, drop
    for convert, drop in attempts if encoding.drop_unsupported else attempts[:2]:
        for target in _default_paths(info, PURPOSES[encoding.purpose]):
            try:
                return _plan_for(planner, target, encoding, convert, drop)
            except ContainerError as error:
                first_error = first_error or error
    assert first_error is not None  # every purpose names a container
    raise first_error


def _default_paths(info: FilmInfo, purpose: Purpose) -> Iterator[Path]:
    source_suffix = info.path.suffix.lower()
    for suffix in purpose.suffixes:
        if suffix or _is_writable_container(info, source_suffix):
            yield info.beside(f".color{suffix or source_suffix}")


def _is_writable_container(info: FilmInfo, suffix: str) -> bool:
    """Return True when an output can be in the film's own container, and the suffix is right."""
    return suffix in FORMATS and suffix != ".webm" and FORMATS[suffix] in info.container


def _plan_for(
    planner: StreamPlanner, path: Path, encoding: Encoding, convert: bool, drop: bool
) -> OutputPlan:
    info = planner.info
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ContainerError(
            f"{path}: cannot write {suffix or 'a file without a suffix'}; "
            f"name the output {', '.join(FORMATS)}, or images as 'frame_%06d.png'"
        )
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is no folder; make it first, or choose another output")
    plan = _plan_picture(info, path, encoding)
    plan = _try_picture(info, plan)
    plan = replace(
        plan,
        stream_plan=planner.plan(path, convert, drop, convert and encoding.convert_audio),
    )
    notes = (*_stream_notes(plan), *_picture_notes(info, plan), *film_notes(info, plan))
    return replace(plan, notes=notes)


def _try_picture(info: FilmInfo, plan: OutputPlan) -> OutputPlan:
    """Return the plan with what a trial of the picture showed.

    Raises ContainerError when the film would be shown in another shape or orientation.
    """
    suffix = plan.path.suffix
    result = try_picture(info, plan)
    if result.sar != info.sar:
        raise ContainerError(
            f"{plan.path}: {suffix} does not keep {plan.codec}'s pixels of {info.sar}; "
            "name the output .mp4"
        )
    if not result.orientation.is_shown_as(info.orientation):
        raise ContainerError(
            f"{plan.path}: {suffix} does not keep the film's orientation ({info.orientation}); "
            "name the output .mp4"
        )
    return replace(
        plan,
        keeps_timecode=info.timecode is None
        or keeps_timecode(plan.format, info.timecode, info.frame_rate),
        keeps_field_order=result.output_field_order == info.output_field_order
        or not is_interlaced_order(info.output_field_order),
        kept_side_data=kept_kinds(info, result),
    )


def _plan_picture(info: FilmInfo, path: Path, encoding: Encoding) -> OutputPlan:
    """Return the plan without its streams: container, encoder, pixel format, coded size."""
    purpose = PURPOSES[encoding.purpose]
    codec = encoding.codec or purpose.codec
    pix_fmt = encoding.pix_fmt or choose_pix_fmt(
        codec, info.coding.bit_depth, purpose.min_depth, info.has_alpha
    )
    subsampling, depth = parse_pix_fmt(pix_fmt, codec)
    width, height = info.width, info.height
    if codec != "ffv1":
        columns, rows = coded_multiples(info, codec, subsampling)
        width, height = columns * -(-width // columns), rows * -(-height // rows)
    return OutputPlan(
        path=path,
        format=FORMATS[path.suffix.lower()],
        codec=codec,
        options=encoder_options(codec, encoding, purpose, pix_fmt),
        pix_fmt=pix_fmt,
        coding=Coding(info.coding.matrix, info.coding.is_full_range, depth),
        subsampling=subsampling,
        width=width,
        height=height,
        writes_captions=encoding.captions,
        **color_tags(info),
    )


def color_tags(info: FilmInfo) -> dict[str, Any]:
    """Return the source's primaries and transfer, or the usual ones of its matrix."""
    usual = info.coding.matrix if info.coding.matrix in (1, 5, 6, 7, 9) else UNSPECIFIED
    transfer = {5: 6, 9: 14}.get(usual, usual)  # BT.601-625 and BT.2020 share others' curves
    return {
        "primaries": usual if info.primaries == UNSPECIFIED else info.primaries,
        "transfer": transfer if info.transfer == UNSPECIFIED else info.transfer,
    }


def _stream_notes(plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each stream that is left out, converted, or loses its language."""
    stream_plan, suffix = plan.stream_plan, plan.path.suffix
    for stream in stream_plan.left_out:
        yield f"left out, {suffix} cannot hold it: {stream.name}"
    for stream in stream_plan.copied:
        conversion = stream_plan.conversions.get(stream.index)
        if isinstance(conversion, AudioTarget):
            yield f"{stream.name} converted to {conversion}: {conversion.describe()}"
        elif conversion:
            yield (
                f"{stream.name} converted to {conversion}: text, times, bold, italics and "
                "underlines are kept, colours and positions are not"
            )
    for stream in stream_plan.lost_languages:
        yield f"{suffix} has no code for the language of {stream.name}; .mkv has"


def _picture_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each difference of the picture and its times from the film."""
    yield from info.notes
    if (plan.width, plan.height) != (info.width, info.height):
        yield (
            f"{info.width}×{info.height} coded as {plan.width}×{plan.height}, which {plan.codec} "
            "needs: the last columns or rows are repeated"
        )
    if plan.coding.bit_depth < info.coding.bit_depth:
        yield (
            f"luma rounded from {info.coding.bit_depth} to {plan.coding.bit_depth} bits, "
            f"the most {plan.codec} takes; --for master keeps all"
        )
    if not plan.keeps_field_order:
        first = "bottom" if info.field_order == BOTTOM_FIRST else "top"
        yield (
            f"interlaced, {first} field first: {plan.codec} in {plan.path.suffix} does not keep "
            "that; libx264, prores_ks and ffv1 do, or add --deinterlace"
        )
    elif is_interlaced_order(info.output_field_order) and not is_coded_as_fields(info, plan):
        yield (
            f"interlaced: {plan.codec} codes whole frames, and only the container names the "
            "field order; libx264 and prores_ks code fields, or add --deinterlace"
        )
    if not plan.keeps_timecode:
        yield f"timecode {info.timecode} left out: it does not fit the frame rate"
    if info.is_deinterlaced:
        yield "deinterlaced by bwdif, one frame for each frame: luma is the filter's"
    if info.origin < 0:
        yield f"begins {float(-info.origin):.3f} s before zero: all times moved to begin at zero"
    if plan.format in ("matroska", "webm") and (info.time_base / _MILLISECOND) % 1 != 0:
        yield f"times rounded to 1 ms, all that {plan.path.suffix} keeps"
