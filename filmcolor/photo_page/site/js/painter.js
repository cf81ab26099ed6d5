// Paints a picture in bands of rows: exact luma, and chroma that follows its edges.
//
// The result is Python's `pipeline.photo_colors.color_luma`, whatever the bands.

import { lumaTables } from "./luma.js";
import { guideRadius, guideTaps, lowPositions } from "./upsampling.js";

const PEAK = 255;
const ROUNDING = 1.5 * 2 ** 52; // added and taken away again, it rounds to even

/** Paints pictures of one size with the planes of `twoColors`. */
export class Painter {
  /**
   * @param {Record<string, Float32Array>} planes from `twoColors`
   * @param {{width: number, height: number}} low the planes' size
   * @param {number} width of the picture
   * @param {number} height
   * @param {object} parameters
   */
  constructor(planes, low, width, height, parameters) {
    const { upsampling, dither, gamut } = parameters;
    this.planes = planes;
    this.low = low;
    this.width = width;
    this.height = height;
    this.margin = guideRadius(upsampling); // rows that `paint` needs above and below
    this.gamut = gamut;
    this.tables = lumaTables(parameters);
    this.columnTaps = guideTaps(height / low.height, upsampling);
    this.rowTaps = guideTaps(width / low.width, upsampling);
    this.columns = lowPositions(width, low.width);
    this.rows = lowPositions(height, low.height);
    this.starts = runStarts(this.columns.index, low.width);
    this.noise = noiseTiles(dither);
    this.tile = dither.tile;
    this.lines = Array.from({ length: 2 * this.margin + 1 }, () => new Line(width, this.margin));
    this.guide = new Float32Array(width);
    this.row = Object.keys(planes).map(() => new Float64Array(low.width));
    this.dither = [new Float32Array(width), new Float32Array(width)];
  }

  /**
   * Return rows of the picture in colour, as RGBA; alpha is kept. `painted` is used if it is given.
   *
   * @param {Uint8ClampedArray} rgba rows of the picture from `above` on: those to paint, and
   *   `margin` rows around them, as far as the picture has them
   * @param {number} above
   * @param {number} first row to paint
   * @param {number} num rows
   * @param {Uint8ClampedArray} painted (num, width, 4)
   * @returns {Uint8ClampedArray}
   */
  paint(rgba, above, first, num, painted = new Uint8ClampedArray(4 * this.width * num)) {
    const { width, height, margin } = this;
    const below = above + rgba.length / (4 * width);
    if (above > Math.max(0, first - margin) || below < Math.min(height, first + num + margin)) {
      throw new Error("rows around those to paint are missing");
    }
    for (const line of this.lines) line.number = -1;
    for (let y = first; y < first + num; y++) {
      this.#averageGuide(rgba, above, y);
      this.#mixPlanes(y);
      this.#fillDither(y);
      const start = 4 * width * (y - above);
      const source = rgba.subarray(start, start + 4 * width);
      const from = 4 * width * (y - first);
      this.#paintRow(this.#line(y), source, painted.subarray(from, from + 4 * width));
    }
    return painted;
  }

