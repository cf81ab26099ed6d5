"""Folders of stills to batches of pictures."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

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
