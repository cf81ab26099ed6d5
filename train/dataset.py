"""Stills to pairs of luma and ab, with the look of old film stock on the luma."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from filmcolor.color import LUMA_709, lab_from_rgb, luma_from_rgb
from filmcolor.errors import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})


def find_stills(folder: Path) -> list[Path]:
    """Return every picture below a folder, sorted.

    Raises InputError when the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name one that holds colour pictures")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return paths


class StillsDataset(Dataset[Tensor]):
    """Colour pictures as uint8 RGB tensors (3, H, W), through a torchvision transform.

    A picture that cannot be read gives way to the next one that can.
    """

    def __init__(self, paths: Sequence[Path], transform: v2.Transform) -> None:
        self.paths = list(paths)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        if index >= len(self.paths):
            raise IndexError(index)
        for step in range(len(self.paths)):
            path = self.paths[(index + step) % len(self.paths)]
            try:
                with Image.open(path) as image:
                    picture = v2.functional.pil_to_tensor(image.convert("RGB"))
            except (OSError, UnidentifiedImageError):
                continue
            return self.transform(picture)
        raise InputError(f"none of {len(self.paths)} pictures could be read")


def training_transform(size: int) -> v2.Transform:
    """Return the tutorial's crop and flip, at (3, size, size)."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.25, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )


def validation_transform(size: int) -> v2.Transform:
    """Return the centre square at (3, size, size)."""
    return v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])


def split_rgb(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return R', G' and B' in 0..1, each (N, 1, H, W), of uint8 pictures (N, 3, H, W)."""
    red, green, blue = (pictures.to(torch.float32) / 255.0).split(1, dim=1)
    return red, green, blue


def luma_and_ab(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma (N, 1, H, W) in 0..1 and ab (N, 2, H, W) of uint8 RGB (N, 3, H, W)."""
    rgb = split_rgb(pictures)
    _, a, b = lab_from_rgb(*rgb)
    return luma_from_rgb(*rgb), torch.cat([a, b], dim=1)


def old_stock(pictures: Tensor, luma: Tensor, generator: torch.Generator) -> Tensor:
    """Return luma (N, 1, H, W) as old film stock would have recorded half of the pictures.

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
    return torch.where(uniform(0, 1) < 0.5, aged, luma)


def whole_picture(path: Path, short_side: int, multiple: int) -> Tensor:
    """Return uint8 RGB (3, H, W) of a whole picture, its short side near `short_side`.

    Both sides are rounded to `multiple`, so the aspect may move by a pixel or two.
    """
    with Image.open(path) as image:
        picture = v2.functional.pil_to_tensor(image.convert("RGB"))
    scale = short_side / min(picture.shape[1:])
    sides = [
        max(multiple, multiple * math.floor(s * scale / multiple + 0.5)) for s in picture.shape[1:]
    ]
    return v2.functional.resize(picture, sides, antialias=True)
