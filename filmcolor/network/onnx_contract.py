"""Recognises what a colorizer in an ONNX file takes and gives, from its tensors, never its name.

| kind | input | output |
|---|---|---|
| Zhang (eccv16, siggraph17) | L, 0..100; further inputs, for hints, are zeros | ab |
| DDColor | neutral R'G'B', 0..1 | ab |
| DeOldify | neutral R'G'B', 0..255 or 0..1: both are tried | R'G'B' of the same range |
| filmcolor (its own exports) | luma, 0..1 | ab |

ab are CIELAB units in all of them. L of a neutral picture is that of its luma. The contracts are
those of the files that people have (`docs/models.md`); a file that keeps another one can state it
(`onnx_overrides.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolor.color.spaces import LUMA_601, lab_from_rgb, lightness_from_luma, luma_from_rgb
from filmcolor.errors import WeightsError
from filmcolor.network.onnx_overrides import (
    DDCOLOR,
    DEOLDIFY,
    FILMCOLOR,
    ZHANG,
    Overrides,
    Range,
    Size,
)
from filmcolor.network.onnx_session import OnnxSession, TensorInfo, Tensors
from filmcolor.types.frames import FloatPlane, Gray

_CHANNELS = {ZHANG: (1, 2), DDCOLOR: (3, 2), DEOLDIFY: (3, 3), FILMCOLOR: (1, 2)}
_KINDS = {(1, 2): ZHANG, (3, 2): DDCOLOR, (3, 3): DEOLDIFY}
_RANGES = {ZHANG: Range(0, 100), DDCOLOR: Range(0, 1), FILMCOLOR: Range(0, 1)}
_RGB_RANGES = Range(0, 255), Range(0, 1)
_SHORT_SIDES = {ZHANG: 256, DDCOLOR: 512, DEOLDIFY: 256, FILMCOLOR: 256}  # what each was made for
_TRIAL_SIZE = 96, 64  # width and height of the first picture for a model that takes any size
_CAFFE_SIZE = 224  # of OpenCV's sample, whose input is L less 50
# Greatest mean difference of luma, 0..1, between a picture and the answer of an R'G'B' model that
# got it in the right range. The wrong range gives nearly black, or white: about 0.5.
_MAX_LUMA_DIFFERENCE = 0.2


@dataclass(frozen=True, slots=True)
class Contract:
    """What a model takes and gives."""

    kind: str
    picture: TensorInfo  # the input that gets the picture
    others: tuple[TensorInfo, ...]  # inputs that get zeros
    num_channels: int  # of `picture`
    output: str
    range: Range  # black and white of `picture`, and of an R'G'B' output
    size: Size

    def feeds(self, gray: Gray) -> Tensors:
        """Return the inputs for 8-bit luma (h, w) that has a size the model takes."""
        luma = gray.astype(np.float32) * np.float32(1.0 / 255.0)
        if self.kind == ZHANG:
            luma = lightness_from_luma(luma) / np.float32(100.0)
        values = self.range.low + luma * (self.range.high - self.range.low)
        return _feeds(self.picture, self.others, values, self.num_channels)

    def ab(self, answer: NDArray[Any], gray: Gray) -> FloatPlane:
        """Return ab (h, w, 2) of the model's output, at its size; `gray`: the picture it got."""
        if self.kind != DEOLDIFY:
            return _rows_first(answer)
        rgb = self.range.normalize(_rows_first(answer))
        height, width = rgb.shape[:2]
        luma = resize(gray, width, height).astype(np.float32) * np.float32(1.0 / 255.0)
        # The chroma of the answer on the luma of the film, as DeOldify joins them (jantic/DeOldify,
        # filters.py): with Cb and Cr kept, a change of Y' is a change of R', G' and B' alike.
        difference = luma - luma_from_rgb(*_split(rgb), LUMA_601)
        lab = lab_from_rgb(*(channel + difference for channel in _split(rgb)))
        return np.stack(lab[1:], axis=2).astype(np.float32)


