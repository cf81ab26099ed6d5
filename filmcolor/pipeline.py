"""Wires the stages with bounded queues: film in, the same film out in colour."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

import filmcolor.weights as weights_store
from filmcolor import __version__
from filmcolor.anchors import REACH, every_frame, track
from filmcolor.carry import Carrier
from filmcolor.chroma import SUBSAMPLING_420, ChromaPlan, Subsampling, add_chroma, keep_chroma
from filmcolor.color import Coding
from filmcolor.cores import num_decoder_threads, set_pools
from filmcolor.damage import damage_of
from filmcolor.decode import FrameIndex, read_luma, resolve
from filmcolor.direction import Direction
from filmcolor.encode import FilmWriter
from filmcolor.errors import InputError, SettingsError
from filmcolor.frames import (
    COLORED,
    TINTED,
    WHOLE,
    AbFrame,
    ColorFrame,
    FilmInfo,
    Part,
    Span,
)
from filmcolor.gpu import finished_on
from filmcolor.journal import Identity, Journal, Piece, hint, source_of
from filmcolor.palette import SATURATION, Grade, Palette, graded, read_palette
from filmcolor.plan import Encoding, av_versions, plan_output
from filmcolor.predict import Predictor
from filmcolor.prefetch import Prefetch, in_bursts
from filmcolor.probing import probe
from filmcolor.profiling import Profile, section, timed
from filmcolor.references import digest_of, read_references
from filmcolor.segments import cut_into_pieces, join, write_pieces
from filmcolor.shots import LOOK, mark_cuts
from filmcolor.sites import find_sites
from filmcolor.small import DEFAULT_SIZE, add_small
from filmcolor.smooth import DEFAULT, LEVELS, steady, window_of
from filmcolor.targets import check_target
from filmcolor.tints import FUTURE, PAST, add_hues, mark_kinds, notes_of
from filmcolor.verification import verify

T = TypeVar("T")
WHOLE_PART = Part()
_FRAMES_AHEAD = 8, 16  # least and most, of each stage that runs in a thread of its own
# what comes in bursts: frames seen by the network, and frames in colour, as windows are complete
_FRAMES_SEEN, _FRAMES_READY = (24, 32), (12, 64)
_FRAMES_UNSEEN = 16, 64  # that wait for a batch of anchors
_BYTES_AHEAD = 16 << 20  # of frames in one queue, where that is between least and most
_FRAMES_AT_ONCE, _BYTES_AT_ONCE = (1, 8), 4 << 20  # that one stage after another takes in a thread
Progress = Callable[[int, int | None], None]  # frames done, frames in all where known


@dataclass(frozen=True, slots=True)
class Look:
    """How frames are coloured.

    `size`: short side that the network sees, pixels. `smooth`: how far colours are steadied
    in time, one of `filmcolor.smooth.LEVELS`. `saturation`, `warmth` and `skin_protect`: see
    `filmcolor.palette.Grade`; `palette` is a file with those of some shots. `references` and
    `hints` are sources of pictures, see `read_references`. `deinterlace`: each frame's two
    fields become one picture, before all else. Shots of a film that are in colour already are
    left as they are, unless `recolor`; tinted ones with `keep_tint`.
    """

    weights: str = weights_store.DEFAULT
    device: str = "auto"
    batch_size: int = 4  # on a processor larger ones leave the cache, and are slower
    size: int = DEFAULT_SIZE
    saturation: float = SATURATION
    warmth: float = 0.0
    skin_protect: float = 0.0
    palette: str = ""
    references: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    smooth: str = DEFAULT
    deinterlace: bool = False
    keep_tint: bool = False
    recolor: bool = False

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 2048:
            raise SettingsError(f"size {self.size} must be 32 to 2048 pixels")
        if not 1 <= self.batch_size <= 256:
            raise SettingsError(f"batch size {self.batch_size} must be 1 to 256")
        if self.smooth not in LEVELS:
            raise SettingsError(f"smooth {self.smooth!r} must be one of {', '.join(LEVELS)}")
        _ = self.grade  # whose settings are checked as it is made

    @property
    def grade(self) -> Grade:
        """What is done to the network's colours where no palette says otherwise."""
        return Grade(self.saturation, self.warmth, self.skin_protect)

    def direction(self, info: FilmInfo, index: FrameIndex | None = None) -> Direction:
        """Return what palette, references and hints say of a film.

        `index`: the film's, where it is at hand. Raises a FilmcolorError that names the file
        when one is not of this film.
        """
        palette = Palette(self.grade)
        if not (self.palette or self.references or self.hints):
            return Direction(palette)
        index = index or FrameIndex(info)
        if self.palette:
            palette = read_palette(Path(self.palette), self.grade, info, index)
        found = read_references(self.references, info, index, self.size, self.hints)
        return Direction(palette, tuple(found))

    @property
    def left(self) -> frozenset[str]:
        """The kinds of shots which are left as they are."""
        kinds = {COLORED: not self.recolor, TINTED: self.keep_tint}
        return frozenset(kind for kind, is_left in kinds.items() if is_left)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did."""

    output: Path
    num_frames: int
    film_seconds: float
    wall_seconds: float
    notes: tuple[str, ...]
    damage: tuple[str, ...] = ()  # of the film: what could not be shown as it was

    def __str__(self) -> str:
        rate = self.num_frames / max(self.wall_seconds, 1e-9)
        speed = self.film_seconds / max(self.wall_seconds, 1e-9)
        return (
            f"{self.num_frames} frames ({self.film_seconds:.1f} s) in {self.wall_seconds:.1f} s: "
            f"{rate:.1f} frames/s, {speed:.2f} × real time → {self.output}"
            + "".join(f"; {note}" for note in self.notes)
        )


class Colorizer:
    """The colour stages with their weights loaded, for any number of films and ranges."""

    def __init__(self, look: Look | None = None) -> None:
        self.look = look or Look()
        self.predictor = Predictor(weights_store.load(self.look.weights), self.look.device)

    def ab_frames(
        self,
        info: FilmInfo,
        part: Part = WHOLE_PART,
        index: FrameIndex | None = None,
        profile: Profile | None = None,
        left: frozenset[str] = frozenset(),
        direction: Direction | None = None,
    ) -> Generator[AbFrame, None, None]:
        """Yield a part's frames with their steadied ab.

        A frame's colour comes from a bounded neighbourhood inside its shot, so it is the
        same whether a part is asked for or the whole. `profile` is told what each stage costs.
        `left`: kinds of shots of which each frame keeps the chroma that the film has; where
        there are none, or no chroma, no kind is told. `direction`: how colours are graded;
        without it they are the network's own.
        """
        look = self.look
        window = window_of(look.smooth, info.frame_rate)
        past, future = window.context
        is_judged = bool(left) and info.has_chroma
        before, after = (max(past, PAST), max(future, FUTURE)) if is_judged else (past, future)
        start, end = (
            max(0, part.first - before - LOOK),
            None if part.stop is None else part.stop + after + LOOK,
        )
        first = part.first - past + REACH
        carrier: Carrier | None = None
        if direction is not None and direction.references:
            sure = start + LOOK if start else 0  # before it cuts are not sure
            with section(profile, "references"):
                sites = find_sites(info, direction.references, look.size, sure, end, index)
            carrier = Carrier(sites, partial(self.predictor.keys_of, rotation=info.rotation), sure)
        set_pools(is_network_busy=window.is_off)
        with ExitStack() as threads:

            def prefetch(
                items: Iterable[T], limits: tuple[int, int] = _FRAMES_AHEAD
            ) -> "Prefetch[T]":
                return threads.enter_context(Prefetch(items, _depth(info, limits), profile))

            num_threads = num_decoder_threads(info.bytes_per_frame)
            read = read_luma(info, start, end, index, num_threads, is_judged)
            num = _depth(info, _FRAMES_AT_ONCE, _BYTES_AT_ONCE)
            lumas = in_bursts(timed(profile, "decode", read), num)
            shrunk = timed(profile, "downscale", add_small(lumas, info, look.size))
            smalls = in_bursts(shrunk, num)
            if is_judged:
                hued = timed(profile, "tints", add_hues(smalls, info.coding))
                shots = mark_kinds(timed(profile, "shots", mark_cuts(hued)), left)
                cuts = prefetch(timed(profile, "tints", shots))
            else:
                cuts = prefetch(timed(profile, "shots", mark_cuts(smalls)))
            followed = carrier.follow(cuts) if carrier else cuts
            wishes = carrier.wishes if carrier else None
            moved = every_frame(followed) if window.is_off else track(followed, first, wishes)
            tracked = prefetch(timed(profile, "motion", moved))
            most = _depth(info, _FRAMES_UNSEEN)
            asked = look.batch_size, info.rotation, bool(carrier), most
            colored = timed(profile, "network", self.predictor.add_ab(tracked, *asked))
            if direction is not None:
                colored = graded(colored, direction.palette)
            if carrier:
                colored = timed(profile, "references", carrier.add_colors(colored))
            predicted = prefetch(colored, _FRAMES_SEEN)
            steadied = timed(profile, "steadying", steady(predicted, window))
            for frame in in_bursts(steadied, num):
                number = frame.frame.number
                if part.stop is not None and number >= part.stop:
                    return  # the rest was context
                if number >= part.first:
                    yield frame

    def frames(
        self,
        info: FilmInfo,
        part: Part = WHOLE_PART,
        target: Coding | None = None,
        subsampling: Subsampling = SUBSAMPLING_420,
        index: FrameIndex | None = None,
        profile: Profile | None = None,
        direction: Direction | None = None,
    ) -> Generator[ColorFrame, None, None]:
        """Yield a part's finished frames, coded as `target` (the source's by default).

        Those of shots that the look leaves as they are have the film's own chroma.
        `direction`: the look's for this film, where it has been read already.
        """
        plan = ChromaPlan(info.coding, target or info.coding, subsampling)
        direction = direction or self.look.direction(info, index)
        finished = _finished(
            self.ab_frames(info, part, index, profile, self.look.left, direction),
            plan,
            self.predictor.device,
        )
        colored = timed(profile, "chroma", finished)
        with Prefetch(colored, _depth(info, _FRAMES_READY), profile) as frames:
            yield from frames


def _depth(info: FilmInfo, limits: tuple[int, int], num_bytes: int = _BYTES_AHEAD) -> int:
    """Return how many frames to hold: fewer of large ones, within limits."""
    least, most = limits
    frame_bytes = info.width * info.height * (2 if info.coding.bit_depth > 8 else 1)
    return min(most, max(least, num_bytes // frame_bytes))


def _finished(
    frames: Generator[AbFrame, None, None], plan: ChromaPlan, device: torch.device
) -> Generator[ColorFrame, None, None]:
    with closing(frames):  # here, in the thread that runs them
        if device.type == "cuda":
            yield from finished_on(device, frames, plan)
        else:
            for frame in frames:
                film = frame.frame
                yield add_chroma(frame, plan) if film.chroma is None else keep_chroma(film, plan)


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run is told besides the film and the output; films of one batch share it."""

    look: Look
    encoding: Encoding
    span: Span
    force: bool = False  # replace an output that is there
    restart: bool = False  # use nothing of a run that was cut off
    tag: bool = True  # say in the output that its colour was added
    direction: Direction | None = None  # the look's, where it has been read of the one film


