"""What a container is opened with and holds besides streams, and the errors of writing it."""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer

from filmcolor.errors import ContainerError, OutputError
from filmcolor.files import remedy_for
from filmcolor.types.film import Chapter, Part

_MIN_MOVIE_TIMESCALE = 90_000  # ticks per second; FFmpeg's 1000 would round to 1 ms
_CHAPTER_TIME_BASE = Fraction(1, 1_000_000)


def muxer_options(format_name: str, time_base: Fraction) -> dict[str, str]:
    """Return the muxer's options that keep every timestamp as it is."""
    if format_name not in ("mp4", "mov"):
        # sound that begins before zero (AAC's priming) would move the whole film
        return {"avoid_negative_ts": "disabled"}
    ticks = time_base.denominator
    # a late start is written in the movie's ticks: a multiple of the picture's, at least as fine
    # as a sample of sound
    movie_ticks = ticks * math.ceil(_MIN_MOVIE_TIMESCALE / ticks)
    return {"video_track_timescale": str(ticks), "movie_timescale": str(movie_ticks)}


def cut_chapters(chapters: tuple[Chapter, ...], part: Part) -> tuple[Chapter, ...]:
    """Return the chapters that reach into a part, clipped to it and on its clock.

    A chapter without duration belongs to the part that its time belongs to; the whole film keeps
    all, also those at its very end.
    """
    clipped = []
    for chapter in chapters:
        start = chapter.start if part.start is None else max(chapter.start, part.start)
        end = chapter.end if part.end is None else min(chapter.end, part.end)
        if start < end or (chapter.end <= chapter.start and part.contains(chapter.start)):
            clipped.append(Chapter(start - part.offset, end - part.offset, chapter.metadata))
    return tuple(clipped)


def set_chapters(output: OutputContainer, chapters: tuple[Chapter, ...]) -> None:
    """Write chapters into a container.

    In MP4 and MOV chapters fill the whole film, each up to the next: if the first begins later, one
    without a title comes before it. Chapters without a title get an empty one there, or FFmpeg
    would take the next one's.
    """
    chapters = tuple(sorted(chapters, key=lambda chapter: chapter.start))
    if output.format.name in ("mp4", "mov"):
        if chapters and chapters[0].start > 0:
            chapters = (Chapter(Fraction(0), chapters[0].start, {}), *chapters)
        chapters = tuple(replace(c, metadata={"title": "", **c.metadata}) for c in chapters)
    output.set_chapters(
        [
            {
                "id": number,
                "start": round(chapter.start / _CHAPTER_TIME_BASE),
                "end": round(chapter.end / _CHAPTER_TIME_BASE),
                "time_base": _CHAPTER_TIME_BASE,
                "metadata": dict(chapter.metadata),
            }
            for number, chapter in enumerate(chapters)
        ]
    )


@contextmanager
def translate_write_errors(path: Path) -> Iterator[None]:
    """Raise an OutputError of one line, with a remedy, for an error of writing a file."""
    try:
        yield
    except OutputError:
        raise
    except (av.error.FFmpegError, OSError) as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: Exception) -> OutputError:
    """Return an OutputError of one line, with a remedy, for an error of writing a file."""
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or error
    error_class = ContainerError if number == errno.EINVAL else OutputError
    return error_class(f"{path} cannot be written ({reason}); {remedy_for(error)}")


def close_quietly(output: OutputContainer) -> None:
    """Close a file that will be deleted, ignoring errors: a full disk would fail once more."""
    with suppress(av.error.FFmpegError, OSError):
        output.close()
