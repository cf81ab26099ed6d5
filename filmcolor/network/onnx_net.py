"""An exported network, run by an ONNX runtime in the place of the PyTorch one, and its contract.

The contract is what `onnx_export` writes and what this module expects: names of the input and the
outputs, their units, and the keys of the metadata.
"""

import json
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from filmcolor.errors import WeightsError
from filmcolor.network.onnx_overrides import FILMCOLOR
from filmcolor.network.onnx_session import OnnxSession
from filmcolor.types.frames import Gray

KIND = FILMCOLOR  # in the metadata, and before its keys
CONTRACT = 1  # raised when an older filmcolor could not use the file
LUMA, AB, LOGITS, LAYER = "luma", "ab", "logits", "layer"  # tensors; layers have a number


class Keys(NamedTuple):
    """Names of metadata in an exported file."""

    kind: str = "filmcolor.kind"
    contract: str = "filmcolor.contract"
    centers: str = "filmcolor.centers"


KEYS = Keys()


@dataclass(frozen=True, slots=True)
class NetOutput:
    """What a network computes of pictures: logits if it predicts a distribution, else ab."""

    layers: list[Tensor]  # (N, C, h, w) each, as of `FilmNet.layers`
    logits: Tensor | None = None  # (N, bins, H/4, W/4)
    ab: Tensor | None = None  # (N, 2, H/2, W/2), CIELAB


class OnnxNet:
    """A network that `export_onnx` wrote, opened for inference."""

    def __init__(self, session: OnnxSession) -> None:
        """Use an opened file; raises WeightsError when it does not keep the contract."""
        path, metadata = session.file.path, session.metadata
        if metadata.get(KEYS.kind) != KIND:
            raise WeightsError(f"{path} is no network of filmcolor's; see filmcolor export-model")
        if metadata.get(KEYS.contract) != str(CONTRACT):
            raise WeightsError(f"{path} is of another version of filmcolor; export it again")
        self.session = session
        self._outputs = [tensor.name for tensor in session.outputs]
        self._num_layers = sum(name.startswith(LAYER) for name in self._outputs)
        self._has_logits = LOGITS in self._outputs
        required = {LOGITS if self._has_logits else AB, f"{LAYER}0"}
        if not required <= set(self._outputs) or [t.name for t in session.inputs] != [LUMA]:
            raise WeightsError(f"{path} lacks tensors that filmcolor exports; export it again")
        self.centers = torch.zeros(0, 2)  # (bins, 2), CIELAB
        if self._has_logits:
            num_bins = session.outputs[self._outputs.index(LOGITS)].shape[1]
            self.centers = _parse_centers(metadata.get(KEYS.centers, ""))
            if len(self.centers) != num_bins:
                raise WeightsError(f"{path} has lost its list of colours; export it again")

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        device: str = "auto",
        num_threads: int | None = None,
        runtime: str = "auto",
    ) -> "OnnxNet":
        """Open an exported file; see `OnnxSession.open` for the parameters and errors."""
        return cls(OnnxSession.open(path, device, num_threads, runtime))

    def run(self, luma: Gray, has_layers: bool) -> NetOutput:
        """Return what the network computes of 8-bit luma (N, h, w), not denoised.

        Without `has_layers` only the first layer is returned. Pictures are computed one by one: so
        none depends on those beside it, the runtime prepares itself for one shape only, and on a
        CPU batches are hardly faster.
        """
        names = [f"{LAYER}{n}" for n in range(self._num_layers if has_layers else 1)]
        names.append(LOGITS if self._has_logits else AB)
        parts = []
        for picture in luma:
            values = picture.astype(np.float32) * np.float32(1.0 / 255.0)
            parts.append(self.session.run({LUMA: values[None, None]}, names))
        *layers, output = (
            torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in names
        )
        if self._has_logits:
            return NetOutput(layers, logits=output)
        return NetOutput(layers, ab=output)


def _parse_centers(text: str) -> Tensor:
    """Return the centres of bins (bins, 2); none when the text is broken."""
    try:
        return torch.tensor(json.loads(text), dtype=torch.float32).reshape(-1, 2)
    except (ValueError, TypeError, RuntimeError):
        return torch.zeros(0, 2)
