"""Says before a run what an output will not hold of its film, besides streams.

Each is tried out with the container, or the encoder, of the plan.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from filmcolor.output.encoder import has_alpha
from filmcolor.output.metadata import film_tags, missing_tags, stream_tags, write_back
from filmcolor.output.muxing import cut_chapters
from filmcolor.output.options import OutputPlan
from filmcolor.output.timecode import shift_timecode
from filmcolor.types.film import Chapter, FilmInfo, Part, StreamInfo
from filmcolor.video.side_data import CAPTIONS, describe_kind

_TOLERANCE = Fraction(1, 500)  # seconds: containers round chapters to 1 ms


def film_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each thing beside the picture that the planned output lacks."""
    yield from _side_data_notes(info, plan)
    yield from _tag_notes(info, plan)
    yield from _chapter_notes(info, plan)
    if info.timecode is not None and plan.keeps_timecode:
        if shift_timecode(info.timecode, 0, info.frame_rate) is None:
            yield (
                f"timecode {info.timecode} is kept, but an excerpt gets none: "
                f"it numbers no frames at {float(info.frame_rate):.3f}/s"
            )


def _side_data_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    if info.has_alpha and not has_alpha(plan.pix_fmt):
        yield "transparency (alpha) left out; --for master and --for edit keep it"
    for kind in info.side_data:
        description = describe_kind(kind)
        if description and kind not in plan.kept_side_data:
            yield f"left out, {plan.codec} in {plan.path.suffix} does not keep {description}"


def _tag_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    suffix, tags = plan.path.suffix, film_tags(info.metadata)
    if names := missing_tags(tags, write_back(plan.format, tags).tags):
        yield f"{suffix} does not keep the film's tags {', '.join(names)}"
    for stream in info.streams:
        is_picture = stream.index == info.video_index
        if not is_picture and stream not in plan.stream_plan.copied:
            continue
        wanted = replace(stream, metadata=stream_tags(stream.metadata, is_picture))
        for kept in write_back(plan.format, {}, (wanted,)).streams:
            names = missing_tags(wanted.metadata, stream_tags(kept.metadata))
            names = [name for name in names if name != "language"]
            flags = set(stream.disposition) - set(kept.disposition)
            if names or flags:
                names += sorted(flags)
                yield f"{suffix} does not keep {', '.join(names)} of {stream.name}"


def _chapter_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    chapters = cut_chapters(info.chapters, Part(origin=info.origin))
    kept = write_back(plan.format, {}, chapters=chapters).chapters
    starts = [(chapter.start, _title(chapter)) for chapter in kept]
    suffix = plan.path.suffix
    for chapter in chapters:
        if not any(
            abs(start - chapter.start) <= _TOLERANCE and title == _title(chapter)
            for start, title in starts
        ):
            yield f"{suffix} does not keep chapter {_title(chapter)!r} at {float(chapter.start):.3f} s"
    ...


def _title(chapter: Chapter) -> str:
    return chapter.metadata.get("title", "")
