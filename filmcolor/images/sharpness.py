"""Two measures of sharpness, both the response of a Laplacian relative to the picture's contrast.

They differ on purpose. `laplacian_variance_ratio` is absolute: a threshold on it, found on
photographs, separates sharp pictures from blurred ones. `laplacian_deviation_ratio` only ranks the
frames of one shot: its soft floor keeps grain in dark and flat frames from winning.
"""

import cv2
import numpy as np

from filmcolor.types.frames import FloatPlane, Gray

_MIN_DEVIATION = 0.03  # of luma in 0..1: less contrast than any of 235 photographs has (0.042)
_FLOOR = 4.0  # 8-bit codes, added to the contrast of a frame


def laplacian_variance_ratio(luma: FloatPlane) -> float:
    """Return the variance of the Laplacian over that of luma (h, w) in 0..1."""
    if min(luma.shape) < 3:
        return 0.0
    detail = cv2.Laplacian(luma, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)
    return float(detail.var() / max(luma.var(), _MIN_DEVIATION**2))


def laplacian_deviation_ratio(luma: Gray) -> float:
    """Return the deviation of the Laplacian over that of 8-bit luma (h, w), plus a floor."""
    values = luma.astype(np.float32)
    return float(cv2.Laplacian(values, cv2.CV_32F).std() / (values.std() + _FLOOR))
