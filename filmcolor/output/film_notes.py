"""Says before a run what an output will not hold of its film, besides streams.

Each is tried out with the container, or the encoder, of the plan.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from filmcolor.output.captions import is_caption_track
from filmcolor.output.encoder import has_alpha
from filmcolor.output.metadata import film_tags, missing_tags, stream_tags, write_back
from filmcolor.output.muxing import cut_chapters
from filmcolor.output.options import OutputPlan
from filmcolor.output.timecode import shift_timecode
from filmcolor.types.film import Chapter, FilmInfo, Part
from filmcolor.video.matroska import ChapterCount, count_chapters, read_details
from filmcolor.video.side_data import (
    CAPTIONS,
    DOLBY_VISION,
    STEREO_3D,
    TIMECODES,
    describe_kind,
)
from filmcolor.video.track_header import has_dolby_vision, read_cropped_size

_CAPTIONS_OFFER = "--captions writes them beside it, as .scc and .srt"
_TOLERANCE = Fraction(1, 500)  # seconds: containers round chapters to 1 ms


def film_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each thing beside the picture that the planned output lacks."""
    yield from _side_data_notes(info, plan)
    yield from _tag_notes(info, plan)
    yield from _matroska_notes(info, plan)
    yield from _chapter_notes(info, plan)
    timecode, rate = info.timecode, info.frame_rate
    if timecode and plan.keeps_timecode and shift_timecode(timecode, 0, rate) is None:
        yield (
            f"timecode {timecode} is kept, but an excerpt gets none: "
            f"it does not number frames at {float(rate):.3f}/s"
        )


def _side_data_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    picture = next(stream for stream in info.streams if stream.index == info.video_index)
    tags = {name.lower() for name in picture.metadata}
    if info.has_alpha and not has_alpha(plan.pix_fmt):
        yield "transparency (alpha) left out; --for master and --for edit keep it"
    if "alpha_mode" in tags and not info.has_alpha:
        yield f"transparency (alpha) left out: FFmpeg's decoder of {info.codec} does not read it"
    lost = [kind for kind in info.side_data if kind not in plan.kept_side_data]
    if TIMECODES in lost and info.timecode is not None:
        lost.remove(TIMECODES)  # the film's timecode counts them
    is_matroska = plan.format in ("matroska", "webm")
    if "stereo_mode" in tags and STEREO_3D not in info.side_data and not is_matroska:
        lost.append(STEREO_3D)  # of anaglyphs there is no side data
    if has_dolby_vision(info):
        lost.append(DOLBY_VISION)
    place = f"{plan.codec} in {plan.path.suffix}"
    for description in dict.fromkeys(filter(None, map(describe_kind, lost))):
        yield f"left out, {place} does not keep {description}"
    if CAPTIONS in lost and not plan.writes_captions:
        yield f"closed captions: {_CAPTIONS_OFFER}"
    if size := read_cropped_size(info):
        yield (
            f"cropping to {size[0]}×{size[1]} left out: all of {info.width}×{info.height} is kept, "
            "and shown"
        )
    if any(is_caption_track(s) for s in plan.stream_plan.left_out) and not plan.writes_captions:
        yield f"the film has a track of closed captions: {_CAPTIONS_OFFER}"


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


def _matroska_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    """Yield a line for each detail of Matroska that FFmpeg does not read, or not in full."""
    details = read_details(info)
    kept = {stream.index for stream in plan.stream_plan.copied} | {info.video_index}
    for stream, language in ((s, details.languages.get(s.index)) for s in info.streams):
        if language and stream.index in kept:
            code = stream.language or "und"
            yield f"language {language} of {stream.name} becomes {code}: FFmpeg reads no BCP 47"
    if details.repeated_tags:
        names = ", ".join(details.repeated_tags)
        yield f"of tags that the film has several times the last one is kept: {names}"
    if details.binary_tags:
        yield f"binary tags left out: {', '.join(details.binary_tags)}"
    if details.nested_tags:
        yield f"tags within tags become tags of the film: {', '.join(details.nested_tags)}"


def _chapter_notes(info: FilmInfo, plan: OutputPlan) -> Iterator[str]:
    chapters = cut_chapters(info.chapters, Part(origin=info.origin))
    suffix, data = plan.path.suffix, read_details(info).chapters
    if data is not None and plan.format == "matroska":
        names = {name for chapter in chapters for name in chapter.metadata if name != "title"}
        if names:
            yield f"tags of chapters left out: {', '.join(sorted(names))}"
        return
    if data is not None:
        yield from _flattening_notes(count_chapters(data), len(chapters), suffix)
    kept = write_back(plan.format, {}, chapters=chapters).chapters
    for chapter in chapters:
        copy = next((c for c in kept if _is_same_chapter(c, chapter)), None)
        name = f"chapter {_title(chapter)!r} at {float(chapter.start):.3f} s"
        if copy is None:
            yield f"{suffix} does not keep {name}"
        elif lost := missing_tags(chapter.metadata, copy.metadata):
            yield f"{suffix} does not keep {', '.join(lost)} of {name}"
    if kept and kept[0].start < min(chapter.start for chapter in chapters) - _TOLERANCE:
        yield f"{suffix} has chapters from 0 on: one without a title comes before the first"
    ends = zip(kept[-len(chapters) :], sorted(chapters, key=lambda chapter: chapter.start))
    if any(abs(copy.end - chapter.end) > _TOLERANCE for copy, chapter in ends):
        yield f"{suffix} ends each chapter where the next begins"


def _flattening_notes(count: ChapterCount, num_kept: int, suffix: str) -> Iterator[str]:
    """Yield a line if a flat list of chapters lacks some of a Matroska film's."""
    parts = {
        "sub-chapters": count.num_nested,
        "hidden or disabled chapters": count.num_hidden,
        "further editions": count.num_editions - 1,
        "further titles": count.num_titles - count.num_chapters,
    }
    names = [f"{number} {name}" for name, number in parts.items() if number > 0]
    if count.num_chapters > num_kept or names:
        text = f" ({', '.join(names)})" if names else ""
        yield (
            f"{suffix} keeps {num_kept} of {count.num_chapters} chapters{text}, as a flat list "
            "with one title each; .mkv keeps all"
        )


def _is_same_chapter(one: Chapter, other: Chapter) -> bool:
    return abs(one.start - other.start) <= _TOLERANCE and _title(one) == _title(other)


def _title(chapter: Chapter) -> str:
    return chapter.metadata.get("title", "")
