// A photograph's colours: from the network's output to a painter of its pixels.

import { downscale, halve, proxySize } from "./luma.js";
import { surfaceAb } from "./surfaces.js";
import { ChromaTable } from "./gamut.js";
import { lowPositions, twoColors } from "./upsampling.js";
import { Painter } from "./painter.js";

const STRIDE = 4; // pixels of the network's input per sample of its output

/** The colours of a photograph at low resolution, before its grade. */
export class PhotoColors {
  /**
   * @param {Uint8Array} guide luma (height, width)
   * @param {Float32Array} ab (height, width, 2), CIELAB
   * @param {number} width
   * @param {number} height
   * @param {object} parameters
   */
  constructor(guide, ab, width, height, parameters) {
    this.guide = guide;
    this.ab = ab;
    this.width = width;
    this.height = height;
    this.table = new ChromaTable(parameters.gamut); // kept for other grades
  }

  /** Return ab in a grade. */
  graded({ saturation, warmth }, { warm_shift: shift }) {
    const graded = new Float32Array(this.ab.length);
    for (let i = 0; i < graded.length; i++) {
      graded[i] = this.ab[i] * saturation + warmth * shift[i % 2];
    }
    return graded;
  }
}

/**
 * Return the small picture that the network sees, and its half: the guide of its colours.
 *
 * @param {Uint8Array} codes luma (height, width)
 * @param {number} width
 * @param {number} height
 * @param {number} shortSide pixels
 * @param {object} parameters
 * @returns {{luma: Float32Array, width: number, height: number,
 *   guide: {codes: Uint8Array, width: number, height: number}}} luma: 0 to 1, not denoised
 */
export function lowResolution(codes, width, height, shortSide, parameters) {
  const size = proxySize(width, height, shortSide, parameters);
  const small = downscale(codes, width, height, size);
  const luma = Float32Array.from(small, (code) => code * Math.fround(1 / 255));
  return { luma, ...size, guide: halve(small, size.width, size.height) };
}

/**
 * Return the colours that the network's output gives a photograph.
 *
 * @param {Float32Array} logits (height / 4, width / 4, bins)
 * @param {Float32Array} values (height / 4, width / 4, channels)
 * @param {ReturnType<typeof lowResolution>} proxy
 * @param {object} parameters
 * @returns {PhotoColors}
 */
export function colorsOf(logits, values, proxy, parameters) {
  const width = proxy.width / STRIDE;
  const height = proxy.height / STRIDE;
  const numBins = parameters.centers.length;
  if (logits.length !== width * height * numBins || values.length % (width * height) !== 0) {
    throw new Error("the network and the page's parameters do not fit each other");
  }
  const ab = surfaceAb(logits, values, height, width, parameters);
  const { guide } = proxy;
  return new PhotoColors(
    guide.codes,
    doubled(ab, width, height),
    guide.width,
    guide.height,
    parameters,
  );
}

/**
 * Return a painter of a photograph, or of a smaller picture of it.
 *
 * @param {PhotoColors} colors
 * @param {{saturation: number, warmth: number}} grade
 * @param {number} width of the picture
 * @param {number} height
 * @param {object} parameters
 * @returns {Painter}
 */
export function painter(colors, grade, width, height, parameters) {
  const { cb, cr } = colors.table.lookUp(colors.guide, colors.graded(grade, parameters));
  const { upsampling } = parameters;
  const planes = twoColors(cb, cr, colors.guide, colors.width, colors.height, upsampling);
  return new Painter(planes, colors, width, height, parameters);
}

/**
 * Return maps at twice their size, interpolated.
 *
 * @param {Float32Array} ab (height, width, 2)
 * @param {number} width
 * @param {number} height
 * @returns {Float32Array} (2 · height, 2 · width, 2)
 */
export function doubled(ab, width, height) {
  const columns = lowPositions(2 * width, width);
  const rows = lowPositions(2 * height, height);
  const result = new Float32Array(4 * ab.length);
  const right = width > 1 ? 2 : 0;
  const below = height > 1 ? 2 * width : 0;
  for (let y = 0, to = 0; y < 2 * height; y++) {
    const down = rows.fraction[y];
    for (let x = 0; x < 2 * width; x++) {
      const across = columns.fraction[x];
      for (let channel = 0; channel < 2; channel++, to++) {
        const from = 2 * (rows.index[y] * width + columns.index[x]) + channel;
        const upper = ab[from] + (ab[from + right] - ab[from]) * across;
        const next = from + below;
        const lower = ab[next] + (ab[next + right] - ab[next]) * across;
        result[to] = upper + (lower - upper) * down;
      }
    }
  }
  return result;
}
