"""Wires the stages with bounded queues: film in, the same film out in colour."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

import filmcolor.weights as weights_store
from filmcolor.anchors import REACH, every_frame, track
from filmcolor.chroma import SUBSAMPLING_420, ChromaPlan, Subsampling, add_chroma
from filmcolor.color import Coding
from filmcolor.cores import num_decoder_threads, set_pools
from filmcolor.decode import FrameIndex, read_luma, resolve
from filmcolor.encode import FilmWriter
from filmcolor.errors import SettingsError
from filmcolor.frames import WHOLE, AbFrame, ColorFrame, FilmInfo, Part, Span
from filmcolor.gpu import finished_on
from filmcolor.plan import Encoding, plan_output
from filmcolor.predict import Predictor
from filmcolor.prefetch import Prefetch
from filmcolor.probing import probe
from filmcolor.profiling import Profile, section, timed
from filmcolor.shots import LOOK, mark_cuts
from filmcolor.small import DEFAULT_SIZE, add_small
from filmcolor.smooth import DEFAULT, LEVELS, steady, window_of
from filmcolor.targets import check_target
from filmcolor.verification import verify

T = TypeVar("T")
WHOLE_PART = Part()
_FRAMES_AHEAD = 8  # of each stage that runs in a thread of its own
_FRAMES_SEEN = 32  # by the network: they are steadied in bursts, as windows are complete
_FRAMES_READY = 16  # in colour, for the encoder: they come in bursts, as windows are complete
Progress = Callable[[int, int | None], None]  # frames done, frames in all where known


@dataclass(frozen=True, slots=True)
class Look:
    """How frames are coloured.

    `size`: short side that the network sees, pixels. `smooth`: how far colours are steadied
    in time, one of `filmcolor.smooth.LEVELS`.
    """

    weights: str = weights_store.DEFAULT
    device: str = "auto"
    batch_size: int = 4  # on a processor larger ones leave the cache, and are slower
    size: int = DEFAULT_SIZE
    saturation: float = 1.1  # chosen from the curve in train/LOG.md
    smooth: str = DEFAULT

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 2048:
            raise SettingsError(f"size {self.size} must be 32 to 2048 pixels")
        if not 1 <= self.batch_size <= 256:
            raise SettingsError(f"batch size {self.batch_size} must be 1 to 256")
        if not 0.0 <= self.saturation <= 4.0:
            raise SettingsError(f"saturation {self.saturation} must be 0 to 4")
        if self.smooth not in LEVELS:
            raise SettingsError(f"smooth {self.smooth!r} must be one of {', '.join(LEVELS)}")


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did."""

    output: Path
    num_frames: int
    film_seconds: float
    wall_seconds: float
    notes: tuple[str, ...]

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
    ) -> Generator[AbFrame, None, None]:
        """Yield a part's frames with their steadied ab.

        A frame's colour comes from a bounded neighbourhood inside its shot, so it is the
        same whether a part is asked for or the whole. `profile` is told what each stage costs.
        """
        look = self.look
        window = window_of(look.smooth, info.frame_rate)
        past, future = window.context
        start, end = (
            max(0, part.first - past - LOOK),
            None if part.stop is None else part.stop + future + LOOK,
        )
        first = part.first - past + REACH
        set_pools(is_network_busy=window.is_off)
        with ExitStack() as threads:

            def prefetch(items: Iterable[T], depth: int = _FRAMES_AHEAD) -> "Prefetch[T]":
                return threads.enter_context(Prefetch(items, depth, profile))

            lumas = timed(
                profile, "decode", read_luma(info, start, end, index, num_decoder_threads())
            )
            smalls = timed(profile, "downscale", add_small(lumas, info, look.size))
            cuts = prefetch(timed(profile, "shots", mark_cuts(smalls)))
            moved = every_frame(cuts) if window.is_off else track(cuts, first)
            tracked = prefetch(timed(profile, "motion", moved))
            colored = self.predictor.add_ab(tracked, look.batch_size, info.rotation)
            predicted = prefetch(timed(profile, "network", colored), _FRAMES_SEEN)
            for frame in timed(profile, "steadying", steady(predicted, window)):
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
    ) -> Generator[ColorFrame, None, None]:
        """Yield a part's finished frames, coded as `target` (the source's by default)."""
        plan = ChromaPlan(info.coding, target or info.coding, subsampling, self.look.saturation)
        finished = _finished(
            self.ab_frames(info, part, index, profile), plan, self.predictor.device
        )
        colored = timed(profile, "chroma", finished)
        with Prefetch(colored, _FRAMES_READY, profile) as frames:
            yield from frames


def _finished(
    frames: Generator[AbFrame, None, None], plan: ChromaPlan, device: torch.device
) -> Generator[ColorFrame, None, None]:
    with closing(frames):  # here, in the thread that runs them
        if device.type == "cuda":
            yield from finished_on(device, frames, plan)
        else:
            for frame in frames:
                yield add_chroma(frame, plan)


def colorize(
    film: str | Path,
    output: str | Path | None = None,
    *,
    span: Span = WHOLE,
    look: Look | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    progress: Progress | None = None,
    colorizer: Colorizer | None = None,
    profile: Profile | None = None,
) -> Report:
    """Colour a film, or a span of it, and write it with everything else it holds.

    The output is verified against the source before it gets its name; `output` None
    puts it beside the source as NAME.color.*. `progress(done, total)` is called after
    every frame. A `colorizer` brings its own look, and its weights loaded; a `profile` is
    told what each stage costs. Raises a FilmcolorError, and leaves nothing behind, when it
    cannot.
    """
    started = time.monotonic()
    info = probe(film)
    plan = plan_output(info, None if output is None else Path(output), encoding or Encoding())
    check_target(plan.path, info.path, force)
    part = resolve(info, span)
    colorizer = colorizer or Colorizer(look)
    total = info.num_frames_told if part.stop is None else part.stop - part.first
    pts: list[int] = []
    colored = colorizer.frames(info, part, plan.coding, plan.subsampling, profile=profile)
    with closing(colored), FilmWriter(info, plan, part, profile) as writer:
        for frame in colored:
            writer.write(frame)
            pts.append(frame.pts)
            if progress:
                progress(len(pts), total)
        writer.finish()
        with section(profile, "verify"):
            verify(info, writer.partial, pts, part, plan.copied)
        writer.keep()
    length = (max(pts) - min(pts)) * info.time_base + 1 / info.frame_rate
    return Report(plan.path, len(pts), float(length), time.monotonic() - started, plan.notes)
