"""Folders of stills to batches of pictures, and which films are held back."""

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
_HELD_BACK = 0.1  # of the pictures, where the folder has no split of its own
_MIN_PICTURES = 2  # one to learn from, one to judge by


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
    """Which pictures of `folder` teach, and which judge."""

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
        """Return one line a picture: its name below the folder, and its side."""
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
    """Return the pictures that teach and those that judge.

    `validation` names the latter; without it a sub-folder `val` is taken, and where there
    is none, whole films are held back until they are about a tenth of the pictures: a film
    is what `manifest.csv` says, else a sub-folder. Of a single film, its last tenth is held
    back. What judges never teaches. Raises InputError when that leaves nothing to learn
    from or to judge by.
    """
    teaching, judging = (
        next((folder / n for n in names if (folder / n).is_dir()), None)
        for names in (_TRAINING_NAMES, _VALIDATION_NAMES)
    )
    judging = validation or judging
    if judging is not None:
        paths, judges = find_stills(teaching or folder), find_stills(judging)
        held_back = {path.resolve() for path in judges}
        return _checked(Split(folder, [p for p in paths if p.resolve() not in held_back], judges))
    paths = find_stills(folder)
    wanted = max(1, round(_HELD_BACK * len(paths)))
    films: dict[str, list[Path]] = defaultdict(list)
    told = _films_told(folder)
    for path in paths:
        films[told.get(path) or path.relative_to(folder).parts[0]].append(path)
    if len(films) == len(paths):  # no sub-folders: one film, in the order of its names
        films = {"": paths}
    if len(films) == 1:
        return _checked(Split(folder, paths[:-wanted], paths[-wanted:]))
    order = sorted(films, key=lambda film: sha256(f"{seed} {film}".encode()).digest())
    held: set[str] = set()
    num_held = 0
    for film in order:
        if num_held + len(films[film]) <= wanted + wanted // 2:
            held.add(film)
            num_held += len(films[film])
    if not held:  # all films are long: the shortest judges
        held.add(min(order, key=lambda film: len(films[film])))
    is_held = {path: film in held for film, members in films.items() for path in members}
    return _checked(
        Split(folder, [p for p in paths if not is_held[p]], [p for p in paths if is_held[p]])
    )


def _films_told(folder: Path) -> dict[Path, str]:
    """Return the film of each picture that `manifest.csv` names."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {folder / r["file"]: r["film"] for r in rows if r.get("file") and r.get("film")}


def _checked(split: Split) -> Split:
    num = len(split.training) + len(split.validation)
    if num < _MIN_PICTURES or not split.training or not split.validation:
        raise InputError(
            f"{split.folder} holds too few pictures ({num}): some must teach and others judge; "
            "add pictures, or name others with --validation"
        )
    return split


def read_still(path: Path) -> Tensor:
    """Return a picture as uint8 RGB (3, H, W), upright sRGB, whatever it was.

    Raises InputError when it cannot be read.
    """
    rgb = read_photo(path).rgb
    if rgb.dtype == np.uint16:
        rgb = (rgb >> 8).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))


@dataclass(frozen=True, slots=True)
class Draw:
    """One picture to learn from: which, cut to which size, by which seed."""

    index: int
    size: int  # pixels, of the square
    seed: int


class StillsDataset(Dataset[tuple[Tensor, str]]):
    """Colour pictures cut to squares: uint8 RGB (3, size, size), and what was unreadable.

    A picture that cannot be read gives way to the next one that can, and is named. Each
    draw has a seed of its own, so that what is learned does not depend on who reads.
    """

    def __init__(self, paths: Sequence[Path], smallest: float) -> None:
        self.paths = list(paths)
        self.smallest = smallest  # share of a picture's area that a crop takes at least

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, str]:
        unreadable = ""
        for step in range(len(self.paths)):
            path = self.paths[(draw.index + step) % len(self.paths)]
            try:
                picture = read_still(path)
            except InputError:
                unreadable = unreadable or str(path)
                continue
            transform = v2.Compose(
                [
                    v2.RandomResizedCrop(draw.size, scale=(self.smallest, 1.0), antialias=True),
                    v2.RandomHorizontalFlip(),
                ]
            )
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(draw.seed)
                return transform(picture), unreadable
        raise InputError(f"none of {len(self.paths)} pictures could be read")


class Draws(Sampler[list[Draw]]):
    """What to learn from at each step: every picture once an epoch, in an order from a seed.

    All squares of a batch have one size, drawn from `sizes`. With several processes, each
    takes its `rank`-th share of every batch. Step n is the same whenever training began.
    """

    def __init__(
        self,
        num_pictures: int,
        steps: range,
        batch_size: int,
        sizes: Sequence[int],
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.num_pictures, self.steps, self.batch_size = num_pictures, steps, batch_size
        self.sizes, self.seed = list(sizes), seed
        self.rank, self.num_ranks = rank, num_ranks

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, order = -1, np.empty(0, np.int64)
        for step in self.steps:
            size = np.random.default_rng((self.seed, 1, step)).choice(self.sizes)
            first = (step * self.num_ranks + self.rank) * self.batch_size
            batch = []
            for number in range(first, first + self.batch_size):
                if number // self.num_pictures != epoch:
                    epoch = number // self.num_pictures
                    order = np.random.default_rng((self.seed, 2, epoch)).permutation(
                        self.num_pictures
                    )
                seed = int(np.random.default_rng((self.seed, 3, number)).integers(2**62))
                batch.append(Draw(int(order[number % self.num_pictures]), int(size), seed))
            yield batch


def whole_picture(path: Path, short_side: int, multiple: int) -> Tensor:
    """Return uint8 RGB (3, H, W) of a whole picture, its short side near `short_side`.

    Both sides are rounded to `multiple`, so the aspect may move by a pixel or two.
    Raises InputError when it cannot be read.
    """
    picture = read_still(path)
    scale = short_side / min(picture.shape[1:])
    sides = [
        max(multiple, multiple * math.floor(s * scale / multiple + 0.5)) for s in picture.shape[1:]
    ]
    return v2.functional.resize(picture, sides, antialias=True)
