"""Does colour stop at edges, and at what cost? Guided against bilinear upsampling.

    python benchmarks/edges.py [--stills DIR]

1. Discs and bars of a known colour on a neutral ground at 1080p, both textured: the share of chroma
   energy more than 2 luma pixels outside. ab is the true one, averaged over each of the 228×128
   low-res samples.
2. With --stills: true ab of photographs, averaged over 4×4 or 8×8 pixels and upsampled again; PSNR
   of R'G'B' with the luma kept, at 16 bits so that rounding does not matter.
3. Processor time per frame on one thread, best of many.
"""

import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np

from filmcolor.color.chroma import chroma_planes
from filmcolor.color.gamut import chroma_from_lab
from filmcolor.color.spaces import lab_from_rgb, luma_from_rgb, rgb_from_ycc
from filmcolor.images.image_file import PHOTO_SUFFIXES, read_photo
from filmcolor.types.yuv import SUBSAMPLING_420, SUBSAMPLING_444, Coding, Subsampling

WIDTH, HEIGHT = 1920, 1080
LOW = 228, 128  # size of ab
FILM = Coding(1, False, 8)
DEEP = Coding(1, True, 16)
COLOR = 36.0, 40.0  # CIELAB a, b
GROUND = 0.42  # luma
TEXTURE = 0.02  # its standard deviation, luma
CONTRASTS = 0.3, 0.12, 0.06
GRAINS = 0.0, 0.02, 0.05  # standard deviations, luma


def bilinear(
    luma: np.ndarray, guide: np.ndarray, ab: np.ndarray, coding: Coding, subsampling: Subsampling
) -> tuple[np.ndarray, np.ndarray]:
    """Return chroma planes like `chroma_planes`, but by bilinear upsampling and not rounded."""
    low = chroma_from_lab(guide / np.float32(255.0), ab[..., 0], ab[..., 1], coding)
    size = subsampling.plane_size(luma.shape[1], luma.shape[0])
    cb, cr = (
        cv2.resize(p.astype(np.float32), size) * coding.chroma_scale + coding.chroma_offset
        for p in low
    )
    return cb, cr


Upsampling = Callable[..., tuple[np.ndarray, np.ndarray]]
METHODS: dict[str, Upsampling] = {"guided": chroma_planes, "bilinear": bilinear}


