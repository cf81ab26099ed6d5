"""Colours pictures with another project's colorizer, an ONNX file."""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from filmcolor.errors import WeightsError
from filmcolor.network.onnx_contract import Contract, ramp, recognize, resize
from filmcolor.network.onnx_file import read_outline
from filmcolor.network.onnx_overrides import DDCOLOR, DEOLDIFY, FILMCOLOR, ZHANG, read_overrides
from filmcolor.network.onnx_session import FLOAT32, OnnxSession
from filmcolor.types.frames import FloatPlane, Gray

_MAX_AB = 200.0  # CIELAB units: sRGB ends at 128, so larger ones are no colours
_TITLES = {
    ZHANG: "eccv16 or siggraph17 (L in, ab out)",
    DDCOLOR: "DDColor (R'G'B' in, ab out)",
    DEOLDIFY: "DeOldify (R'G'B' in and out)",
    FILMCOLOR: "a network of filmcolor's (luma in, ab out)",
}
_NUM_MEASURED = 2  # runs
_LONG_SECONDS = 2.0  # a run of this time is measured once


class OnnxColorizer:
    """A colorizer that was recognised, ready on its device."""

    def __init__(self, session: OnnxSession, contract: Contract) -> None:
        """Use `OnnxColorizer.load`."""
        self.session, self._contract = session, contract
        self.path = session.file.path
        self.sha256 = session.file.sha256()  # of the file and of those with its weights
        self.kind = contract.kind  # "zhang", "ddcolor", "deoldify" or "filmcolor"
        # JSON: all that decides the colours besides the file; the runtime's name has its precision
        self.settings: dict[str, Any] = {
            "kind": contract.kind,
            "range": str(contract.range),
            "size": str(contract.size),
            "runtime": session.runtime,
        }
        self.description = (  # one line, for printing
            f"{self.path.name}: {_TITLES[contract.kind]}, values {contract.range}, "
            f"size {contract.size}, {session.runtime}"
        )
        self._seconds: dict[tuple[int, int], float] = {}  # by (width, height) of the input

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: str = "auto", num_threads: int | None = None
    ) -> "OnnxColorizer":
        """Open a model and recognise its kind.

        `device`: "auto", "cpu", "cuda" or "mps". `num_threads`: of the CPU; None means all cores
        that this process may use.
        Raises WeightsError when the file is missing, broken or not recognised, or when no runtime
        is installed; SettingsError when this machine has no such device.
        """
        file = read_outline(Path(path))
        overrides = read_overrides(file)
        precision = overrides.precision or FLOAT32
        session = OnnxSession.open(file, device, num_threads, precision=precision)
        return cls(session, recognize(session, overrides))

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) at which the model gets a picture of a size."""
        return self._contract.size.apply(width, height)

    def predict(self, gray: Gray) -> FloatPlane:
        """Return ab (h, w, 2), CIELAB, of 8-bit luma (H, W), at the size of the model's output.

        The picture must be upright; black is 0 and white 255.
        Raises WeightsError when the model fails, or when its answer holds no colours.
        """
        height, width = gray.shape
        picture = resize(gray, *self.input_size(width, height))
        name = self._contract.output
        ab = self._contract.ab(
            self.session.run(self._contract.feeds(picture), [name])[name], picture
        )
        self._check(ab)
        return ab

    def seconds(self, width: int = 640, height: int = 480) -> float:
        """Return how long the model takes for a picture of a size, measured at the first call."""
        size = self.input_size(width, height)
        if size not in self._seconds:
            picture = ramp(*size)
            self._timed(picture)  # prepares the model for this size
            times = [self._timed(picture)]
            while len(times) < _NUM_MEASURED and times[0] < _LONG_SECONDS:
                times.append(self._timed(picture))
            self._seconds[size] = statistics.median(times)
        return self._seconds[size]

    def _timed(self, picture: Gray) -> float:
        start = time.perf_counter()
        self.predict(picture)
        return time.perf_counter() - start

    def _check(self, ab: FloatPlane) -> None:
        sidecar = self.path.with_suffix(".toml").name
        if not np.isfinite(ab).all():
            raise WeightsError(
                f"{self.path} gives values that are not numbers; get it again, in float32 if it is "
                "a float16 file"
            )
        greatest = float(np.abs(ab).max())
        if greatest > _MAX_AB:
            raise WeightsError(
                f"{self.path} gives a colour with a or b of {greatest:.0f}, which none has; "
                f"get it again, or state its kind and range in {sidecar}"
            )