def resize(gray: Gray, width: int, height: int) -> Gray:
    """Return a picture (H, W) at another size: area means downwards, bilinear upwards."""
    if gray.shape == (height, width):
        return gray
    is_smaller = width * height < gray.size
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    resized: Gray = cv2.resize(np.ascontiguousarray(gray), (width, height), interpolation=method)
    return resized


def recognize(session: OnnxSession, overrides: Overrides) -> Contract:
    """Return a model's contract. The model is run once or a few times, on a small picture.

    Raises WeightsError with the shapes of its tensors when it is of no kind listed above, and when
    it fails on every picture.
    """
    picture, *others = session.inputs
    if not _is_picture(picture):
        raise _refusal(session, "its first input must be [1, C, H, W], with 1 or 3 channels")
    kind = overrides.kind
    wanted = (3, 1) if kind is None else _CHANNELS[kind][:1]
    channels = [number for number in wanted if picture.shape[-3] in (None, number)]
    if not channels:
        raise _refusal(session, f"{kind} takes {wanted[0]} channels")
    trial = _run_trial(session, channels, overrides.size)
    output = _find_output(session, trial.answers, kind)
    num_channels = trial.num_channels, trial.answers[output].shape[-3]
    kind = kind or _KINDS.get(num_channels)
    if kind is None:
        raise _refusal(session, f"{num_channels[0]} channels in, {num_channels[1]} out")
    size = trial.size(kind, overrides.size)
    if kind == ZHANG and overrides.range is None and size.fixed == (_CAFFE_SIZE, _CAFFE_SIZE):
        raise _refusal(
            session,
            "of this size it may take L of 0..100, or of -50..50 as the Caffe release: state its "
            f"range in {session.file.path.with_suffix('.toml').name}",
        )
    known = overrides.range or _RANGES.get(kind)
    contract = Contract(
        kind, picture, tuple(others), num_channels[0], output, known or _RGB_RANGES[0], size
    )
    return contract if known else _probe_range(session, contract)


def _refusal(session: OnnxSession, reason: str) -> WeightsError:
    inputs, outputs = ("; ".join(map(str, t)) for t in (session.inputs, session.outputs))
    return WeightsError(
        f"{session.file.path} is not recognised: {reason} (inputs: {inputs}; outputs: {outputs}); "
        "filmcolor takes ONNX exports of DDColor, DeOldify, eccv16 and siggraph17"
    )


