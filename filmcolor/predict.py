"""Batches of luma to batches of ab. Owns the device and the dtype."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import torch

from filmcolor.anchors import TrackedFrame
from filmcolor.errors import SettingsError
from filmcolor.frames import FloatPlane, Gray
from filmcolor.inference import (
    answer_in_ab,
    fold_batch_norms,
    fuse_activations,
    merge_doublings,
)
from filmcolor.model import ColorNet, decode_ab

# pixels: on held-back stills better than none, than sharper and softer (train/LOG.md)
_DENOISING_SIGMA = 1.0
_MAX_WAITING = 16  # frames


def denoised(small: Gray) -> FloatPlane:
    """Return small luma (h, w) in 0..1 without its grain, which networks paint as blotches."""
    values = small.astype(np.float32)
    values *= 1.0 / 255.0
    smooth: FloatPlane = cv2.GaussianBlur(values, (0, 0), _DENOISING_SIGMA)
    return smooth


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" takes the best there is.

    Raises SettingsError when this machine has no such device.
    """
    num_devices = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if name == "auto":
        name = "cuda" if num_devices["cuda"] else "mps" if num_devices["mps"] else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"no device {name!r}: choose auto, cpu, cuda or mps") from error
    if device.type not in num_devices:  # PyTorch names many that no network of ours runs on
        raise SettingsError(f"no device {name!r}: choose auto, cpu, cuda or mps")
    if (device.index or 0) >= num_devices[device.type]:
        raise SettingsError(f"this machine has no {name} device; use --device auto or cpu")
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device computes it fast, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu":
        flags = torch.backends.cpu.get_cpu_capability()
        has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if has_bf16 and "AVX512" in flags else torch.float32
    return torch.float32


class Predictor:
    """The network on its device, ready for batches of one size."""

    def __init__(self, net: ColorNet, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device)
        own = deepcopy(net).eval()  # the caller's stays as it is
        fold_batch_norms(own)
        self.is_coded = own.bins is not None
        answer_in_ab(own)
        merge_doublings(own)
        if self.device.type == "cpu":
            fuse_activations(own)
        self._most = 256  # pictures at a time, for all that is known of the memory
        self.net = own.to(self.device, self.dtype).to(memory_format=torch.channels_last)

    def predict(self, small: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) in CIELAB units of small luma (N, h, w).

        A batch that the device's memory does not hold is halved, and so are all after it.
        Raises SettingsError when there is no memory for one picture.
        """
        if len(small) > self._most:
            parts = [small[n : n + self._most] for n in range(0, len(small), self._most)]
            return np.concatenate([self.predict(part) for part in parts])
        try:
            return self._predict(small)
        except torch.cuda.OutOfMemoryError as error:
            if len(small) == 1:
                height, width = small.shape[1:]
                raise SettingsError(
                    f"{self.device} has no memory for a picture of {width}×{height}; "
                    "choose a smaller --size, or --device cpu"
                ) from error
            self._most = len(small) // 2
        return self.predict(small)

    def _predict(self, small: Gray) -> FloatPlane:
        batch = torch.from_numpy(np.stack([denoised(s) for s in small]))[:, None]  # (N, 1, h, w)
        with torch.inference_mode():
            ab = self.net.forward_half(batch.to(self.device, self.dtype)).float()
            if self.is_coded:
                ab = decode_ab(ab)
            ab = ab.permute(0, 2, 3, 1).contiguous()
        result: FloatPlane = ab.cpu().numpy()
        return result

    def add_ab(
        self, frames: Iterable[TrackedFrame], batch_size: int, rotation: int = 0
    ) -> Iterator[TrackedFrame]:
        """Yield the same frames, their ab on those which are anchors.

        The network sees the film upright. Memory holds a batch of anchors and the frames
        between them, but no more than _MAX_WAITING frames.
        `rotation`: degrees counter-clockwise, a multiple of 90, that set the film upright.
        """
        turns = round(rotation / 90) % 4
        waiting: list[TrackedFrame] = []
        num_anchors = 0
        for frame in frames:
            waiting.append(frame)
            num_anchors += frame.is_anchor
            if num_anchors == batch_size or len(waiting) == _MAX_WAITING:
                yield from self._predicted(waiting, turns)
                waiting, num_anchors = [], 0
        yield from self._predicted(waiting, turns)

    def _predicted(self, frames: Sequence[TrackedFrame], turns: int) -> Iterator[TrackedFrame]:
        upright = [np.rot90(f.small, turns) for f in frames if f.is_anchor]
        abs_ = iter(self.predict(np.stack(upright)) if upright else ())
        for frame in frames:
            if frame.is_anchor:
                ab: FloatPlane = np.ascontiguousarray(np.rot90(next(abs_), -turns))
                frame = replace(frame, ab=ab)
            yield frame
