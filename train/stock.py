"""Pictures to luma and ab, and the look of old film stock on the luma."""

import torch
from torch import Tensor
from torchvision.transforms import v2

from filmcolor.color import LUMA_709, lab_from_rgb, luma_from_rgb


def split_rgb(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return R', G' and B' in 0..1, each (N, 1, H, W), of uint8 pictures (N, 3, H, W)."""
    red, green, blue = (pictures.to(torch.float32) / 255.0).split(1, dim=1)
    return red, green, blue


def luma_and_ab(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma (N, 1, H, W) in 0..1 and ab (N, 2, H, W) of uint8 RGB (N, 3, H, W)."""
    rgb = split_rgb(pictures)
    _, a, b = lab_from_rgb(*rgb)
    return luma_from_rgb(*rgb), torch.cat([a, b], dim=1)


def old_stock(
    pictures: Tensor, luma: Tensor, generator: torch.Generator, share: float = 0.5
) -> Tensor:
    """Return luma (N, 1, H, W) as old film stock would have recorded a share of the pictures.

    Per picture: a spectral response from orthochromatic (blind to red) to panchromatic,
    gamma, contrast with lifted blacks, a little blur, and grain strongest in the
    mid-tones. `pictures`: uint8 RGB (N, 3, H, W) that `luma` belongs to.
    """
    num, device = luma.shape[0], luma.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(num, 1, 1, 1, generator=generator, device=device) * (high - low) + low

    red, green, blue = split_rgb(pictures)
    weights = [w * torch.exp(uniform(-0.7, 0.7)) for w in LUMA_709]
    weights[0] = weights[0] * uniform(0.0, 1.0).sqrt()  # toward orthochromatic
    weights[2] = weights[2] * uniform(1.0, 3.0)  # old emulsions see blue best
    total = weights[0] + weights[1] + weights[2]
    aged = luma_from_rgb(red, green, blue, [w / total for w in weights])
    aged = aged.clip(1e-4, 1.0) ** torch.exp(uniform(-0.4, 0.4))
    black, white = uniform(-0.05, 0.12), uniform(0.85, 1.05)
    aged = black + (white - black) * aged
    softened = v2.functional.gaussian_blur(aged, [5, 5], [1.0, 1.0])
    aged = torch.where(uniform(0, 1) < 0.4, softened, aged)
    grain = torch.randn(aged.shape, generator=generator, device=device)
    middle = (4.0 * aged * (1.0 - aged)).clip(0.1, 1.0)
    aged = (aged + grain * middle * uniform(0.0, 1.0) ** 2 * 0.08).clip(0.0, 1.0)
    return torch.where(uniform(0, 1) < share, aged, luma)
