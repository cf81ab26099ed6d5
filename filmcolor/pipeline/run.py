"""Colours one film: plans the output, colours its missing segments, joins and verifies them.

Every film is coloured in segments, the shortest too: one way to write, which is always tested. One
pass of the colour stages runs through all segments, so only a resumed run, or a process among
several, pays for the frames around its range.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import filmcolor.weights as weights_store
from filmcolor.errors import InputError, OtherMachineError, PlanError, VerifyError
from filmcolor.files import check_target
from filmcolor.guidance.colored_film import check_output
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.references import digest_of
from filmcolor.network.machine import differences, machine_record
from filmcolor.output.captions import describe_captions, sidecar_paths
from filmcolor.output.encoder import av_versions
from filmcolor.output.image_formats import IMAGE_SEQUENCE
from filmcolor.output.image_names import check_image_target
from filmcolor.output.image_writer import MOVING
from filmcolor.output.options import Encoding, OutputPlan
from filmcolor.output.plan import plan_output
from filmcolor.pipeline.colorizer import Colorizer, context_of
from filmcolor.pipeline.join import join_segments
from filmcolor.pipeline.models import model_identity, prepare_key_frames, settle
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.report import (
    Report,
    describe_chroma_classes,
    describe_damage,
    describe_machines,
    describe_times,
)
from filmcolor.runtime.profiler import Profiler
from filmcolor.segments.journal import (
    FinishedSegment,
    Identity,
    Journal,
    Segment,
    explain_resume,
    identify_source,
)
from filmcolor.segments.segment import Lookahead, split_into_segments, write_segments
from filmcolor.types.film import WHOLE, FilmInfo, Part, TimeRange
from filmcolor.types.frames import ColorFrame
from filmcolor.version import __version__
from filmcolor.video.decoder import resolve
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.sequence_names import file_state

Progress = Callable[[int, int | None], None]  # frames done, total if known

_DIGEST_LENGTH = 16  # hexadecimal digits


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings of a run besides the film and the output; the films of a batch share them."""

    options: ColorOptions
    encoding: Encoding
    time_range: TimeRange = WHOLE
    force: bool = False  # replace an existing output
    restart: bool = False  # discard the segments of an interrupted run
    tag: bool = True  # say in the output's metadata that its colour was added
    strict_equal: bool = False  # refuse machines of other kinds than this one


