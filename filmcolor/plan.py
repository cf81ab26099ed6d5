"""What a run will write, decided and tried out before the first frame is decoded."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.container import OutputContainer

from filmcolor.chroma import SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444, Subsampling
from filmcolor.color import UNSPECIFIED, Coding
from filmcolor.copies import FORMATS, NO_FATES, Fates, fates_of, loses_language
from filmcolor.errors import ContainerError, OutputError, SettingsError
from filmcolor.frames import PROGRESSIVE, FilmInfo
from filmcolor.probing import JPEG_RANGE, MPEG_RANGE, open_film

_SUBSAMPLINGS = {"420": SUBSAMPLING_420, "422": SUBSAMPLING_422, "444": SUBSAMPLING_444}
_MILLISECOND = Fraction(1, 1000)  # the clock of Matroska and WebM


@dataclass(frozen=True, slots=True)
class Purpose:
    """What `--for` stands for: an encoder, its quality, and the containers to try."""

    codec: str
    suffixes: tuple[str, ...]  # "" is the source's own container
    crf: int | None = None
    min_depth: int = 8
    options: tuple[tuple[str, str], ...] = ()


PURPOSES = {
    "share": Purpose("libx264", ("", ".mp4", ".mkv"), crf=20),
    "archive": Purpose(
        "libx265", ("", ".mp4", ".mkv"), crf=16, min_depth=10, options=(("tune", "grain"),)
    ),
    "edit": Purpose("prores_ks", (".mov", ".mkv"), options=(("profile", "hq"),)),
    "master": Purpose("ffv1", (".mkv", ".mp4")),
}

# the option by which each encoder sets constant quality; prores_ks and ffv1 have none
_CRF_OPTIONS = {"prores_ks": None, "ffv1": None, "h264_nvenc": "cq", "hevc_nvenc": "cq"}
_MAX_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx-vp9": 63}
_NO_PRESETS = frozenset({"prores_ks", "ffv1", "libvpx-vp9"})
_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_CODEC_OPTIONS = {
    "libx265": {"x265-params": "log-level=error"},
    "ffv1": {"level": "3", "slicecrc": "1"},  # version 3: slices, each with a checksum
}
_CODE_FIELDS = frozenset({"libx264", "prores_ks", "mpeg2video"})
_DEFAULT_CRF = {"libx264": 20, "libx265": 20, "libsvtav1": 28}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode the picture. None leaves it to the purpose."""

    purpose: str = "share"
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    drop_unsupported: bool = False  # leave out what the container cannot hold, and say so

    def __post_init__(self) -> None:
        if self.purpose not in PURPOSES:
            raise SettingsError(f"no purpose {self.purpose!r}: choose {', '.join(PURPOSES)}")


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """A whole output: where, in what, and which streams come along."""

    path: Path
    format: str  # FFmpeg's name of the container
    codec: str
    options: dict[str, str]
    pix_fmt: str
    coding: Coding
    subsampling: Subsampling
    width: int  # coded: one more than the film's where 4:2:0 cannot hold an odd size
    height: int
    primaries: int
    transfer: int
    fates: Fates = NO_FATES
    keeps_timecode: bool = True
    notes: tuple[str, ...] = ()
    tag: str = ""  # added to the film's comment, so that no one takes its colour for its own


def av_versions() -> dict[str, tuple[int, int, int]]:
    """Return the versions of FFmpeg's libraries, by their names."""
    return dict(av.library_versions)


def plan_output(info: FilmInfo, path: Path | None, encoding: Encoding) -> OutputPlan:
    """Return what a run of this film writes; `path` None puts it beside the source.

    Raises ContainerError when the container cannot hold a stream of the film,
    SettingsError when the encoder does not exist or cannot do what is asked,
    OutputError when the folder is missing.
    """
    if path is not None:
        return _plan_for(info, path, encoding, True, encoding.drop_unsupported)
    problem: ContainerError | None = None
    # what holds all as it is, before what converts, before what leaves out
    ways = [(False, False), (True, False), (True, True)]
    for convert, drop in ways if encoding.drop_unsupported else ways[:2]:
        for target in _targets(info, PURPOSES[encoding.purpose]):
            try:
                return _plan_for(info, target, encoding, convert, drop)
            except ContainerError as error:
                problem = problem or error
    assert problem is not None  # every purpose names a container that is tried
    raise problem


