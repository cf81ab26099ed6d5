"""Metadata of films and streams: which tags are the film's, and which of them a container keeps.

What a container keeps is tried out: a small file with the tags is written in memory and read back
(`write_back`). MP4 and MOV lose all tags but a few well-known ones, which are given to them by an
atom of their own (`mdta`).
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.stream import Disposition

from filmcolor.output.mdta import append_tags
from filmcolor.output.muxing import set_chapters
from filmcolor.types.film import Chapter, StreamInfo
from filmcolor.video.probe import read_chapters

# tags about the file and its coding, which are no longer true of another file
_FILE_TAGS = frozenset(
    ("encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "duration")
    # mkvmerge's statistics of a track
    + ("bps", "number_of_frames", "number_of_bytes", "source_id")
    + ("_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc")
)
# further tags of streams that are kept in another way, or repeat what the film says
_STREAM_FILE_TAGS = frozenset(("creation_time", "rotate", "timecode"))
# what the picture's tags say of its frames: planned and told with these (`side_data`)
_PICTURE_TAGS = frozenset(("alpha_mode", "stereo_mode"))
_TRIAL_CODECS = {"video": "mjpeg", "audio": "mp3", "subtitle": "subrip"}
_MILLISECOND = Fraction(1, 1000)
_MOV_FORMATS = ("mp4", "mov")
_TIME_TAG = "creation_time"  # MP4 and MOV round it to a second
_NUM_TIME_LETTERS = len("2020-01-31T12:34:56")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a container has kept of a film's description."""

    tags: Mapping[str, str]
    streams: tuple[StreamInfo, ...]  # with the metadata and dispositions that were read back
    chapters: tuple[Chapter, ...]


def film_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that belong to the film, without those about its file."""
    return {
        name: value
        for name, value in tags.items()
        if _plain(name).partition("-")[0] not in _FILE_TAGS
    }


def stream_tags(stream: StreamInfo, is_picture: bool = False) -> dict[str, str]:
    """Return the tags of a stream that its copy gets, its name as the title.

    `is_picture`: whether it is the stream that is coloured, whose coding changes.
    """
    excluded = _STREAM_FILE_TAGS | (_PICTURE_TAGS if is_picture else frozenset())
    tags = {n: v for n, v in film_tags(stream.metadata).items() if _plain(n) not in excluded}
    if "name" in tags:  # how MP4's tracks name themselves; muxers read only titles
        tags.setdefault("title", tags["name"])
        del tags["name"]
    return tags


def extra_tags(format_name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that `append_tags` must add to a finished MP4 or MOV; others lose none."""
    if format_name not in _MOV_FORMATS:
        return {}
    kept = write_back(format_name, tags, has_extra_tags=False)
    return {name: tags[name] for name in missing_tags(tags, kept.tags)}


def missing_tags(tags: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    """Return the names of tags that are missing among others, or have another value there."""
    values = {_plain(name): value for name, value in kept.items()}
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
    streams = [stream for stream in streams if stream.type in _TRIAL_CODECS]
    memory = io.BytesIO()
    with av.open(memory, "w", format=format_name) as output:
        copies = [_add_trial_stream(output, stream) for stream in streams]
        if not copies:
            copies = [_add_trial_stream(output, _TRIAL_STREAM)]
        output.metadata.update(tags)
        set_chapters(output, chapters)
        output.start_encoding()
        for copy in copies:
            packet = av.Packet(bytes(8))
            packet.stream, packet.time_base = copy, _MILLISECOND
            packet.pts = packet.dts = 0
            packet.duration, packet.is_keyframe = 1000, True
            output.mux(packet)
    if has_extra_tags:
        append_tags(memory, extra_tags(format_name, tags), format_name)
    memory.seek(0)
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


def _add_trial_stream(output: OutputContainer, stream: StreamInfo) -> Any:
    codec = _TRIAL_CODECS[stream.type]
    if stream.type == "subtitle" and output.format.name in _MOV_FORMATS:
        codec = "mov_text"
    settings: dict[str, Any] = {"video": {"width": 16, "height": 16}, "audio": {"rate": 48000}}
    copy = output.add_mux_stream(codec, **settings.get(stream.type, {}))
    copy.time_base = _MILLISECOND
    copy.metadata.update(stream.metadata)
    copy.disposition = sum((Disposition[name] for name in stream.disposition), Disposition(0))
    return copy


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
