// One picture: read, coloured at low resolution, and painted at the sizes that are asked for.

import { PhotoError } from "./photo-error.js";
import { lumaCodes } from "./luma.js";
import { colorsOf, lowResolution, painter } from "./photo.js";
import { unreadable } from "./support.js";

const MAX_PIXELS = 16777216; // the most that a canvas holds on iOS
const MAX_PROXY_SIDE = 2048; // pixels, of what the network sees: strips are seen smaller than usual
const BAND_PIXELS = 1 << 20; // pixels that are painted at a time
const JPEG_QUALITY = 0.92;

/** A picture at full size, and its colours. */
export class Picture {
  /**
   * @param {ImageData} pixels upright
   * @param {Uint8Array} codes luma (height, width)
   * @param {number} originalWidth
   * @param {number} originalHeight
   * @param {object} parameters
   */
  constructor(pixels, codes, originalWidth, originalHeight, parameters) {
    this.pixels = pixels;
    this.width = pixels.width;
    this.height = pixels.height;
    this.originalWidth = originalWidth;
    this.originalHeight = originalHeight;
    this.parameters = parameters;
    const aspect = Math.max(this.width / this.height, this.height / this.width);
    const size = Math.min(parameters.size, MAX_PROXY_SIDE / aspect);
    this.proxy = lowResolution(codes, this.width, this.height, size, parameters);
    this.colors = undefined;
    /** @type {{width: number, height: number, pixels: Promise<ImageData>} | undefined} */
    this.reduced = undefined; // the picture at the size of the latest preview
  }

  /**
   * Return the picture of a file, upright.
   *
   * @param {Blob} blob
   * @param {object} parameters
   */
  static async read(blob, parameters) {
    // upright without options: Chrome before 112 rejects imageOrientation "from-image"
    const bitmap = await createImageBitmap(blob).catch(() => {
      throw new PhotoError(unreadable(blob));
    });
    const { width: originalWidth, height: originalHeight } = bitmap;
    const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (originalWidth * originalHeight)));
    const [width, height] = sidesOf(originalWidth, originalHeight, scale);
    const pixels = new ImageData(width, height);
    const codes = new Uint8Array(width * height);
    const rows = Math.min(height, bandRows(width));
    const canvas = new OffscreenCanvas(width, rows);
    const target = context(canvas);
    target.imageSmoothingQuality = "high";
    for (const [first, num] of bands(width, height)) {
      target.clearRect(0, 0, width, rows);
      target.drawImage(bitmap, 0, -first, width, height);
      const { data } = target.getImageData(0, 0, width, num);
      pixels.data.set(data, 4 * width * first);
      lumaCodes(data, codes, width * first, parameters);
    }
    release(canvas);
    bitmap.close();
    return new Picture(pixels, codes, originalWidth, originalHeight, parameters);
  }

  /**
   * Find the picture's colours.
   *
   * @param {import("./network.js").Network} network
   */
  async color(network) {
    const { luma, width, height } = this.proxy;
    const { logits, values } = await network.run(luma, width, height);
    this.colors = colorsOf(logits, values, this.proxy, this.parameters);
  }

  /**
   * Return the picture as it is, with sides of at most `maxSide` pixels.
   *
   * @param {number} maxSide
   */
  async before(maxSide) {
    return bitmapOf(await this.#reducedTo(maxSide));
  }

  /**
   * Return the picture in colour, with sides of at most `maxSide` pixels.
   *
   * @param {number} maxSide
   * @param {{saturation: number, warmth: number}} grade
   */
  async after(maxSide, grade) {
    const source = await this.#reducedTo(maxSide);
    const { width, height } = source;
    const result = new ImageData(width, height);
    this.#paint(source, grade, (first, band) => {
      result.data.set(band.data, 4 * width * first);
    });
    return bitmapOf(result);
  }

  /**
   * Return a file of the picture in colour, at full size.
   *
   * @param {{saturation: number, warmth: number}} grade
   * @param {string} type "image/jpeg" or "image/png"
   */
  async save(grade, type) {
    const { width, height } = this;
    const canvas = new OffscreenCanvas(width, height);
    const target = context(canvas);
    this.#paint(this.pixels, grade, (first, band) => target.putImageData(band, 0, first));
    if (type === "image/jpeg") addPaper(target, canvas);
    const blob = await canvas.convertToBlob({ type, quality: JPEG_QUALITY });
    release(canvas);
    return blob;
  }

  /** Free the picture's memory. */
  close() {
    this.pixels = this.reduced = this.colors = undefined;
  }

  /** @param {number} maxSide */
  async #reducedTo(maxSide) {
    const scale = Math.min(1, maxSide / Math.max(this.width, this.height));
    if (scale === 1) return this.pixels;
    const [width, height] = sidesOf(this.width, this.height, scale);
    if (this.reduced?.width !== width || this.reduced?.height !== height) {
      // before and after ask for it at the same time
      this.reduced = { width, height, pixels: reduced(this.pixels, width, height) };
    }
    return this.reduced.pixels;
  }

  /**
   * Paint a picture in bands of rows, so that no plane of its full size is needed.
   *
   * @param {ImageData} source this picture at some size
   * @param {{saturation: number, warmth: number}} grade
   * @param {(first: number, band: ImageData) => void} write takes the rows from `first` on, now
   */
  #paint({ width, height, data }, grade, write) {
    const painting = painter(this.colors, grade, width, height, this.parameters);
    let band = new ImageData(width, Math.min(height, bandRows(width)));
    for (const [first, num] of bands(width, height)) {
      const above = Math.max(0, first - painting.margin);
      const below = Math.min(height, first + num + painting.margin);
      const around = data.subarray(4 * width * above, 4 * width * below);
      if (num !== band.height) band = new ImageData(width, num);
      painting.paint(around, above, first, num, band.data);
      write(first, band);
    }
  }
}

/** Return a picture at a smaller size. */
async function reduced(/** @type {ImageData} */ pixels, width, height) {
  const options = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
  const bitmap = await createImageBitmap(pixels, options);
  const canvas = new OffscreenCanvas(width, height);
  const small = context(canvas);
  small.drawImage(bitmap, 0, 0);
  bitmap.close();
  const result = small.getImageData(0, 0, width, height);
  release(canvas);
  return result;
}

/** Yield the first row and the number of rows of each band of a picture. */
function* bands(width, height) {
  const rows = bandRows(width);
  for (let first = 0; first < height; first += rows) {
    yield [first, Math.min(rows, height - first)];
  }
}

function bandRows(width) {
  return Math.max(1, Math.floor(BAND_PIXELS / width));
}

function sidesOf(width, height, scale) {
  return [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
}

/** @param {OffscreenCanvas} canvas */
function context(canvas) {
  const options = { willReadFrequently: true, colorSpace: "srgb" };
  const found = canvas.getContext("2d", options);
  if (!found) {
    throw new PhotoError("There is not enough memory for this photograph. Choose a smaller one.");
  }
  return found;
}

/** Free a canvas's pixels at once: browsers do not count them as garbage. */
function release(canvas) {
  canvas.width = canvas.height = 0;
}

/** @param {ImageData} data */
function bitmapOf(data) {
  const canvas = new OffscreenCanvas(data.width, data.height);
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas.transferToImageBitmap();
}

/** Put white under what is not opaque: in a JPEG, which has no opacity, it would be black. */
function addPaper(target, { width, height }) {
  target.globalCompositeOperation = "destination-over";
  target.fillStyle = "white";
  target.fillRect(0, 0, width, height);
}
