"""Compares the description of an output with its film's: tags, dispositions, timecode, chapters.

An output must hold what its container can keep, which is tried out (`metadata.write_back`); the
notes of a plan name the rest.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from filmcolor.errors import VerifyError
from filmcolor.output.matroska_chapters import cut_matroska_chapters
from filmcolor.output.metadata import (
    film_tags,
    keeps_timecode,
    missing_tags,
    stream_tags,
    write_back,
)
from filmcolor.output.muxing import cut_chapters
from filmcolor.output.side_data_comparison import compare_side_data
from filmcolor.output.timecode import output_timecode
from filmcolor.types.film import Chapter, FilmInfo, Part, StreamInfo
from filmcolor.video.matroska import read_details

_CHAPTER_TOLERANCE = Fraction(1, 500)  # seconds: containers round chapters to 1 ms
_COMMENT = "comment"


def compare_description(source: FilmInfo, result: FilmInfo, part: Part) -> None:
    """Raise VerifyError where a part of a film has lost tags, timecode, chapters or side data."""
    format_name = container_format(result)
    tags = film_tags(source.metadata)
    kept = write_back(format_name, tags).tags
    found = {**result.metadata, **_own_comment(tags, result.metadata)}
    if names := _lost_tags(tags, kept, found):
        raise VerifyError(f"{result.path} has lost tags of the film: {', '.join(names)}")
    _compare_timecode(source, result, part)
    _compare_chapters(source, result, part)
    compare_stream_tags(_picture(source), _picture(result), source, result)
    compare_side_data(source, result)
    titles, copied = (_attachment_titles(film) for film in (source, result))
    if len(titles) == len(copied) and titles != copied:
        raise VerifyError(f"{result.path} has attachments with other descriptions")


def compare_stream_tags(
    original: StreamInfo, copy: StreamInfo, source: FilmInfo, result: FilmInfo
) -> None:
    """Raise VerifyError where the copy of a stream has lost tags or dispositions.

    The language is compared with the packets.
    """
    tags = _comparable_tags(original, source)
    wanted = replace(original, metadata=tags)
    for kept in write_back(container_format(result), {}, (wanted,)).streams:
        copied = _comparable_tags(copy, result)
        names = _lost_tags(tags, _comparable_tags(kept, result), copied)
        flags = set(original.disposition) & set(kept.disposition) - set(copy.disposition)
        if names or flags:
            names += sorted(flags)
            raise VerifyError(f"{result.path}: {copy.name} has lost: {', '.join(names)}")


def container_format(result: FilmInfo) -> str:
    """Return FFmpeg's name of an output's container: "mp4", "mov" or "matroska"."""
    if "matroska" in result.container:
        return "matroska"
    return "mov" if result.metadata.get("major_brand", "").strip() == "qt" else "mp4"


def _comparable_tags(stream: StreamInfo, film: FilmInfo) -> dict[str, str]:
    tags = stream_tags(stream.metadata, stream.index == film.video_index)
    return {name: value for name, value in tags.items() if name != "language"}


def _lost_tags(
    tags: Mapping[str, str], kept: Mapping[str, str], found: Mapping[str, str]
) -> list[str]:
    """Return the names of tags that the container keeps, but that were not found."""
    unkept = missing_tags(tags, kept)
    return [name for name in missing_tags(tags, found) if name not in unkept]


def _own_comment(tags: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return the film's own comment if the output's begins with it, and goes on with ours."""
    comments = [v for n, v in tags.items() if n.lower() == _COMMENT]
    others = {n: v for n, v in found.items() if n.lower() == _COMMENT}
    return {n: c for n, v in others.items() for c in comments if v.startswith(f"{c}; ")}


def _attachment_titles(film: FilmInfo) -> list[str | None]:
    return [s.metadata.get("title") for s in film.streams if s.type == "attachment"]


def _picture(film: FilmInfo) -> StreamInfo:
    return next(stream for stream in film.streams if stream.index == film.video_index)


def _compare_timecode(source: FilmInfo, result: FilmInfo, part: Part) -> None:
    expected = output_timecode(source, part)
    if expected is None:
        return
    is_kept = result.timecode is not None or keeps_timecode(
        container_format(result), expected, source.frame_rate
    )
    if is_kept and result.timecode != expected:
        raise VerifyError(
            f"{result.path} begins at timecode {result.timecode} where {source.path} "
            f"is at {expected}"
        )


def _compare_chapters(source: FilmInfo, result: FilmInfo, part: Part) -> None:
    chapters = cut_chapters(source.chapters, part)
    original, copy = read_details(source).chapters, read_details(result).chapters
    if original is None or container_format(result) != "matroska":
        expected = write_back(container_format(result), {}, chapters=chapters).chapters
        _compare_chapter_lists(source, result, expected)
    elif cut_matroska_chapters(original, part) != cut_matroska_chapters(copy or b"", Part()):
        _compare_chapter_lists(source, result, chapters)  # names the difference, if it shows there
        raise VerifyError(f"{result.path} has other chapters than {source.path}")


def _compare_chapter_lists(
    source: FilmInfo, result: FilmInfo, expected: tuple[Chapter, ...]
) -> None:
    if len(result.chapters) != len(expected):
        raise VerifyError(
            f"{result.path} has {len(result.chapters)} chapters where {source.path} "
            f"has {len(expected)}"
        )
    for chapter, wanted in zip(result.chapters, expected):
        title, wanted_title = (c.metadata.get("title", "") for c in (chapter, wanted))
        if abs(chapter.start - wanted.start) > _CHAPTER_TOLERANCE or title != wanted_title:
            raise VerifyError(
                f"chapter {title!r} of {result.path} begins at {float(chapter.start):.3f} s where "
                f"{source.path} has {wanted_title!r} at {float(wanted.start):.3f} s"
            )
