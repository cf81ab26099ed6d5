"""Detects shot boundaries: cuts, dissolves and fades.

Cuts. Frames are compared by `thumbnail.dissimilarity`. At a cut it exceeds 0.55, also between the
frames around it; it is the greatest within 4 frames, and 1.65 times the second greatest. So whip
pans are no cuts, and a flash at a cut does no harm. If the old picture returns afterwards, it must
be 2.5 times the greatest.

Dissolves are scored by `dissolves.dissolve_score`; within 6 frames only the best one counts, and
its middle is marked.

Fades are marked where a picture appears after leader, or where it is darkest. A fade-out alone is
not marked, for nothing begins there. Leader between hard cuts is a shot.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from filmcolor.shots.dissolves import HALF_WINDOWS, dissolve_score
from filmcolor.shots.thumbnail import Thumbnail, dissimilarity, dissimilarity_bound
from filmcolor.types.frames import ProxyFrame

CUT, DISSOLVE, FADE = "cut", "dissolve", "fade"
_NEAR = 4  # frames on either side by which a cut is judged: longer than any flash
_DISSOLVE_SPACING = 6  # frames on either side in which only the best dissolve counts
# frames on either side that decide which transition is at a frame
CONTEXT_FRAMES = max(HALF_WINDOWS) + _DISSOLVE_SPACING
MIXTURE_FRAMES = 10  # half of a dissolve, as dissolves in films are long
_MIN_CUT = 0.55  # dissimilarity of the two frames at a cut
_MIN_ACROSS = 0.5  # dissimilarity of any frame near before it and any near after it
_MIN_RATIO = 1.65  # to the second greatest near it: pans are dissimilar all along
_MAX_BESIDE = 0.42  # of the cut's: dissimilarities right before and right after it, at once
_RETURN = 16  # frames after which an object that crosses the picture has left it
_MAX_RETURN = 0.35  # dissimilarity from before it came to after it left
_MIN_RETURN_RATIO = 2.5  # to the greatest near it, for a cut after which the picture returns
_AT_ONCE = 0.6  # of its contrast that a picture has right beside leader; with less it fades
_FADE = 10  # frames on either side of a fade's middle that are brighter
_MAX_DIP, _DIM = 0.4, 0.75  # of the contrast around: in the middle of a fade, and near it


class _WindowFrame(Thumbnail):
    """A frame in the window, with what has been measured of it."""

    def __init__(self, frame: ProxyFrame) -> None:
        super().__init__(frame.guide)
        self.frame = frame
        self.dissimilarity: float | None = None  # to the previous frame
        self.dissolve_score: float | None = None  # of a dissolve with its middle before the frame


def mark_cuts(frames: Iterable[ProxyFrame]) -> Iterator[ProxyFrame]:
    """Yield the same frames, with `is_cut` set on the first frame of each shot.

    A frame's mark depends on CONTEXT_FRAMES frames before it and after it, and on nothing else. In
    a dissolve the middle is marked, in a fade the frame in which a picture reappears. `is_mixture`
    is set on the MIXTURE_FRAMES frames from a dissolve's middle on, which still show both shots.
    """
    num_mixed = 0  # frames to come
    for frame, transition in find_transitions(frames):
        if transition is not None:
            num_mixed = MIXTURE_FRAMES if transition == DISSOLVE else 0
        yield replace(frame, is_cut=transition is not None, is_mixture=num_mixed > 0)
        num_mixed -= 1


def find_transitions(frames: Iterable[ProxyFrame]) -> Iterator[tuple[ProxyFrame, str | None]]:
    """Yield each frame with the transition that begins a shot there: CUT, DISSOLVE, FADE or None.

    Exposure flicker, flashes, pans, grain, dust and gate weave are no transitions.
    """
    window: list[_WindowFrame] = []
    position = 0  # of the next frame to yield
    for frame in frames:
        window.append(_WindowFrame(frame))
        if len(window) > position + CONTEXT_FRAMES:
            yield window[position].frame, _transition(window, position)
            position += 1
            if position > CONTEXT_FRAMES:
                del window[0]
                position -= 1
    while position < len(window):
        first = max(0, position - CONTEXT_FRAMES)
        yield window[position].frame, _transition(window[first:], position - first)
        position += 1


def _transition(window: list[_WindowFrame], position: int) -> str | None:
    """Return the transition at window[position]; `window` holds no frame outside its context."""
    if position == 0:
        return None
    transition = _cut_or_fade(window, position)
    if transition or not _is_dissolve(window, position):
        return transition
    first, stop = _around(window, position, _DISSOLVE_SPACING)
    near = range(max(1, first), stop)
    return None if any(_cut_or_fade(window, other) for other in near) else DISSOLVE


def _around(window: Sequence[Thumbnail], position: int, reach: int) -> tuple[int, int]:
    """Return the positions (half-open) within `reach` frames of a position."""
    return max(0, position - reach), min(len(window), position + reach + 1)


# ---------------------------------------------------------------- cuts and fades


def _cut_or_fade(window: list[_WindowFrame], position: int) -> str | None:
    return _cut(window, position) or (FADE if _is_fade(window, position) else None)


def _cut(window: list[_WindowFrame], position: int) -> str | None:
    """Return CUT for a hard cut, and CUT or FADE where a picture comes after leader."""
    this = window[position]
    if this.is_flat:
        return CUT if _is_cut_to_leader(window, position) else None
    before = [t for t in window[max(0, position - _NEAR) : position] if not t.is_flat]
    if not before:
        return _transition_after_leader(window, position)
    if dissimilarity_bound(before[-1], this) < _MIN_CUT:  # settles most frames
        return None
    direct = _dissimilarity_at(window, position) or dissimilarity(before[-1], this)
    if direct < _MIN_CUT or _is_beside_leader(window, position):
        return None
    if not _stands_out(window, position, direct):
        return None
    after = [t for t in window[position : position + _NEAR] if not t.is_flat]
    if any(dissimilarity(a, b) < _MIN_ACROSS for a in before for b in after):
        return None
    near = range(*_around(window, position, _NEAR))
    return None if any(_is_fade(window, other) for other in near) else CUT


def _is_cut_to_leader(window: Sequence[Thumbnail], position: int) -> bool:
    """Return whether a picture ends at once and leader begins; a fade-out begins nothing."""
    before = window[max(0, position - 2 * _NEAR) : position]
    after = window[position : position + _NEAR]
    if len(after) < _NEAR or not all(t.is_flat for t in after) or not before[-1].is_clear:
        return False
    return before[-1].contrast > _AT_ONCE * max(t.contrast for t in before)


def _transition_after_leader(window: Sequence[Thumbnail], position: int) -> str | None:
    """Return how a picture begins after flat frames: CUT, FADE, or None if there is none."""
    if position < 2:  # possibly a flash: too few frames to decide
        return None
    ahead = window[position : position + CONTEXT_FRAMES - _DISSOLVE_SPACING]
    is_flat = [t.is_flat for t in ahead]
    if any(all(is_flat[n : n + _NEAR]) for n in range(1, len(is_flat) - _NEAR)):
        return None  # noise or dust
    if not any(t.is_clear for t in ahead):
        return None  # a picture too dark to distinguish from noise
    after = [t.contrast for t in ahead[: 2 * _NEAR]]
    return CUT if after[0] > _AT_ONCE * max(after) else FADE


def _is_beside_leader(window: Sequence[Thumbnail], position: int) -> bool:
    """Return whether a picture has just come from leader or is about to end in it: no cut then."""
    before = [t.is_flat for t in window[:position]][::-1]
    after = [t.is_flat for t in window[position:]]
    return any(
        all(is_flat[near : near + _NEAR]) and len(is_flat) > near
        for is_flat in (before, after)
        for near in range(1, _NEAR)
    )


def _dissimilarity_at(window: list[_WindowFrame], position: int) -> float:
    """Return the dissimilarity to the previous frame, measured once."""
    this = window[position]
    if this.dissimilarity is None:
        this.dissimilarity = dissimilarity(window[position - 1], this)
    return this.dissimilarity


def _stands_out(window: list[_WindowFrame], position: int, direct: float) -> bool:
    """Return whether a dissimilarity is the greatest near it, and far above the others."""
    first, stop = _around(window, position, _NEAR)
    earlier = [_dissimilarity_at(window, p) for p in range(max(1, first), position)]
    later = [_dissimilarity_at(window, p) for p in range(position + 1, stop)]
    if direct <= max(earlier, default=0.0) or direct < max(later, default=0.0):
        return False
    if earlier and later and min(earlier[-1], later[0]) > _MAX_BESIDE * direct:
        return False  # a whip pan accelerates and slows down again
    others = sorted([*earlier, *later, 0.0, 0.0])
    # a flash at the cut adds one great dissimilarity, a pan several
    if direct < _MIN_RATIO * others[-2]:
        return False
    return direct >= _MIN_RETURN_RATIO * others[-1] or not _returns(window, position)


def _returns(window: list[_WindowFrame], position: int) -> bool:
    """Return whether the earlier picture comes back: an object only passed close by."""
    before = [t for t in window[max(0, position - _RETURN) : position : 2] if not t.is_flat]
    after = [t for t in window[position : position + _RETURN : 2] if not t.is_flat]
    return any(dissimilarity(a, b) < _MAX_RETURN for a in before for b in after)


def _is_fade(window: Sequence[Thumbnail], position: int) -> bool:
    """Return whether a frame is the darkest between two unlike pictures, and not leader."""
    this = window[position]
    before, after = window[max(0, position - _FADE) : position], window[position + 1 :][:_FADE]
    if this.is_flat or not before or not after or not _is_dip(window, position):
        return False
    if sum(t.is_flat for t in (*before, *after)) >= _NEAR:
        return False
    is_darkest = all(t.is_flat or t.contrast >= this.contrast for t in before) and all(
        t.is_flat or t.contrast > this.contrast for t in after
    )
    if not is_darkest:
        return False
    bright, again = (max(side, key=lambda t: t.contrast) for side in (before, after))
    # both pictures only grow dim; passing objects and pans would change them
    dim = dissimilarity(bright, before[-3:][0]), dissimilarity(again, after[:3][-1])
    return dissimilarity(bright, again) > _MIN_CUT > max(dim)


def _is_dip(window: Sequence[Thumbnail], position: int) -> bool:
    """Return whether contrast falls before the frame and rises after it, gradually."""
    contrasts = [t.contrast for t in window]
    low = min(contrasts[position - 1], contrasts[position])
    before, after = contrasts[: position - 1], contrasts[position + 1 :]
    level = min(max(before, default=low), max(after, default=low))
    if low >= _MAX_DIP * level:
        return False
    near = contrasts[max(0, position - 2 * _NEAR) : position + 2 * _NEAR]
    return sum(contrast < _DIM * level for contrast in near) > _NEAR  # fewer: a flash at a cut


# ---------------------------------------------------------------- dissolves


def _is_dissolve(window: list[_WindowFrame], position: int) -> bool:
    """Return whether a frame has the best dissolve score near it."""
    score = _dissolve_score_at(window, position)
    if score == 0.0:
        return False
    first, stop = _around(window, position, _DISSOLVE_SPACING)
    earlier = [_dissolve_score_at(window, p) for p in range(first, position)]
    later = [_dissolve_score_at(window, p) for p in range(position + 1, stop)]
    return score > max(earlier, default=0.0) and score >= max(later, default=0.0)


def _dissolve_score_at(window: list[_WindowFrame], position: int) -> float:
    """Return the score of a dissolve with its middle before a frame, measured once."""
    this = window[position]
    if this.dissolve_score is None:
        spans = [
            window[position - half : position + half + 1]
            for half in HALF_WINDOWS
            if half <= position < len(window) - half
        ]
        this.dissolve_score = max(map(dissolve_score, spans), default=0.0)
    return this.dissolve_score
