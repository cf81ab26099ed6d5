"""The report of a run: speed, damaged frames, and shots that kept or lost their own chroma."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from filmcolor.network.machine import KERNELS
from filmcolor.output.image_formats import is_image_output
from filmcolor.timecodes import format_timecode
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import COLORED, DAMAGED, RETIMED, TINTED
from filmcolor.video.frame_index import FrameIndex

# measured, see docs/farm.md
_SEAMS = "colours differ a little where they meet; --strict-equal refuses that"
_MAX_RUNS = 5  # of frames that a line lists


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did: its output, its speed, and what a person should know about the result."""

    output: Path
    num_frames: int
    film_seconds: float
    wall_seconds: float
    notes: tuple[str, ...]  # differences from the film, and shots that were in colour
    damage: tuple[str, ...] = ()  # what of the film could not be shown as it was

    def __str__(self) -> str:
        rate = self.num_frames / max(self.wall_seconds, 1e-9)
        speed = self.film_seconds / max(self.wall_seconds, 1e-9)
        return (
            f"{self.num_frames} frames ({self.film_seconds:.1f} s) in {self.wall_seconds:.1f} s: "
            f"{rate:.1f} frames/s, {speed:.2f} × real time → {self.output}"
            + "".join(f"; {note}" for note in self.notes)
        )


def describe_verification(report: Report) -> str:
    """Return what a run has found to be the film's own before its output got its name.

    A run without a report ended with an error, which names the first difference.
    """
    if is_image_output(report.output):
        return f"compared with the film: {report.num_frames} images, numbered as its frames"
    return (
        f"compared with the film: {report.num_frames} frames at their times, the pixel shape, the "
        "chapters and every copied packet are the film's"
    )


def describe_machines(machines: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Return a line when the pieces of a film were coloured on machines of several kinds.

    `machines`: of each piece, see `network.machine`.
    """
    kinds = Counter(machine.get(KERNELS, "unknown") for machine in machines)
    versions = {
        tuple((name, value) for name, value in machine.items() if name != KERNELS)
        for machine in machines
    }
    if len(kinds) > 1:
        names = ", ".join(f"{name}: {num}" for name, num in sorted(kinds.items()))
        return (f"its pieces were coloured on machines of {len(kinds)} kinds ({names}); {_SEAMS}",)
    if len(versions) > 1:
        return (f"its pieces were coloured with several versions of libraries; {_SEAMS}",)
    return ()


def describe_damage(
    info: FilmInfo, index: FrameIndex, part: Part, pts: Sequence[int], faults: Mapping[int, str]
) -> tuple[str, ...]:
    """Return one line per kind of damage, with the number of frames and where they are.

    `pts`: times of the frames that were coloured; `faults`: their faults, by pts.
    """
    lines = []
    if index.is_exact or index.has_guessed_times:
        stop = len(index.pts) if part.stop is None else part.stop
        shown = set(pts)
        missing = [(n, index.pts[n]) for n in range(part.first, stop) if index.pts[n] not in shown]
        if missing:
            lines.append(
                f"{_count(len(missing))} could not be decoded, the previous one is shown longer: "
                + _list_frames(missing, info)
            )
    elif part.stop is None:
        num_missing = index.num_frames - part.first - len(pts)
        if num_missing > 0:
            lines.append(f"{_count(num_missing)} could not be decoded")
    for fault, message in (
        (DAMAGED, "damaged, coloured as far as they could be decoded"),
        (RETIMED, "without a timestamp, shown right after the previous one"),
    ):
        frames = [(n, time) for n, time in enumerate(pts, part.first) if faults.get(time) == fault]
        if frames:
            lines.append(f"{_count(len(frames))} {message}: {_list_frames(frames, info)}")
    if part.stop is None and index.num_packets < index.num_declared:
        is_frame_each = index.num_frames == index.num_packets - index.num_discarded
        noun = "frames" if is_frame_each else "coded pictures"
        lines.append(
            f"the film ends after {index.num_packets} of the {index.num_declared} {noun} that "
            "its header announces: it is incomplete"
        )
    return tuple(lines)


def describe_times(info: FilmInfo, index: FrameIndex) -> tuple[str, ...]:
    """Return lines about pictures that are not shown, and times that are not as stored."""
    lines = []
    if index.num_leading:
        num = index.num_leading
        subject = "1 picture refers" if num == 1 else f"{num} pictures refer"
        lines.append(f"{subject} to pictures that were cut off: not shown")
    is_usual = info.container in ("avi", "mxf")
    if index.has_guessed_times and info.has_times and not is_usual:
        lines.append("its timestamps are in coding order: frames take them in display order")
    return tuple(lines)


def describe_chroma_classes(
    info: FilmInfo,
    frames: Sequence[tuple[int, int]],
    classes: Sequence[str],
    kept: Collection[str],
) -> tuple[str, ...]:
    """Return one line per chroma class but monochrome, with what was done and where.

    `frames`: (number, pts) of the written frames, in display order; `classes`: theirs; `kept`: the
    classes whose frames kept the film's chroma.
    """
    lines = []
    for name, is_kept, message in (
        (COLORED, True, "in colour already, left as it is: {} (--recolor colours it)"),
        (TINTED, True, "tinted, left as it is: {}"),
        (TINTED, False, "tinted, coloured from its luma: {} (--keep-tint keeps the tint)"),
    ):
        if name in classes and is_kept == (name in kept):
            lines.append(message.format(_list_spans(info, frames, classes, name)))
    return tuple(lines)


def _count(num: int) -> str:
    return "1 frame" if num == 1 else f"{num} frames"


def _list_frames(frames: Sequence[tuple[int, int]], info: FilmInfo) -> str:
    """List runs of frames, (number, pts), by the time of their first."""
    runs = [
        [frame for _, frame in run]
        for _, run in groupby(enumerate(frames), key=lambda item: item[1][0] - item[0])
    ]
    return _list_runs(
        [f"{_time(info, run[0][1])} ({_numbers(run[0][0], run[-1][0])})" for run in runs], "places"
    )


def _list_spans(
    info: FilmInfo, frames: Sequence[tuple[int, int]], classes: Sequence[str], name: str
) -> str:
    """List runs of frames of a chroma class, by their times and numbers."""
    runs = [
        [index for index, _ in run]
        for this, run in groupby(enumerate(classes), key=lambda item: item[1])
        if this == name
    ]
    if len(runs[0]) == len(classes):
        return "all of it"
    spans = []
    for run in runs:
        (first, start), (last, end) = frames[run[0]], frames[run[-1]]
        is_last = run[-1] + 1 == len(frames)
        end = end + round(info.ticks_per_frame) if is_last else frames[run[-1] + 1][1]
        spans.append(f"{_time(info, start)} to {_time(info, end)} ({_numbers(first, last)})")
    return _list_runs(spans, "stretches")


def _list_runs(runs: Sequence[str], noun: str) -> str:
    rest = len(runs) - _MAX_RUNS
    return ", ".join(runs[:_MAX_RUNS]) + (f" and {rest} more {noun}" if rest > 0 else "")


def _time(info: FilmInfo, pts: int) -> str:
    return format_timecode(max(0.0, float(info.seconds(pts))))


def _numbers(first: int, last: int) -> str:
    return f"frame {first}" if first == last else f"frames {first} to {last}"