def _is_picture(tensor: TensorInfo) -> bool:
    shape = tensor.shape
    if tensor.dtype.kind != "f" or len(shape) not in (3, 4):
        return False
    return shape[:-3] in ((), (None,), (1,)) and shape[-3] in (None, 1, 3)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A run that worked."""

    num_channels: int  # of the picture
    width: int
    height: int
    is_size_declared: bool
    answers: Tensors

    def size(self, kind: str, wanted: Size | None) -> Size:
        """Return the size or sizes at which the model runs; `wanted`: what its owner states."""
        if self.is_size_declared:
            return Size(fixed=(self.width, self.height))
        if wanted and wanted.fixed:
            return wanted
        takes_squares_only = (self.width, self.height) != _TRIAL_SIZE
        if wanted:
            side = wanted.short_side
        else:
            side = self.width if takes_squares_only else _SHORT_SIDES[kind]
        # DeOldify was trained on squares, and stretches pictures to them
        is_square = takes_squares_only or kind == DEOLDIFY
        return Size(fixed=(side, side)) if is_square else Size(short_side=side)


def _run_trial(session: OnnxSession, channels: Sequence[int], wanted: Size | None) -> _Trial:
    """Run a model with pictures of several numbers of channels and sizes until one works.

    Raises the error of the first run when none works.
    """
    picture, *others = session.inputs
    height, width = picture.shape[-2:]
    declared = (width or height or 0, height or width or 0)
    is_declared = declared != (0, 0)
    if wanted and is_declared and wanted.apply(*declared) != declared:
        raise WeightsError(
            f"{session.file.path} takes {declared[0]}×{declared[1]} pixels only; "
            f"do not state size {wanted}"
        )
    errors = []
    for num_channels in channels:
        for size in [declared] if is_declared else _trial_sizes(num_channels, wanted):
            values = ramp(*size).astype(np.float32) / np.float32(255.0)
            try:
                answers = session.run(_feeds(picture, others, values, num_channels))
            except WeightsError as error:
                errors.append(error)
            else:
                return _Trial(num_channels, *size, is_declared, answers)
    raise errors[0]


def _trial_sizes(num_channels: int, wanted: Size | None) -> Sequence[tuple[int, int]]:
    if wanted and wanted.fixed:
        return [wanted.fixed]
    # some models that state no size take squares only, or one only
    sides = (512, 256) if num_channels == 3 else (256,)
    return [_TRIAL_SIZE, *((side, side) for side in sides)]


def _find_output(session: OnnxSession, answers: Tensors, kind: str | None) -> str:
    """Return the name of the output that holds colours."""
    wanted = (2, 3) if kind is None else _CHANNELS[kind][1:]
    found = [
        name
        for name, answer in answers.items()
        if answer.dtype.kind == "f"
        and answer.ndim in (3, 4)
        and answer.shape[-3] in wanted
        and answer.shape[:-3] in ((), (1,))
    ]
    if kind == FILMCOLOR:  # ab come first, then what its own code needs
        found = found[:1]
    if len(found) != 1:
        number = "none" if not found else "more than one"
        channels = " or ".join(map(str, wanted))
        raise _refusal(session, f"{number} of its outputs is [1, C, H, W] with {channels} channels")
    return found[0]


def _probe_range(session: OnnxSession, contract: Contract) -> Contract:
    """Return the contract of an R'G'B' model with the range in which luma comes back."""
    picture = ramp(*contract.size.apply(*_TRIAL_SIZE))
    candidates = [replace(contract, range=values) for values in _RGB_RANGES]
    differences = []
    for candidate in candidates:
        answers = session.run(candidate.feeds(picture), [contract.output])
        rgb = candidate.range.normalize(_rows_first(answers[contract.output]))
        luma = np.nan_to_num(luma_from_rgb(*_split(rgb), LUMA_601), nan=np.inf).clip(-1.0, 2.0)
        truth = resize(picture, luma.shape[1], luma.shape[0]) / np.float32(255.0)
        differences.append(float(np.abs(luma - truth).mean()))
    least = int(np.argmin(differences))
    if differences[least] > _MAX_LUMA_DIFFERENCE:
        path = session.file.path
        raise WeightsError(
            f"{path} gives back a picture neither of 0..255 nor of 0..1; "
            f"state its range in {path.with_suffix('.toml').name}, or get it again"
        )
    return candidates[least]


def ramp(width: int, height: int) -> Gray:
    """Return a picture (H, W) from black to white with a pattern of detail."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    slope = 20.0 + 215.0 * (columns / width + rows / height) / 2.0
    pattern = 20.0 * np.sin(columns / 3.0) * np.sin(rows / 5.0)
    return (slope + pattern).clip(0.0, 255.0).round().astype(np.uint8)


def _feeds(
    picture: TensorInfo, others: Sequence[TensorInfo], values: FloatPlane, num_channels: int
) -> Tensors:
    height, width = values.shape
    batch = (1,) * (len(picture.shape) - 3)
    planes = np.broadcast_to(values, (*batch, num_channels, height, width))
    feeds = {picture.name: planes.astype(picture.dtype)}
    for tensor in others:
        rank = len(tensor.shape)
        usual = [1] * (rank - 2) + [height, width] if rank > 2 else [1] * rank
        shape = [usual[n] if size is None else size for n, size in enumerate(tensor.shape)]
        feeds[tensor.name] = np.zeros(shape, tensor.dtype)
    return feeds


def _rows_first(answer: NDArray[Any]) -> FloatPlane:
    """Return an output ([1,] C, H, W) as (H, W, C)."""
    maps = answer.reshape(answer.shape[-3:]).astype(np.float32)
    rows: FloatPlane = np.ascontiguousarray(np.moveaxis(maps, 0, 2))
    return rows


def _split(rgb: FloatPlane) -> tuple[FloatPlane, FloatPlane, FloatPlane]:
    return rgb[..., 0], rgb[..., 1], rgb[..., 2]