class Run:
    """One film on its way into colour: what is written, and what of it is done already.

    It is coloured in pieces, each of which is finished for good. Raises a FilmcolorError
    when it cannot be done, before anything is written.
    """

    def __init__(self, film: str | Path, output: str | Path | None, settings: Settings) -> None:
        self._state = _state_of(Path(film))  # before anything is read
        self.look, self._restart = settings.look, settings.restart
        self.info = replace(probe(film), is_deinterlaced=self.look.deinterlace)
        target = None if output is None else Path(output)
        plan = plan_output(self.info, target, settings.encoding)
        self._weights = weights_store.sha256(weights_store.find(self.look.weights))[:16]
        told = f"colour added by filmcolor {__version__}, weights {self._weights}"
        self.plan = replace(plan, tag=told if settings.tag else "")
        check_target(self.plan.path, self.info.path, settings.force)
        self.index = FrameIndex(self.info)
        self.part = resolve(self.info, settings.span, self.index)
        self.direction = settings.direction or self.look.direction(self.info, self.index)
        self.journal = Journal(self.plan.path)
        self.pieces = cut_into_pieces(self.index, self.part, self.info.frame_rate)

    @property
    def num_frames(self) -> int | None:
        """How many frames there are to colour, as far as that is known."""
        if self.part.stop is not None:
            return self.part.stop - self.part.first
        return len(self.index.pts) or self.info.num_frames_told

    def missing(self) -> list[list[Piece]]:
        """Return the pieces that are not finished, those that follow each other together."""
        return self.journal.missing(self.pieces)

    def num_done(self) -> int:
        """Return how many frames the finished pieces hold."""
        return sum(len(piece.pts) for piece in self.journal.finished().values())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the output, and go on from what an earlier run finished of it."""
        with self.journal:
            self.pieces = self.journal.begin(self._identity(), self.pieces, self._restart)
            with hint(self.journal, self.pieces):
                yield

    def color(
        self,
        pieces: Sequence[Piece],
        colorizer: Colorizer,
        profile: Profile | None = None,
    ) -> Generator[ColorFrame, None, None]:
        """Write pieces which follow each other; yield each frame once it is with the encoder."""
        part, plan = Part(pieces[0].first, pieces[-1].stop), self.plan
        colored = colorizer.frames(
            self.info, part, plan.coding, plan.subsampling, self.index, profile, self.direction
        )
        with closing(colored):
            yield from write_pieces(self.journal, pieces, colored, self.info, plan, profile)

    def join(self, profile: Profile | None = None) -> Report:
        """Make the film of its finished pieces, verify it and give it its name.

        The pieces are taken away. The report's wall time is yet to be filled in.
        """
        if _state_of(self.info.path) != self._state:
            self.journal.remove()  # no one knows what they show
            raise InputError(
                f"{self.info.path} changed while it was coloured, or went: "
                "what was done is of no use; run it again"
            )
        finished = self.journal.finished()
        done = finished.values()
        if not any(piece.pts for piece in done):
            raise InputError(f"{self.info.path}: none of the frames asked for can be decoded")
        faults = dict(fault for piece in done for fault in piece.faults)
        kinds = [kind for n in sorted(finished) for kind in finished[n].kinds_of_frames]
        plan = self.plan if set(kinds) - self.look.left else replace(self.plan, tag="")
        partial = self.journal.partial("joined")
        with FilmWriter(self.info, plan, self.part, profile, partial) as writer:
            pts = join(self.journal, self.pieces, writer)
            writer.finish()
            with section(profile, "verify"):
                fates = self.plan.fates
                verify(self.info, partial, pts, self.part, fates.copied, writer.mending)
            writer.keep()
        self.journal.remove()
        length = (pts[-1] - pts[0]) * self.info.time_base + 1 / self.info.frame_rate
        damage = damage_of(self.info, self.index, self.part, pts, faults) + writer.mending.damage
        frames = [
            (number if (told := self.index.number_of(time)) is None else told, time)
            for number, time in enumerate(pts, self.part.first)
        ]
        notes = (*self.plan.notes, *notes_of(self.info, frames, kinds, self.look.left))
        return Report(self.plan.path, len(pts), float(length), 0.0, notes, damage)

    def _identity(self) -> Identity:
        look, plan = self.look, self.plan
        settings = {
            "filmcolor": __version__,
            "libavcodec": ".".join(map(str, av_versions()["libavcodec"])),
            "weights": self._weights,
            "size": look.size,
            "saturation": look.saturation,
            "warmth": look.warmth,
            "skin-protect": look.skin_protect,
            "palette": self.direction.palette.digest,
            "references": digest_of(self.direction.references),
            "smooth": look.smooth,
            "deinterlace": look.deinterlace,
            "left as it is": sorted(look.left),
            "codec": plan.codec,
            "options": plan.options,
            "pixel format": plan.pix_fmt,
            "frames": [self.part.first, self.part.stop],
        }
        return Identity(source_of(self.info.path), settings)


def colorize(
    film: str | Path,
    output: str | Path | None = None,
    *,
    span: Span = WHOLE,
    look: Look | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    restart: bool = False,
    tag: bool = True,
    progress: Progress | None = None,
    colorizer: Colorizer | None = None,
    profile: Profile | None = None,
) -> Report:
    """Colour a film, or a span of it, and write it with everything else it holds.

    The output is verified against the source before it gets its name; `output` None
    puts it beside the source as NAME.color.*. What a run of the same film and settings
    finished before it was cut off is used, unless `restart`. `tag`: say in the output's
    metadata that its colour was added, and by which weights. `progress(done, total)` is
    called after every frame. A `colorizer` brings its own look, and its weights loaded; a
    `profile` is told what each stage costs. Raises a FilmcolorError when it cannot; then
    only finished pieces are left behind, for the next run.
    """
    started = time.monotonic()
    look = colorizer.look if colorizer else look
    settings = Settings(look or Look(), encoding or Encoding(), span, force, restart, tag)
    run = Run(film, output, settings)
    with run.held():
        color_missing(run, colorizer or Colorizer(run.look), progress, run.pieces, profile)
        report = run.join(profile)
    return replace(report, wall_seconds=time.monotonic() - started)


def color_missing(
    run: Run,
    colorizer: Colorizer,
    progress: Progress | None,
    pieces: Sequence[Piece],
    profile: Profile | None = None,
) -> None:
    """Colour those of a run's pieces that are not finished."""
    done = run.journal.finished()
    num_done = sum(len(done[piece.number].pts) for piece in pieces if piece.number in done)
    for together in run.journal.missing(pieces):
        for _ in run.color(together, colorizer, profile):
            num_done += 1
            if progress:
                progress(num_done, run.num_frames)


def _state_of(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written to; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
