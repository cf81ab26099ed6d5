"""Folders of stills: finding, reading, splitting and sampling crops."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stills import colorful, save_stills

from filmcolor.errors import InputError
from filmcolor.train.data.dataset import (
    Crop,
    CropSampler,
    StillsDataset,
    find_stills,
    read_resized,
    read_still,
    split_stills,
)

law = settings(max_examples=60, derandomize=True, database=None, deadline=None)


# ---------------------------------------------------------------- finding


def test_stills_are_found_in_a_tree_and_in_order(tmp_path: Path) -> None:
    save_stills(tmp_path / "film", 6)
    (tmp_path / "notes.txt").write_text("no picture")
    colorful(9).save(tmp_path / "film" / "a.JPG", format="JPEG")
    names = [*(f"{n}.png" for n in range(6)), "a.JPG"]
    assert [p.name for p in find_stills(tmp_path)] == names


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        find_stills(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_stills(tmp_path / "gone")


# ---------------------------------------------------------------- reading


def test_pictures_of_every_kind_are_read_as_the_plain_one(tmp_path: Path) -> None:
    plain = colorful(0)
    expected = np.asarray(plain)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    cmyk = Image.merge(
        "CMYK", [*plain.point(lambda v: 255 - v).split(), Image.new("L", plain.size)]
    )
    pictures = {
        "alpha.png": (plain.convert("RGBA"), {}),
        "cmyk.tif": (cmyk, {}),
        "palette.png": (plain.quantize(256), {}),
        "turned.png": (plain.transpose(Image.Transpose.ROTATE_90), {"exif": exif}),
        "plain.webp": (plain, {"lossless": True}),
        "plain.bmp": (plain, {}),
    }
    for name, (picture, options) in pictures.items():
        picture.save(tmp_path / name, **options)
        read = read_still(tmp_path / name).permute(1, 2, 0).numpy()
        assert read.dtype == np.uint8
        assert read.shape == expected.shape, name
        tolerance = 12.0 if "palette" in name else 1.0
        assert np.abs(read.astype(float) - expected).mean() < tolerance, name


def test_16_bits_are_read_as_8(tmp_path: Path) -> None:
    import cv2

    expected = np.asarray(colorful(0))
    deep = expected[..., ::-1].astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert np.array_equal(read_still(tmp_path / "deep.png").permute(1, 2, 0), expected)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (101, 77), (300, 40)])
def test_resized_pictures_have_sides_for_the_network(tmp_path: Path, size: tuple[int, int]) -> None:
    colorful(0, size).save(tmp_path / "a.png")
    height, width = read_resized(tmp_path / "a.png", 64, 8).shape[1:]
    assert (height % 8, width % 8, min(height, width)) == (0, 0, 64)
    assert abs(width / height - size[0] / size[1]) * min(size) <= 0.1 * max(size)


def test_a_broken_picture_is_replaced_by_the_next_and_named(tmp_path: Path) -> None:
    save_stills(tmp_path, 3)
    paths = find_stills(tmp_path)
    content = paths[0].read_bytes()
    paths[0].write_bytes(content[: len(content) // 2])
    data = StillsDataset(paths, 0.5)
    first, unreadable = data[Crop(0, 32, 7)]
    second, nothing = data[Crop(1, 32, 7)]
    assert torch.equal(first, second)
    assert (unreadable, nothing) == (str(paths[0]), "")
    for path in paths:
        path.write_bytes(b"broken")
    with pytest.raises(InputError, match="none of 3 pictures"):
        data[Crop(0, 32, 7)]


def test_a_crop_depends_on_its_seed_alone(tmp_path: Path) -> None:
    save_stills(tmp_path, 2)
    data = StillsDataset(find_stills(tmp_path), 0.2)
    torch.manual_seed(1)
    first, state = data[Crop(1, 32, 5)][0], torch.random.get_rng_state()
    torch.manual_seed(2)
    again = data[Crop(1, 32, 5)][0]
    assert torch.equal(first, again)
    assert first.shape == (3, 32, 32)
    assert first.dtype == torch.uint8
    assert not torch.equal(first, data[Crop(1, 32, 6)][0])
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())  # the global generator is untouched


# ---------------------------------------------------------------- splitting


def names(paths: Sequence[Path], folder: Path) -> set[str]:
    return {p.relative_to(folder).parts[0] for p in paths}


def test_the_tutorials_train_and_val_are_taken_as_they_are(tmp_path: Path) -> None:
    save_stills(tmp_path / "train" / "class", 4)
    save_stills(tmp_path / "val" / "class", 2)
    split = split_stills(tmp_path)
    assert (len(split.training), len(split.validation)) == (4, 2)
    assert names(split.validation, tmp_path) == {"val"}


def test_validation_pictures_are_never_training_pictures(tmp_path: Path) -> None:
    save_stills(tmp_path / "a", 4)
    save_stills(tmp_path / "val", 2)
    for split in (split_stills(tmp_path), split_stills(tmp_path, tmp_path / "val")):
        assert names(split.training, tmp_path) == {"a"}
        assert names(split.validation, tmp_path) == {"val"}
    with pytest.raises(InputError, match="too few pictures"):
        split_stills(tmp_path, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_a_long_film_is_for_training(seed: int, tmp_path: Path) -> None:
    save_stills(tmp_path / "long", 30)
    save_stills(tmp_path / "short", 3)
    split = split_stills(tmp_path, seed=seed)
    assert names(split.validation, tmp_path) == {"short"}


def test_whole_films_are_held_back(tmp_path: Path) -> None:
    for film in "abcdefgh":
        save_stills(tmp_path / film, 5)
    split = split_stills(tmp_path)
    assert not names(split.training, tmp_path) & names(split.validation, tmp_path)
    assert len(split.validation) == 5
    assert len(split.training) == 35
    assert split == split_stills(tmp_path)
    others = [names(split_stills(tmp_path, seed=s).validation, tmp_path) for s in range(8)]
    assert any(other != names(split.validation, tmp_path) for other in others)


def test_films_are_those_of_the_manifest(tmp_path: Path) -> None:
    save_stills(tmp_path, 12)
    with (tmp_path / "manifest.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, ["file", "film"])
        writer.writeheader()
        writer.writerows({"file": f"{n}.png", "film": "ab"[n % 2]} for n in range(12))
    split = split_stills(tmp_path)
    parities = [{int(p.stem) % 2 for p in paths} for paths in (split.training, split.validation)]
    assert sorted(parities) == [{0}, {1}]


def test_of_one_film_its_end_is_held_back(tmp_path: Path) -> None:
    save_stills(tmp_path, 9)
    split = split_stills(tmp_path)
    assert [p.name for p in split.validation] == ["8.png"]


def test_too_few_pictures_are_an_error(tmp_path: Path) -> None:
    save_stills(tmp_path, 1)
    with pytest.raises(InputError, match="too few pictures"):
        split_stills(tmp_path)


def test_the_split_is_written_and_identifies_its_data(tmp_path: Path) -> None:
    save_stills(tmp_path, 4)
    split = split_stills(tmp_path)
    rows = list(csv.DictReader(split.to_csv().splitlines()))
    assert {r["file"]: r["split"] for r in rows} == {
        "0.png": "train",
        "1.png": "train",
        "2.png": "train",
        "3.png": "val",
    }
    before = split.fingerprint
    colorful(5, (80, 60)).save(tmp_path / "0.png")
    assert split_stills(tmp_path).fingerprint != before


# ---------------------------------------------------------------- sampling


@pytest.mark.slow
@law
@given(
    st.integers(1, 40), st.integers(1, 8), st.integers(1, 3), st.integers(0, 12), st.integers(0, 9)
)
def test_batches_do_not_depend_on_the_first_step(
    num: int, batch: int, num_processes: int, start: int, seed: int
) -> None:
    def batches(first: int, rank: int) -> list[list[Crop]]:
        steps = range(first, 16)
        return list(CropSampler(num, steps, batch, (32, 64), seed, rank, num_processes))

    for rank in range(num_processes):
        assert batches(0, rank)[start:] == batches(start, rank)
    together = [batches(0, rank) for rank in range(num_processes)]
    flat = [crop.index for step in zip(*together) for batch in step for crop in batch]
    for first in range(0, len(flat) - num + 1, num):  # every epoch holds every picture once
        assert sorted(flat[first : first + num]) == list(range(num))
    sizes = [{crop.size for batch in step for crop in batch} for step in zip(*together)]
    assert all(len(s) == 1 for s in sizes)
