"""Plans an output of image files: what is written, and what of the film images cannot hold."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filmcolor.errors import ContainerError, OutputError, SettingsError
from filmcolor.output.image_formats import (
    IMAGE_FORMATS,
    IMAGE_SEQUENCE,
    has_linear_light,
    pix_fmt_depth,
)
from filmcolor.output.image_headers import ImageHeaders, timecode_bits
from filmcolor.output.image_names import ImagePattern
from filmcolor.output.image_trial import try_image
from filmcolor.output.metadata import film_tags, stream_tags
from filmcolor.output.options import (
    PURPOSES,
    Encoding,
    OutputPlan,
    StreamPlan,
    encoder_options,
)
from filmcolor.output.stream_plan import other_streams
from filmcolor.types.film import BOTTOM_FIRST, FilmInfo
from filmcolor.types.yuv import SUBSAMPLING_444, UNSPECIFIED, Coding
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.interlacing import is_interlaced_order
from filmcolor.video.side_data import TIMECODES, describe_kind

_USUAL_TAGS = ("handler_name",)  # of FFmpeg's making
_BT2020, _CURVED_HDR = 9, (16, 18)  # H.273: primaries; the transfers of PQ and HLG


def plan_images(info: FilmInfo, path: Path, encoding: Encoding) -> OutputPlan:
    """Return what a run writes into images; `path` is their pattern.

    Raises ContainerError when the film has streams, or times, that images cannot hold,
    SettingsError for settings that the image format does not have, OutputError for a path that is
    no pattern or whose folder cannot be made.
    """
    ImagePattern.parse(path)
    _check_folder(path)
    streams = _plan_streams(info, path, encoding.drop_unsupported)
    plan = replace(_plan_picture(info, path, encoding), stream_plan=streams)
    sar = try_image(info, plan)
    is_vfr = FrameIndex.read(info).is_vfr
    if is_vfr and not encoding.drop_unsupported:
        raise ContainerError(
            f"{info.path} has a variable frame rate, and {path.suffix} images have no times; name "
            "the output .mp4 or .mkv, or add --drop-unsupported to go on without the times"
        )
    notes = [*info.notes]
    notes += (f"left out, {path.suffix} cannot hold it: {s.name}" for s in streams.left_out)
    notes += _picture_notes(info, plan)
    if info.sar != 1 and sar == 1:
        notes.append(f"pixels of {info.sar}: {path.suffix} images do not say so")
    if is_vfr:
        notes.append(f"times left out: images have one rate, {float(info.frame_rate):.3f} frames/s")
    notes += _left_out_notes(info, path)
    return replace(plan, notes=tuple(notes))


def _check_folder(path: Path) -> None:
    folder = path.parent
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name another folder for the images")
    if not folder.exists() and not folder.parent.is_dir():
        raise OutputError(f"{folder.parent} is no folder; make it first, or choose another output")


def _plan_streams(info: FilmInfo, path: Path, drop: bool) -> StreamPlan:
    streams = other_streams(info)
    kept = [s for s in streams if s.type not in ("data", "unknown")]
    if kept and not drop:
        names = ", ".join(stream.name for stream in kept)
        raise ContainerError(
            f"{path.suffix} images cannot hold {names} of {info.path}; name the output .mp4 or "
            ".mkv, or add --drop-unsupported to go on without"
        )
    return StreamPlan(left_out=streams)


def _plan_picture(info: FilmInfo, path: Path, encoding: Encoding) -> OutputPlan:
    image_format, purpose = IMAGE_FORMATS[path.suffix.lower()], PURPOSES[encoding.purpose]
    codec = image_format.codec
    if encoding.codec not in (None, codec):
        raise SettingsError(
            f"{path.suffix} images are coded by {codec}, not {encoding.codec}; leave --codec out"
        )
    if encoding.pix_fmt is not None:
        image_format.check_pix_fmt(encoding.pix_fmt)
    depth = max(info.coding.bit_depth, purpose.min_depth)
    pix_fmt = encoding.pix_fmt or image_format.choose_pix_fmt(depth, info.has_alpha)
    options = encoder_options(codec, encoding, purpose, pix_fmt)
    if codec == "exr" and encoding.pix_fmt is not None:  # a 32-bit format, as asked for
        options["format"] = "float"
    return OutputPlan(
        path=path,
        format=IMAGE_SEQUENCE,
        codec=codec,
        options=options,
        pix_fmt=pix_fmt,
        coding=Coding(info.coding.matrix, True, pix_fmt_depth(pix_fmt)),
        subsampling=SUBSAMPLING_444,
        width=info.width,
        height=info.height,
        primaries=UNSPECIFIED,  # readers of PNG would take the tags of video for a curve to undo
        transfer=UNSPECIFIED,
        writes_captions=encoding.captions,
    )


def _picture_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each difference of the picture from the film's."""
    if not info.coding.is_full_range:
        yield (
            "limited range becomes full range, as images have: luma below black or above white "
            "is cut off"
        )
    if plan.coding.bit_depth < info.coding.bit_depth:
        yield f"luma rounded from {info.coding.bit_depth} to {plan.coding.bit_depth} bits"
    if plan.codec == "exr":
        name = "half" if plan.options["format"] == "half" else "32-bit"
        if has_linear_light(info):
            yield f"linear light in {name} floats, by the curve of sRGB"
        else:
            yield f"{name} floats that are not linear light, as the film's"
    if info.transfer in _CURVED_HDR or info.primaries == _BT2020:
        yield (
            f"colour tags left out: primaries {info.primaries}, transfer {info.transfer} of H.273"
        )
    if info.orientation.matrix:
        yield f"shown {info.orientation}: the images are as coded"
    if is_interlaced_order(info.output_field_order):
        first = "bottom" if info.field_order == BOTTOM_FIRST else "top"
        yield (
            f"interlaced, {first} field first: the fields stay interleaved in each image, and "
            "images do not say which comes first; --deinterlace merges them"
        )
    if info.is_deinterlaced:
        yield "deinterlaced by bwdif, one frame for each frame: luma is the filter's"


def _left_out_notes(info: FilmInfo, path: Path) -> Iterator[str]:
    """Yield a line for each thing beside the picture that the images lack."""
    suffix, image_format = path.suffix, IMAGE_FORMATS[path.suffix.lower()]
    timecode, rate = info.timecode, info.frame_rate
    if not image_format.keeps_times:
        yield f"{suffix} images have no frame rate: theirs is {float(rate):.3f} frames/s"
    if timecode is not None:
        headers = ImageHeaders.of(info)
        numbers = range(1 if headers.sources else round(rate))  # a second has all frame numbers
        can_hold = all(timecode_bits(headers.timecode(n)) is not None for n in numbers)
        if not image_format.keeps_times or not can_hold:
            yield f"timecode {timecode} left out: {suffix} images cannot hold it"
    if info.has_alpha and not image_format.alpha:
        yield "transparency (alpha) left out; .png and .tif keep it"
    for kind in info.side_data:
        is_header = kind == TIMECODES and info.container == IMAGE_SEQUENCE  # see above
        if (description := describe_kind(kind)) and not is_header:
            yield f"left out, images do not keep {description}"
    if info.chapters:
        yield f"left out, images have none: {len(info.chapters)} chapters"
    picture = next(s for s in info.streams if s.index == info.video_index)
    tags = film_tags(info.metadata) | stream_tags(picture.metadata, is_picture=True)
    if names := [n for n, value in tags.items() if n not in _USUAL_TAGS and value != "und"]:
        yield f"left out, images have none: the film's tags {', '.join(names)}"
