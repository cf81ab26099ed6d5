"""Chroma planes on a GPU: luma is uploaded as coded, finished chroma planes come back.

The same steps as `chroma`; only the full-size work runs on the GPU, which saves its memory
traffic. A few frames are in flight at a time, so that copies and kernels overlap with the CPU.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn_functional

from filmcolor.color.chroma import (
    ChromaPlan,
    add_chroma,
    has_interlaced_chroma,
    keep_source_chroma,
)
from filmcolor.color.dither import noise
from filmcolor.color.gamut import chroma_from_gray, shrink_into_gamut
from filmcolor.color.upsampling import guide_kernels, two_colors
from filmcolor.types.frames import AbFrame, ColorFrame, Plane
from filmcolor.types.yuv import Coding, convert_luma

_IN_FLIGHT = 3  # frames


@dataclass(frozen=True, slots=True)
class _Pending:
    """A frame whose chroma is being computed."""

    frame: AbFrame
    luma: Plane
    chroma: torch.Tensor  # (2, h, w) codes, in host memory
    done: Any  # an event to wait for; None where nothing runs asynchronously


def finish_frames_on(
    device: torch.device, frames: Iterable[AbFrame], plan: ChromaPlan
) -> Iterator[ColorFrame]:
    """Yield the finished frames of `chroma.add_chroma`, their planes computed on a device.

    Codes may differ from the CPU's by one where a value rounds either way. Interlaced 4:2:0 and
    frames that keep their own chroma are left to the CPU.
    """
    in_flight: deque[_Pending | ColorFrame] = deque()
    for frame in frames:
        in_flight.append(_start(frame, plan, device))
        if len(in_flight) > _IN_FLIGHT:
            yield _finish(in_flight.popleft())
    while in_flight:
        yield _finish(in_flight.popleft())


def _start(frame: AbFrame, plan: ChromaPlan, device: torch.device) -> _Pending | ColorFrame:
    if frame.source.chroma is not None:
        return keep_source_chroma(frame.source, plan)
    if has_interlaced_chroma(frame, plan):
        return add_chroma(frame, plan)
    luma = convert_luma(frame.source.luma, plan.source, plan.target)
    low = two_colors(chroma_from_gray(frame.guide, frame.ab, plan.target), frame.guide)
    with torch.inference_mode():
        codes = _chroma(_upload(luma, device), _upload(low, device), plan)
        if device.type != "cuda":
            return _Pending(frame, luma, codes.cpu(), None)
        host = torch.empty(codes.shape, dtype=codes.dtype, pin_memory=True)
        host.copy_(codes, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
    return _Pending(frame, luma, host, event)


def _finish(pending: _Pending | ColorFrame) -> ColorFrame:
    if isinstance(pending, ColorFrame):
        return pending
    if pending.done is not None:
        pending.done.synchronize()
    cb, cr = pending.chroma.numpy()
    return ColorFrame.from_source(pending.frame.source, pending.luma, cb, cr)


def _upload(plane: Plane, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(plane))
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _chroma(luma: torch.Tensor, low: torch.Tensor, plan: ChromaPlan) -> torch.Tensor:
    """Return Cb and Cr codes (2, H', W') of luma codes (H, W) and low-res planes (7, h, w)."""
    coding = plan.target
    plane = _luma_at_chroma(luma, plan)
    size = plane.shape[0], plane.shape[1]
    middle, gain, *pairs, flatness = _enlarged(low, size)
    scale = coding.luma_scale / 255.0
    low_size = low.shape[1], low.shape[2]
    guide = _filtered(plane, *guide_kernels(size, low_size, plan.subsampling))
    choice = ((guide - coding.luma_offset) / scale - middle).mul_(gain).clamp_(-0.5, 0.5)
    cb, cr = (
        center.addcmul(choice, difference) for center, difference in zip(pairs[:2], pairs[2:])
    )
    y = ((plane - coding.luma_offset) / coding.luma_scale).clamp_(0.0, 1.0)
    chroma = torch.stack(shrink_into_gamut(y, cb, cr, coding))
    if coding.bit_depth == 8:
        chroma.addcmul_(_dots(size, luma.device), flatness, value=1.0 / coding.chroma_scale)
    return _rounded(chroma, coding)


def _luma_at_chroma(luma: torch.Tensor, plan: ChromaPlan) -> torch.Tensor:
    """Return luma at the chroma plane's size in whole codes, each the mean of its pixels."""
    height, width = luma.shape
    x, y = plan.subsampling.x, plan.subsampling.y
    values = luma.to(torch.float32)
    if (x, y) == (1, 1):
        return values
    columns, rows = plan.subsampling.plane_size(width, height)
    pad = (0, x * columns - width, 0, y * rows - height)
    values = nn_functional.pad(values[None, None], pad, mode="replicate")
    mean = nn_functional.avg_pool2d(values, (y, x))[0, 0]
    # as OpenCV rounds: halves of four up, halves of two to even
    return (mean + 0.5).floor_() if (x, y) == (2, 2) else mean.round_()


def _filtered(plane: torch.Tensor, column: Any, row: Any) -> torch.Tensor:
    """Return a plane filtered with a column, then a row; its edges are repeated."""
    values = plane[None, None]
    for taps, is_row in ((row, True), (column, False)):
        before, after = len(taps) // 2, len(taps) - 1 - len(taps) // 2
        pad = (before, after, 0, 0) if is_row else (0, 0, before, after)
        kernel = torch.as_tensor(taps, dtype=torch.float32, device=plane.device)
        shape = (1, 1, 1, -1) if is_row else (1, 1, -1, 1)
        values = nn_functional.conv2d(
            nn_functional.pad(values, pad, mode="replicate"), kernel.reshape(shape)
        )
    return values[0, 0]


def _enlarged(low: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return nn_functional.interpolate(low[None], size, mode="bilinear", align_corners=False)[0]


def _dots(size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return the dither's patterns (2, H, W) of Cb and Cr, in codes."""
    height, width = size
    tiles = torch.as_tensor(noise(), device=device)
    side = tiles.shape[1]
    return tiles.repeat(1, -(-height // side), -(-width // side))[:, :height, :width]


def _rounded(chroma: torch.Tensor, coding: Coding) -> torch.Tensor:
    codes = chroma.mul_(coding.chroma_scale).add_(coding.chroma_offset).round_()
    dtype = torch.uint8 if coding.bit_depth == 8 else torch.uint16
    return codes.clamp_(0, (1 << coding.bit_depth) - 1).to(dtype)
