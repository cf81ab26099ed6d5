"""Folders of stills as training data: the split by films, the crops of each step, the batches.

Nothing depends on the order of reading: each crop has a seed of its own, made from the recipe's
seed and the crop's number. So a run that was killed and resumed equals an uninterrupted one, with
any number of reading processes, and no state of a random generator is saved.

Pictures are read by `filmcolor.images.image_file`, not by torchvision's `ImageFolder`: it handles
rotated, 16-bit, CMYK and transparent pictures, and names those that are broken.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import v2

from filmcolor.errors import InputError
from filmcolor.images.image_file import STILL_SUFFIXES, find_images, read_photo

_TRAINING_NAMES = ("train", "training")
_VALIDATION_NAMES = ("val", "valid", "validation", "test")
_VALIDATION_SHARE = 0.1  # of the pictures, where the folder has no split of its own
_MIN_PICTURES = 2  # one to train on, one to validate with


def find_stills(folder: Path) -> list[Path]:
    """Return every picture below a folder, sorted.

    Raises InputError when the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name one that holds colour pictures")
    paths = find_images(folder)
    if not paths:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(STILL_SUFFIXES))})")
    return paths


@dataclass(frozen=True, slots=True)
class Split:
    """The training and the validation pictures of `folder`."""

    folder: Path
    training: list[Path]
    validation: list[Path]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names and sizes of all pictures: changes when the data does."""
        sides = (self.training, self.validation)
        text = "\n\n".join(
            "\n".join(f"{self._name(path)} {path.stat().st_size}" for path in paths)
            for paths in sides
        )
        return sha256(text.encode()).hexdigest()

    def to_csv(self) -> str:
        """Return one line per picture: its name below the folder, and "train" or "val"."""
        lines = StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("file", "split"))
        for side, paths in (("train", self.training), ("val", self.validation)):
            writer.writerows((self._name(path), side) for path in paths)
        return lines.getvalue()

    def _name(self, path: Path) -> str:
        is_inside = path.is_relative_to(self.folder)
        return (path.relative_to(self.folder) if is_inside else path.resolve()).as_posix()


def split_stills(folder: Path, validation: Path | None = None, seed: int = 0) -> Split:
    """Return the training and the validation pictures of a folder.

    `validation` names a folder for the latter; by default that is a sub-folder `val`. Without one,
    whole films are held back until they are about a tenth of the pictures: a film is an entry of
    `manifest.csv`, or else a sub-folder. Of a single film the last tenth is held back. Validation
    pictures are never training pictures. Raises InputError when either would be empty.
    """
    training_folder, validation_folder = (
        next((folder / n for n in names if (folder / n).is_dir()), None)
        for names in (_TRAINING_NAMES, _VALIDATION_NAMES)
    )
    validation_folder = validation or validation_folder
    if validation_folder is not None:
        paths, validation_paths = (
            find_stills(training_folder or folder),
            find_stills(validation_folder),
        )
        held_back = {path.resolve() for path in validation_paths}
        training_paths = [p for p in paths if p.resolve() not in held_back]
        return _checked(Split(folder, training_paths, validation_paths))
    paths = find_stills(folder)
    num_wanted = max(1, round(_VALIDATION_SHARE * len(paths)))
    films = _group_by_film(paths, folder)
    if len(films) == 1:
        return _checked(Split(folder, paths[:-num_wanted], paths[-num_wanted:]))
    held_films = _choose_films(films, num_wanted, seed)
    is_held = {path: film in held_films for film, members in films.items() for path in members}
    return _checked(
        Split(folder, [p for p in paths if not is_held[p]], [p for p in paths if is_held[p]])
    )


def _group_by_film(paths: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of each film; without sub-folders or a manifest there is one film."""
    films: dict[str, list[Path]] = defaultdict(list)
    manifest = _read_manifest(folder)
    for path in paths:
        films[manifest.get(path) or path.relative_to(folder).parts[0]].append(path)
    return {"": list(paths)} if len(films) == len(paths) else films


