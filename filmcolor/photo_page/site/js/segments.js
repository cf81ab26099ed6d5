// Segments of a picture, at several scales: Felzenszwalb & Huttenlocher 2004.
//
// The same as Python's compiled loops: sums are rounded to single precision in the same order,
// because a rounded edge weight decides which pixels belong together.

const STEPS = [[1, 0], [-1, 1], [0, 1], [1, 1]]; // (right, down) to the neighbours of a pixel
const NUM_DIRECTIONS = STEPS.length;
const MAX_WEIGHT = 65535;
const LANES = 16; // partial sums

/**
 * Return the weights of each pixel's edges to the right, down-left, down and down-right.
 *
 * A weight is the distance between the values at both ends, in steps of 1 / resolution; 0 where an
 * edge leads out of the picture.
 *
 * @param {Float32Array} values (height, width, channels)
 * @param {number} height
 * @param {number} width
 * @param {number} resolution
 * @returns {Uint16Array} (height, width, 4)
 */
export function edgeWeights(values, height, width, resolution) {
  const numChannels = values.length / (height * width);
  const weights = new Uint16Array(height * width * NUM_DIRECTIONS);
  const sums = new Float32Array(LANES);
  for (let y = 0, edge = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const [right, down] of STEPS) {
        if (isInside(x + right, y + down, width, height)) {
          const here = (y * width + x) * numChannels;
          const there = here + (down * width + right) * numChannels;
          const square = squaredDistance(values, here, there, numChannels, sums);
          const weight = Math.fround(Math.fround(Math.sqrt(square)) * resolution);
          weights[edge] = weight > MAX_WEIGHT ? MAX_WEIGHT : weight;
        }
        edge++;
      }
    }
  }
  return weights;
}

/**
 * Return the segment of each pixel at each scale, numbered over all scales.
 *
 * Two segments are merged along the edge between them if its weight is at most the greatest one
 * inside each, plus a scale over its size. Segments of less than `minSize` pixels are then merged
 * with their most similar neighbours.
 *
 * @param {Uint16Array} weights from `edgeWeights`
 * @param {number} height
 * @param {number} width
 * @param {number[]} scales in the unit of the weights
 * @param {number} minSize pixels
 * @returns {{labels: Int32Array, numSegments: number}} labels: (scales, height, width)
 */
export function segment(weights, height, width, scales, minSize) {
  const num = height * width;
  const edges = sortedEdges(weights, height, width);
  const labels = new Int32Array(scales.length * num);
  const segments = new Segments(num);
  const left = new Int32Array(edges.weights.length); // edges between different segments
  let numSegments = 0;
  scales.forEach((scale, n) => {
    segments.reset();
    const numLeft = mergeSimilar(segments, edges, Math.fround(scale), left);
    mergeSmall(segments, edges, minSize, left.subarray(0, numLeft));
    const first = n * num;
    for (let pixel = 0; pixel < num; pixel++) {
      const root = segments.rootOf(pixel); // comes before the segment's other pixels
      labels[first + pixel] = root === pixel ? numSegments++ : labels[first + root];
    }
  });
  return { labels, numSegments };
}

function isInside(x, y, width, height) {
  return x >= 0 && x < width && y < height;
}

function squaredDistance(values, here, there, num, sums) {
  const numInLanes = num - (num % LANES);
  let sum = 0;
  sums.fill(0);
  for (let i = 0; i < numInLanes; i += LANES) {
    for (let k = 0; k < LANES; k++) {
      const difference = Math.fround(values[here + i + k] - values[there + i + k]);
      sums[k] += Math.fround(difference * difference);
    }
  }
  for (let i = numInLanes; i < num; i++) {
    const difference = Math.fround(values[here + i] - values[there + i]);
    sum = Math.fround(sum + Math.fround(difference * difference));
  }
  for (let k = 0; k < LANES; k++) sum = Math.fround(sum + sums[k]);
  return sum;
}

/** Return the ends and weights of the edges inside the picture, the lightest first. */
function sortedEdges(weights, height, width) {
  const start = new Int32Array(MAX_WEIGHT + 2); // a counting sort
  const isEdge = new Uint8Array(weights.length);
  let num = 0;
  for (let y = 0, edge = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const [right, down] of STEPS) {
        if (isInside(x + right, y + down, width, height)) {
          isEdge[edge] = 1;
          start[weights[edge] + 1]++;
          num++;
        }
        edge++;
      }
    }
  }
  for (let weight = 0; weight < MAX_WEIGHT; weight++) start[weight + 1] += start[weight];
  const from = new Int32Array(num);
  const to = new Int32Array(num);
  const sorted = new Uint16Array(num);
  const offsets = STEPS.map(([right, down]) => down * width + right);
  for (let edge = 0; edge < weights.length; edge++) {
    if (!isEdge[edge]) continue;
    const place = start[weights[edge]]++;
    const pixel = Math.floor(edge / NUM_DIRECTIONS);
    from[place] = pixel;
    to[place] = pixel + offsets[edge % NUM_DIRECTIONS];
    sorted[place] = weights[edge];
  }
  return { from, to, weights: sorted };
}

/** Merge along light edges; write the edges between different segments and return their number. */
function mergeSimilar(segments, { from, to, weights }, scale, left) {
  let numLeft = 0;
  for (let i = 0; i < weights.length; i++) {
    const a = segments.rootOf(from[i]);
    const b = segments.rootOf(to[i]);
    if (a === b) continue;
    const weight = weights[i];
    if (segments.isLight(a, weight, scale) && segments.isLight(b, weight, scale)) {
      segments.merge(a, b, weight);
    } else {
      left[numLeft++] = i;
    }
  }
  return numLeft;
}

function mergeSmall(segments, { from, to, weights }, minSize, left) {
  const { sizes } = segments;
  for (const i of left) {
    const a = segments.rootOf(from[i]);
    const b = segments.rootOf(to[i]);
    if (a !== b && Math.min(sizes[a], sizes[b]) < minSize) segments.merge(a, b, weights[i]);
  }
}

/** Disjoint sets of pixels; the root of a set is its first pixel. */
class Segments {
  constructor(num) {
    this.parents = new Int32Array(num);
    this.sizes = new Int32Array(num);
    this.inner = new Int32Array(num); // the greatest weight inside a segment
  }

  reset() {
    for (let i = 0; i < this.parents.length; i++) this.parents[i] = i;
    this.sizes.fill(1);
    this.inner.fill(0);
  }

  rootOf(pixel) {
    const { parents } = this;
    while (parents[pixel] !== pixel) {
      parents[pixel] = parents[parents[pixel]];
      pixel = parents[pixel];
    }
    return pixel;
  }

  isLight(root, weight, scale) {
    return (weight - this.inner[root]) * this.sizes[root] <= scale;
  }

  merge(a, b, weight) {
    const root = Math.min(a, b);
    const other = Math.max(a, b);
    this.parents[other] = root;
    this.sizes[root] += this.sizes[other];
    this.inner[root] = weight;
  }
}
