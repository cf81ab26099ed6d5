"""The page's files, pictures and worker, without the network, in a real browser."""

import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import photo_page_browser
import pytest
import torch
from photo_page_arrays import SITE, JavaScript
from PIL import Image, ImageOps

from filmcolor.network.model import FilmNet
from filmcolor.photo_page.parameters import page_parameters

pytestmark = pytest.mark.slow

ORIENTATION = 0x0112  # EXIF tag
# as of Chrome before 112, which has not all of the options
OLD_BROWSER = """
const original = globalThis.createImageBitmap;
globalThis.createImageBitmap = (source, options = {}) => {
  if (options.imageOrientation === "from-image") return Promise.reject(new TypeError("enum"));
  return original.call(globalThis, source, options);
};
"""
SAVE = """
const network = { run: async (luma, width, height) => {
  const size = (width / 4) * (height / 4);
  return {
    logits: new Float32Array(size * kept.parameters.centers.length),
    values: new Float32Array(size * 3),
  };
} };
const picture = await Picture.read(new Blob([file]), kept.parameters);
await picture.color(network);
const saved = await picture.save({ saturation: 1, warmth: 0 }, type);
return new Uint8Array(await saved.arrayBuffer());
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with photo_page_browser.module_page(SITE) as opened:
        yield opened


@pytest.fixture(scope="module")
def js(page: Any) -> JavaScript:
    modules = JavaScript(page)
    torch.manual_seed(0)
    modules.keep(parameters=page_parameters(FilmNet()))
    return modules


def file_of(picture: Image.Image, kind: str, **options: Any) -> np.ndarray:
    """Return the bytes of a picture file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return np.frombuffer(file.getvalue(), np.uint8)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_pictures_are_upright_in_old_browsers_too(js: JavaScript, kind: str) -> None:
    luma = np.full((32, 48), 20, np.uint8)
    luma[:16, :24], luma[:16, 24:], luma[16:, :24] = 230, 160, 90  # no two turns are the same
    files, expected = [], []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        files.append(file_of(Image.fromarray(luma), kind, exif=exif))
        opened = Image.open(io.BytesIO(files[-1].tobytes()))
        expected.append(np.asarray(ImageOps.exif_transpose(opened), int))
    body = f"""{OLD_BROWSER}
    try {{
      const found = await Promise.all(
        files.map((file) => Picture.read(new Blob([file]), kept.parameters)));
      return found.map(({{ pixels }}) => [pixels.height, pixels.width, pixels.data]);
    }} finally {{
      globalThis.createImageBitmap = original;
    }}"""
    for (height, width, data), right in zip(
        js.call("picture", body, files=files), expected, strict=True
    ):
        got = data.reshape(height, width, 4)[..., 0].astype(int)
        assert got.shape == right.shape
        assert np.abs(got - right).mean() < 4.0  # JPEG


def test_clear_pixels_are_white_in_a_jpeg_and_clear_in_a_png(js: JavaScript) -> None:
    rgba = np.full((64, 64, 4), 128, np.uint8)
    rgba[..., 3] = np.where(np.arange(64) < 32, 0, 255)
    for kind in ("jpeg", "png"):
        file = file_of(Image.fromarray(rgba), "png")
        saved = js.call("picture", SAVE, file=file, type=f"image/{kind}")
        pixels = np.asarray(Image.open(io.BytesIO(saved.tobytes())).convert("RGBA"))
        left, right = pixels[:, 4:28], pixels[:, 36:60]
        assert np.abs(right[..., :3].astype(int) - 128).mean() < 40.0
        if kind == "png":
            assert not left[..., 3].any()
        else:
            assert left.min() > 245


def test_before_and_after_make_the_smaller_picture_once(js: JavaScript) -> None:
    body = """
    const picture = await Picture.read(new Blob([file]), kept.parameters);
    let calls = 0;
    const original = globalThis.createImageBitmap;
    globalThis.createImageBitmap = (...given) => { calls++; return original(...given); };
    try {
      const both = await Promise.all([picture.before(32), picture.before(32)]);
      return [calls, both.map(({ width }) => width)];
    } finally {
      globalThis.createImageBitmap = original;
    }"""
    file = file_of(Image.new("L", (64, 64), 99), "png")
    assert js.call("picture", body, file=file) == [1, [32, 32]]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (gzip.compress(b"the network"), ""),
        (b"the network", ""),  # a server has unpacked it
        (b"<!doctype html><title>Sign in</title>", "network.bin is damaged. Reload the page."),
        (b"", "network.bin is damaged. Reload the page."),
        (gzip.compress(b"the network")[:-9], "network.bin is damaged. Reload the page."),
        (gzip.compress(b"another"), "network.bin is damaged. Reload the page."),
    ],
    ids=["packed", "unpacked", "page", "nothing", "cut off", "another"],
)
def test_what_is_not_the_network_is_named(
    page: Any, js: JavaScript, sent: bytes, error: str
) -> None:
    size = {"bytes": 99, "unpacked": len("the network")}
    files = {"network": {"url": "network.bin", **size}, "runtime": {"url": "runtime.bin", **size}}
    answers = {
        "files.json": json.dumps(files).encode(),
        "parameters.json": b"{}",
        "network.bin": sent,
        "runtime.bin": b"the network",
    }
    body = """
    const root = new URL("/given/", location.href);
    try {
      const { network } = await loadFiles(root, () => {});
      return ["", new TextDecoder().decode(network)];
    } catch (error) {
      return [`${error.name}: ${error.message}`, ""];
    }"""
    page.route(
        "**/given/*", lambda route: route.fulfill(body=answers[route.request.url.split("/")[-1]])
    )
    try:
        expected = [f"PhotoError: {error}", ""] if error else ["", "the network"]
        assert js.call("files", body) == expected
    finally:
        page.unroute("**/given/*")


def test_a_worker_without_memory_is_ended(js: JavaScript) -> None:
    body = """
    const ended = [];
    for (const error of errors) {
      let isEnded = false;
      const worker = { terminate: () => { isEnded = true; } };
      worker.postMessage = ({ id }) => worker.onmessage({ data: { id, error } });
      const colorizer = new Colorizer(worker, () => {});
      const { message } = await colorizer.color(null).catch((reason) => reason);
      ended.push([isEnded, Boolean(colorizer.failure), message]);
    }
    return ended;"""
    errors = [
        {"name": "Error", "message": "failed to call OrtRun(). ERROR_MESSAGE: std::bad_alloc"},
        {"name": "RangeError", "message": "Array buffer allocation failed"},
        {"name": "PhotoError", "message": "memory.jpg is not a picture."},
        {"name": "TypeError", "message": "x is undefined"},
    ]
    memory, large, file, other = js.call("colorizer", body, errors=errors)
    sentence = "There is not enough memory for this photograph. Choose a smaller one."
    assert memory == large == [True, True, sentence]
    assert file == [False, False, "memory.jpg is not a picture."]
    assert other[:2] == [False, False]
