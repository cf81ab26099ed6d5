"""Batches of luma to batches of ab. Owns the device, the dtype and the network's size."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import islice

import cv2
import numpy as np
import torch

from filmcolor.color import Coding
from filmcolor.errors import SettingsError
from filmcolor.frames import AbFrame, FilmInfo, FloatPlane, LumaFrame, Plane, SmallFrame
from filmcolor.model import STRIDE, ColorNet, answer_in_ab, decode_ab, fold_batch_norms

DEFAULT_SIZE = 256  # short side the network sees, pixels


def small_size(width: float, height: float, short_side: int) -> tuple[int, int]:
    """Return (width, height) for the network: in proportion, multiples of 8, never cropped."""
    scale = short_side / min(width, height)
    small = [max(STRIDE, STRIDE * round(side * scale / STRIDE)) for side in (width, height)]
    return small[0], small[1]


def shrink(luma: Plane, size: tuple[int, int], coding: Coding) -> FloatPlane:
    """Return luma in 0..1 at `size` (width, height), of code values (H, W).

    Averages over the pixels it merges, so grain is thinned before the network sees it.
    """
    shrinks = luma.shape[1] >= size[0] and luma.shape[0] >= size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(luma, size, interpolation=method).astype(np.float32)
    small -= coding.luma_offset
    small *= 1.0 / coding.luma_scale
    return np.clip(small, 0.0, 1.0, out=small)


def add_small(frames: Iterable[LumaFrame], info: FilmInfo, short_side: int) -> Iterator[SmallFrame]:
    """Yield each frame with the small picture that the network and shot detector see."""
    size = small_size(*info.display_size, short_side)
    for frame in frames:
        yield SmallFrame(frame, shrink(frame.luma, size, info.coding))


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
        self.net = own.to(self.device, self.dtype).to(memory_format=torch.channels_last)

    def predict(self, small: FloatPlane) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2) in CIELAB units of small luma (N, h, w) in 0..1."""
        batch = torch.from_numpy(np.ascontiguousarray(small))[:, None]  # (N, 1, h, w)
        with torch.inference_mode():
            ab = self.net.forward_half(batch.to(self.device, self.dtype)).float()
            if self.is_coded:
                ab = decode_ab(ab)
            ab = ab.permute(0, 2, 3, 1).contiguous()
        result: FloatPlane = ab.cpu().numpy()
        return result

    def add_ab(
        self, frames: Iterable[SmallFrame], batch_size: int, rotation: int = 0
    ) -> Iterator[AbFrame]:
        """Yield each frame with its ab; the network sees the film upright.

        `rotation`: degrees counter-clockwise, a multiple of 90, that set the film upright.
        """
        turns = round(rotation / 90) % 4
        frames = iter(frames)
        while batch := list(islice(frames, batch_size)):
            upright = np.stack([np.rot90(f.small, turns) for f in batch])
            for frame, ab in zip(batch, self.predict(upright)):
                turned = np.ascontiguousarray(np.rot90(ab, -turns))
                yield AbFrame(frame.frame, frame.small, frame.is_cut, turned)
