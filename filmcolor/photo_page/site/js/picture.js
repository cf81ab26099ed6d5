// One picture: read, coloured at low resolution, and painted at the sizes that are asked for.

import { PhotoError } from "./photo-error.js";
import { lumaCodes } from "./luma.js";
import { colorsOf, lowResolution, painter } from "./photo.js";

const MAX_PIXELS = 16777216; // the most that a canvas holds on iOS
const MAX_PROXY_SIDE = 2048; // pixels, of what the network sees: strips are seen smaller than usual
const BAND_PIXELS = 1 << 20; // pixels that are painted at a time
const JPEG_QUALITY = 0.92;

/** A picture at full size, and its colours. */
export class Picture {
  /**
   * @param {OffscreenCanvas} canvas
   * @param {number} originalWidth
   * @param {number} originalHeight
   */
  constructor(canvas, originalWidth, originalHeight) {
    this.canvas = canvas;
    this.context = context(canvas);
    this.originalWidth = originalWidth;
    this.originalHeight = originalHeight;
    this.colors = undefined;
    this.parameters = undefined;
    /** @type {ImageData | undefined} */
    this.reduced = undefined; // the picture at the size of the latest preview
  }

  get width() {
    return this.canvas.width;
  }

  get height() {
    return this.canvas.height;
  }

  /**
   * Return the picture of a file, upright.
   *
   * @param {Blob} blob
   */
  static async read(blob) {
    const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" }).catch(() => {
      throw new PhotoError(unreadable(blob));
    });
    const { width, height } = bitmap;
    const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
    const sides = [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
    const canvas = new OffscreenCanvas(sides[0], sides[1]);
    draw(context(canvas), bitmap, canvas);
    bitmap.close();
    return new Picture(canvas, width, height);
  }

  /**
   * Find the picture's colours.
   *
   * @param {import("./network.js").Network} network
   * @param {object} parameters
   */
  async color(network, parameters) {
    this.parameters = parameters;
    const codes = new Uint8Array(this.width * this.height);
    for (const [first, num] of bands(this.width, this.height)) {
      const { data } = this.context.getImageData(0, first, this.width, num);
      lumaCodes(data, codes, first * this.width, parameters);
    }
    const aspect = Math.max(this.width / this.height, this.height / this.width);
    const size = Math.min(parameters.size, MAX_PROXY_SIDE / aspect);
    const proxy = lowResolution(codes, this.width, this.height, size, parameters);
    const { logits, values } = await network.run(proxy.luma, proxy.width, proxy.height);
    this.colors = colorsOf(logits, values, proxy, parameters);
  }

  /**
   * Return the picture as it is, with sides of at most `maxSide` pixels.
   *
   * @param {number} maxSide
   */
  before(maxSide) {
    return bitmapOf(this.#reducedTo(maxSide));
  }

  /**
   * Return the picture in colour, with sides of at most `maxSide` pixels.
   *
   * @param {number} maxSide
   * @param {{saturation: number, warmth: number}} grade
   */
  after(maxSide, grade) {
    const source = this.#reducedTo(maxSide);
    const { width, height } = source;
    const result = new ImageData(width, height);
    paint(this.#painter(grade, width, height), width, height, {
      read: (first, num) => source.data.subarray(4 * first * width, 4 * (first + num) * width),
      write: (first, rgba) => result.data.set(rgba, 4 * first * width),
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
    paint(this.#painter(grade, width, height), width, height, {
      read: (first, num) => this.context.getImageData(0, first, width, num).data,
      write: (first, rgba) => target.putImageData(new ImageData(rgba, width), 0, first),
    });
    const blob = await canvas.convertToBlob({ type, quality: JPEG_QUALITY });
    release(canvas);
    return blob;
  }

  /** Free the picture's memory. */
  close() {
    release(this.canvas);
    this.reduced = this.colors = undefined;
  }

  /** @param {number} maxSide */
  #reducedTo(maxSide) {
    const scale = Math.min(1, maxSide / Math.max(this.width, this.height));
    const [width, height] = [this.width, this.height].map((n) => Math.max(1, Math.round(n * scale)));
    if (this.reduced?.width !== width || this.reduced?.height !== height) {
      const canvas = new OffscreenCanvas(width, height);
      const small = context(canvas);
      draw(small, this.canvas, canvas);
      this.reduced = small.getImageData(0, 0, width, height);
      release(canvas);
    }
    return this.reduced;
  }

  #painter(grade, width, height) {
    return painter(this.colors, grade, width, height, this.parameters);
  }
}

/**
 * Paint a picture in bands of rows, so that no plane of its full size is needed.
 *
 * @param {object} painting from `painter`
 * @param {number} width
 * @param {number} height
 * @param {{read: (first: number, num: number) => Uint8ClampedArray,
 *          write: (first: number, rgba: Uint8ClampedArray) => void}} rows
 */
function paint(painting, width, height, rows) {
  for (const [first, num] of bands(width, height)) {
    const above = Math.max(0, first - painting.margin);
    const below = Math.min(height, first + num + painting.margin);
    const around = rows.read(above, below - above);
    rows.write(first, painting.paint(around, above, first, num));
  }
}

/** Yield the first row and the number of rows of each band of a picture. */
function* bands(width, height) {
  const rows = Math.max(1, Math.floor(BAND_PIXELS / width));
  for (let first = 0; first < height; first += rows) {
    yield [first, Math.min(rows, height - first)];
  }
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

function draw(target, source, { width, height }) {
  target.imageSmoothingQuality = "high";
  target.drawImage(source, 0, 0, width, height);
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

/** @param {Blob} blob */
function unreadable(blob) {
  const name = blob.name || "This file";
  if (/\.hei[cf]$/i.test(name) || /^image\/hei[cf]/.test(blob.type)) {
    return `${name} is a HEIC picture, which this browser does not read. Save it as JPEG first.`;
  }
  return `${name} is not a picture that this browser reads. Choose a JPEG or a PNG.`;
}
