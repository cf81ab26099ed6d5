"""Runs the network: batches of luma in, batches of ab out. Owns the device and the dtype.

The network sees denoised luma, because networks paint grain as blotches of colour: a Gaussian of
1 pixel. Sharper and softer ones, a median, bilateral and non-local means were all worse on
held-back stills (`train/LOG.md`).
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

import cv2
import numpy as np
import torch
from torch.nn import functional

from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.device import choose_device, choose_dtype
from filmcolor.network.model import ColorNet, FilmNet
from filmcolor.network.onnx_net import NetOutput, OnnxNet
from filmcolor.network.optimize import (
    decode_output,
    fold_batch_norms,
    fuse_activations,
    merge_upsampling,
)
from filmcolor.network.prediction_cache import PredictionCache
from filmcolor.network.surfaces import SURFACES, surface_ab
from filmcolor.types.frames import FloatPlane, Gray, PredictedFrame, TrackedFrame
from filmcolor.video.proxy import STRIDE

BATCH_SIZE = 4  # pictures, by default: on a CPU larger batches leave the cache, and are slower
_SIZES, _BATCH_SIZES = (32, 2048), (1, 256)  # least and greatest

DENOISING_SIGMA = 1.0  # pixels
_NUM_LAYERS = 3  # whose weight features have, however many layers they are made of
_LUMA_SCALE = 3.0  # of luma in 0..1 among the features


def check_batch_shape(size: int, batch_size: int) -> None:
    """Raise SettingsError for a short side in pixels, or a number of pictures, out of range."""
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise SettingsError(f"size {size} must be {_SIZES[0]} to {_SIZES[1]} pixels")
    if not _BATCH_SIZES[0] <= batch_size <= _BATCH_SIZES[1]:
        raise SettingsError(
            f"batch size {batch_size} must be {_BATCH_SIZES[0]} to {_BATCH_SIZES[1]}"
        )


def denoise(luma: Gray) -> FloatPlane:
    """Return 8-bit luma (h, w) in 0..1, denoised for the network."""
    values = luma.astype(np.float32)
    values *= 1.0 / 255.0
    denoised: FloatPlane = cv2.GaussianBlur(values, (0, 0), DENOISING_SIGMA)
    return denoised


class Predictor:
    """A network on its device, ready for batches of one size.

    `cache`: keeps the latest predictions, where pictures come again.
    """

    net: ColorNet | FilmNet | OnnxNet
    cache: PredictionCache | None = None

    def __init__(
        self, net: ColorNet | FilmNet | OnnxNet, device: str = "auto", surfaces: float = SURFACES
    ) -> None:
        """Prepare a copy of `net`; `device`: "auto", "cpu", "cuda" or "mps".

        An `OnnxNet` is used as it is, on the device for which it was opened.

        `surfaces`: how far the pixels of a surface agree on one colour, 0 to 1; without effect on
        the tutorial's network, which predicts one colour, not a distribution.

        Raises SettingsError when this machine has no such device.
        """
        self._surfaces = surfaces
        self._max_batch = 256  # lowered when the device runs out of memory
        if isinstance(net, OnnxNet):
            self.net, self.device, self.dtype = net, torch.device("cpu"), torch.float32
            return
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device)
        net = deepcopy(net).eval()
        fold_batch_norms(net)
        if isinstance(net, ColorNet):
            decode_output(net)
            merge_upsampling(net)
        self.net = net.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            fuse_activations(self.net)

    def predict(self, luma: Gray) -> FloatPlane:
        """Return ab (N, h/2, w/2, 2), CIELAB, of 8-bit luma (N, h, w).

        A batch that does not fit the device's memory is halved, and so are all later ones.
        Raises SettingsError when a single picture does not fit.
        """
        return self.predict_with_features(luma, has_features=False)[0]

    def predict_with_features(
        self, luma: Gray, has_features: bool = True
    ) -> tuple[FloatPlane, FloatPlane | None]:
        """Return ab as `predict` does and, with `has_features`, features (N, h/8, w/8, C).

        Things that look alike have similar features: unit-length layers of the network, and luma.
        All layers together add at most 12 to their squared distance.
        """
        if self.cache is not None:
            return self.cache.predict(luma, self._predict_with_all)
        return self._predict_batches(luma, has_features)

    def _predict_with_all(self, luma: Gray) -> tuple[FloatPlane, FloatPlane]:
        ab, features = self._predict_batches(luma, True)
        assert features is not None
        return ab, features

    def _predict_batches(
        self, luma: Gray, has_features: bool
    ) -> tuple[FloatPlane, FloatPlane | None]:
        if len(luma) > self._max_batch:
            starts = range(0, len(luma), self._max_batch)
            parts = [luma[n : n + self._max_batch] for n in starts]
            abs_, features = zip(*(self._predict_batches(p, has_features) for p in parts))
            return np.concatenate(abs_), np.concatenate(features) if has_features else None
        try:
            return self._predict(luma, has_features)
        except torch.cuda.OutOfMemoryError as error:
            if len(luma) == 1:
                height, width = luma.shape[1:]
                raise SettingsError(
                    f"{self.device} has no memory for a picture of {width}×{height}; "
                    "choose a smaller --size, or --device cpu"
                ) from error
            self._max_batch = len(luma) // 2
        return self._predict_batches(luma, has_features)

    def features_of(self, luma: Gray, quarter_turns: int = 0) -> FloatPlane:
        """Return the features (h/8, w/8, C) of 8-bit luma (h, w); see `predict_frames`."""
        _, features = self.predict_with_features(np.rot90(luma, quarter_turns)[None])
        assert features is not None
        return _rotate(features[0], -quarter_turns)

    def predict_frames(
        self,
        frames: Iterable[TrackedFrame],
        batch_size: int,
        quarter_turns: int = 0,
        has_features: bool = False,
        max_waiting: int = 16,
    ) -> Iterator[PredictedFrame]:
        """Yield the frames with ab (and features) on anchors.

        The network sees the film upright: turned counter-clockwise `quarter_turns` times. Memory
        holds a batch of anchors and the frames between them, at most `max_waiting` frames.
        """
        waiting: list[TrackedFrame] = []
        num_anchors = 0
        for frame in frames:
            waiting.append(frame)
            num_anchors += _is_predicted(frame)
            if num_anchors == batch_size or len(waiting) == max_waiting:
                yield from self._predict_frames(waiting, quarter_turns, has_features)
                waiting, num_anchors = [], 0
        yield from self._predict_frames(waiting, quarter_turns, has_features)

    def _predict_frames(
        self, frames: Sequence[TrackedFrame], quarter_turns: int, has_features: bool
    ) -> Iterator[PredictedFrame]:
        upright = [np.rot90(f.luma, quarter_turns) for f in frames if _is_predicted(f)]
        if not upright:
            yield from map(PredictedFrame, frames)
            return
        batch, batch_features = self.predict_with_features(np.stack(upright), has_features)
        index = 0
        for frame in frames:
            if not _is_predicted(frame):
                yield PredictedFrame(frame)
                continue
            ab, features = _rotate(batch[index], -quarter_turns), None
            if batch_features is not None:
                features = _rotate(batch_features[index], -quarter_turns)
            yield PredictedFrame(frame, ab, features)
            index += 1

    def _predict(self, luma: Gray, has_features: bool) -> tuple[FloatPlane, FloatPlane | None]:
        pictures = np.stack([denoise(p) for p in luma])
        with torch.inference_mode():
            batch = torch.from_numpy(pictures)[:, None].to(self.device, self.dtype)
            output = self._run_net(luma, batch, has_features)
            layers, logits = output.layers, output.logits
            features = _to_numpy(_features(layers, batch)) if has_features else None
            if output.ab is not None:
                return _to_numpy(output.ab.float()), features
            assert logits is not None and not isinstance(self.net, ColorNet)
            if not torch.isfinite(logits.sum(dtype=torch.float32)):
                raise WeightsError(
                    "the network's output is not a number: its weights are broken, "
                    f"or need more range than {self.dtype} has"
                )
            ab = surface_ab(logits, self.net.centers, pictures, layers[0], self._surfaces)
            return _double(ab), features

    def _run_net(self, luma: Gray, batch: torch.Tensor, has_features: bool) -> NetOutput:
        """Return the network's output for 8-bit luma (N, h, w), and its denoised batch."""
        if isinstance(self.net, OnnxNet):
            return self.net.run(luma, has_features)
        layers = self.net.layers(batch)
        if isinstance(self.net, ColorNet):
            return NetOutput(layers, ab=self.net.decode_half(layers[0]))
        return NetOutput(layers, logits=self.net.logits(layers[0]))


