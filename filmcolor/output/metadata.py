"""Metadata of films and streams: which tags are the film's, and which of them a container keeps.

What a container keeps is tried out: a small file with the tags is written in memory and read back
(`write_back`). MP4 and MOV lose all tags but a few well-known ones, which are given to them by an
atom of their own (`mdta`).
"""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import OutputContainer
from av.stream import Disposition

from filmcolor.output.mdta import append_tags
from filmcolor.output.muxing import set_chapters
from filmcolor.output.options import OutputPlan
from filmcolor.types.film import Chapter, FilmInfo, StreamInfo
from filmcolor.video.probe import read_chapters

# tags about the file and its coding, which are no longer true of another file
_FILE_TAGS = frozenset(
    ("encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "duration")
) | frozenset(  # mkvmerge's statistics of a track
    (
        *("bps", "number_of_frames", "number_of_bytes", "source_id", "_statistics_tags"),
        *("_statistics_writing_app", "_statistics_writing_date_utc"),
    )
)
# further tags of streams that are kept in another way, or repeat what the film says
_STREAM_FILE_TAGS = frozenset(("creation_time", "rotate", "file_package_umid"))
# what the picture's tags say of its frames: planned and told with these (`side_data`)
_PICTURE_TAGS = frozenset(("alpha_mode", "stereo_mode"))
# codecs that each container holds without a header: video, audio, subtitles
_TRIAL_CODECS = {
    "mp4": ("mjpeg", "mp3", "mov_text"),
    "mov": ("mjpeg", "mp3", "mov_text"),
    "matroska": ("mjpeg", "mp3", "subrip"),
    "webm": ("vp8", "opus", "webvtt"),
}
_TRIAL_TYPES = ("video", "audio", "subtitle")
_MILLISECOND = Fraction(1, 1000)
_MOV_FORMATS = ("mp4", "mov")
_COMMENT, _TIMECODE = "comment", "timecode"
_TIME_TAG = "creation_time"  # MP4 and MOV round it to a second
_TRIAL_RATE = Fraction(25)
_NUM_TIME_LETTERS = len("2020-01-31T12:34:56")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a container has kept of a film's description."""

    tags: Mapping[str, str]
    streams: tuple[StreamInfo, ...]  # with the metadata and dispositions that were read back
    chapters: tuple[Chapter, ...]


def film_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that belong to the film, without those about its file, and its timecode."""
    return _without(tags, _FILE_TAGS | {_TIMECODE})


def stream_tags(tags: Mapping[str, str], is_picture: bool = False) -> dict[str, str]:
    """Return the tags of a stream that its copy gets, its name as the title.

    `is_picture`: whether it is the stream that is coloured, whose coding changes.
    """
    excluded = _STREAM_FILE_TAGS | (_PICTURE_TAGS if is_picture else frozenset())
    tags = _without(film_tags(tags), excluded)
    if "name" in tags:  # how MP4's tracks name themselves; muxers read only titles
        tags.setdefault("title", tags["name"])
        del tags["name"]
    return tags


def output_tags(info: FilmInfo, plan: OutputPlan) -> dict[str, str]:
    """Return the tags of an output, with the plan's tag added to the film's comment."""
    tags = film_tags(info.metadata)
    if plan.tag:
        name = next((name for name in tags if _plain(name) == _COMMENT), _COMMENT)
        comment = tags.get(name, "")
        if plan.tag not in comment:
            tags[name] = "; ".join(filter(None, [comment, plan.tag]))
    return tags


def extra_tags(format_name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that `append_tags` must add to a finished MP4 or MOV."""
    if format_name not in _MOV_FORMATS:
        return {}
    kept = write_back(format_name, tags, has_extra_tags=False)
    return {name: tags[name] for name in missing_tags(tags, kept.tags)}


def missing_tags(tags: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    """Return the names of tags that are missing among others, or have another value there."""
    values = _with_plain_names(kept)
    return [n for n, value in tags.items() if value and not _is_same(n, value, values)]


def write_back(
    format_name: str,
    tags: Mapping[str, str],
    streams: Sequence[StreamInfo] = (),
    chapters: tuple[Chapter, ...] = (),
    has_extra_tags: bool = True,
) -> Kept:
    """Return what a container keeps of tags, streams' tags and dispositions, and chapters.

    `streams`: with the tags that they are to get; of sound, pictures and subtitles, others are left
    out. `has_extra_tags`: add those that MP4 and MOV lose.
    """
    streams = [stream for stream in streams if stream.type in _TRIAL_TYPES]
    memory = io.BytesIO()
    with av.open(memory, "w", format=format_name) as output:
        copies = [_add_trial_stream(output, stream) for stream in streams]
        if not copies:
            copies = [_add_trial_stream(output, _TRIAL_STREAM)]
        output.metadata.update(tags)
        set_chapters(output, chapters)
        output.start_encoding()
        for copy in copies:
            output.mux(_trial_packet(copy))
    if has_extra_tags:
        append_tags(memory, extra_tags(format_name, tags), format_name)
    memory.seek(0)
    film: Any
    with av.open(memory, metadata_errors="replace") as film:
        kept_streams = tuple(
            replace(
                stream,
                metadata=dict(kept.metadata),
                disposition=tuple(flag.name or "" for flag in Disposition(kept.disposition)),
            )
            for stream, kept in zip(streams, film.streams)
        )
        return Kept(dict(film.metadata), kept_streams, read_chapters(film))


_TRIAL_STREAM = StreamInfo(0, "video", "mjpeg", "", {}, ())


def _trial_packet(stream: Any) -> av.Packet:
    packet = av.Packet(bytes(8))
    packet.stream, packet.time_base = stream, _MILLISECOND
    packet.pts = packet.dts = 0
    packet.duration, packet.is_keyframe = 1000, True
    return packet


def _add_trial_stream(
    output: OutputContainer, stream: StreamInfo, frame_rate: Fraction = _TRIAL_RATE
) -> Any:
    codec = _TRIAL_CODECS[output.format.name][_TRIAL_TYPES.index(stream.type)]
    settings: dict[str, Any] = {
        "video": {"width": 16, "height": 16, "rate": frame_rate},
        "audio": {"rate": 48000},
    }
    copy = output.add_mux_stream(codec, **settings.get(stream.type, {}))
    copy.time_base = _MILLISECOND
    copy.metadata.update(stream.metadata)
    for name in stream.disposition:
        copy.disposition |= Disposition[name]
    return copy


def keeps_timecode(format_name: str, timecode: str, frame_rate: Fraction) -> bool:
    """Return whether a container keeps a timecode at a frame rate: QuickTime's must fit it."""
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=format_name) as output:
            _add_trial_stream(output, _TRIAL_STREAM, frame_rate)
            output.metadata[_TIMECODE] = timecode
            output.start_encoding()
            output.mux(_trial_packet(output.streams[0]))
        memory.seek(0)
        with av.open(memory) as film:
            kept = [film.metadata, *(stream.metadata for stream in film.streams)]
            return any(t.get(_TIMECODE) == timecode for t in map(_with_plain_names, kept))
    except (av.error.FFmpegError, OSError):
        return False


def _with_plain_names(tags: Mapping[str, str]) -> dict[str, str]:
    return {_plain(name): value for name, value in tags.items()}


def _without(tags: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Return tags without some, in any language: mkvmerge names them "BPS-eng"."""
    return {n: value for n, value in tags.items() if _plain(n).partition("-")[0] not in names}


def _plain(name: str) -> str:
    """Return a tag's name in the form in which names are compared.

    Matroska has capitals, and underscores for spaces.
    """
    return name.casefold().replace(" ", "_")


def _is_same(name: str, value: str, values: Mapping[str, str]) -> bool:
    other = values.get(_plain(name))
    if other is not None and _plain(name) == _TIME_TAG:
        return other[:_NUM_TIME_LETTERS] == value[:_NUM_TIME_LETTERS]
    return other == value
