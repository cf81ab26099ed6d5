"""What a run will write, decided and tried out before the first frame is decoded."""

import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer

from filmcolor.chroma import SUBSAMPLING_420, SUBSAMPLING_422, SUBSAMPLING_444, Subsampling
from filmcolor.color import UNSPECIFIED, Coding
from filmcolor.errors import ContainerError, OutputError, SettingsError
from filmcolor.frames import PROGRESSIVE, FilmInfo, StreamInfo
from filmcolor.probing import JPEG_RANGE, MPEG_RANGE, open_film, packets_of
from filmcolor.subtitles import HEADER, MOV_TEXT, SUBRIP, converted, is_convertible

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

_SUBSAMPLINGS = {"420": SUBSAMPLING_420, "422": SUBSAMPLING_422, "444": SUBSAMPLING_444}
_NUM_TRIED = 1000  # packets that are searched for a stream's first
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
_CODE_FIELDS = frozenset({"libx264", "prores_ks", "ffv1", "mpeg2video"})
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
    copied: tuple[StreamInfo, ...] = ()
    left_out: tuple[StreamInfo, ...] = ()
    conversions: Mapping[int, str] = field(default_factory=dict)  # index of a copied → codec
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
    return _with_notes(info, _with_streams(info, plan, convert, drop))


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
    """Tell whether the encoder codes fields where that is better, and says so in each frame."""
    rows = 2 * plan.subsampling.y if plan.codec == "libx264" else 1  # of a field's blocks
    is_able = plan.codec in _CODE_FIELDS and plan.height % rows == 0
    return is_able and info.shown_order > PROGRESSIVE


def add_copy(
    output: OutputContainer, source: InputContainer, stream: StreamInfo, codec: str | None = None
) -> Any:
    """Add a stream whose packets are copied; None for what is no packets, an attachment.

    `codec`: of subtitles whose packets are converted to it.
    """
    original: Any = source.streams[stream.index]
    if stream.kind == "attachment":
        output.add_attachment(original.name or "attachment", original.mimetype, original.data)
        return None
    if stream.is_picture and output.format.name == "matroska":
        _attach_picture(output, source, stream)
        return None
    copy: Any
    if codec == MOV_TEXT:
        copy = output.add_stream(codec)
        copy.codec_context.subtitle_header = HEADER
    elif codec:
        copy = output.add_mux_stream(codec)
    else:
        copy = output.add_stream_from_template(original)
    if codec:
        copy.time_base = original.time_base
    copy_tags(original, copy)
    return copy


def converted_packet(packet: av.Packet, source: str, target: str) -> av.Packet:
    """Return a packet of subtitles in another codec, shown at the same time."""
    made = av.Packet(converted(bytes(packet), source, target))
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    made.time_base, made.is_keyframe = packet.time_base, True
    return made


def copy_tags(original: Any, copy: Any) -> None:
    """Give a stream the language, title, other metadata and disposition of another."""
    copy.metadata.update(original.metadata)
    if copy.container.format.name == "mov" and original.metadata.get("language") == "fre":
        copy.metadata["language"] = "fra"  # the one of French's two codes that QuickTime has
    copy.disposition = original.disposition


