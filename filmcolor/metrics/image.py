"""Metrics of single pictures: colourfulness, PSNR, ab error, mean chroma."""

import numpy as np

from filmcolor.types.frames import FloatPlane, Picture


class Mean:
    """A running weighted mean; None until something with a weight is added."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Add a value."""
        self._sum += value * weight
        self._weight += weight

    def since(self, earlier: "Mean | None") -> "Mean":
        """Return the mean of the values added after `earlier`, a copy of this mean then."""
        later = Mean()
        later._sum, later._weight = self._sum, self._weight
        if earlier is not None:
            later._sum -= earlier._sum
            later._weight -= earlier._weight
        return later

    @property
    def value(self) -> float | None:
        """The mean of all added values."""
        return self._sum / self._weight if self._weight else None


def colorfulness(rgb: Picture) -> float:
    """Return how colourful a picture looks: 0 for grey, about 30 to 60 for photographs.

    Computed on 8-bit code values with population deviations. Source: Hasler & Süsstrunk 2003, M3.
    """
    red, green, blue = (rgb[..., c].astype(np.float64) for c in range(3))
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    deviation = np.hypot(red_green.std(), yellow_blue.std())
    return float(deviation + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


# not skimage.metrics.peak_signal_noise_ratio: the same value, in 3 ms instead of 0.3 ms a picture
def psnr(rgb: Picture, truth: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB over all channels; inf for equal pictures.

    The peak is 255. Differences are computed in float64: unsigned integers would wrap around.
    """
    error = np.square(rgb.astype(np.float64) - truth.astype(np.float64)).mean()
    return float(10.0 * np.log10(255.0**2 / error)) if error else float("inf")


def ab_square_error(ab: FloatPlane, truth: FloatPlane) -> float:
    """Return the mean of (Δa² + Δb²) / 2 over ab (H, W, 2), in squared Lab units.

    Average it over all pictures, weighted by their pixels; the root of that is the ab RMSE.
    """
    return float(np.square(ab - truth).mean(dtype=np.float64))


def mean_chroma(ab: FloatPlane) -> float:
    """Return the mean of C* = √(a² + b²) of ab (H, W, 2), in Lab units (CIE 15:2004)."""
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean(dtype=np.float64))
