"""Where one shot ends and the next begins."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from filmcolor.shots.dissolves import HALF_WINDOWS, dissolve_score
from filmcolor.shots.thumbnail import Thumbnail, change, dissimilarity_bound
from filmcolor.types.frames import ProxyFrame

CUT, DISSOLVE, FADE = "cut", "dissolve", "fade"
_NEAR = 4  # frames on either side that a cut is judged by: longer than any flash
_APART = 6  # frames on either side in which only the likeliest dissolve is one
CONTEXT_FRAMES = max(HALF_WINDOWS) + _APART  # frames on either side that decide what begins at a frame
_MIN_CHANGE = 0.55  # between the frames beside a cut
_MIN_NEAR = 0.5  # between any of the frames before it and any after it
_MIN_RATIO = 1.65  # times the second greatest change near it: pans change all along
_MAX_BOTH = 0.42  # of the change: how great those right before and right after may both be
_RETURN = 16  # frames in which something that crosses the picture has left it again
_MAX_RETURN = 0.35  # change from before it came to after it left
_MIN_RETURN_RATIO = 2.5  # times the greatest change around it, for a cut to and fro
_AT_ONCE = 0.6  # of its contrast, that a picture has right beside leader: else it fades
_FADE = 10  # frames on either side of which a fade's middle is the darkest
_MAX_DIP, _DIM = 0.4, 0.75  # of the contrast around: in the middle of a fade, and near it


class _Seen(Thumbnail):
    """A frame in the window, with what has been found out about it."""

    def __init__(self, frame: ProxyFrame) -> None:
        super().__init__(frame.guide)
        self.frame = frame
        self.change: float | None = None  # from the frame before it
        self.dissolve: float | None = None  # how surely one has its middle before it


def mark_cuts(frames: Iterable[ProxyFrame]) -> Iterator[ProxyFrame]:
    """Yield the same frames, `is_cut` set on the first frame of each shot.

    A frame's mark depends on CONTEXT_FRAMES frames before it and CONTEXT_FRAMES after it, on nothing else.
    Of a dissolve its middle is marked, of a fade the frame in which a picture comes again.
    """
    for frame, kind in find_transitions(frames):
        yield replace(frame, is_cut=kind is not None)


def find_transitions(frames: Iterable[ProxyFrame]) -> Iterator[tuple[ProxyFrame, str | None]]:
    """Yield each frame with what begins a shot there: "cut", "dissolve", "fade" or None.

    Exposure flicker, flashes, pans, grain, dust and gate weave begin none.
    """
    window: list[_Seen] = []
    position = 0  # of the next frame to tell of
    for frame in frames:
        window.append(_Seen(frame))
        if len(window) > position + CONTEXT_FRAMES:
            yield window[position].frame, _kind(window, position)
            position += 1
            if position > CONTEXT_FRAMES:
                del window[0]
                position -= 1
    while position < len(window):
        first = max(0, position - CONTEXT_FRAMES)
        yield window[position].frame, _kind(window[first:], position - first)
        position += 1


def _kind(window: list[_Seen], position: int) -> str | None:
    """Tell what begins at window[position]; the others are all frames that may be looked at."""
    if position == 0:
        return None
    kind = _abrupt_kind(window, position)
    if kind or not _is_dissolve(window, position):
        return kind
    around = range(max(1, position - _APART), min(len(window), position + _APART + 1))
    return None if any(_abrupt_kind(window, other) for other in around) else DISSOLVE


def _abrupt_kind(window: list[_Seen], position: int) -> str | None:
    return _cut_kind(window, position) or (FADE if _is_fade(window, position) else None)


# ---------------------------------------------------------------- cuts and fades


def _cut_kind(window: list[_Seen], position: int) -> str | None:
    own = window[position]
    if own.is_flat:
        return CUT if _is_cut_to_nothing(window, position) else None
    before = [t for t in window[max(0, position - _NEAR) : position] if not t.is_flat]
    if not before:
        return _kind_after_nothing(window, position)
    if dissimilarity_bound(before[-1], own) < _MIN_CHANGE:  # most frames go no further
        return None
    direct = _change_at(window, position) or change(before[-1], own)
    if direct < _MIN_CHANGE or _is_beside_nothing(window, position):
        return None
    if not _stands_out(window, position, direct):
        return None
    after = [t for t in window[position : position + _NEAR] if not t.is_flat]
    if any(change(a, b) < _MIN_NEAR for a in before for b in after):
        return None
    near = range(max(0, position - _NEAR), min(len(window), position + _NEAR + 1))
    return None if any(_is_fade(window, other) for other in near) else CUT


def _is_cut_to_nothing(thumbs: Sequence[Thumbnail], position: int) -> bool:
    """Tell whether a picture ends at once and leader begins; a fade out begins nothing."""
    before = thumbs[max(0, position - 2 * _NEAR) : position]
    after = thumbs[position : position + _NEAR]
    if len(after) < _NEAR or not all(t.is_flat for t in after) or not before[-1].is_clear:
        return False
    return before[-1].contrast > _AT_ONCE * max(t.contrast for t in before)


def _kind_after_nothing(thumbs: Sequence[Thumbnail], position: int) -> str | None:
    """Tell how a picture begins after flat frames: at once or by degrees."""
    if position < 2:  # a flash, perhaps: too little is known
        return None
    ahead = thumbs[position : position + CONTEXT_FRAMES - _APART]
    flats = [t.is_flat for t in ahead]
    if any(all(flats[n : n + _NEAR]) for n in range(1, len(flats) - _NEAR)):
        return None  # noise, or dust
    if not any(t.is_clear for t in ahead):
        return None  # a picture too dark to tell from noise
    after = [t.contrast for t in ahead[: 2 * _NEAR]]
    return CUT if after[0] > _AT_ONCE * max(after) else FADE


def _is_beside_nothing(thumbs: Sequence[Thumbnail], position: int) -> bool:
    """Tell whether a picture has just come from nothing or is about to go there: no cut then."""
    before = [t.is_flat for t in thumbs[:position]][::-1]
    after = [t.is_flat for t in thumbs[position:]]
    return any(
        all(flats[near : near + _NEAR]) and len(flats) > near
        for flats in (before, after)
        for near in range(1, _NEAR)
    )


def _change_at(window: list[_Seen], position: int) -> float:
    """Return the change from the frame before, measured once."""
    seen = window[position]
    if seen.change is None:
        seen.change = change(window[position - 1], seen)
    return seen.change


def _stands_out(window: list[_Seen], position: int, direct: float) -> bool:
    """Tell whether a change is the greatest near it, and far above what is usual there."""
    first, stop = max(1, position - _NEAR), min(len(window), position + _NEAR + 1)
    earlier = [_change_at(window, p) for p in range(first, position)]
    later = [_change_at(window, p) for p in range(position + 1, stop)]
    if direct <= max(earlier, default=0.0) or direct < max(later, default=0.0):
        return False
    if earlier and later and min(earlier[-1], later[0]) > _MAX_BOTH * direct:
        return False  # a whip pan grows fast and slows down again
    others = sorted([*earlier, *later, 0.0, 0.0])
    # a flash at the cut has one other great change; a pan and a whip have several
    if direct < _MIN_RATIO * others[-2]:
        return False
    return direct >= _MIN_RETURN_RATIO * others[-1] or not _returns(window, position)


def _returns(window: list[_Seen], position: int) -> bool:
    """Tell whether the picture of before comes again: something only passed close by."""
    before = [t for t in window[max(0, position - _RETURN) : position : 2] if not t.is_flat]
    after = [t for t in window[position : position + _RETURN : 2] if not t.is_flat]
    return any(change(a, b) < _MAX_RETURN for a in before for b in after)


def _is_fade(thumbs: Sequence[Thumbnail], position: int) -> bool:
    """Tell whether a frame is the darkest between two unlike pictures, and not of leader."""
    own = thumbs[position]
    before, after = thumbs[max(0, position - _FADE) : position], thumbs[position + 1 :][:_FADE]
    if own.is_flat or not before or not after or not _dips(thumbs, position):
        return False
    if sum(t.is_flat for t in (*before, *after)) >= _NEAR:
        return False
    is_darkest = all(t.is_flat or t.contrast >= own.contrast for t in before) and all(
        t.is_flat or t.contrast > own.contrast for t in after
    )
    if not is_darkest:
        return False
    bright, again = (max(side, key=lambda t: t.contrast) for side in (before, after))
    # the two pictures only grow dim: what passes by or a pan makes others of them
    dim = change(bright, before[-3:][0]), change(again, after[:3][-1])
    return change(bright, again) > _MIN_CHANGE > max(dim)


def _dips(thumbs: Sequence[Thumbnail], position: int) -> bool:
    """Tell whether contrast falls before the frame and rises after it, by degrees."""
    contrasts = [t.contrast for t in thumbs]
    low = min(contrasts[position - 1], contrasts[position])
    before, after = contrasts[: position - 1], contrasts[position + 1 :]
    level = min(max(before, default=low), max(after, default=low))
    if low >= _MAX_DIP * level:
        return False
    near = contrasts[max(0, position - 2 * _NEAR) : position + 2 * _NEAR]
    return sum(contrast < _DIM * level for contrast in near) > _NEAR  # else a flash at a cut


# ---------------------------------------------------------------- dissolves


def _is_dissolve(window: list[_Seen], position: int) -> bool:
    score = _dissolve_at(window, position)
    if score == 0.0:
        return False
    first, stop = max(0, position - _APART), min(len(window), position + _APART + 1)
    earlier = [_dissolve_at(window, p) for p in range(first, position)]
    later = [_dissolve_at(window, p) for p in range(position + 1, stop)]
    return score > max(earlier, default=0.0) and score >= max(later, default=0.0)


def _dissolve_at(window: list[_Seen], position: int) -> float:
    """Return how surely a dissolve has its middle before a frame, measured once."""
    seen = window[position]
    if seen.dissolve is None:
        spans = [
            window[position - reach : position + reach + 1]
            for reach in HALF_WINDOWS
            if reach <= position < len(window) - reach
        ]
        seen.dissolve = max(map(dissolve_score, spans), default=0.0)
    return seen.dissolve
