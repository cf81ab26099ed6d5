"""Does one object get one colour? Measures the spread of ab inside objects of true-colour pictures.

    python benchmarks/surfaces.py DIR [--weights NAME|PATH ...] [--surfaces X ...] [--step 1]

An object is a segment of the true picture (Felzenszwalb & Huttenlocher 2004, in Lab) of at least
1 % of its area, in which the true ab has a standard deviation of at most 7. The spread is the RMS
distance of the predicted ab from its mean over the object; objects count by their pixels. Prints
it for each strength of surfaces at saturation 1 and, because dull colours have little spread, at
the saturation that gives 75 % of the true mean chroma, each beside the error: the ab RMSE below
that of grey.
"""

from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb

import filmcolor.weights as weights_store
from filmcolor import FilmcolorError
from filmcolor.color.spaces import lab_from_rgb, luma_from_rgb
from filmcolor.images.image_file import find_images, read_photo
from filmcolor.network.predictor import Predictor
from filmcolor.types.frames import FloatPlane, Gray
from filmcolor.video.proxy import DEFAULT_SIZE, proxy_size

SCALE, SIGMA, LAB_UNIT = 60.0, 0.8, 50.0  # of the segmentation
MIN_AREA = 0.01  # of the picture
MAX_VARIANCE = 50.0  # of the true ab in an object
SHARE = 0.75  # of the true chroma


@dataclass(frozen=True)
class Picture:
    """A picture at the network's size: luma, and true ab and objects at half of it."""

    luma: Gray
    ab: FloatPlane
    objects: NDArray[np.int64]  # numbers of segments


@dataclass
class Sums:
    """Sums over the pixels of pictures."""

    predicted: float = 0.0  # squares of ab
    product: float = 0.0
    truth: float = 0.0
    chroma: float = 0.0
    true_chroma: float = 0.0
    variance: float = 0.0  # in objects
    num_object_pixels: float = 0.0

    def add(self, ab: FloatPlane, picture: Picture) -> None:
        """Add the predicted ab of a picture."""
        predicted, truth = ab.astype(np.float64), picture.ab.astype(np.float64)
        self.predicted += float((predicted**2).sum())
        self.product += float((predicted * truth).sum())
        self.truth += float((truth**2).sum())
        self.chroma += float(np.linalg.norm(predicted, axis=2).sum())
        self.true_chroma += float(np.linalg.norm(truth, axis=2).sum())
        counts = np.bincount(picture.objects.ravel())
        is_object = variances(truth, picture.objects) <= MAX_VARIANCE
        is_object &= counts >= MIN_AREA * picture.objects.size
        self.variance += float((variances(predicted, picture.objects) * counts)[is_object].sum())
        self.num_object_pixels += float(counts[is_object].sum())

    def line(self, saturation: float) -> str:
        """Return the figures at a saturation."""
        squares = saturation**2 * self.predicted - 2 * saturation * self.product + self.truth
        below_grey = 1.0 - (squares / self.truth) ** 0.5
        share = saturation * self.chroma / self.true_chroma
        spread = saturation * (self.variance / self.num_object_pixels) ** 0.5
        return (
            f"saturation {saturation:4.2f}: {below_grey:6.1%} below grey, {share:4.0%} of the "
            f"chroma, spread {spread:.2f}"
        )


def variances(ab: NDArray[np.float64], segments: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the variance of ab (h, w, 2) in each segment."""
    labels, counts = segments.ravel(), np.maximum(np.bincount(segments.ravel()), 1)
    total = np.zeros(len(counts))
    for values in ab.reshape(-1, 2).T:
        mean = np.bincount(labels, values) / counts
        total += np.bincount(labels, values**2) / counts - mean**2
    return total


def read_picture(path: Path, size: int) -> Picture:
    """Return a picture whose short side has `size` pixels."""
    rgb = read_photo(path).rgb
    shape = proxy_size(rgb.shape[1], rgb.shape[0], size)
    is_smaller = shape[0] < rgb.shape[1]
    scaled = cv2.resize(
        rgb.astype(np.float32) / np.iinfo(rgb.dtype).max,
        shape,
        interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR,
    )
    channels = np.moveaxis(scaled, 2, 0)
    lab = np.dstack(lab_from_rgb(*channels)).astype(np.float32)
    min_size = int(MIN_AREA * shape[0] * shape[1])
    segments = felzenszwalb(lab / LAB_UNIT, scale=SCALE, sigma=SIGMA, min_size=min_size)
    luma = np.rint(luma_from_rgb(*channels) * 255.0).astype(np.uint8)
    half = cv2.resize(lab[..., 1:], (shape[0] // 2, shape[1] // 2), interpolation=cv2.INTER_AREA)
    return Picture(luma, half, segments[1::2, 1::2])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--weights", multiple=True, default=["film"], show_default=True)
@click.option("--surfaces", type=float, multiple=True, default=[0.0, 1.0], show_default=True)
@click.option("--size", type=int, default=DEFAULT_SIZE, show_default=True)
@click.option("--step", type=int, default=1, help="Every how many pictures to use.")
def main(
    folder: Path, weights: tuple[str, ...], surfaces: tuple[float, ...], size: int, step: int
) -> None:
    """Measure WEIGHTS with each strength of SURFACES on the pictures in FOLDER."""
    try:
        predictors = {
            (name, strength): Predictor(weights_store.load(name), surfaces=strength)
            for name in weights
            for strength in surfaces
        }
        sums = {key: Sums() for key in predictors}
        for path in find_images(folder)[::step]:
            picture = read_picture(path, size)
            for key, predictor in predictors.items():
                sums[key].add(predictor.predict(picture.luma[None])[0], picture)
    except FilmcolorError as error:
        raise click.ClickException(str(error)) from error
    for (name, strength), figures in sums.items():
        saturation = SHARE * figures.true_chroma / figures.chroma
        click.echo(f"{name}, surfaces {strength}: {figures.line(1.0)}")
        click.echo(f"{name}, surfaces {strength}: {figures.line(saturation)}")


if __name__ == "__main__":
    main()
