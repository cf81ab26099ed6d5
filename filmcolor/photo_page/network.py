"""The network as the page runs it: an ONNX file of luma in, logits and surfaces' values out."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import filmcolor.weights as weights_store
from filmcolor.errors import SettingsError, WeightsError
from filmcolor.network.model import FilmNet
from filmcolor.network.onnx_export import DenoisingNet, halve_weights, trace
from filmcolor.network.surfaces import FEATURE_LEVELS

LOGITS, VALUES = "logits", "values"  # outputs
_STRIDE = 4  # of both
_WHITE = 255.0  # levels of luma


def load_page_net(weights: str | Path) -> FilmNet:
    """Return the network of weights that the page can use; raises WeightsError for others."""
    net = weights_store.load(weights_store.find(weights))
    if not isinstance(net, FilmNet):
        raise WeightsError(
            f"{weights} hold the tutorial's network; the page needs those of a film network"
        )
    return net


def page_network(weights: str | Path) -> bytes:
    """Return the ONNX file of weights, for luma float32 (1, 1, H, W) in 0..1, not denoised.

    H and W are multiples of 8. Outputs: "logits" (1, H/4, W/4, bins), and "values"
    (1, H/4, W/4, 1 + C), what `surfaces` finds segments in.
    Raises SettingsError when the package onnx is missing, WeightsError for weights of another kind.
    """
    try:
        import onnx
    except ImportError as error:
        raise SettingsError(
            "the page's network needs the package onnx: pip install 'filmcolor[onnx]'"
        ) from error
    module = _PageNet(load_page_net(weights))
    model = onnx.load_from_string(trace(module, [LOGITS, VALUES], has_channels_last=True))
    halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


class _PageNet(DenoisingNet):
    """A network whose outputs are what the page decodes colours from."""

    def forward(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, h, w, bins) and values (N, h, w, 1 + C)."""
        assert isinstance(self.net, FilmNet)
        denoised = self.denoise(luma)
        features = self.net.layers(denoised)[0]
        levels = _WHITE * functional.avg_pool2d(denoised, _STRIDE)
        unit = FEATURE_LEVELS * functional.normalize(features, dim=1)
        values = torch.cat([levels, unit], dim=1)
        logits = self.net.logits(features)
        return logits.permute(0, 2, 3, 1), values.permute(0, 2, 3, 1)
