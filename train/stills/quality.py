"""Decides whether a picture is useful for training: not blank, grey, tinted, blurred or a repeat.

Photographs named beside the thresholds are 235 of BSDS500 and other public sets.
"""

import math

import cv2
import numpy as np

from filmcolor.color.spaces import Channels, lab_from_rgb, luma_from_rgb
from filmcolor.images.sharpness import laplacian_variance_ratio
from filmcolor.types.frames import FloatPlane, Picture

SHARPNESS_SIZE = 256  # short side, pixels, at which sharpness is measured: averages grain away
MIN_SHARPNESS = 0.004  # photographs from 0.027, and 0.001 when blurred by 3 pixels
MIN_CHROMA = 3.0  # mean CIELAB chroma; photographs from 4.7, a dull film 3.5
# root-mean-square distance of ab from a cubic curve over L, CIELAB units; photographs from 1.5,
# sepia 0
MIN_HUE_SPREAD = 1.0
# to be no near-duplicate, a picture needs one of the two: landscapes share their luma, not their
# colours
MIN_DIFFERENCE = 0.3  # mean |difference| of normalised luma; the nearest photographs: 0.40
MIN_AB_DIFFERENCE = 4.0  # mean |difference| of ab, CIELAB units

_MIN_DEVIATION = 0.03  # standard deviation of luma in 0..1; photographs from 0.042
_MIN_HIGHLIGHT = 0.15  # luma in 0..1 that 5 % of a picture must reach; photographs from 0.31
_THUMBNAIL = (64, 48)  # (width, height), for colour and contrast
_LUMA_SIGNATURE, _AB_SIGNATURE = (16, 12), (4, 3)  # (width, height)
_MAX_SIGNATURES = 1 << 15  # that a new one is compared with: 28 MB


def is_blank(luma: FloatPlane) -> bool:
    """Return whether luma (h, w) in 0..1 shows nothing: black, white, or a single tone."""
    thumbnail = cv2.resize(luma, _THUMBNAIL, interpolation=cv2.INTER_AREA)
    return bool(thumbnail.std() < _MIN_DEVIATION or np.percentile(thumbnail, 95) < _MIN_HIGHLIGHT)


def is_blurred(luma: FloatPlane) -> bool:
    """Return whether luma (h, w) in 0..1 shows something, but not sharply.

    Its short side must be SHARPNESS_SIZE pixels.
    """
    return laplacian_variance_ratio(luma) < MIN_SHARPNESS and not is_blank(luma)


def find_flaw(rgb: Picture) -> str | None:
    """Return why a picture without bars teaches no colour: "blank", "grey", "tinted", or None.

    Grey: a mean CIELAB chroma below MIN_CHROMA. Tinted: ab follow from L, as in sepia, to less than
    MIN_HUE_SPREAD.
    """
    red, green, blue = _thumbnail(rgb)
    if is_blank(luma_from_rgb(red, green, blue)):
        return "blank"
    lightness, a, b = (c.ravel() for c in lab_from_rgb(red, green, blue))
    if np.hypot(a, b).mean() < MIN_CHROMA:
        return "grey"
    powers = np.stack([(lightness / 100.0) ** power for power in range(4)], axis=1)
    ab = np.stack([a, b], axis=1)
    residuals = ab - powers @ np.linalg.lstsq(powers, ab, rcond=None)[0]
    spread = np.sqrt((residuals**2).sum(axis=1).mean())
    return "tinted" if spread < MIN_HUE_SPREAD else None


def signature(rgb: Picture) -> FloatPlane:
    """Return a picture's signature (216,) for finding near-duplicates: 192 of luma, 24 of ab.

    The luma has mean 0 and deviation 1, so that exposure does not matter; ab are CIELAB units.
    """
    red, green, blue = _thumbnail(rgb)
    luma = cv2.resize(
        luma_from_rgb(red, green, blue), _LUMA_SIGNATURE, interpolation=cv2.INTER_AREA
    )
    ab = np.dstack(lab_from_rgb(red, green, blue)[1:])
    ab = cv2.resize(ab, _AB_SIGNATURE, interpolation=cv2.INTER_AREA)
    normalized = (luma - luma.mean()) / max(float(luma.std()), _MIN_DEVIATION)
    values: FloatPlane = np.concatenate([normalized.ravel(), ab.ravel()])
    return values


class SignatureIndex:
    """Signatures of the stills that were kept, the newest _MAX_SIGNATURES of them."""

    def __init__(self) -> None:
        size = math.prod(_LUMA_SIGNATURE) + 2 * math.prod(_AB_SIGNATURE)
        self._signatures = np.empty((_MAX_SIGNATURES, size), np.float32)
        self._num_added = 0

    def is_new(self, values: FloatPlane) -> bool:
        """Return whether no signature in the index is of a near-duplicate."""
        known = self._signatures[: min(self._num_added, _MAX_SIGNATURES)]
        differences = np.abs(known - values)  # (N, 216)
        num_luma = math.prod(_LUMA_SIGNATURE)
        luma = differences[:, :num_luma].mean(axis=1)
        ab = differences[:, num_luma:].mean(axis=1)
        return not bool(((luma < MIN_DIFFERENCE) & (ab < MIN_AB_DIFFERENCE)).any())

    def add(self, values: FloatPlane) -> None:
        """Add the signature of a still."""
        self._signatures[self._num_added % _MAX_SIGNATURES] = values
        self._num_added += 1


def luma_of_rgb(rgb: Picture) -> FloatPlane:
    """Return a picture's luma (H, W) in 0..1."""
    luma: FloatPlane = luma_from_rgb(*_channels(rgb))
    return luma


def _channels(rgb: Picture) -> Channels:
    scaled = rgb.astype(np.float32) / 255.0
    return scaled[..., 0], scaled[..., 1], scaled[..., 2]


def _thumbnail(rgb: Picture) -> Channels:
    return _channels(cv2.resize(rgb, _THUMBNAIL, interpolation=cv2.INTER_AREA))