def _is_predicted(frame: TrackedFrame) -> bool:
    """Return whether the network colours a frame."""
    return frame.is_anchor and not frame.is_given


def _double(maps: FloatPlane) -> FloatPlane:
    """Return maps (N, h, w, C) at twice their size, interpolated."""
    num, height, width, channels = maps.shape
    doubled = np.empty((num, 2 * height, 2 * width, channels), np.float32)
    for source, target in zip(maps, doubled):
        cv2.resize(source, (2 * width, 2 * height), dst=target, interpolation=cv2.INTER_LINEAR)
    return doubled


def _rotate(picture: FloatPlane, quarter_turns: int) -> FloatPlane:
    """Return a picture (H, W, C) rotated counter-clockwise."""
    rotated: FloatPlane = np.ascontiguousarray(np.rot90(picture, quarter_turns))
    return rotated


def _features(layers: Sequence[torch.Tensor], luma: torch.Tensor) -> torch.Tensor:
    """Return features (N, C, h/8, w/8) of a network's layers and its input luma (N, 1, h, w)."""
    size = luma.shape[2] // STRIDE, luma.shape[3] // STRIDE
    scale = (_NUM_LAYERS / len(layers)) ** 0.5
    parts = [scale * functional.normalize(_resize(layer.float(), size), dim=1) for layer in layers]
    return torch.cat([*parts, _LUMA_SCALE * _resize(luma.float(), size)], dim=1)


def _resize(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (N, C, H, W) at a size: area means downwards, bilinear upwards."""
    if maps.shape[2] >= size[0]:
        return functional.adaptive_avg_pool2d(maps, size)
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def _to_numpy(maps: torch.Tensor) -> FloatPlane:
    """Return maps (N, C, H, W) on a device as an array (N, H, W, C)."""
    array: FloatPlane = maps.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array