def _read_manifest(folder: Path) -> dict[Path, str]:
    """Return the film of each picture in `manifest.csv`, if there is one."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {folder / r["file"]: r["film"] for r in rows if r.get("file") and r.get("film")}


def _choose_films(films: dict[str, list[Path]], num_wanted: int, seed: int) -> set[str]:
    """Return films to hold back, in random order, up to 1.5 times `num_wanted` pictures."""
    order = sorted(films, key=lambda film: sha256(f"{seed} {film}".encode()).digest())
    chosen: set[str] = set()
    num_chosen = 0
    for film in order:
        if num_chosen + len(films[film]) <= num_wanted + num_wanted // 2:
            chosen.add(film)
            num_chosen += len(films[film])
    # where every film is longer, hold back the shortest
    return chosen or {min(order, key=lambda film: len(films[film]))}


def _checked(split: Split) -> Split:
    num = len(split.training) + len(split.validation)
    if num < _MIN_PICTURES or not split.training or not split.validation:
        raise InputError(
            f"{split.folder} holds too few pictures ({num}) for training and validation; "
            "add pictures, or name others with --validation"
        )
    return split


def read_still(path: Path) -> Tensor:
    """Return a picture of any kind as uint8 RGB (3, H, W): upright, sRGB, 8 bits.

    Raises InputError when it cannot be read.
    """
    rgb = read_photo(path).rgb
    if rgb.dtype == np.uint16:
        rgb = (rgb >> 8).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))


@dataclass(frozen=True, slots=True)
class Crop:
    """A random square crop of a picture, to be taken by a dataset."""

    index: int  # of the picture in the dataset
    size: int  # pixels, of the square
    seed: int  # of its position, its scale and whether it is flipped


class StillsDataset(Dataset[tuple[Tensor, str]]):
    """Colour pictures, indexed by `Crop`: uint8 RGB (3, size, size), and an unreadable path or "".

    In place of a picture that cannot be read, the next one that can is returned.
    """

    def __init__(self, paths: Sequence[Path], min_area: float) -> None:
        self.paths = list(paths)
        self.min_area = min_area  # of a crop, share of the picture's area

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, crop: Crop) -> tuple[Tensor, str]:
        unreadable = ""
        for step in range(len(self.paths)):
            path = self.paths[(crop.index + step) % len(self.paths)]
            try:
                picture = read_still(path)
            except InputError:
                unreadable = unreadable or str(path)
                continue
            transform = v2.Compose(
                [
                    v2.RandomResizedCrop(crop.size, scale=(self.min_area, 1.0), antialias=True),
                    v2.RandomHorizontalFlip(),
                ]
            )
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(crop.seed)
                return transform(picture), unreadable
        raise InputError(f"none of {len(self.paths)} pictures could be read")


class CropSampler(Sampler[list[Crop]]):
    """Yields the batch of each step; every picture comes once per epoch, in shuffled order.

    All crops of a batch have one size, drawn from `sizes`. Of several processes, each takes its
    own part of every batch. The batch of a step does not depend on the step that training began
    with.
    """

    def __init__(
        self,
        num_pictures: int,
        steps: range,
        batch_size: int,
        sizes: Sequence[int],
        seed: int,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.num_pictures, self.steps, self.batch_size = num_pictures, steps, batch_size
        self.sizes, self.seed = list(sizes), seed
        self.rank, self.num_processes = rank, num_processes

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Crop]]:
        epoch, order = -1, np.empty(0, np.int64)
        for step in self.steps:
            size = np.random.default_rng((self.seed, 1, step)).choice(self.sizes)
            first = (step * self.num_processes + self.rank) * self.batch_size
            batch = []
            for number in range(first, first + self.batch_size):
                if number // self.num_pictures != epoch:
                    epoch = number // self.num_pictures
                    order = np.random.default_rng((self.seed, 2, epoch)).permutation(
                        self.num_pictures
                    )
                seed = int(np.random.default_rng((self.seed, 3, number)).integers(2**62))
                batch.append(Crop(int(order[number % self.num_pictures]), int(size), seed))
            yield batch


def read_resized(path: Path, short_side: int, multiple: int) -> Tensor:
    """Return an uncropped picture as uint8 RGB (3, H, W), its short side near `short_side`.

    Both sides are rounded to `multiple`, so the aspect ratio changes by a pixel or two.
    Raises InputError when it cannot be read.
    """
    picture = read_still(path)
    scale = short_side / min(picture.shape[1:])
    sides = [
        max(multiple, multiple * math.floor(s * scale / multiple + 0.5)) for s in picture.shape[1:]
    ]
    return v2.functional.resize(picture, sides, antialias=True)