def _targets(info: FilmInfo, purpose: Purpose) -> Iterator[Path]:
    own = info.path.suffix.lower()
    for suffix in purpose.suffixes:
        if suffix or _is_own_container(info, own):
            yield info.path.with_suffix(f".color{suffix or own}")


def _is_own_container(info: FilmInfo, suffix: str) -> bool:
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
    purpose = PURPOSES[encoding.purpose]
    codec = encoding.codec or purpose.codec
    pix_fmt = encoding.pix_fmt or _choose_pix_fmt(codec, info.coding.bit_depth, purpose.min_depth)
    subsampling, depth = _parse_pix_fmt(pix_fmt, codec)
    coding = Coding(info.coding.matrix, info.coding.is_full_range, depth)
    is_padded = codec != "ffv1"
    columns, rows = subsampling.plane_size(info.width, info.height)
    plan = OutputPlan(
        path=path,
        format=FORMATS[suffix],
        codec=codec,
        options=_options(codec, encoding, purpose),
        pix_fmt=pix_fmt,
        coding=coding,
        subsampling=subsampling,
        width=columns * subsampling.x if is_padded else info.width,
        height=rows * subsampling.y if is_padded else info.height,
        **_tags(info),
    )
    _try_encoder(info, plan)
    if info.sar != 1 and not _keeps_pixel_shape(info, plan):
        raise ContainerError(
            f"{path}: {suffix} does not keep {codec}'s pixels of {info.sar}; name the output .mp4"
        )
    plan = replace(
        plan,
        fates=fates_of(info, path, convert, drop),
        keeps_timecode=_keeps_timecode(info, plan),
    )
    return replace(plan, notes=_notes(info, plan))


def _choose_pix_fmt(codec: str, depth: int, min_depth: int) -> str:
    """Return the format that keeps the source's depth, or the nearest the encoder has."""
    names = [f.name for f in _find_encoder(codec).video_formats or ()]
    sampling = "420" if any(re.match(r"yuv420p(\d|$)", n) for n in names) else "422"
    formats = [(n, re.fullmatch(rf"yuv{sampling}p(\d*)(le)?", n)) for n in names]
    depths = {int(match[1] or 8): name for name, match in formats if match}
    if not depths:
        raise SettingsError(f"{codec} takes no planar YUV; choose libx264, libx265 or ffv1")
    enough = [d for d in depths if d >= max(depth, min_depth)]
    return depths[min(enough) if enough else max(depths)]


def _find_encoder(codec: str) -> av.Codec:
    try:
        found = av.Codec(codec, "w")
    except ValueError as error:
        raise SettingsError(
            f"this build of PyAV has no encoder {codec!r}; "
            "libx264, libx265, libsvtav1, prores_ks and ffv1 come with the usual one"
        ) from error
    if found.type != "video":
        raise SettingsError(f"{codec} encodes {found.type}, not video; try libx264")
    return found


def _parse_pix_fmt(pix_fmt: str, codec: str) -> tuple[Subsampling, int]:
    match = re.fullmatch(r"yuv(420|422|444)p(\d+le)?", pix_fmt)
    if not match:
        raise SettingsError(
            f"pixel format {pix_fmt!r}: filmcolor writes yuv420p, yuv422p or yuv444p, "
            "or one of them with 10le, 12le or 16le"
        )
    names = [f.name for f in _find_encoder(codec).video_formats or ()]
    if pix_fmt not in names:
        planar = ", ".join(n for n in names if re.fullmatch(r"yuv4\d\dp(\d+le)?", n))
        raise SettingsError(f"{codec} does not take {pix_fmt}; it takes {planar}")
    return _SUBSAMPLINGS[match[1]], int((match[2] or "8")[:2].rstrip("le"))


