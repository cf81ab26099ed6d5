"""Keeps the latest predictions of a network, for pictures that come again."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from filmcolor.types.frames import FloatPlane, Gray

# 8-bit luma (N, h, w) → ab (N, h/2, w/2, 2) and features (N, h/8, w/8, C)
Predict = Callable[[Gray], tuple[FloatPlane, FloatPlane]]


class PredictionCache:
    """Predictions by the pictures that they are of; safe to use from threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[FloatPlane, FloatPlane]] = OrderedDict()
        self._num_bytes = 0

    def predict(self, luma: Gray, predict: Predict) -> tuple[FloatPlane, FloatPlane]:
        """Return what `predict` gives for pictures (N, h, w), calling it for new ones only."""
        keys = [_key(picture) for picture in luma]
        with self._lock:
            found = {key: self._entries[key] for key in keys if key in self._entries}
            for key in found:
                self._entries.move_to_end(key)
        new = [n for n, key in enumerate(keys) if key not in found]
        if new:
            abs_, features = predict(luma[new])
            for n, ab, own in zip(new, abs_, features, strict=True):
                found[keys[n]] = np.ascontiguousarray(ab), np.ascontiguousarray(own)
            with self._lock:
                for n in new:
                    self._put(keys[n], found[keys[n]])
        pairs = [found[key] for key in keys]
        return np.stack([ab for ab, _ in pairs]), np.stack([own for _, own in pairs])

    def _put(self, key: bytes, entry: tuple[FloatPlane, FloatPlane]) -> None:
        if key in self._entries:
            return
        self._entries[key] = entry
        self._num_bytes += sum(plane.nbytes for plane in entry)
        while self._num_bytes > self._max_bytes and len(self._entries) > 1:
            _, oldest = self._entries.popitem(last=False)
            self._num_bytes -= sum(plane.nbytes for plane in oldest)


def _key(picture: Gray) -> bytes:
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()
