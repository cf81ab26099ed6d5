"""Joins the finished segments of a run to its film, and verifies it.

Whatever is found only now, hours of work are not thrown away for it: a film that differs from its
source is kept under another name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filmcolor.errors import VerifyError
from filmcolor.output.image_formats import IMAGE_SEQUENCE
from filmcolor.output.image_writer import ImageWriter
from filmcolor.output.options import OutputPlan
from filmcolor.output.streams import StreamCopyError
from filmcolor.output.verify import verify_output
from filmcolor.output.writer import FilmWriter
from filmcolor.runtime.profiler import Profiler, section
from filmcolor.segments.concat import concatenate
from filmcolor.segments.journal import Journal, Segment
from filmcolor.types.film import FilmInfo, Part, StreamInfo


@dataclass(frozen=True, slots=True)
class JoinedFilm:
    """A film that has its name: the times of its frames, and damage of the copied streams.

    `notes`: lines for people about what else lies where it was written.
    """

    pts: list[int]
    damage: tuple[str, ...]
    notes: tuple[str, ...] = ()


def join_segments(
    info: FilmInfo,
    plan: OutputPlan,
    part: Part,
    journal: Journal,
    segments: Sequence[Segment],
    profiler: Profiler | None = None,
) -> JoinedFilm:
    """Join segments to the film of a plan, verify it, and give it its name.

    Raises VerifyError when the film differs from its source; it is then kept as
    NAME.unverified.EXT, without the streams that could not be written. Other errors leave the
    segments as they are.
    """
    differences: list[str] = []
    partial = journal.partial_path("joined")
    while True:
        try:
            with _make_writer(info, plan, part, profiler, partial) as writer:
                pts = concatenate(journal, segments, writer)
                writer.finish()
                with section(profiler, "verify"):
                    differences += _differences(info, plan, part, pts, writer)
                writer.keep(unverified_path(plan.path) if differences else plan.path)
            break
        except StreamCopyError as error:
            differences.append(str(error))
            plan = _without(plan, error.stream)
    if differences:
        raise VerifyError(
            f"{'; '.join(differences)}; the coloured film is kept as {unverified_path(plan.path)}"
        )
    notes = writer.notes if isinstance(writer, ImageWriter) else ()
    return JoinedFilm(pts, writer.repair.damage, notes)


def _make_writer(
    info: FilmInfo, plan: OutputPlan, part: Part, profiler: Profiler | None, partial: Path
) -> FilmWriter | ImageWriter:
    if plan.format == IMAGE_SEQUENCE:
        return ImageWriter(info, plan, partial)
    return FilmWriter(info, plan, part, profiler, partial)


def unverified_path(path: Path) -> Path:
    """Return the path of a finished film that differs from its source, for an output's path."""
    return path.with_name(f"{path.stem}.unverified{path.suffix}")


def _differences(
    info: FilmInfo, plan: OutputPlan, part: Part, pts: list[int], writer: FilmWriter | ImageWriter
) -> list[str]:
    """Return the first difference of a finished film from its source, none if it has none."""
    copied = plan.stream_plan.copied
    try:
        verify_output(info, writer.partial, pts, part, copied, writer.repair)
    except VerifyError as error:
        return [str(error).replace(str(writer.partial), plan.path.name)]
    return []


def _without(plan: OutputPlan, stream: StreamInfo) -> OutputPlan:
    """Return a plan that leaves out a stream."""
    streams = plan.stream_plan
    copied = tuple(other for other in streams.copied if other != stream)
    return replace(
        plan, stream_plan=replace(streams, copied=copied, left_out=(*streams.left_out, stream))
    )
