"""Decides which films of an archive are coloured, and where; nothing is coloured twice.

An output that is finished, but not in the books, is compared with its film once more and entered:
the program or the power ended between its rename and the entry, or the books were lost.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import filmcolor.weights as weights_store
from filmcolor.errors import FilmcolorError, OutputError
from filmcolor.farm.archive_captions import check_captions, films_with_captions
from filmcolor.farm.archive_files import FileFacts, fold_name, is_same, look_again, read_facts
from filmcolor.farm.archive_records import (
    FAILED,
    FILM_REPLACED,
    OUTPUT_CHANGED,
    OUTPUT_MISSING,
    VERIFIED,
    WAITING,
    FilmRecord,
    Source,
)
from filmcolor.farm.archive_review import film_path, output_facts, running
from filmcolor.farm.manifest import Manifest, now
from filmcolor.output.encoder import av_versions
from filmcolor.output.plan import plan_output
from filmcolor.output.verify import verify_output
from filmcolor.pipeline.models import model_identity
from filmcolor.pipeline.report import (
    Report,
    describe_damage,
    describe_times,
    describe_verification,
)
from filmcolor.pipeline.run import RunSettings
from filmcolor.segments.journal import discard_segments, is_being_written
from filmcolor.types.film import FilmInfo, Part
from filmcolor.version import __version__
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe

_TAG = "colour added by filmcolor"  # the beginning of the note that outputs carry
_BATCH = 50  # films between two entries in the books
_PATIENCE_SECONDS = 60.0  # for the processes of a run that was killed to end
_MACHINE_OPTIONS = ("device", "batch_size")  # they do not change colours
LATE_ENTRY = (
    "it was finished before, but not in the books: compared with the film once more; notes about "
    "its shots are lost"
)

_log = logging.getLogger(__name__)
Failed = Callable[[FilmRecord, Path, FilmcolorError], None]
Adopted = Callable[[Path, Report], None]


@dataclass(frozen=True, slots=True)
class Work:
    """A film to colour, and where its output goes."""

    record: FilmRecord
    film: Path
    output: Path


def describe_settings(settings: RunSettings) -> dict[str, Any]:
    """Return what outputs were made with, for the books: options, versions, weights."""
    options = settings.options
    names = {name: v for name, v in asdict(options).items() if name not in _MACHINE_OPTIONS}
    return {
        "filmcolor": __version__,
        "libraries": {name: ".".join(map(str, v)) for name, v in av_versions().items()},
        "weights_sha256": weights_store.sha256(weights_store.find(options.weights)),
        **model_identity(options),
        "options": names,
        "encoding": asdict(settings.encoding),
        "tag": settings.tag,
    }


def states_to_color(retry: bool, force: bool) -> frozenset[str]:
    """Return the states of films that a run colours."""
    states = {WAITING}
    if retry:
        states |= {FAILED, FILM_REPLACED, OUTPUT_MISSING}
    return frozenset(states | {OUTPUT_CHANGED} if retry and force else states)


def plan_films(
    manifest: Manifest,
    sources: Sequence[Source],
    settings: RunSettings,
    settings_id: int,
    *,
    retry: bool,
    force: bool,
    failed: Failed,
    adopted: Adopted,
) -> list[Work]:
    """Return the films to colour, the longest first, and enter their outputs in the books.

    Films that were in work when a run was cut off come last: if one of them ends the program, the
    others are done by then. `failed(record, path, error)`: for a film that cannot be coloured.
    `adopted(path, report)`: for one whose output is finished already.
    """
    by_id = {source.id: source for source in sources}
    films = manifest.films()
    has_captions = settings.encoding.captions
    taken = {_key(f.output, has_captions): f.id for f in films if f.output is not None}
    captioned = films_with_captions(manifest) if has_captions else frozenset()
    states = states_to_color(retry, force)
    chosen = [film for film in films if film.source_id in by_id and film.state in states]
    planned: list[Work] = []
    if len(chosen) > _BATCH:
        _log.info("reading the headers of %d films", len(chosen))
    for first in range(0, len(chosen), _BATCH):
        with manifest.transaction():
            for film in chosen[first : first + _BATCH]:
                source = by_id[film.source_id]
                path = film_path(source, film.path)
                try:
                    if film.settings_id != settings_id or film.state != WAITING:
                        film = _plan(manifest, film, source, settings, settings_id, taken)
                    work = Work(film, path, manifest.folder / PurePosixPath(film.output or ""))
                    if not force and is_foreign(work):
                        adopted(path, _adopt(manifest, work, settings))
                        continue
                    if has_captions and not force and film.id not in captioned:
                        check_captions(work.output)
                    planned.append(work)
                except FilmcolorError as error:
                    failed(film, path, error)
    planned.sort(key=lambda work: (work.record.deaths, -(work.record.film_seconds or 0.0)))
    return planned


def _plan(
    manifest: Manifest,
    film: FilmRecord,
    source: Source,
    settings: RunSettings,
    settings_id: int,
    taken: dict[str, int],
) -> FilmRecord:
    """Enter where a film's output goes, and its length; raises a FilmcolorError."""
    info = settings.options.probe(film_path(source, film.path))
    beside = plan_output(info, None, settings.encoding).path
    place = PurePosixPath(source.subfolder, *_place(beside.parent, source.path))
    has_captions = settings.encoding.captions
    output = _free_name(place, beside.name, info, film.id, taken, has_captions)
    taken[_key(output, has_captions)] = film.id
    changes: dict[str, Any] = {"settings_id": settings_id, "film_seconds": _seconds(info)}
    if output != film.output:
        changes |= {"output": output, "output_size": None, "output_modified_ns": None}
        changes |= {"output_ends": None, "output_sha256": None}
    manifest.update("films", film.id, **changes)
    return manifest.film(film.id)