def _options(codec: str, encoding: Encoding, purpose: Purpose) -> dict[str, str]:
    options = dict(_CODEC_OPTIONS.get(codec, {}))
    is_purpose_codec = codec == purpose.codec
    if is_purpose_codec:
        options.update(purpose.options)
    name = _CRF_OPTIONS.get(codec, "crf")
    crf = encoding.crf
    if crf is not None and name is None:
        raise SettingsError(f"{codec} has no crf; leave --crf out")
    if crf is not None and not 0 <= crf <= _MAX_CRF.get(codec, 51):
        raise SettingsError(f"{codec} takes --crf 0 to {_MAX_CRF.get(codec, 51)}, not {crf}")
    if crf is None and name is not None:
        crf = purpose.crf if is_purpose_codec else _DEFAULT_CRF.get(codec)
    if crf is not None and name is not None:
        options[name] = str(crf)
    if encoding.preset is not None:
        if codec in _NO_PRESETS:
            raise SettingsError(f"{codec} has no presets; leave --preset out")
        if codec in ("libx264", "libx265") and encoding.preset not in _X26X_PRESETS:
            raise SettingsError(
                f"{codec} has no preset {encoding.preset!r}: choose {', '.join(_X26X_PRESETS)}"
            )
        options["preset"] = encoding.preset
    return options


def _tags(info: FilmInfo) -> dict[str, Any]:
    """Return the source's primaries and transfer, or those that go with the matrix."""
    usual = info.coding.matrix if info.coding.matrix in (1, 5, 6, 7, 9) else UNSPECIFIED
    transfer = {5: 6, 9: 14}.get(usual, usual)  # BT.601-625 and BT.2020 share others' curves
    return {
        "primaries": usual if info.primaries == UNSPECIFIED else info.primaries,
        "transfer": transfer if info.transfer == UNSPECIFIED else info.transfer,
    }


