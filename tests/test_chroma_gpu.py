"""Chroma planes of the device path equal those of the CPU path; the CPU serves as a device too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_chroma import SUBSAMPLINGS, coded, guide_of, texture

from filmcolor.color.chroma import ChromaPlan, add_chroma
from filmcolor.color.chroma_gpu import finish_frames_on
from filmcolor.types.frames import AbFrame, ColorFrame, LumaFrame
from filmcolor.types.yuv import Coding

CUDA = pytest.param(
    "cuda",
    marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no card"),
)
every_device = pytest.mark.parametrize("device", ["cpu", CUDA])
SIZES = [(96, 64), (97, 65), (33, 129), (200, 160)]


def ab_frame(number: int, size: tuple[int, int], coding: Coding) -> AbFrame:
    picture = texture(*size, seed=number)
    rng = np.random.default_rng(number)
    ab = rng.normal(0.0, 40.0, (12, 16, 2)).astype(np.float32)
    film = LumaFrame(number, coded(picture, coding), pts=100 * number, duration=100)
    return AbFrame(film, guide_of(picture), number == 0, ab)


def differences(ours: ColorFrame, theirs: ColorFrame) -> np.ndarray:
    pairs = (ours.cb, theirs.cb), (ours.cr, theirs.cr)
    return np.stack([np.abs(a.astype(int) - b.astype(int)) for a, b in pairs])


@every_device
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS.values(), ids=SUBSAMPLINGS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("is_full_range", "depth"), [(False, 8), (True, 8), (False, 10)])
def test_planes_are_those_of_the_processor(device, subsampling, size, is_full_range, depth):
    coding = Coding(1, is_full_range, depth)
    plan = ChromaPlan(coding, coding, subsampling)
    frame = ab_frame(0, size, coding)
    wanted = add_chroma(frame, plan)
    (made,) = finish_frames_on(torch.device(device), [frame], plan)
    assert made.cb.dtype == wanted.cb.dtype and made.cb.shape == wanted.cb.shape
    assert np.ptp(made.cb.astype(int)) > 30 << (depth - 8)  # there is colour to compare
    off = differences(made, wanted)
    # single precision in another order: a value between two codes may round either way
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01
    assert np.array_equal(made.luma, frame.source.luma)


@every_device
def test_frames_come_in_order_and_all(device):
    coding = Coding(1, False, 8)
    plan = ChromaPlan(coding, coding, SUBSAMPLINGS["420"])
    frames = [ab_frame(number, (96, 64), coding) for number in range(7)]
    made = list(finish_frames_on(torch.device(device), iter(frames), plan))
    wanted = [add_chroma(frame, plan) for frame in frames]
    assert [(f.number, f.pts, f.duration) for f in made] == [(n, 100 * n, 100) for n in range(7)]
    for ours, theirs in zip(made, wanted, strict=True):
        assert differences(ours, theirs).max() <= 1
    assert differences(made[0], wanted[1]).max() > 8  # they differ from each other


@every_device
def test_interlaced_frames_among_others_are_the_processors(device):
    coding = Coding(1, False, 8)
    plan = ChromaPlan(coding, coding, SUBSAMPLINGS["420"])
    frames = [ab_frame(number, (96, 64), coding) for number in range(7)]
    for number in (2, 3, 6):
        film = replace(frames[number].source, is_interlaced=True)
        frames[number] = replace(frames[number], source=film)
    made = list(finish_frames_on(torch.device(device), iter(frames), plan))
    assert [f.number for f in made] == list(range(7))
    assert [f.is_interlaced for f in made] == [n in (2, 3, 6) for n in range(7)]
    for number in (2, 3, 6):
        assert differences(made[number], add_chroma(frames[number], plan)).max() == 0


@every_device
def test_a_deeper_target_gets_its_luma(device):
    source, target = Coding(1, False, 8), Coding(1, False, 10)
    plan = ChromaPlan(source, target, SUBSAMPLINGS["420"])
    frame = ab_frame(3, (96, 64), source)
    (made,) = finish_frames_on(torch.device(device), [frame], plan)
    wanted = add_chroma(frame, plan)
    assert np.array_equal(made.luma, wanted.luma) and made.luma.dtype == np.uint16
    assert differences(made, wanted).max() <= 1
