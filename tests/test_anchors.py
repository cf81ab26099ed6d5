"""Anchors: as few as motion allows, the same for a part and the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import HEIGHT, WIDTH, pan, proxy_frames, texture

from filmcolor.temporal.anchors import (
    BLOCK,
    LEAD,
    MAX_GAP,
    REACH,
    AnchorRequests,
    every_frame,
    track,
)

STILL = [texture()] * 150


def anchors_of(pictures, first=0, cuts=(), skip=0):
    frames = track(proxy_frames(pictures, first, cuts), skip)
    return [f.source.number for f in frames if f.is_anchor]


def noise(num, seed=0):
    """Return unrelated pictures."""
    rng = np.random.default_rng(seed)
    return [rng.random((HEIGHT, WIDTH), dtype=np.float32) for _ in range(num)]


def test_what_stands_still_is_seen_once_in_two_blocks():
    assert anchors_of(STILL[:150]) == [0, 32, 48, 64, 96, 128, 149]  # a lead ends at 48


def test_frames_that_are_given_are_seen_too():
    requests = AnchorRequests({3, 7, 145}.__contains__, lambda number: False)
    numbers = [
        f.source.number for f in track(proxy_frames(STILL), requests=requests) if f.is_anchor
    ]
    assert numbers == [0, 3, 7, 32, 48, 64, 96, 128, 145]  # 145 replaces the last


@pytest.mark.parametrize(("speed", "spacing"), [(0.0, 16), (0.3, 16), (4.0, 8)])
def test_where_references_serve_no_block_rests(speed, spacing):
    requests = AnchorRequests(lambda number: False, lambda number: number < 64)
    frames = track(proxy_frames(pan(130, speed)), requests=requests)
    numbers = [f.source.number for f in frames if f.is_anchor]
    assert [n for n in numbers if n < 64] == list(range(0, 64, spacing))
    assert [n for n in numbers if n >= 64] == [n for n in anchors_of(pan(130, speed)) if n >= 64]


def test_what_moves_is_seen_more_often():
    paces = (pan(49, 0.1), pan(49, 0.6), pan(49, 4.0), noise(49))
    assert [np.diff(anchors_of(p)[:-1]).max() for p in paces] == [32, 32, 16, 8]


def test_each_block_goes_by_its_own_motion():
    quick = pan(BLOCK, 2.0)
    anchors = anchors_of([*STILL[:BLOCK], *quick, *[quick[-1]] * (2 * BLOCK + 1)], 96)
    assert anchors == [96, 112, 128, 160]
    anchors = anchors_of([*STILL[: 2 * BLOCK], *quick, *[quick[-1]] * (2 * BLOCK + 1)], 96)
    assert anchors == [96, 128, 144, 160, 176]  # an odd block has no anchor after a still one only


@pytest.mark.parametrize("cut", [1, 5, 16, 37, 40])
def test_shots_begin_and_end_with_an_anchor_or_right_beside_one(cut):
    anchors = np.array(anchors_of(STILL[:60], cuts=(cut,)))
    assert {0, cut} <= set(anchors)
    for end in (cut, 60):
        assert end - 1 - anchors[anchors < end].max() < BLOCK // 2
    assert max(np.diff(anchors)) <= MAX_GAP


def test_a_shot_begins_as_it_would_alone():
    cut = 37
    alone = anchors_of(STILL[:100])
    behind = [n - cut for n in anchors_of(STILL[: cut + 100], cuts=(cut,)) if n >= cut]
    assert [n for n in behind if n <= LEAD] == [n for n in alone if n <= LEAD] == [0, 32, 48]


def test_far_from_cuts_blocks_begin_at_multiples():
    anchors = anchors_of(STILL[:150], cuts=(37,))
    assert [n for n in anchors if n > 37 + LEAD] == [96, 128, 149]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(0, 120),
    cuts=st.sets(st.integers(1, 149), max_size=3),
)
def test_a_part_has_the_anchors_of_the_whole(start, cuts):
    whole = anchors_of(STILL, cuts=tuple(cuts))
    part = anchors_of(STILL[start:], start, tuple(cuts))
    sure = start + REACH + BLOCK if start else 0
    assert [n for n in part if n >= sure] == [n for n in whole if n >= sure]


def test_blocks_before_the_first_frame_asked_for_are_left_out():
    frames = list(track(proxy_frames(STILL[:80], cuts=(21,)), 40))
    numbers = [f.source.number for f in frames]
    assert numbers == list(range(37, 80))  # 21 + 16
    assert [f.source.number for f in frames if f.is_anchor] == [37, 53, 69, 79]


def test_motion_is_of_neighbours_in_a_shot():
    step = 2.0
    frames = list(track(proxy_frames(pan(40, step), cuts=(20,))))
    for frame in frames:
        if frame.source.number in (0, 20):
            assert frame.backward is None and frame.forward is None
            continue
        inner = slice(8, -8), slice(8, -8)
        # at a quarter of the size, to the left from the frame before
        assert np.abs(frame.forward[inner][..., 0] + step / 4).mean() < 0.1
        assert np.abs(frame.backward[inner][..., 0] - step / 4).mean() < 0.1
        assert frame.guide.shape == (HEIGHT // 2, WIDTH // 2)
        assert frame.coarse.shape == frame.forward.shape[:2] == (HEIGHT // 4, WIDTH // 4)


def test_without_steadying_every_frame_is_an_anchor():
    frames = list(every_frame(proxy_frames(pan(20, 2.0), cuts=(7,))))
    assert all(f.is_anchor and f.backward is None and f.forward is None for f in frames)
    assert [f.source.number for f in frames if f.is_cut] == [7]


def test_no_frames_no_anchors():
    assert anchors_of([]) == []