def add_video_stream(output: OutputContainer, info: FilmInfo, plan: OutputPlan) -> Any:
    """Add the stream that the coloured frames are encoded into, tags and all."""
    os.environ.setdefault("SVT_LOG", "1")  # libsvtav1 prints its settings on stderr: errors only
    stream: Any = output.add_stream(plan.codec, rate=info.frame_rate, options=dict(plan.options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = plan.width, plan.height, plan.pix_fmt
    context.time_base = stream.time_base = info.time_base
    context.sample_aspect_ratio = info.sar
    context.color_range = JPEG_RANGE if plan.coding.is_full_range else MPEG_RANGE
    context.colorspace = plan.coding.matrix
    context.color_primaries, context.color_trc = plan.primaries, plan.transfer
    if info.shown_order:
        context.field_order = info.shown_order
    if is_coded_as_fields(info, plan):
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    context.flags |= Flags.frame_duration  # packets as long as their frames, not as the rate says
    if info.rotation:
        stream.set_display_rotation(info.rotation)
    return stream


def is_coded_as_fields(info: FilmInfo, plan: OutputPlan) -> bool:
    """Tell whether the encoder codes all frames as two fields, and says so in each of them."""
    rows = 2 * plan.subsampling.y if plan.codec == "libx264" else 1  # of a field's blocks
    is_able = plan.codec in _CODE_FIELDS and plan.height % rows == 0
    return is_able and info.shown_order > PROGRESSIVE


def _try_encoder(info: FilmInfo, plan: OutputPlan) -> None:
    """Open the encoder in a file in memory: what it refuses is said now."""
    try:
        with av.open(io.BytesIO(), "w", format=plan.format) as output:
            add_video_stream(output, info, plan)
            output.start_encoding()
    except ValueError as error:
        if "does not support" not in str(error):
            raise SettingsError(_encoder_message(plan, error)) from error
        raise ContainerError(
            f"{plan.path.suffix} cannot hold {plan.codec}; name the output .mkv"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise SettingsError(_encoder_message(plan, error)) from error


def _keeps_pixel_shape(info: FilmInfo, plan: OutputPlan) -> bool:
    """PyAV tells Matroska of no shape but the codec's own."""
    with av.open(_tried(info, plan, {})) as written:
        return written.streams.video[0].sample_aspect_ratio == info.sar


def _keeps_timecode(info: FilmInfo, plan: OutputPlan) -> bool:
    """QuickTime's timecodes must go with the frame rate: some are dropped, some end the run."""
    if plan.format not in ("mp4", "mov") or info.timecode is None:
        return True
    try:
        with av.open(_tried(info, plan, {"timecode": info.timecode})) as written:
            return written.streams.video[0].metadata.get("timecode") == info.timecode
    except (av.error.FFmpegError, OSError):
        return False


def _tried(info: FilmInfo, plan: OutputPlan, metadata: dict[str, str]) -> io.BytesIO:
    """Return a film of one frame in memory, to look what is kept of it."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=plan.format) as output:
        stream = add_video_stream(output, info, plan)
        output.metadata.update(metadata)
        frame = av.VideoFrame(plan.width, plan.height, plan.pix_fmt)
        for plane in frame.planes:  # else x264 dies of 16-bit values in 10-bit pictures
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, info.time_base
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    memory.seek(0)
    return memory


def _encoder_message(plan: OutputPlan, error: Exception) -> str:
    told = ", ".join(f"{k}={v}" for k, v in plan.options.items())
    return (
        f"{plan.codec} refuses {plan.width}×{plan.height} {plan.pix_fmt} with "
        f"{told or 'no options'} ({getattr(error, 'strerror', None) or error}); "
        "check --preset, --crf and --pix-fmt"
    )


def _notes(info: FilmInfo, plan: OutputPlan) -> tuple[str, ...]:
    """Return a line for all that will differ from the film, but its colour."""
    fates = plan.fates
    notes = [f"left out, {plan.path.suffix} cannot hold it: {s.name}" for s in fates.left_out]
    notes += [
        f"{s.name} converted to {fates.conversions[s.index]}: text, times, bold, italics and "
        "underlines are kept, colours and places are not"
        for s in fates.copied
        if s.index in fates.conversions
    ]
    if (plan.width, plan.height) != (info.width, info.height):
        notes.append(
            f"{info.width}×{info.height} is odd, coded as {plan.width}×{plan.height}, "
            "the last column or row repeated"
        )
    if plan.coding.bit_depth < info.coding.bit_depth:
        notes.append(
            f"luma rounded from {info.coding.bit_depth} to {plan.coding.bit_depth} bits, "
            f"the most {plan.codec} takes; --for master keeps all"
        )
    if plan.format == "mov":
        with open_film(info.path) as source:
            told = [s for s in fates.copied if s.language not in (None, "und")]
            lost = [s for s in told if loses_language(source, s, fates.conversions.get(s.index))]
        notes += [f".mov has no code for the language of {s.name}; .mkv has" for s in lost]
    if not plan.keeps_timecode:
        notes.append(f"timecode {info.timecode} left out: it does not go with the frame rate")
    if info.is_deinterlaced:
        notes.append("deinterlaced by bwdif, a frame for a frame: luma is the filter's")
    if info.origin < 0:
        notes.append(
            f"begins {float(-info.origin):.3f} s before zero: all times moved, so that it is zero"
        )
    is_rounded = plan.format in ("matroska", "webm") and (info.time_base / _MILLISECOND) % 1 != 0
    if is_rounded:
        notes.append(f"times rounded to 1 ms, all that {plan.path.suffix} keeps")
    return tuple(notes)
