"""Whether a picture teaches colour: not blank, grey, tinted or blurred, and like no other."""

import math

import cv2
import numpy as np

from filmcolor.color.spaces import Channels, lab_from_rgb, luma_from_rgb
from filmcolor.types.frames import FloatPlane, Picture

# Where a threshold says "photographs", these are 235 of BSDS500 and other public sets.
SIGHT = 256  # short side, pixels, at which sharpness is measured: grain is averaged away
MIN_SHARPNESS = 0.004  # photographs from 0.027, and 0.001 when blurred by 3 pixels
MIN_CHROMA = 3.0  # mean CIELAB chroma; the palest of the photographs has 4.7, dull films 3.5
MIN_HUES = 1.0  # CIELAB units off the best curve of ab over L; photographs from 1.5, sepia 0
MIN_DIFFERENCE = 0.3  # mean |difference| of normalised luma; the nearest photographs: 0.40
MIN_AB_DIFFERENCE = 4.0  # CIELAB units; landscapes share their luma, not their colours
_MIN_SPREAD = 0.03  # standard deviation of luma in 0..1; photographs from 0.042
_MIN_LIGHT = 0.15  # luma in 0..1 that 5 % of a picture must reach; photographs from 0.31
_THUMB = (64, 48)  # (width, height), for colour and spread
_MARK, _AB_MARK = (16, 12), (4, 3)  # (width, height), for likeness in luma and in ab
_MAX_REMEMBERED = 1 << 15  # signatures that a new one is compared with: 28 MB


def sharpness(luma: FloatPlane) -> float:
    """Return the variance of the Laplacian over that of luma (h, w): detail for its contrast."""
    if min(luma.shape) < 3:
        return 0.0
    detail = cv2.Laplacian(luma, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)
    return float(detail.var() / max(luma.var(), _MIN_SPREAD**2))


def is_blank(luma: FloatPlane) -> bool:
    """Tell whether luma (h, w) in 0..1 shows nothing: black, white, or one even tone."""
    thumb = cv2.resize(luma, _THUMB, interpolation=cv2.INTER_AREA)
    return bool(thumb.std() < _MIN_SPREAD or np.percentile(thumb, 95) < _MIN_LIGHT)


def is_blurred(luma: FloatPlane) -> bool:
    """Tell whether luma (h, w) in 0..1, its short side SIGHT, shows something but not sharply."""
    return sharpness(luma) < MIN_SHARPNESS and not is_blank(luma)


def flaw_of(rgb: Picture) -> str | None:
    """Return why a picture without bars teaches no colour: blank, grey, tinted; None if it does.

    Grey is a mean CIELAB chroma below MIN_CHROMA. Tinted is a picture whose ab follow from
    its L, as in sepia, to less than MIN_HUES.
    """
    red, green, blue = _thumb(rgb)
    if is_blank(luma_from_rgb(red, green, blue)):
        return "blank"
    lightness, a, b = (c.ravel() for c in lab_from_rgb(red, green, blue))
    if np.hypot(a, b).mean() < MIN_CHROMA:
        return "grey"
    curve = np.stack([(lightness / 100.0) ** power for power in range(4)], axis=1)
    ab = np.stack([a, b], axis=1)
    off = ab - curve @ np.linalg.lstsq(curve, ab, rcond=None)[0]
    return "tinted" if np.sqrt((off**2).sum(axis=1).mean()) < MIN_HUES else None


def signature(rgb: Picture) -> FloatPlane:
    """Return a picture's mark for likeness: 192 numbers of its luma, then 24 of its ab.

    Luma has mean 0 and spread 1, so that exposure does not matter; ab are CIELAB units.
    """
    red, green, blue = _thumb(rgb)
    luma = cv2.resize(luma_from_rgb(red, green, blue), _MARK, interpolation=cv2.INTER_AREA)
    ab = np.dstack(lab_from_rgb(red, green, blue)[1:])
    ab = cv2.resize(ab, _AB_MARK, interpolation=cv2.INTER_AREA)
    normal = (luma - luma.mean()) / max(float(luma.std()), _MIN_SPREAD)
    mark: FloatPlane = np.concatenate([normal.ravel(), ab.ravel()])
    return mark


class Memory:
    """Signatures of the stills that were kept, the newest _MAX_REMEMBERED of them."""

    def __init__(self) -> None:
        size = math.prod(_MARK) + 2 * math.prod(_AB_MARK)
        self._marks = np.empty((_MAX_REMEMBERED, size), np.float32)
        self._num = 0

    def is_new(self, mark: FloatPlane) -> bool:
        """Tell whether no still that is remembered looks like this one."""
        apart = np.abs(self._marks[: min(self._num, _MAX_REMEMBERED)] - mark)  # (N, 216)
        num = math.prod(_MARK)
        luma, ab = apart[:, :num].mean(axis=1), apart[:, num:].mean(axis=1)
        return not bool(((luma < MIN_DIFFERENCE) & (ab < MIN_AB_DIFFERENCE)).any())

    def add(self, mark: FloatPlane) -> None:
        """Remember a still."""
        self._marks[self._num % _MAX_REMEMBERED] = mark
        self._num += 1


def luma_of_rgb(rgb: Picture) -> FloatPlane:
    """Return a picture's luma (H, W) in 0..1."""
    luma: FloatPlane = luma_from_rgb(*_channels(rgb))
    return luma


def _channels(rgb: Picture) -> Channels:
    scaled = rgb.astype(np.float32) / 255.0
    return scaled[..., 0], scaled[..., 1], scaled[..., 2]


def _thumb(rgb: Picture) -> Channels:
    return _channels(cv2.resize(rgb, _THUMB, interpolation=cv2.INTER_AREA))
