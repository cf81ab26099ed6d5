"""The colour stages wired together: frames of a film in, the same frames in colour out."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch

from filmcolor.color.chroma import ChromaPlan, add_chroma, keep_source_chroma
from filmcolor.color.chroma_gpu import finish_frames_on
from filmcolor.guidance.anchor_settings import EVERY_ANCHOR
from filmcolor.guidance.cast import REDUCE, reduce_casts
from filmcolor.guidance.colored_film_guide import ColoredFilmGuide
from filmcolor.guidance.exemplars import ExemplarGuide
from filmcolor.guidance.grading import Grade, Palette, grade_frames
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.guides import Guide, merge_requests
from filmcolor.guidance.model_colors import ModelColors
from filmcolor.guidance.model_guide import (
    EveryAnchorGuide,
    KeyFrameGuide,
    plan_key_frames,
    span_rule,
)
from filmcolor.guidance.propagation import ReferencePropagator
from filmcolor.guidance.reference_shots import place_references
from filmcolor.network.prediction_cache import PredictionCache
from filmcolor.pipeline.film_cache import CACHE_BYTES, FilmCache, ProxySource
from filmcolor.pipeline.models import load_predictor, settle
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.prefetch import Prefetch, in_bursts
from filmcolor.runtime.profiler import Profiler, section, timed
from filmcolor.runtime.threads import num_decoder_threads, thread_pools
from filmcolor.shots.detector import CONTEXT_FRAMES, MIXTURE_FRAMES, mark_cuts
from filmcolor.shots.source_chroma import (
    FRAMES_AFTER,
    FRAMES_BEFORE,
    add_chroma_thumbnails,
    mark_chroma_classes,
)
from filmcolor.temporal.anchors import REACH, every_frame, track
from filmcolor.temporal.smoothing import Window, smooth_ab, window_for
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import (
    AbFrame,
    ColorFrame,
    PredictedFrame,
    ProxyFrame,
    TrackedFrame,
)
from filmcolor.types.yuv import SUBSAMPLING_420, Coding, Subsampling
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.proxy import add_proxies

T = TypeVar("T")
_WHOLE_FILM = Part()
_UNGRADED = Grade(saturation=1.0)
# queue lengths, (least, most) frames; between them as many as fit _QUEUE_BYTES
_STAGE_QUEUE = 8, 16
_PREDICTED_QUEUE = 24, 32  # frames come in batches of anchors
_FINISHED_QUEUE = 12, 64  # frames come in bursts, as windows are complete
_BATCH_QUEUE = 16, 64  # waiting for a batch of anchors
_QUEUE_BYTES = 16 << 20
_PREDICTIONS_BYTES = 160 << 20  # of a network, kept for parts near each other
_BURST, _BURST_BYTES = (1, 8), 4 << 20  # handed from stage to stage inside a thread


class Colorizer:
    """Colours frames of any number of films and parts, with the weights loaded once.

    `frames` is the in-memory API: finished frames, without files.

        colorizer = Colorizer(ColorOptions(saturation=1.2))
        for frame in colorizer.frames(probe("film.mp4"), Part(0, 48)):
            frame.luma, frame.cb, frame.cr
    """

    def __init__(self, options: ColorOptions | None = None) -> None:
        """Load the weights that the options name.

        Raises WeightsError when they cannot be loaded, SettingsError without their device.
        """
        self.options = options or ColorOptions()
        self.predictor, self.model = load_predictor(self.options)
        self._anchors = ""  # how often the model runs, once a film needs it

    def frames(
        self,
        info: FilmInfo,
        part: Part = _WHOLE_FILM,
        *,
        target: Coding | None = None,
        subsampling: Subsampling = SUBSAMPLING_420,
        index: FrameIndex | None = None,
        guidance: Guidance | None = None,
        profiler: Profiler | None = None,
        cache: ProxySource | None = None,
    ) -> Generator[ColorFrame, None, None]:
        """Yield a part's finished frames: the film's luma, and chroma planes for it.

        `target`: how they are coded, the film's own coding by default. `index` and `guidance`:
        the film's, where they have been read already. `profiler`: measures each stage. `cache`: the
        film's, where parts near each other are asked for; see `with_cache`.
        Shots whose chroma class the options keep have the film's own chroma.
        Raises a FilmcolorError when the film cannot be read on.
        """
        plan = ChromaPlan(info.coding, target or info.coding, subsampling)
        guidance = guidance or self.options.read_guidance(info, index)
        kept = self.options.kept_classes
        ab_frames = self.ab_frames(info, part, index, profiler, kept, guidance, cache)
        finished = timed(profiler, "chroma", _finish(ab_frames, plan, self.predictor.device))
        with Prefetch(finished, _queue_length(info, _FINISHED_QUEUE), profiler) as frames:
            yield from frames

    def ab_frames(
        self,
        info: FilmInfo,
        part: Part = _WHOLE_FILM,
        index: FrameIndex | None = None,
        profiler: Profiler | None = None,
        kept_classes: frozenset[str] = frozenset(),
        guidance: Guidance | None = None,
        cache: ProxySource | None = None,
    ) -> Generator[AbFrame, None, None]:
        """Yield a part's frames with their steadied ab.

        A frame's colour depends on a bounded neighbourhood inside its shot, so it is the same
        whether a part is asked for or the whole. `kept_classes`: chroma classes whose frames keep
        the film's chroma; where there are none, or no chroma, frames are not classified.
        `guidance`: grades and references; without it colours are the network's or model's own.
        """
        window = window_for(self.options.smooth, info.frame_rate)
        is_classified = bool(kept_classes) and info.has_chroma
        start, end = _context(part, window, is_classified)
        if guidance is None and self.model is not None:
            guidance = Guidance(Palette(_UNGRADED))
        guides = self._guides(info, guidance, part, (start, end), index, profiler, cache)
        with ExitStack() as stack:
            stack.enter_context(thread_pools(is_network_busy=window.is_off))

            def in_thread(
                items: Iterable[T], limits: tuple[int, int] = _STAGE_QUEUE
            ) -> "Prefetch[T]":
                return stack.enter_context(Prefetch(items, _queue_length(info, limits), profiler))

            burst = _queue_length(info, _BURST, _BURST_BYTES)
            proxies: Iterable[ProxyFrame]
            if cache is None:
                num_threads = num_decoder_threads(info.bytes_per_frame)
                lumas = read_luma(info, start, end, index, num_threads, is_classified)
                lumas = in_bursts(timed(profiler, "decode", lumas), burst)
                proxies = add_proxies(lumas, info, self.options.size)
                proxies = in_bursts(timed(profiler, "downscale", proxies), burst)
                if is_classified:
                    proxies = add_chroma_thumbnails(proxies, info.coding)
                    proxies = timed(profiler, "chroma classes", proxies)
            else:
                proxies = timed(profiler, "decode", cache.proxies(start, end))
            shots = in_thread(_detect_shots(proxies, is_classified, kept_classes, profiler))
            tracked = in_thread(timed(profiler, "motion", _track(shots, part, window, guides)))
            colored = self._color(tracked, info, guidance, guides, profiler)
            steadied = smooth_ab(in_thread(colored, _PREDICTED_QUEUE), window)
            for frame in in_bursts(timed(profiler, "steadying", steadied), burst):
                number = frame.source.number
                if part.stop is not None and number >= part.stop:
                    return  # the rest was context
                if number >= part.first:
                    yield frame

    def _guides(
        self,
        info: FilmInfo,
        guidance: Guidance | None,
        part: Part,
        bounds: tuple[int, int | None],
        index: FrameIndex | None,
        profiler: Profiler | None,
        cache: ProxySource | None,
    ) -> list[Guide]:
        """Return what replaces the network's colours in a part, in this order.

        `bounds`: the frames (half-open) that decide the part's colours.
        """
        guides: list[Guide] = []
        if guidance is None:
            return guides
        start, end = bounds
        first_sure_cut = start + CONTEXT_FRAMES if start else 0
        features_of = partial(self.predictor.features_of, quarter_turns=info.quarter_turns)
        if self.model is not None:
            colors = ModelColors(
                self.model,
                info,
                self.options.size,
                guidance.palette,
                index=index,
                folder=guidance.model_folder,
            )
            guides.append(self._model_guide(colors, guidance, part, Part(start, end)))
            if guidance.likeness.automatic is not None:
                matches = guidance.likeness.automatic
                guides.append(ExemplarGuide(matches, features_of, colors.ab_of, colors.grade))
        if guidance.colored_films:
            guides.append(ColoredFilmGuide(guidance.colored_films))
        if guidance.likeness.given is not None:
            guides.append(ExemplarGuide(guidance.likeness.given, features_of))
        if guidance.references:
            with section(profiler, "references"):
                size, references = self.options.size, guidance.references
                placed = place_references(info, references, size, first_sure_cut, end, index, cache)
            memory = cache.guided if cache else None
            guides.append(ReferencePropagator(placed, features_of, first_sure_cut, memory=memory))
        return guides

    def with_cache(
        self, info: FilmInfo, index: FrameIndex, max_bytes: int = CACHE_BYTES
    ) -> "tuple[Colorizer, FilmCache]":
        """Return a colorizer of the same weights that keeps predictions, and a cache for a film.

        With both, a frame near others that were coloured before costs a fraction of its time.
        `max_bytes`: of the proxies in it.
        """
        colorizer = copy(self)
        colorizer.predictor = copy(self.predictor)
        colorizer.predictor.cache = PredictionCache(_PREDICTIONS_BYTES)
        is_classified = bool(self.options.kept_classes) and info.has_chroma
        cache = FilmCache(
            info, index, self.options.size, is_classified=is_classified, max_bytes=max_bytes
        )
        return colorizer, cache

    def plan(self, guidance: Guidance, info: FilmInfo, part: Part, index: FrameIndex) -> Guidance:
        """Return guidance with what a model needs for a part, to colour pieces of it one by one."""
        if self.model is None:
            return guidance
        self._anchors = self._anchors or settle(self.options).anchors
        if self._anchors == EVERY_ANCHOR:
            return guidance
        rule = span_rule(self._anchors, info.frame_rate)
        context = context_of(part, info, self.options)
        return replace(guidance, key_frames=plan_key_frames(info, context, rule, index))

    def _model_guide(
        self,
        colors: ModelColors,
        guidance: Guidance,
        part: Part,
        context: Part,
    ) -> Guide:
        self._anchors = self._anchors or settle(self.options).anchors
        anchors, info = guidance.anchors or self._anchors, colors.info
        if anchors == EVERY_ANCHOR:
            return EveryAnchorGuide(colors)
        key_frames = guidance.key_frames
        if key_frames is None:
            rule = span_rule(anchors, info.frame_rate)
            key_frames = plan_key_frames(info, context, rule, colors.index)
        features_of = partial(self.predictor.features_of, quarter_turns=info.quarter_turns)
        return KeyFrameGuide([k for k in key_frames if k.serves(part)], colors, features_of)

    def _color(
        self,
        frames: Iterable[TrackedFrame],
        info: FilmInfo,
        guidance: Guidance | None,
        guides: Sequence[Guide],
        profiler: Profiler | None,
    ) -> Iterable[PredictedFrame]:
        """Yield the frames with the ab of anchors: predicted, graded, guided."""
        automatic = None  # colours of matched shots; those of a model are matched after it
        if guidance is not None and self.model is None:
            automatic = guidance.likeness.automatic
        predicted: Iterable[PredictedFrame]
        if automatic is None and len(guides) == 1 and isinstance(guides[0], EveryAnchorGuide):
            predicted = map(PredictedFrame, frames)  # nobody would see the network's colours
        else:
            predicted = self.predictor.predict_frames(
                frames,
                self.options.batch_size,
                info.quarter_turns,
                has_features=bool(guides) or automatic is not None,
                max_waiting=_queue_length(info, _BATCH_QUEUE),
            )
        predicted = timed(profiler, "network", predicted)
        if self.options.cast == REDUCE:
            predicted = reduce_casts(predicted)
        if automatic is not None:  # automatic colours are graded by the frame that takes them
            features_of = partial(self.predictor.features_of, quarter_turns=info.quarter_turns)
            matched = ExemplarGuide(automatic, features_of).propagate(predicted)
            predicted = timed(profiler, "matched shots", matched)
        if guidance is not None:
            predicted = grade_frames(predicted, guidance.palette)
        for guide in guides:
            predicted = timed(profiler, guide.name, guide.propagate(predicted))
        return predicted


def context_of(part: Part, info: FilmInfo, options: ColorOptions) -> Part:
    """Return the frames that decide the colours of a part."""
    window = window_for(options.smooth, info.frame_rate)
    return Part(*_context(part, window, bool(options.kept_classes)))


def _context(part: Part, window: Window, is_classified: bool) -> tuple[int, int | None]:
    """Return the frames (half-open) that decide the colours of a part."""
    past, future = window.context
    if is_classified:
        past, future = max(past, FRAMES_BEFORE), max(future, FRAMES_AFTER)
    start = max(0, part.first - past - CONTEXT_FRAMES - MIXTURE_FRAMES)
    return start, None if part.stop is None else part.stop + future + CONTEXT_FRAMES


def _detect_shots(
    frames: Iterable[ProxyFrame],
    is_classified: bool,
    kept_classes: frozenset[str],
    profiler: Profiler | None,
) -> Iterable[ProxyFrame]:
    """Yield the frames with cuts marked and, where asked for, their shots' chroma classified."""
    if not is_classified:
        return timed(profiler, "shots", mark_cuts(frames))
    frames = timed(profiler, "shots", mark_cuts(frames))
    return timed(profiler, "chroma classes", mark_chroma_classes(frames, kept_classes))


def _track(
    frames: Iterable[ProxyFrame],
    part: Part,
    window: Window,
    guides: Sequence[Guide],
) -> Iterator[TrackedFrame]:
    for guide in guides:
        frames = guide.watch_cuts(frames)
    if window.is_off:
        return every_frame(frames)
    return track(frames, part.first - window.context.past + REACH, merge_requests(guides))


def _finish(
    frames: Generator[AbFrame, None, None], plan: ChromaPlan, device: torch.device
) -> Generator[ColorFrame, None, None]:
    with closing(frames):  # in the thread that runs them
        if device.type == "cuda":
            yield from finish_frames_on(device, frames, plan)
            return
        for frame in frames:
            is_kept = frame.source.chroma is not None
            yield keep_source_chroma(frame.source, plan) if is_kept else add_chroma(frame, plan)


def _queue_length(info: FilmInfo, limits: tuple[int, int], num_bytes: int = _QUEUE_BYTES) -> int:
    """Return how many frames to hold within limits: fewer of large ones."""
    least, most = limits
    frame_bytes = info.width * info.height * (2 if info.coding.bit_depth > 8 else 1)
    return min(most, max(least, num_bytes // frame_bytes))