  #line(y) {
    return this.lines[y % this.lines.length];
  }

  /** Average luma around each pixel of a row, as far as the guide's mean reaches. */
  #averageGuide(rgba, above, y) {
    const { guide, width, height, margin, columnTaps } = this;
    guide.fill(0);
    for (let k = -margin; k <= margin; k++) {
      const tap = columnTaps[k + margin];
      if (tap === 0 && k !== 0) continue;
      const number = Math.min(Math.max(y + k, 0), height - 1);
      const line = this.#line(number);
      if (line.number !== number) {
        const start = 4 * width * (number - above);
        line.read(number, rgba, start, this.tables, this.rowTaps);
      }
      const { averaged } = line;
      for (let x = 0; x < width; x++) guide[x] += tap * averaged[x];
    }
  }

  /** Mix the two low-res rows around a row. */
  #mixPlanes(y) {
    const { width, height } = this.low;
    const upper = this.rows.index[y] * width;
    const lower = upper + (height > 1 ? width : 0);
    const fraction = this.rows.fraction[y];
    Object.values(this.planes).forEach((plane, n) => {
      const mixed = this.row[n];
      for (let x = 0; x < width; x++) {
        mixed[x] = plane[upper + x] + (plane[lower + x] - plane[upper + x]) * fraction;
      }
    });
  }

  #fillDither(y) {
    const { tile, width } = this;
    const start = (y % tile) * tile;
    this.dither.forEach((row, n) => {
      for (let x = 0; x < width; x += tile) {
        row.set(this.noise[n].subarray(start, start + Math.min(tile, width - x)), x);
      }
    });
  }

  #paintRow(line, source, target) {
    const { guide, starts } = this;
    const { luma, codes } = line;
    const { fraction } = this.columns;
    const [middle, gain, centerCb, centerCr, differenceCb, differenceCr, flatness] = this.row;
    const [cbNoise, crNoise] = this.dither;
    const { tolerance } = this.gamut;
    const [kr, kb] = this.gamut.kr_kb;
    const redInGreen = kr / (1 - kr - kb);
    const blueInGreen = kb / (1 - kr - kb);
    const perRed = 2 * (1 - kr);
    const perBlue = 2 * (1 - kb);
    const lowest = -this.gamut.chroma_offset; // of coded chroma, neutral being 0
    const highest = PEAK + lowest;
    for (let run = 0; run < starts.length - 1; run++) {
      // between two low-res samples, each plane is a line
      const next = Math.min(run + 1, middle.length - 1);
      const middleStep = middle[next] - middle[run];
      const gainStep = gain[next] - gain[run];
      const centerCbStep = centerCb[next] - centerCb[run];
      const centerCrStep = centerCr[next] - centerCr[run];
      const differenceCbStep = differenceCb[next] - differenceCb[run];
      const differenceCrStep = differenceCr[next] - differenceCr[run];
      const flatnessStep = flatness[next] - flatness[run];
      for (let x = starts[run]; x < starts[run + 1]; x++) {
        const f = fraction[x];
        const towards = (guide[x] - (middle[run] + middleStep * f)) * (gain[run] + gainStep * f);
        const choice = towards < -0.5 ? -0.5 : towards > 0.5 ? 0.5 : towards;
        const cb =
          centerCb[run] + centerCbStep * f + choice * (differenceCb[run] + differenceCbStep * f);
        const cr =
          centerCr[run] + centerCrStep * f + choice * (differenceCr[run] + differenceCrStep * f);

        // toward neutral until R'G'B' is within 0..1
        const gray = codes[x] / PEAK;
        const red = perRed * cr;
        const blue = perBlue * cb;
        const green = -(redInGreen * red + blueInGreen * blue);
        const most = red > green ? (red > blue ? red : blue) : green > blue ? green : blue;
        const least = red < green ? (red < blue ? red : blue) : green < blue ? green : blue;
        let share = PEAK;
        if (most > 1 + tolerance - gray) share = (PEAK * (1 + tolerance - gray)) / most;
        if (-least > gray + tolerance) {
          const dark = (PEAK * (gray + tolerance)) / -least;
          if (dark < share) share = dark;
        }

        // 8-bit chroma, dithered where luma is flat
        const amplitude = flatness[run] + flatnessStep * f;
        let cbCode = cb * share + cbNoise[x] * amplitude + ROUNDING - ROUNDING;
        let crCode = cr * share + crNoise[x] * amplitude + ROUNDING - ROUNDING;
        cbCode = cbCode < lowest ? lowest : cbCode > highest ? highest : cbCode;
        crCode = crCode < lowest ? lowest : crCode > highest ? highest : crCode;
        const toRed = perRed * crCode;
        const toBlue = perBlue * cbCode;
        const k = 4 * x;
        target[k] = luma[x] + toRed;
        target[k + 1] = luma[x] - (redInGreen * toRed + blueInGreen * toBlue);
        target[k + 2] = luma[x] + toBlue;
        target[k + 3] = source[k + 3];
      }
    }
  }
}

/** A row's luma: exact, in code values, and averaged along the row. */
class Line {
  constructor(width, margin) {
    this.number = -1;
    this.margin = margin;
    this.luma = new Float32Array(width);
    this.averaged = new Float32Array(width);
    this.padded = new Uint8ClampedArray(width + 2 * margin); // stores numbers rounded to even
    this.codes = this.padded.subarray(margin, margin + width);
  }

  read(number, rgba, start, { red, green, blue }, taps) {
    const { luma, averaged, padded, codes, margin } = this;
    const width = luma.length;
    this.number = number;
    for (let x = 0, k = start; x < width; x++, k += 4) {
      const part = Math.fround(red[rgba[k]] + green[rgba[k + 1]]);
      luma[x] = part + blue[rgba[k + 2]];
      codes[x] = luma[x];
    }
    padded.fill(codes[0], 0, margin);
    padded.fill(codes[width - 1], margin + width);
    averaged.fill(0);
    for (let n = 0; n < taps.length; n++) {
      const tap = taps[n];
      if (tap === 0) continue;
      for (let x = 0; x < width; x++) averaged[x] += tap * padded[x + n];
    }
  }
}

/** Return where each run of columns with one low-res sample before them begins, and the end. */
function runStarts(index, numLow) {
  const starts = new Int32Array(Math.max(numLow, 2)).fill(index.length);
  for (let x = index.length - 1; x >= 0; x--) starts[index[x]] = x;
  for (let run = starts.length - 2; run >= 0; run--) {
    starts[run] = Math.min(starts[run], starts[run + 1]);
  }
  return starts;
}

/** Return the dither of Cb and of Cr: a tile of blue noise, and the same turned. */
function noiseTiles({ tile, amplitude, ranks }) {
  const noise = Float32Array.from(ranks, (rank) => amplitude * ((rank + 0.5) / tile ** 2 - 0.5));
  const turned = new Float32Array(noise.length);
  for (let y = 0; y < tile; y++) {
    for (let x = 0; x < tile; x++) turned[y * tile + x] = noise[x * tile + (tile - 1 - y)];
  }
  return [noise, turned];
}
