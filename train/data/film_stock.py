"""Pictures to luma and ab, and the look of old film stock on the luma."""

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


def old_stock(
    pictures: Tensor, luma: Tensor, generator: torch.Generator, share: float = 0.5
) -> Tensor:
    """Return luma (N, 1, H, W) as old film would show a share of the pictures.

    Per picture: the stock's spectral response (orthochromatic film is blind to red, later
    panchromatic film sees all), gamma, contrast down to prints far too dark, lifted shadows,
    darker corners, blur, fine or coarse grain, strongest in the mid-tones, and a video's
    compression.
    `pictures`: uint8 RGB (N, 3, H, W) that `luma` belongs to. All that is random comes
    from `generator`, which lives on the pictures' device.
    """
    num, device = luma.shape[0], luma.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(num, 1, 1, 1, generator=generator, device=device) * (high - low) + low

    aged = _exposed(pictures, uniform)
    black, white = uniform(-0.05, 0.15), 1.05 - 0.6 * uniform(0.0, 1.0) ** 2
    aged = white * (black + (1.0 - black) * aged)  # lifted shadows; thin or dark prints
    aged = aged * _unevenness(luma, uniform)
    aged = torch.where(uniform(0, 1) < 0.4, _blurred(aged, 1.2), aged)
    noise = torch.randn(aged.shape, generator=generator, device=device)
    coarse = _blurred(noise, 0.8) * 2.0  # blurring took the noise's power
    grain = torch.where(uniform(0, 1) < 0.5, coarse, noise) * _grain_strength(aged)
    aged = aged + grain * uniform(0.0, 1.0) ** 2 * 0.1
    aged = aged.clip(0.0, 1.0)
    is_aged, is_compressed = uniform(0, 1) < share, uniform(0, 1) < 0.2
    qualities = uniform(15, 70)
    for n in torch.nonzero((is_aged & is_compressed).flatten()).flatten().tolist():
        aged[n, 0] = _compressed(aged[n, 0], int(qualities[n]))
    return torch.where(is_aged, aged, luma)


def _exposed(pictures: Tensor, uniform: Uniform) -> Tensor:
    """Return what the stock records: its spectral response, and its gamma."""
    weights = [w * torch.exp(uniform(-0.7, 0.7)) for w in LUMA_709]
    weights[0] = weights[0] * uniform(0.0, 1.0).sqrt()  # toward orthochromatic
    weights[2] = weights[2] * uniform(1.0, 3.0)  # old emulsions see blue best
    total = weights[0] + weights[1] + weights[2]
    exposed = luma_from_rgb(*split_rgb(pictures), [w / total for w in weights])
    gamma: Tensor = exposed.clip(1e-4, 1.0) ** torch.exp(uniform(-0.4, 0.4))
    return gamma


def _unevenness(luma: Tensor, uniform: Uniform) -> Tensor:
    """Return factors about 1 of a lens or print that darkens toward the edges or one side."""
    height, width = luma.shape[2:]
    y = torch.linspace(-1.0, 1.0, height, device=luma.device)[:, None]
    x = torch.linspace(-1.0, 1.0, width, device=luma.device)[None]
    corners = uniform(0.0, 1.0) ** 2 * 0.15 * (y * y + x * x)
    return 1.0 - corners + uniform(-0.06, 0.06) * y + uniform(-0.06, 0.06) * x


def _grain_strength(luma: Tensor) -> Tensor:
    """Return how strong grain is at each luma: most in the mid-tones."""
    return (4.0 * luma * (1.0 - luma)).clip(0.1, 1.0)


def _compressed(luma: Tensor, quality: int) -> Tensor:
    """Return luma (H, W) as a JPEG of that quality, 1 to 100, would give it back."""
    codes = (luma * 255.0).round().to(torch.uint8).cpu().numpy()
    _, file = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = torch.from_numpy(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE))
    return decoded.to(luma.device, torch.float32) / 255.0


def _blurred(values: Tensor, sigma: float) -> Tensor:
    blurred: Tensor = v2.functional.gaussian_blur(values, [5, 5], [sigma, sigma])
    return blurred
