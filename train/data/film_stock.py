"""Splits pictures into luma and ab, and simulates old film stock on the luma."""

from collections.abc import Callable

import cv2
import torch
from torch import Tensor
from torchvision.transforms import v2

from filmcolor.color.spaces import LUMA_709, lab_from_rgb, luma_from_rgb

Uniform = Callable[[float, float], Tensor]  # (low, high) → (N, 1, 1, 1)


def split_rgb(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return R', G' and B' in 0..1, each (N, 1, H, W), of uint8 pictures (N, 3, H, W)."""
    red, green, blue = (pictures.to(torch.float32) / 255.0).split(1, dim=1)
    return red, green, blue


def luma_and_ab(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma (N, 1, H, W) in 0..1 and ab (N, 2, H, W) of uint8 RGB (N, 3, H, W)."""
    rgb = split_rgb(pictures)
    _, a, b = lab_from_rgb(*rgb)
    return luma_from_rgb(*rgb), torch.cat([a, b], dim=1)


def simulate_film_stock(
    pictures: Tensor, luma: Tensor, generator: torch.Generator, share: float = 0.5
) -> Tensor:
    """Return luma (N, 1, H, W) in which a share of the pictures looks like old film.

    Per picture: the stock's spectral response (orthochromatic film is blind to red, later
    panchromatic film is not), gamma, contrast down to prints that are far too dark, lifted shadows,
    vignetting, blur, fine or coarse grain that is strongest in the mid-tones, and video
    compression.
    `pictures`: uint8 RGB (N, 3, H, W) of the same pictures as `luma`. `generator`: on the device of
    the pictures; the source of all random numbers.
    """
    num, device = luma.shape[0], luma.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(num, 1, 1, 1, generator=generator, device=device) * (high - low) + low

    aged = _expose(pictures, uniform)
    black, white = uniform(-0.05, 0.15), 1.05 - 0.6 * uniform(0.0, 1.0) ** 2
    aged = white * (black + (1.0 - black) * aged)  # lifted shadows; thin or dark prints
    aged = aged * _vignette(luma, uniform)
    aged = torch.where(uniform(0, 1) < 0.4, _blur(aged, 1.2), aged)
    noise = torch.randn(aged.shape, generator=generator, device=device)
    coarse = _blur(noise, 0.8) * 2.0  # restores the power that the blur takes
    grain = torch.where(uniform(0, 1) < 0.5, coarse, noise) * _grain_strength(aged)
    aged = aged + grain * uniform(0.0, 1.0) ** 2 * 0.1
    aged = aged.clip(0.0, 1.0)
    is_aged, is_compressed = uniform(0, 1) < share, uniform(0, 1) < 0.2
    qualities = uniform(15, 70)
    for n in torch.nonzero((is_aged & is_compressed).flatten()).flatten().tolist():
        aged[n, 0] = _compress(aged[n, 0], int(qualities[n]))
    return torch.where(is_aged, aged, luma)


def _expose(pictures: Tensor, uniform: Uniform) -> Tensor:
    """Return the luma that film stocks of various spectral responses and gammas record."""
    weights = [w * torch.exp(uniform(-0.7, 0.7)) for w in LUMA_709]
    weights[0] = weights[0] * uniform(0.0, 1.0).sqrt()  # toward orthochromatic
    weights[2] = weights[2] * uniform(1.0, 3.0)  # old emulsions are most sensitive to blue
    total = weights[0] + weights[1] + weights[2]
    exposed = luma_from_rgb(*split_rgb(pictures), [w / total for w in weights])
    recorded: Tensor = exposed.clip(1e-4, 1.0) ** torch.exp(uniform(-0.4, 0.4))
    return recorded


def _vignette(luma: Tensor, uniform: Uniform) -> Tensor:
    """Return factors near 1 for lenses or prints that are darker at the edges or on one side."""
    height, width = luma.shape[2:]
    y = torch.linspace(-1.0, 1.0, height, device=luma.device)[:, None]
    x = torch.linspace(-1.0, 1.0, width, device=luma.device)[None]
    corners = uniform(0.0, 1.0) ** 2 * 0.15 * (y * y + x * x)
    return 1.0 - corners + uniform(-0.06, 0.06) * y + uniform(-0.06, 0.06) * x


def _grain_strength(luma: Tensor) -> Tensor:
    """Return the strength of grain at each luma, greatest in the mid-tones."""
    return (4.0 * luma * (1.0 - luma)).clip(0.1, 1.0)


def _compress(luma: Tensor, quality: int) -> Tensor:
    """Return luma (H, W) after JPEG compression; `quality`: 1 to 100."""
    codes = (luma * 255.0).round().to(torch.uint8).cpu().numpy()
    _, file = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = torch.from_numpy(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE))
    return decoded.to(luma.device, torch.float32) / 255.0


def _blur(values: Tensor, sigma: float) -> Tensor:
    blurred: Tensor = v2.functional.gaussian_blur(values, [5, 5], [sigma, sigma])
    return blurred
