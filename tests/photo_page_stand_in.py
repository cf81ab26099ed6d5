"""Stand-ins for the page's colorizer and service worker, so that its looks are tested quickly.

A page runs `SETUP` first. Then its `standIn` holds what a test sets and reads:
`gates`: promises by the name of a call that has to wait; `errors`: texts by the name of a call that
fails; `limit`: the most pixels of a photograph; `calls`: names and values of all calls.
"""

import json
import shutil
from pathlib import Path

from photo_page_arrays import SITE

from filmcolor.guidance.grading import RANGES, SATURATION
from filmcolor.network.model import FilmNet
from filmcolor.photo_page.parameters import page_parameters

USUAL, MOST = SATURATION, RANGES["saturation"][1]  # of the grade
SETUP = """
globalThis.standIn = { gates: {}, errors: {}, limit: Infinity, calls: [], opened: {} };
standIn.close = (name) => {
  standIn.gates[name] = new Promise((resolve) => { standIn.opened[name] = resolve; });
};
standIn.open = (name) => {
  delete standIn.gates[name];
  standIn.opened[name]();
};
"""
_COLORIZER = """
export class PhotoError extends Error {
  name = "PhotoError";
}

async function pass(name, ...values) {
  standIn.calls.push([name, ...values]);
  await standIn.gates[name];
  if (standIn.errors[name]) throw new PhotoError(standIn.errors[name]);
}

export class Colorizer {
  parameters = PARAMETERS;

  static async open({ onProgress }) {
    onProgress({ loaded: 3.1e6, total: 9.4e6 });
    await pass("open");
    onProgress({ loaded: 9.4e6, total: 9.4e6 });
    standIn.colorizer = new Colorizer();
    return standIn.colorizer;
  }

  async color(blob) {
    await pass("color", blob.name);
    const bitmap = await createImageBitmap(blob);
    const scale = Math.min(1, Math.sqrt(standIn.limit / (bitmap.width * bitmap.height)));
    return new Photo(bitmap, scale, blob.name);
  }
}

// after, all pixels have one color: red is saturation, blue is warmth
const tint = ({ saturation, warmth }) =>
  `rgb(${Math.round(saturation * 100)} 60 ${Math.round((warmth + 1) * 100)})`;

class Photo {
  constructor(bitmap, scale, name) {
    const { width, height } = bitmap;
    const smaller = { width: Math.round(width * scale), height: Math.round(height * scale) };
    Object.assign(this, { bitmap, name, ...smaller });
    Object.assign(this, { originalWidth: width, originalHeight: height, isReduced: scale < 1 });
  }

  #canvas(maxSide, grade) {
    const scale = Math.min(1, maxSide / Math.max(this.width, this.height));
    const canvas = new OffscreenCanvas(
      Math.round(this.width * scale), Math.round(this.height * scale));
    const context = canvas.getContext("2d");
    context.drawImage(this.bitmap, 0, 0, canvas.width, canvas.height);
    if (!grade) return canvas;
    context.globalAlpha = standIn.alpha ?? 1;
    context.fillStyle = tint(grade);
    context.fillRect(0, 0, canvas.width, canvas.height);
    return canvas;
  }

  async before(maxSide) {
    await pass("before", maxSide);
    return this.#canvas(maxSide).transferToImageBitmap();
  }

  async after(maxSide, grade) {
    await pass("after", maxSide, grade);
    return this.#canvas(maxSide, grade).transferToImageBitmap();
  }

  async save(grade, type) {
    await pass("save", grade, type);
    return this.#canvas(Infinity, grade).convertToBlob({ type, quality: 0.92 });
  }

  async close() {
    standIn.calls.push(["close", this.name]);
  }
}
"""
_OFFLINE = """
export const controlled = async () => {};
export const offlineReady = () => standIn.gates.offline ?? Promise.resolve();
export const onUpdate = (callback) => { standIn.update = callback; };
export const takeShared = async () => standIn.shared ?? null;
"""


def tint(saturation: float, warmth: float) -> tuple[int, int, int]:
    """Return R'G'B' of a photograph that the stand-in has coloured."""
    return round(saturation * 100), 60, round((warmth + 1) * 100)


def stand_in_site(folder: Path) -> Path:
    """Return a folder with the page in it, of which two modules are stand-ins."""
    site = shutil.copytree(SITE, folder / "site")
    colorizer = _COLORIZER.replace("PARAMETERS", json.dumps(page_parameters(FilmNet())))
    for name, text in (("colorizer", colorizer), ("offline", _OFFLINE)):
        module = site / "js" / f"{name}.js"
        assert module.is_file()
        module.write_text(text, encoding="utf-8")
    return site