def _attach_picture(output: OutputContainer, source: InputContainer, stream: StreamInfo) -> None:
    """Matroska keeps cover art as an attachment."""
    ending = {"mjpeg": "jpg"}.get(stream.codec, stream.codec)
    name = stream.metadata.get("filename", f"cover.{ending}")
    mimetype = stream.metadata.get("mimetype", f"image/{'jpeg' if ending == 'jpg' else ending}")
    with open_film(Path(source.name)) as again:
        packet = next(p for p in again.demux(again.streams[stream.index]) if p.size)
        output.add_attachment(name, mimetype, bytes(packet))


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
    """Encode a frame in memory and look: PyAV tells Matroska of no shape but the codec's own."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=plan.format) as output:
        stream = add_video_stream(output, info, plan)
        frame = av.VideoFrame(plan.width, plan.height, plan.pix_fmt)
        frame.pts, frame.time_base = 0, info.time_base
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory) as written:
        return written.streams.video[0].sample_aspect_ratio == info.sar


def _encoder_message(plan: OutputPlan, error: Exception) -> str:
    told = ", ".join(f"{k}={v}" for k, v in plan.options.items())
    return (
        f"{plan.codec} refuses {plan.width}×{plan.height} {plan.pix_fmt} with "
        f"{told or 'no options'} ({getattr(error, 'strerror', None) or error}); "
        "check --preset, --crf and --pix-fmt"
    )


def _with_streams(info: FilmInfo, plan: OutputPlan, convert: bool, drop: bool) -> OutputPlan:
    """Return the plan with what becomes of each stream; data that no one plays is left out."""
    copied, left_out, conversions = [], [], {}
    with open_film(info.path) as source:
        for stream in info.streams:
            if stream.index == info.video_index:
                continue
            codec = _conversion(plan.format, info, stream) if convert else None
            if stream.is_timecode:
                continue  # made anew of the picture's tag
            if _can_hold(plan.format, source, stream):
                copied.append(stream)
            elif codec and _can_hold(plan.format, source, stream, codec):
                copied.append(stream)
                conversions[stream.index] = codec
            elif drop or stream.kind in ("data", "unknown"):
                left_out.append(stream)
            else:
                suits = _who_can_hold(source, stream)
                raise ContainerError(
                    f"{plan.path.suffix} cannot hold {stream.name} of {info.path}; "
                    + (f"name the output {suits}, or" if suits else "no container here can;")
                    + " add --drop-unsupported to go on without it"
                )
    return replace(
        plan,
        copied=tuple(copied),
        left_out=tuple(left_out),
        conversions=conversions,
        keeps_timecode=_takes_timecode(info, plan),
    )


def _takes_timecode(info: FilmInfo, plan: OutputPlan) -> bool:
    """QuickTime counts timecodes in whole frames a second: write a header in memory and see."""
    if plan.format not in ("mp4", "mov") or info.timecode is None:
        return True
    try:
        with av.open(io.BytesIO(), "w", format=plan.format) as output:
            add_video_stream(output, info, plan)
            output.metadata["timecode"] = info.timecode
            output.start_encoding()
    except (av.error.FFmpegError, OSError):
        return False
    return True


def _conversion(format_name: str, info: FilmInfo, stream: StreamInfo) -> str | None:
    """Return the codec that a container has a stream's text in, where nothing is lost by that."""
    codec = MOV_TEXT if format_name in ("mp4", "mov") else SUBRIP
    if not is_convertible(stream.codec, codec):
        return None
    return None if codec == MOV_TEXT and _overlaps(info.path, stream) else codec


def _overlaps(path: Path, stream: StreamInfo) -> bool:
    """Tell whether subtitles are shown two at a time: in MP4 each ends where the next begins."""
    end = None
    with open_film(path) as source:
        for packet in packets_of(source, source.streams[stream.index]):
            if packet.size and packet.pts is not None:
                if end is not None and packet.pts < end:
                    return True
                end = packet.pts + (packet.duration or 0)
    return False


def _can_hold(
    format_name: str, source: InputContainer, stream: StreamInfo, codec: str | None = None
) -> bool:
    """Write the stream's beginning in memory: some refusals come with the first packet."""
    try:
        copy, _ = _try_copy(format_name, source, stream, codec)
        return copy is not None or format_name == "matroska"  # others drop attachments unsaid
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
        return False


def _loses_language(source: InputContainer, stream: StreamInfo, codec: str | None) -> bool:
    """QuickTime has a short list of languages: write the stream's beginning and see."""
    copy, memory = _try_copy("mov", source, stream, codec)
    with av.open(memory) as written:
        told = [s.metadata.get("language") for s in written.streams]
    return bool(told) and told[0] != copy.metadata.get("language")


def _try_copy(
    format_name: str, source: InputContainer, stream: StreamInfo, codec: str | None
) -> tuple[Any, io.BytesIO]:
    """Return a copy of the stream, None for an attachment, and the file made with it."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=format_name) as output:
        copy = add_copy(output, source, stream, codec)
        if copy is not None:
            output.start_encoding()
            if first := _first_packet(Path(source.name), stream):
                first = first if codec is None else converted_packet(first, stream.codec, codec)
                first.stream = copy
                output.mux(first)
    memory.seek(0)
    return copy, memory


def _first_packet(path: Path, stream: StreamInfo) -> av.Packet | None:
    """Return a stream's first packet; None where it does not come soon, as with subtitles."""
    with open_film(path) as source:
        for packet in islice(source.demux(), _NUM_TRIED):
            if packet.stream_index == stream.index and packet.size:
                return packet
    return None


def _who_can_hold(source: InputContainer, stream: StreamInfo) -> str:
    formats = {FORMATS[s]: s for s in (".mp4", ".mov", ".mkv")}
    return " or ".join(s for name, s in formats.items() if _can_hold(name, source, stream))


def _with_notes(info: FilmInfo, plan: OutputPlan) -> OutputPlan:
    notes = [f"left out, {plan.path.suffix} cannot hold it: {s.name}" for s in plan.left_out]
    notes += [
        f"{s.name} converted to {plan.conversions[s.index]}: text, times, bold, italics and "
        "underlines are kept, colours and places are not"
        for s in plan.copied
        if s.index in plan.conversions
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
            told = [s for s in plan.copied if s.language not in (None, "und")]
            lost = [s for s in told if _loses_language(source, s, plan.conversions.get(s.index))]
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
    return replace(plan, notes=tuple(notes))
