"""Batches of luma to batches of ab. Owns the device and the dtype."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch.nn import functional

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
from filmcolor.small import STRIDE

# pixels: on held-back stills better than none, than sharper and softer (train/LOG.md)
_DENOISING_SIGMA = 1.0
_NUM_LAYERS = 3  # that keys are made of: of fewer each counts more
_LUMA_SHARE = 3.0  # of black to white, in keys


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
        self.net = own.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            fuse_activations(self.net)
        self._most = 256  # pictures at a time, for all that is known of the memory

    def predict(self, small: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) in CIELAB units of small luma (N, h, w).

        A batch that the device's memory does not hold is halved, and so are all after it.
        Raises SettingsError when there is no memory for one picture.
        """
        return self.predict_keyed(small)[0]

    def predict_keyed(
        self, small: Gray, has_keys: bool = False
    ) -> tuple[FloatPlane, FloatPlane | None]:
        """Return what `predict` does and, with `has_keys`, keys (N, h/8, w/8, C).

        Things that look alike have keys near each other: layers of the network, each of
        length 1, and luma. Their squared distance is 2 a layer at most, and that of luma.
        """
        if len(small) > self._most:
            parts = [small[n : n + self._most] for n in range(0, len(small), self._most)]
            abs_, keys = zip(*(self.predict_keyed(part, has_keys) for part in parts))
            return np.concatenate(abs_), np.concatenate(keys) if has_keys else None
        try:
            return self._predict(small, has_keys)
        except torch.cuda.OutOfMemoryError as error:
            if len(small) == 1:
                height, width = small.shape[1:]
                raise SettingsError(
                    f"{self.device} has no memory for a picture of {width}×{height}; "
                    "choose a smaller --size, or --device cpu"
                ) from error
            self._most = len(small) // 2
        return self.predict_keyed(small, has_keys)

    def _predict(self, small: Gray, has_keys: bool) -> tuple[FloatPlane, FloatPlane | None]:
        batch = torch.from_numpy(np.stack([denoised(s) for s in small]))[:, None]  # (N, 1, h, w)
        with torch.inference_mode():
            batch = batch.to(self.device, self.dtype)
            keys = None
            if has_keys:
                features, *layers = self.net.layers(batch)
                ab = self.net.color_half(features).float()
                keys = _fetched(_keys(layers, batch))
            else:
                ab = self.net.forward_half(batch).float()
            if self.is_coded:
                ab = decode_ab(ab)
            return _fetched(ab), keys

    def keys_of(self, small: Gray, rotation: int = 0) -> FloatPlane:
        """Return the keys (h/8, w/8, C) of small luma (h, w); see `predict_keyed`, `add_ab`."""
        turns = round(rotation / 90) % 4
        _, keys = self.predict_keyed(np.rot90(small, turns)[None], has_keys=True)
        assert keys is not None
        return _turned(keys[0], -turns)

    def add_ab(
        self,
        frames: Iterable[TrackedFrame],
        batch_size: int,
        rotation: int = 0,
        has_keys: bool = False,
        most_waiting: int = 16,
    ) -> Iterator[TrackedFrame]:
        """Yield the same frames, their ab (and keys) on those which are anchors.

        The network sees the film upright. Memory holds a batch of anchors and the frames
        between them, but no more than `most_waiting` frames.
        `rotation`: degrees counter-clockwise, a multiple of 90, that set the film upright.
        """
        turns = round(rotation / 90) % 4
        waiting: list[TrackedFrame] = []
        num_anchors = 0
        for frame in frames:
            waiting.append(frame)
            num_anchors += frame.is_anchor
            if num_anchors == batch_size or len(waiting) == most_waiting:
                yield from self._predicted(waiting, turns, has_keys)
                waiting, num_anchors = [], 0
        yield from self._predicted(waiting, turns, has_keys)

    def _predicted(
        self, frames: Sequence[TrackedFrame], turns: int, has_keys: bool
    ) -> Iterator[TrackedFrame]:
        upright = [np.rot90(f.small, turns) for f in frames if f.is_anchor]
        if not upright:
            yield from frames
            return
        abs_, keys = self.predict_keyed(np.stack(upright), has_keys)
        place = 0
        for frame in frames:
            if frame.is_anchor:
                own = None if keys is None else _turned(keys[place], -turns)
                frame = replace(frame, ab=_turned(abs_[place], -turns), keys=own)
                place += 1
            yield frame


def _turned(picture: FloatPlane, turns: int) -> FloatPlane:
    """Return a picture (H, W, C) turned counter-clockwise by so many times 90 degrees."""
    turned: FloatPlane = np.ascontiguousarray(np.rot90(picture, turns))
    return turned


def _keys(layers: Sequence[torch.Tensor], luma: torch.Tensor) -> torch.Tensor:
    """Return keys (N, C, h/8, w/8) of a network's layers and the luma (N, 1, h, w) it saw."""
    size = luma.shape[2] // STRIDE, luma.shape[3] // STRIDE
    share = (_NUM_LAYERS / len(layers)) ** 0.5
    keys = [share * functional.normalize(_resized(layer.float(), size), dim=1) for layer in layers]
    return torch.cat([*keys, _LUMA_SHARE * _resized(luma.float(), size)], dim=1)


def _resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (N, C, H, W) at a size: means of what is merged, linear between samples."""
    if maps.shape[2] >= size[0]:
        return functional.adaptive_avg_pool2d(maps, size)
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def _fetched(maps: torch.Tensor) -> FloatPlane:
    """Return maps (N, C, H, W) of a device as an array (N, H, W, C)."""
    fetched: FloatPlane = maps.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return fetched
