"""Decodes sound to samples: their formats, and their times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from filmcolor.video.demux import decode_packet

DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}  # by sample format
_FULL_SCALE_24 = 1 << 23


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive samples in one format."""

    start: int  # position of the first, samples from the container's zero
    values: np.ndarray  # (channels, samples): int16, int32, float32 or float64

    @property
    def stop(self) -> int:
        """The position after the last sample."""
        return self.start + self.values.shape[1]

    def cut(self, first: int | None, stop: int | None) -> "Samples":
        """Return the samples at positions from `first` up to, not including, `stop`."""
        low = 0 if first is None else max(0, first - self.start)
        high = None if stop is None else max(low, stop - self.start)
        return Samples(self.start + low, self.values[:, low:high])


def decode_sound(stream: Any, packet: av.Packet | None) -> list[av.AudioFrame] | None:
    """Return the frames that a packet completes, None if it is broken.

    For a packet of None, returns those that are left, and the decoder can begin anew.
    """
    frames = decode_packet(stream, packet)
    if packet is None:
        stream.codec_context.flush_buffers()
    return frames


def frame_samples(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples, (channels, samples)."""
    dtype = DTYPES[frame.format.name.rstrip("p")]
    num_values = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    buffers: Sequence[Any] = frame.planes
    planes = [np.frombuffer(buffer, dtype, num_values) for buffer in buffers]
    return np.stack(planes) if frame.format.is_planar else planes[0].reshape(frame.samples, -1).T


def convert_samples(values: np.ndarray, sample_format: str) -> np.ndarray:
    """Return samples in another format: integers in the upper bits, 24 of them of a float."""
    dtype = np.dtype(DTYPES[sample_format])
    if values.dtype == dtype:
        return values
    if values.dtype.kind == "f" and dtype.kind == "i":
        scaled = np.rint(np.nan_to_num(values.astype(np.float64)) * _FULL_SCALE_24)
        limited = scaled.clip(-_FULL_SCALE_24, _FULL_SCALE_24 - 1).astype(np.int32)
        return (limited << 8) if dtype.itemsize == 4 else (limited >> 8).astype(dtype)
    if dtype.kind == "f":
        divisor = 1.0 if values.dtype.kind == "f" else 2.0 ** (8 * values.dtype.itemsize - 1)
        return (values / divisor).astype(dtype)
    if values.dtype == np.uint8:
        values = values.astype(np.int16) - 128 << 8
    shift = 8 * (dtype.itemsize - values.dtype.itemsize)
    return values.astype(dtype) << shift if shift >= 0 else (values >> -shift).astype(dtype)