def make_guide(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return luma in 0..1 as 8-bit codes at the size of ab, the guide of `chroma_planes`."""
    low = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.rint(low.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def noise(seed: int, sigma: float) -> np.ndarray:
    """Return noise of unit deviation with grains about 2 sigma pixels wide."""
    white = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    field: np.ndarray = cv2.GaussianBlur(white, (0, 0), sigma)
    return field / field.std()


def disc(radius: float) -> np.ndarray:
    """Return the distance from the edge of a disc in pixels, negative inside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return np.hypot(x - 963.3, y - 541.7) - np.float32(radius)


def bar(thickness: float) -> np.ndarray:
    """Return the distance from the edge of a slanting bar in pixels, negative inside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    across = 0.94 * (x - 963.3) + 0.342 * (y - 541.7)
    along = 0.94 * (y - 541.7) - 0.342 * (x - 963.3)
    return np.maximum(np.abs(across) - thickness / 2.0, np.abs(along) - 400.0)


def leak(
    method: Upsampling, distance: np.ndarray, contrast: float, grain: float
) -> tuple[float, ...]:
    """Return the shares of squared and of absolute chroma outside, in %."""
    mask = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    texture = TEXTURE * (noise(1, 1.5) + noise(2, 12.0)) / np.sqrt(2.0)
    picture = (GROUND + contrast * mask + texture + grain * noise(3, 0.7)).clip(0.0, 1.0)
    luma = np.rint(picture * FILM.luma_scale + FILM.luma_offset).astype(np.uint8)
    guide = make_guide(picture, LOW)
    ab = cv2.resize(mask, LOW, interpolation=cv2.INTER_AREA)[..., None] * np.float32(COLOR)
    cb, cr = (
        np.asarray(p, np.float32) - 128.0 for p in method(luma, guide, ab, FILM, SUBSAMPLING_420)
    )
    strength = np.hypot(cb, cr)
    outside = cv2.resize(distance, cb.shape[::-1], interpolation=cv2.INTER_AREA) > 2.0
    return tuple(100.0 * (strength[outside] ** n).sum() / (strength**n).sum() for n in (2, 1))


def edges() -> None:
    """Print the shares of chroma outside, squared (absolute), by contrast and grain."""
    shapes = {f"disc, radius {r}": disc(r) for r in (24, 60, 200)}
    shapes |= {f"bar, {t} wide": bar(t) for t in (16, 32, 80)}
    heads = [f"{c:g}, grain {g:g}" for c in CONTRASTS for g in GRAINS]
    click.echo("| shape | | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 2))
    for shape, distance in shapes.items():
        for name, method in METHODS.items():
            cells = [leak(method, distance, c, g) for c in CONTRASTS for g in GRAINS]
            row = " | ".join(f"{square:.2f} ({absolute:.1f})" for square, absolute in cells)
            click.echo(f"| {shape} | {name} | {row} |")


def psnr(method: Upsampling, rgb: np.ndarray, ratio: int) -> float:
    """Return PSNR in dB of R'G'B' (H, W, 3) after its ab was `ratio` times smaller."""
    luma = luma_from_rgb(*np.moveaxis(rgb, 2, 0)).astype(np.float32)
    ab = np.dstack(lab_from_rgb(*np.moveaxis(rgb, 2, 0))[1:]).astype(np.float32)
    low = luma.shape[1] // ratio, luma.shape[0] // ratio
    coded = np.rint(luma * DEEP.luma_scale).astype(np.uint16)
    low_ab = cv2.resize(ab, low, interpolation=cv2.INTER_AREA)
    planes = method(coded, make_guide(luma, low), low_ab, DEEP, SUBSAMPLING_444)
    cb, cr = ((np.asarray(p, np.float32) - DEEP.chroma_offset) / DEEP.chroma_scale for p in planes)
    shown = np.dstack(rgb_from_ycc(luma, cb, cr, DEEP)).clip(0.0, 1.0)
    return float(-10.0 * np.log10(np.square(shown - rgb).mean()))


def stills(folder: Path) -> None:
    """Print the mean PSNR of both methods over the photographs of a folder."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in PHOTO_SUFFIXES)
    click.echo("| ab | guided | bilinear | guided is better in |\n|---|---|---|---|")
    for ratio in (4, 8):
        scores = []
        for file in files:
            rgb = read_photo(file).rgb.astype(np.float32) / 255.0
            rgb = rgb[: rgb.shape[0] // ratio * ratio, : rgb.shape[1] // ratio * ratio]
            scores.append([psnr(method, rgb, ratio) for method in METHODS.values()])
        guided, plain = np.mean(scores, axis=0)
        num_wins = sum(a > b for a, b in scores)
        click.echo(
            f"| 1/{ratio} | {guided:.2f} dB | {plain:.2f} dB "
            f"| {num_wins} of {len(scores)} pictures |"
        )


def timing(repeats: int = 40) -> None:
    """Print the processor time per frame at three sizes, 8-bit 4:2:0."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    click.echo("| size | guided | bilinear |\n|---|---|---|")
    for width, height in ((640, 480), (1920, 1080), (3840, 2160)):
        soft = cv2.resize(rng.random((9, 16), np.float32), (width, height)).clip(0.0, 1.0)
        grainy = (soft + rng.normal(0.0, 0.02, soft.shape)).clip(0.0, 1.0).astype(np.float32)
        luma = np.rint(grainy * 219.0 + 16.0).astype(np.uint8)
        low = round(128 * width / height / 4) * 4, 128
        guide = make_guide(grainy, low)
        ab = cv2.resize(rng.normal(0.0, 15.0, (8, 12, 2)).astype(np.float32), low)
        best = []
        for method in METHODS.values():
            times = []
            for _ in range(repeats):
                started = time.thread_time()
                method(luma, guide, ab, FILM, SUBSAMPLING_420)
                times.append(time.thread_time() - started)
            best.append(1000.0 * min(times))
        click.echo(f"| {width}×{height} | {best[0]:.2f} ms | {best[1]:.2f} ms |")


@click.command()
@click.option("--stills", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path | None) -> None:
    """Print tables of leaks at edges, of PSNR with --stills, and of processor time."""
    edges()
    if folder:
        click.echo()
        stills(folder)
    click.echo()
    timing()


if __name__ == "__main__":
    main()
