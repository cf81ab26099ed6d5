// Surfaces: one object, one colour. The pixels of a surface vote on it.
//
// Why and how: Python's `network.surfaces`, whose numbers come in `parameters.surfaces`.

import { edgeWeights, segment } from "./segments.js";
import { roundEven } from "./luma.js";

const LEAST_CHROMA = 1e-6;

/**
 * Return the colours of a picture after the pixels of each surface have voted.
 *
 * @param {Float32Array} logits (height, width, bins)
 * @param {Float32Array} values (height, width, channels): luma, and features of surfaces
 * @param {number} height
 * @param {number} width
 * @param {object} parameters
 * @returns {Float32Array} ab (height, width, 2), CIELAB
 */
export function surfaceAb(logits, values, height, width, parameters) {
  const { surfaces, centers } = parameters;
  checkNumbers(logits);
  checkNumbers(values);
  const enlargement = (Math.min(height, width) / surfaces.short_side) ** 2; // of areas
  const factor = Math.fround(surfaces.resolution * enlargement);
  const { labels, numSegments } = segment(
    edgeWeights(values, height, width, surfaces.resolution),
    height,
    width,
    surfaces.scales.map((scale) => scale * factor),
    Math.max(surfaces.least_size, roundEven(surfaces.min_size * enlargement)),
  );
  return vote(logits, labels, numSegments, new Bins(centers), surfaces);
}

/**
 * Return the colours of pixels after those of each segment have voted.
 *
 * @param {Float32Array} logits (pixels, bins)
 * @param {Int32Array} labels (scales, pixels), from `segment`
 * @param {number} numSegments
 * @param {Bins} bins
 * @param {{scales: number[], strength: number, tolerance: number, max_gain: number}} surfaces
 * @returns {Float32Array} (pixels, 2)
 */
export function vote(logits, labels, numSegments, bins, surfaces) {
  const num = logits.length / bins.num;
  const numScales = labels.length / num;
  const pixels = meanColors(logits, bins);
  const segments = segmentColors(logits, pixels, labels, numSegments, bins, surfaces.max_gain);
  const ab = new Float32Array(2 * num);
  for (let i = 0; i < num; i++) {
    const ownA = pixels.a[i];
    const ownB = pixels.b[i];
    const narrowness = 1 / (surfaces.tolerance * pixels.variances[i] + 1);
    let ownShare = 1;
    let a = 0;
    let b = 0;
    for (let n = 0; n < numScales; n++) {
      const label = labels[n * num + i];
      const toA = segments.meanA[label] - ownA;
      const toB = segments.meanB[label] - ownB;
      const closeness = Math.exp(-(toA * toA + toB * toB) * narrowness);
      const share = (surfaces.strength / numScales) * closeness;
      ownShare -= share;
      a += share * segments.a[label];
      b += share * segments.b[label];
    }
    ab[2 * i] = ownShare * ownA + a;
    ab[2 * i + 1] = ownShare * ownB + b;
  }
  return ab;
}

/** The colours that a distribution is over. */
export class Bins {
  /** @param {number[][]} centers ab of each bin */
  constructor(centers) {
    this.num = centers.length;
    this.a = Float64Array.from(centers, ([a]) => a);
    this.b = Float64Array.from(centers, ([, b]) => b);
    this.mean = { a: 0, b: 0, square: 0 };
  }

  /** Find the mean a, b and a² + b² of the distribution whose logits begin at `start`. */
  meanOf(logits, start, factor) {
    const { num, a, b } = this;
    let most = -Infinity;
    for (let k = 0; k < num; k++) most = Math.max(most, logits[start + k]);
    let total = 0;
    let sumA = 0;
    let sumB = 0;
    let squares = 0;
    for (let k = 0; k < num; k++) {
      const share = Math.exp((logits[start + k] - most) * factor);
      total += share;
      sumA += share * a[k];
      sumB += share * b[k];
      squares += share * (a[k] * a[k] + b[k] * b[k]);
    }
    this.mean.a = sumA / total;
    this.mean.b = sumB / total;
    this.mean.square = squares / total;
    return this.mean;
  }
}

function checkNumbers(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  if (!Number.isFinite(sum)) throw new Error("the network's output is not a number");
}

/** Return the mean and the variance of each pixel's own distribution. */
function meanColors(logits, bins) {
  const num = logits.length / bins.num;
  const pixels = {
    a: new Float64Array(num),
    b: new Float64Array(num),
    variances: new Float64Array(num),
  };
  for (let i = 0; i < num; i++) {
    const { a, b, square } = bins.meanOf(logits, i * bins.num, 1);
    pixels.a[i] = a;
    pixels.b[i] = b;
    pixels.variances[i] = Math.max(square - (a * a + b * b), 0);
  }
  return pixels;
}

/** Return the colour that each segment agrees on, and the mean of its pixels' own colours. */
function segmentColors(logits, pixels, labels, numSegments, bins, maxGain) {
  const num = logits.length / bins.num;
  const sums = new Float64Array(numSegments * bins.num);
  const counts = new Int32Array(numSegments);
  const chromas = new Float64Array(numSegments);
  const [meanA, meanB, colorA, colorB] = [0, 1, 2, 3].map(() => new Float64Array(numSegments));
  for (let place = 0; place < labels.length; place++) {
    const i = place % num;
    const label = labels[place];
    const from = i * bins.num;
    const to = label * bins.num;
    for (let k = 0; k < bins.num; k++) sums[to + k] += logits[from + k];
    counts[label]++;
    meanA[label] += pixels.a[i];
    meanB[label] += pixels.b[i];
    chromas[label] += Math.hypot(pixels.a[i], pixels.b[i]);
  }
  for (let label = 0; label < numSegments; label++) {
    const { a, b } = bins.meanOf(sums, label * bins.num, 1 / counts[label]);
    const chroma = Math.max(Math.hypot(a, b), LEAST_CHROMA);
    const gain = Math.min(Math.max(chromas[label] / counts[label] / chroma, 1), maxGain);
    colorA[label] = gain * a;
    colorB[label] = gain * b;
    meanA[label] /= counts[label];
    meanB[label] /= counts[label];
  }
  return { a: colorA, b: colorB, meanA, meanB };
}
