"""The whole page with the real network and onnxruntime-web, in a real browser.

Skipped without Chromium, and where npm cannot fetch onnxruntime-web.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import photo_page_browser
import pytest
import torch
from photo_page_browser import serve
from PIL import Image
from stills import colorful
from studio_browser import WAIT, Watch

from filmcolor.color.spaces import lab_from_rgb
from filmcolor.network import predictor as predictor_module
from filmcolor.photo_page.contents import compressed_size
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.options import ColorOptions
from filmcolor.pipeline.photo import colorize_rgb

pytestmark = pytest.mark.slow

SIZE = 300, 200  # pixels
MEAN, MOST = 0.5, 2.0  # ab that the page may differ by: on average, and at 99 % of pixels
FIRST_LOAD = 12e6  # bytes of a first visit, compressed
ORIENTATION = 0x0112  # EXIF tag
ROTATED = 6  # its value for a camera that was held upright
BLANK = "licenses/weights.txt"  # of the page: nothing is loaded there
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
THREADS = """async () => {
  const { Colorizer } = await import("/js/colorizer.js");
  const colorizer = await Colorizer.open();
  return colorizer.numThreads;
}"""


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_page_browser.exported(tmp_path_factory.mktemp("export") / "page")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with photo_page_browser.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(page_folder: Path, chromium: Any) -> Iterator[Any]:
    """One page for all photographs that need no page of their own."""
    with serve(page_folder) as root:
        page = chromium.new_page()
        watch = Watch(root)
        watch.over(page)
        page.goto(f"{root}/")
        yield page
        page.close()
        watch.check()


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """What `filmcolor photo` colours with, in float32."""
    with mock.patch.object(predictor_module, "choose_dtype", lambda _: torch.float32):
        loaded = Colorizer(ColorOptions())
        assert loaded.predictor.dtype == torch.float32
        return loaded


def file_of(picture: Image.Image, kind: str = "png", **options: Any) -> dict[str, Any]:
    """Return a picture as a file that a person chooses."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return {"name": f"old.{kind}", "mimeType": f"image/{kind}", "buffer": file.getvalue()}


def color(page: Any, file: dict[str, Any], kind: str = "image/png") -> Image.Image:
    """Return a photograph that the page has coloured and saved."""
    page.locator("#choose-file").set_input_files([file])
    page.locator("#controls").wait_for(state="visible", timeout=WAIT)
    page.locator("#format").select_option(kind)
    with page.expect_download(timeout=WAIT) as download:
        page.locator("#save").click()
    saved = Image.open(download.value.path())
    saved.load()
    page.locator("#another").click()
    page.locator("#start").wait_for(state="visible")
    return saved


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how far ab of two R'G'B' pictures (H, W, 3) is apart (H, W), CIELAB units."""
    pictures = (picture.astype(np.float64) / 255.0 for picture in (first, second))
    one, other = (np.stack(lab_from_rgb(*np.moveaxis(p, 2, 0))[1:]) for p in pictures)
    return np.linalg.norm(one - other, axis=0)


def test_colors_are_those_of_the_photo_command(page: Any, colorizer: Colorizer) -> None:
    pictures = [colorful(seed, SIZE) for seed in range(3)]
    results = [np.asarray(color(page, file_of(p)).convert("RGB")) for p in pictures]
    expected = [colorize_rgb(np.asarray(picture), colorizer) for picture in pictures]
    every = np.stack([distances(*pair) for pair in zip(results, expected, strict=True)])
    assert every.mean() < MEAN
    assert np.percentile(every, 99) < MOST
    # the network has coloured them
    greys = np.stack(
        [distances(one, one.mean(axis=2, keepdims=True).repeat(3, 2)) for one in expected]
    )
    assert greys.mean() > 5 * MEAN


def test_works_without_the_internet_after_the_first_visit(page_folder: Path, chromium: Any) -> None:
    context = chromium.new_context()
    served: list[tuple[int, str]] = []
    with serve(page_folder, served=served) as root:
        page = context.new_page()
        page.goto(f"{root}/")
        page.locator("#offline").wait_for(state="visible", timeout=WAIT)
        online = np.asarray(color(page, file_of(colorful(0, SIZE))))
    paths = [path for _, path in served if path.endswith(".bin")]
    assert len(paths) == len(set(paths)) == 2  # each large file once
    sizes = {
        path.lstrip("/"): (page_folder / (path.lstrip("/") or "index.html")).read_bytes()
        for status, path in served
        if status == 200
    }
    assert sum(compressed_size(name, content) for name, content in sizes.items()) < FIRST_LOAD
    page.reload()  # the server has stopped
    offline = np.asarray(color(page, file_of(colorful(0, SIZE))))
    context.close()
    np.testing.assert_array_equal(offline, online)


def test_orientation_size_and_exif(page: Any) -> None:
    picture = colorful(1, SIZE)
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    exif[0x010F] = "Leica"  # the camera's maker
    file = file_of(picture, "jpeg", exif=exif, quality=95)
    saved = color(page, file, "image/jpeg")
    assert saved.format == "JPEG"
    assert saved.size == SIZE[::-1]
    assert saved.getexif().get(ORIENTATION, 1) == 1
    assert saved.getexif()[0x010F] == "Leica"
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    difference = np.asarray(saved.convert("L"), int) - np.asarray(upright.convert("L"), int)
    assert np.abs(difference).mean() < 8.0  # luma of another matrix, and JPEG


def test_odd_sizes(page: Any) -> None:
    sizes = [(1, 1), (3, 200), (900, 7)]
    assert [color(page, file_of(colorful(2, size))).size for size in sizes] == sizes


def test_more_threads_where_memory_is_shared(page_folder: Path, chromium: Any) -> None:
    numbers = []
    for headers in ({}, ISOLATED):
        with serve(page_folder, headers=headers) as root:
            page = chromium.new_page()
            page.goto(f"{root}/{BLANK}")
            numbers.append(page.evaluate(THREADS))
            cores = page.evaluate("navigator.hardwareConcurrency")
            page.close()
    assert numbers == [1, min(4, cores)]