def _place(folder: Path, root: Path) -> tuple[str, ...]:
    """Return the folders below a source; none for a film that is the source, a folder of images."""
    return folder.relative_to(root).parts if folder.is_relative_to(root) else ()


def _free_name(
    place: PurePosixPath,
    name: str,
    info: FilmInfo,
    film_id: int,
    taken: dict[str, int],
    has_captions: bool,
) -> str:
    """Return the path of an output that no other film has.

    Of a.avi and a.mov one becomes a.color.mp4, the other a.mov.color.mp4.
    """
    suffix = name[name.rindex(".") :]
    candidates = [name, f"{info.path.name}.color{suffix}"]
    candidates += [f"{info.path.name}-{number}.color{suffix}" for number in range(2, 100)]
    paths = [(place / candidate).as_posix() for candidate in candidates]
    keys = {path: _key(path, has_captions) for path in paths}
    free = (path for path in paths if taken.get(keys[path], film_id) == film_id)
    path = next(free, None)
    if path is None:
        raise OutputError(f"{info.path}: no name is left for its output; rename the film")
    return path


def _key(output: str, has_captions: bool) -> str:
    """Return what no two outputs may share: the path; without suffix where captions lie beside."""
    return fold_name(str(PurePosixPath(output).with_suffix("")) if has_captions else output)


def _seconds(info: FilmInfo) -> float | None:
    if info.duration_seconds is not None:
        return float(info.duration_seconds)
    frames = info.num_frames_estimate
    return float(frames / info.frame_rate) if frames else None


# ------------------------------------------------------------ outputs that are there


def is_foreign(work: Work) -> bool:
    """Return whether there is another file at an output's place than the books have there."""
    recorded = output_facts(work.record)
    facts = look_again(work.output, recorded) if recorded else read_facts(work.output)
    return facts is not None and (recorded is None or not is_same(facts, recorded))


def _adopt(manifest: Manifest, work: Work, settings: RunSettings) -> Report:
    """Enter an output that the books do not have; raises OutputError when it is not the film's."""
    remedy = "move it away, or add --force to replace it"
    tags: Mapping[str, str] = {}
    with suppress(FilmcolorError):
        tags = probe(work.output).metadata
    # where an attempt was begun, the books know what was there before
    if work.record.attempts == 0 and not any(_TAG in value for value in tags.values()):
        raise OutputError(f"{work.output} exists and is not in the books; {remedy}")
    try:
        report = check_again(work.film, work.output, settings)
    except FilmcolorError as error:
        raise OutputError(
            f"{work.output} exists and is not this film's ({error}); {remedy}"
        ) from error
    facts = read_facts(work.output)
    if facts is not None:
        enter_output(manifest, work.record, facts, report)
    return report


def check_again(film: Path, output: Path, settings: RunSettings) -> Report:
    """Compare a finished output with its film as its run did, and return a report.

    The film is decoded for its damage. Raises VerifyError, which names the first difference.
    """
    options = settings.options
    info = replace(options.probe(film), is_deinterlaced=False)
    index = FrameIndex.read(info)
    part = Part(origin=info.origin)
    plan = plan_output(
        replace(info, is_deinterlaced=options.deinterlace), output, settings.encoding
    )
    pts: list[int] = []
    faults: dict[int, str] = {}
    for frame in read_luma(info, index=index):
        pts.append(frame.pts)
        if frame.fault:
            faults[frame.pts] = frame.fault
    verify_output(info, output, pts, part, plan.stream_plan.copied)
    length = (pts[-1] - pts[0]) * info.time_base + 1 / info.frame_rate
    notes = (*plan.notes, *describe_times(info, index), LATE_ENTRY)
    damage = describe_damage(info, index, part, pts, faults)
    return Report(output, len(pts), float(length), 0.0, notes, damage)


def enter_output(
    manifest: Manifest, film: FilmRecord, facts: FileFacts, report: Report, **changes: Any
) -> None:
    """Enter a film as verified, with the facts of its output, which is on the disk."""
    manifest.update(
        "films",
        film.id,
        state=VERIFIED,
        output_size=facts.size,
        output_modified_ns=facts.modified_ns,
        output_ends=facts.ends,
        output_sha256=None,
        verified_at=now(),
        verdict=describe_verification(report),
        notes=report.notes,
        damage=report.damage,
        error=None,
        frames=report.num_frames,
        frames_done=report.num_frames,
        film_seconds=report.film_seconds,
        **changes,
    )


def recover(manifest: Manifest, settings: RunSettings, adopted: Adopted) -> None:
    """Bring the books in line with what a run that was cut off has left.

    Its films are waiting again; those whose output was finished meanwhile are verified. Waits for
    processes of that run which are still writing.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for film, path in running(manifest):
        output = manifest.folder / PurePosixPath(film.output or "")
        while is_being_written(output) and time.monotonic() < deadline:
            time.sleep(0.1)
        work, report = Work(film, path, output), None
        if is_foreign(work):
            with suppress(FilmcolorError):
                report = check_again(path, output, settings)
        with manifest.transaction():
            facts = read_facts(output)
            ending = "cut off" if report is None or facts is None else "verified"
            if report is None or facts is None:
                manifest.update("films", film.id, state=WAITING, deaths=film.deaths + 1)
            else:
                enter_output(manifest, film, facts, report)
                discard_segments(output)
                adopted(path, report)
            manifest.update_last_attempt(film.id, ended_at=now(), ending=ending)
    for run in manifest.runs():
        if run["ending"] is None:
            manifest.update("runs", run["id"], ended_at=now(), ending="cut off")