@dataclass(slots=True, eq=False)
class Run:
    """One film on its way into colour: what will be written, and which segments are finished."""

    info: FilmInfo
    plan: OutputPlan
    part: Part
    index: FrameIndex
    guidance: Guidance
    options: ColorOptions
    journal: Journal
    segments: Sequence[Segment]
    weights: str  # digest
    is_restart: bool
    source_state: tuple[int, int] | None  # changes when the film's file does
    machine: Mapping[str, str] | None = None  # that all must be like, None if any will do

    @classmethod
    def prepare(
        cls,
        film: str | Path,
        output: str | Path | None,
        settings: RunSettings,
        folder: Path | None = None,
    ) -> "Run":
        """Return the run of a film, after reading its index, references and palette.

        `folder`: of its segments, which is kept then; beside the output by default. Raises a
        FilmcolorError when it cannot be done, before anything is written.
        """
        state = file_state(Path(film))  # before anything is read
        options = settings.options
        info = options.probe(film)
        plan = plan_output(info, None if output is None else Path(output), settings.encoding)
        journal = Journal(plan.path, folder)
        options = settle(options, None if settings.restart else journal.previous_setting("anchors"))
        weights = weights_digest(options)
        tag = f"colour added by filmcolor {__version__}, weights {weights}"
        if options.model:
            tag += f", model {model_identity(options)['model']}"
        plan = replace(plan, tag=tag if settings.tag else "")
        if plan.format == IMAGE_SEQUENCE:
            is_resumed = (journal.folder / MOVING).exists()
            check_image_target(plan.path, info.path, settings.force or is_resumed)
        else:
            check_target(plan.path, info.path, settings.force)
        for path in sidecar_paths(plan.path) if plan.writes_captions else ():
            check_target(path, info.path, settings.force)
        index = FrameIndex.read(info)
        part = resolve(info, settings.time_range, index)
        guidance = options.read_guidance(info, index)
        check_output(plan.path, guidance.colored_films)
        if options.model:
            guidance = replace(guidance, model_folder=journal.folder, anchors=options.anchors)
        return cls(
            info=info,
            plan=plan,
            part=part,
            index=index,
            guidance=guidance,
            options=options,
            journal=journal,
            segments=split_into_segments(index, part, info.frame_rate),
            weights=weights,
            is_restart=settings.restart,
            source_state=state,
            machine=machine_record(options.device) if settings.strict_equal else None,
        )

    @property
    def num_frames(self) -> int | None:
        """The number of frames to colour, None if unknown."""
        if self.part.stop is not None:
            return self.part.stop - self.part.first
        return self.index.num_frames or self.info.num_frames_estimate

    def missing(self) -> list[list[Segment]]:
        """Return the unfinished segments, consecutive ones in one list."""
        return self.journal.missing(self.segments)

    def num_done(self) -> int:
        """Return the number of frames in finished segments."""
        return sum(len(segment.pts) for segment in self.journal.finished().values())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the output, and take over the segments of an interrupted run."""
        with self.journal:
            self.segments = self.journal.begin(self._identity(), self.segments, self.is_restart)
            with explain_resume(self.journal, self.segments):
                yield

    def find_key_frames(self, progress: Progress | None = None) -> None:
        """Choose the frames that a model colours, in one pass over the film's luma.

        Call it while the output is locked; an interrupted run's choice is taken over.
        """
        if self.options.model and self.guidance.key_frames is None and self.missing():
            context = context_of(self.part, self.info, self.options)
            key_frames = prepare_key_frames(
                self.info, context, self.options, self.index, self.journal.folder, progress
            )
            key_frames = tuple(k for k in key_frames if k.serves(self.part))
            self.guidance = replace(self.guidance, key_frames=key_frames)

    def frames(
        self,
        first: Segment,
        last: Segment,
        colorizer: Colorizer,
        profiler: Profiler | None = None,
    ) -> Generator[ColorFrame, None, None]:
        """Yield the finished frames of consecutive segments, for `write`."""
        return colorizer.frames(
            self.info,
            Part(first.first, last.stop),
            target=self.plan.coding,
            subsampling=self.plan.subsampling,
            index=self.index,
            guidance=self.guidance,
            profiler=profiler,
        )

    def write(
        self,
        segments: Sequence[Segment],
        frames: Lookahead[ColorFrame],
        profiler: Profiler | None = None,
    ) -> Iterator[ColorFrame]:
        """Write consecutive segments; yield each frame once the encoder has it.

        Raises OtherMachineError when all machines must be of the kind of the plan's.
        """
        machine = machine_record(self.options.device)
        self._check_machine(machine)
        return write_segments(
            self.journal, segments, frames, self.info, self.plan, machine, profiler
        )

    def _check_machines(self, finished: Mapping[int, FinishedSegment]) -> None:
        if self.machine is None:
            return
        others = [n for n, s in sorted(finished.items()) if differences(s.machine, self.machine)]
        if others:
            raise OtherMachineError(
                f"pieces {', '.join(map(str, others))} are of other machines than the one that "
                f"planned; delete them in {self.journal.folder}, and colour them again"
            )

    def _check_machine(self, machine: Mapping[str, str]) -> None:
        if self.machine is not None and (changes := differences(machine, self.machine)):
            raise OtherMachineError(
                f"this machine has {', '.join(changes)}, and with --strict-equal all must be as "
                "the one that planned; use one that is"
            )

    def segment(self, number: int) -> Segment:
        """Return a segment by its number; raises PlanError when there is none."""
        for segment in self.segments:
            if segment.number == number:
                return segment
        raise PlanError(
            f"{self.journal.folder} has no piece {number}; its pieces are 0 to "
            f"{self.segments[-1].number}"
        )

    def after(self, segment: Segment) -> Segment | None:
        """Return the segment that follows another, None after the last."""
        return next((s for s in self.segments if s.number == segment.number + 1), None)

    def set_output(self, path: Path) -> None:
        """Have the film written to another path with the same suffix."""
        self.plan = replace(self.plan, path=path)
        self.journal.target = path

    def join(self, profiler: Profiler | None = None) -> Report:
        """Join the finished segments to the film and remove the journal; see `finish`."""
        report = self.finish(profiler)
        self.journal.remove()
        return report

    def finish(self, profiler: Profiler | None = None) -> Report:
        """Join the finished segments to the film, verify it, and give it its name.

        The report's wall time is left at 0. Raises InputError when the film has changed meanwhile,
        VerifyError when the output differs from it; it is then kept under another name.
        """
        self.check_source()
        finished = self.journal.finished()
        done = [finished[number] for number in sorted(finished)]
        if not any(segment.pts for segment in done):
            raise InputError(f"{self.info.path}: none of the frames asked for can be decoded")
        self._check_machines(finished)
        classes = [name for segment in done for name in segment.classes_of_frames]
        kept = self.options.kept_classes
        is_colored = bool(set(classes) - kept)
        plan = self.plan if is_colored else replace(self.plan, tag="")
        try:
            film = join_segments(self.info, plan, self.part, self.journal, self.segments, profiler)
        except VerifyError:
            self.journal.remove()  # the film is kept
            raise
        pts = film.pts
        faults = dict(fault for segment in done for fault in segment.faults)
        damage = describe_damage(self.info, self.index, self.part, pts, faults)
        frames = [(self._number_of(time, n), time) for n, time in enumerate(pts, self.part.first)]
        has_captions = any(segment.has_captions for segment in done)
        notes = (
            *self.guidance.notes,
            *describe_machines([segment.machine for segment in done]),
            *describe_chroma_classes(self.info, frames, classes, kept),
            *describe_captions(self.info, self.plan, self.part, has_captions),
        )
        length = (pts[-1] - pts[0]) * self.info.time_base + 1 / self.info.frame_rate
        return Report(
            self.plan.path,
            len(pts),
            float(length),
            0.0,
            (*self.plan.notes, *describe_times(self.info, self.index), *notes, *film.notes),
            damage + film.damage,
        )

    def check_source(self) -> None:
        """Raise InputError when the film has changed since the run began; discards its segments.

        They are kept when it is gone: its disk may come back.
        """
        state = file_state(self.info.path)
        if state is None:
            raise InputError(f"{self.info.path} is gone; put it back, and the segments are used")
        if state != self.source_state:
            self.journal.remove()  # its segments may show another film
            raise InputError(
                f"{self.info.path} was changed during the run: "
                "the finished segments are discarded; run it again"
            )

    def _number_of(self, pts: int, default: int) -> int:
        number = self.index.number_of(pts)
        return default if number is None else number

    def _identity(self) -> Identity:
        options, plan = self.options, self.plan
        settings = {
            "filmcolor": __version__,
            "libavcodec": ".".join(map(str, av_versions()["libavcodec"])),
            "weights": self.weights,
            "size": options.size,
            "saturation": options.grade.saturation,
            "warmth": options.warmth,
            "skin-protect": options.skin_protect,
            "surfaces": options.surfaces,
            "cast": options.cast,
            "palette": self.guidance.palette.digest,
            "references": digest_of(self.guidance.references),
            "pictures": self.guidance.pictures_digest,
            "films in colour": [
                [identify_source(film.info.path), film.digest]
                for film in self.guidance.colored_films
            ],
            "match-shots": options.match_shots,
            **model_identity(options),
            "smooth": options.smooth,
            "deinterlace": options.deinterlace,
            "rate": str(options.source.rate or ""),
            "rate-audio": options.source.rate_audio,
            "field-order": options.source.field_order,
            "left as it is": sorted(options.kept_classes),
            "codec": plan.codec,
            "options": plan.options,
            "pixel format": plan.pix_fmt,
            "frames": [self.part.first, self.part.stop],
            "machines like": ", ".join((self.machine or {}).values()),
        }
        return Identity(identify_source(self.info.path), settings)


def weights_digest(options: ColorOptions) -> str:
    """Return a short hash of the weights that some options name; raises WeightsError without."""
    return weights_store.sha256(weights_store.find(options.weights))[:_DIGEST_LENGTH]
