"""Plans which shots take colours from pictures and from other shots.

A film is read once for that, and its key frames once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from filmcolor.guidance.cast import REDUCE, reduce_cast
from filmcolor.guidance.exemplars import LIKELY, REJECTED, STRONG, Exemplar, ExemplarPlan, Match
from filmcolor.guidance.shot_matching import (
    Analyse,
    GivenMatcher,
    View,
    describe,
    keep_latest,
    make_plan,
    match_views,
)
from filmcolor.network.predictor import Predictor
from filmcolor.shots.key_frames import SpanRule, find_spans
from filmcolor.types.film import FilmInfo, Part
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.frame_reader import FrameReader
from filmcolor.video.proxy import downscale, proxy_size

_SPANS = SpanRule(period=240, shortest=60)  # frames: 10 s and 2½ s at 24 a second


@dataclass(frozen=True, slots=True, eq=False)
class LikenessPlan:
    """What looks alike in a film: `given` serves given colours, `automatic` those of other shots.

    Each is None where it was not asked for.
    """

    given: ExemplarPlan | None = None
    automatic: ExemplarPlan | None = None

    @property
    def matches(self) -> tuple[Match, ...]:
        """All matches: strong, likely, and rejected."""
        plans = (plan for plan in (self.given, self.automatic) if plan)
        return tuple(match for plan in plans for match in plan.matches)


def analyse_with(predictor: Predictor, info: FilmInfo, cast: str) -> Analyse:
    """Return a function of luma (h, w): the network's ab and features, as in a run of a film."""

    def analyse(luma: Gray) -> tuple[FloatPlane, FloatPlane]:
        """Return ab (h/2, w/2, 2) and features (h/8, w/8, C) of luma (h, w)."""
        turns = info.quarter_turns
        abs_, features = predictor.predict_with_features(np.rot90(luma, turns)[None])
        assert features is not None
        ab, own = (np.ascontiguousarray(np.rot90(m[0], -turns)) for m in (abs_, features))
        return (reduce_cast(ab, luma) if cast == REDUCE else ab), own

    return analyse


def plan_likeness(
    info: FilmInfo,
    index: FrameIndex,
    size: int,
    analyse: Analyse,
    *,
    pictures: Sequence[Exemplar] = (),
    references: Sequence[tuple[int, FloatPlane, FloatPlane]] = (),
    is_matched: bool = False,
) -> LikenessPlan:
    """Return what serves what, in one pass over the film and another over its key frames.

    `size`: short side that the network sees. `pictures`: with colours, no frames of the film.
    `references`: frame numbers with given ab (h, w, 2) and coverage (h, w). `is_matched`: the
    references serve all shots, and shots take one another's automatic colours.
    """
    spans = find_spans(info, Part(), _SPANS, index)
    first_frames = [span.first for span in spans if span.is_cut]
    shots = np.cumsum([span.is_cut for span in spans]).tolist()
    luma_of = partial(network_luma, FrameReader(info, index), info, size)
    given = list(pictures)
    if is_matched:
        for number, ab, coverage in references:
            shot = int(np.searchsorted(first_frames, number, side="right"))
            luma = luma_of(number)
            if luma is not None:
                exemplar = Exemplar.make(f"frame {number}", luma, ab, coverage)
                given.append(exemplar.of_frame(number, shot))
    matcher = GivenMatcher(given, analyse)
    views: list[View] = []
    for span, shot in zip(spans, shots, strict=True):
        for number in span.key_frames:
            luma = luma_of(number)
            if luma is None:
                continue
            ab, features = analyse(luma)
            descriptor = describe(features)
            taken = matcher.add(shot, features, descriptor)
            if is_matched:
                everywhere = np.ones(ab.shape[:2], np.float32)
                exemplar = Exemplar.make(f"frame {number}", luma, ab, everywhere)
                exemplar = exemplar.of_frame(number, shot)
                num_frames = (span.stop - span.first) // len(span.key_frames)
                views.append(View(exemplar.without(taken), num_frames, descriptor))
    plan_given = plan_automatic = None
    if given:
        plan_given = make_plan(given, matcher.matches, first_frames, leads_own_shot=False)
    if is_matched:
        features_of = keep_latest(lambda n: analyse(views[n].exemplar.luma)[1])
        exemplars, matches = match_views(views, features_of)
        plan_automatic = make_plan(exemplars, matches, first_frames, leads_own_shot=True)
    return LikenessPlan(plan_given, plan_automatic)


def describe_pictures(plan: ExemplarPlan, names: Sequence[str]) -> list[str]:
    """Return a line for each picture: the shots that it serves, "" where there are none."""
    lines = []
    for name in names:
        found = [m for m in plan.matches if m.exemplar == name and not m.exemplar_shot]
        groups = [
            f"{_list_numbers([m.shot for m in found if m.strength == strength])} ({strength})"
            for strength in (STRONG, LIKELY)
            if any(m.strength == strength for m in found)
        ]
        noun = "shot" if sum(m.is_used for m in found) == 1 else "shots"
        served = f"{noun} {', '.join(groups)}" if groups else ""
        lines.append(
            f"{name} is no frame of the film; its colours serve {served}" if served else ""
        )
    return lines


def describe_matches(plan: ExemplarPlan) -> str:
    """Return a line about the shots that take one another's colours."""
    used = [match for match in plan.matches if match.is_used]
    shots = {n for match in used for n in (match.shot, match.exemplar_shot)}
    counts = [
        f"{sum(match.strength == strength for match in plan.matches)} {strength}"
        for strength in (STRONG, LIKELY, REJECTED)
    ]
    return (
        f"{len(shots)} of {len(plan.shots)} shots share colours with others "
        f"({', '.join(counts)} matches; list them with: filmcolor shots FILM --matches)"
    )


def _list_numbers(numbers: Sequence[int]) -> str:
    """Return "3", "3 and 7", or "3, 7 and 12"."""
    texts = [str(number) for number in sorted(numbers)]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def network_luma(reader: FrameReader, info: FilmInfo, size: int, number: int) -> Gray | None:
    """Return the luma (h, w) that the network sees of a frame, None if it cannot be decoded."""
    frame = reader.read(number)
    if frame is None:
        return None
    return downscale(frame.luma, proxy_size(*info.display_size, size), info.coding)
