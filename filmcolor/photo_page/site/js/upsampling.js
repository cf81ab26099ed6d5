// Guided upsampling: low-res chroma gets its edges where luma's are. Python's `color.upsampling`.

const RADIUS = 2; // low-res samples on each side of the centre: a window of 5 × 5
const WINDOW = (2 * RADIUS + 1) ** 2;
const INNER = 9; // samples whose mean is the blurred chroma

/**
 * Return the low-res planes that full-size luma chooses colours with.
 *
 * The colour is center + choice · difference, with choice = clip((luma - middle) · gain, -½, ½).
 * Flatness is 1 where luma is even and 0 in texture.
 *
 * @param {Float32Array} cb -0.5 to 0.5
 * @param {Float32Array} cr
 * @param {Uint8Array} guide luma, 0 to 255
 * @param {number} width
 * @param {number} height
 * @param {object} params `parameters.upsampling`
 * @returns {Record<"middle" | "gain" | "centerCb" | "centerCr" | "differenceCb" | "differenceCr" |
 *   "flatness", Float32Array>}
 */
export function twoColors(cb, cr, guide, width, height, params) {
  const plane = () => new Float32Array(width * height);
  const planes = {
    middle: plane(),
    gain: plane(),
    centerCb: plane(),
    centerCr: plane(),
    differenceCb: plane(),
    differenceCr: plane(),
    flatness: plane(),
  };
  const window = new Window(width, height);
  const chroma = [
    { values: cb, center: planes.centerCb, difference: planes.differenceCb, ...moments() },
    { values: cr, center: planes.centerCr, difference: planes.differenceCr, ...moments() },
  ];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      window.move(x, y);
      const luma = lumaMoments(guide, window);
      for (const part of chroma) measureChroma(part, guide, luma.mean, window);
      const pair = splitLuma(luma, guide[i], params);
      planes.middle[i] = pair.middle;
      planes.gain[i] =
        (0.5 * params.gain * pair.halfSpan) / (pair.halfSpan ** 2 + params.luma_epsilon);
      planes.flatness[i] = 1 / ((luma.variance / params.flat) ** 2 + 1);

      // the share of chroma's variance that luma explains decides how far both are trusted
      const covariances = chroma[0].covariance ** 2 + chroma[1].covariance ** 2;
      const spread = Math.max(chroma[0].variance + chroma[1].variance, 0);
      const explained = (covariances * pair.perVariance) / (spread + params.chroma_epsilon);
      const trust = explained ** 3;
      const toDark =
        (pair.offset - pair.halfSpan) * trust ** 2 - pair.aboveDark * (trust - trust ** 2);
      const span = 2 * pair.halfSpan * trust * pair.perVariance;
      for (const part of chroma) {
        const value = part.values[i];
        const sharp = value + params.sharpening * (value - part.blurred);
        const dark =
          sharp +
          (part.mean - value) * trust ** 2 +
          part.covariance * toDark * pair.perVariance;
        const bright = dark + part.covariance * span;
        const darkInRange = clip(dark, part.lowest, part.highest);
        const brightInRange = clip(bright, part.lowest, part.highest);
        part.center[i] = 0.5 * (darkInRange + brightInRange);
        part.difference[i] = brightInRange - darkInRange;
      }
    }
  }
  return planes;
}

/**
 * Return the taps of a running mean over most of a low-res sample, padded with zeros.
 *
 * @param {number} ratio full-size samples per low-res one
 * @param {{averaged: number, max_averaged: number}} params `parameters.upsampling`
 * @returns {Float32Array} 2 · guideRadius + 1 taps
 */
export function guideTaps(ratio, params) {
  const width = Math.min(Math.max(1, params.averaged * ratio), params.max_averaged);
  const side = Math.ceil((width - 1) / 2);
  const radius = guideRadius(params);
  const taps = new Float32Array(2 * radius + 1);
  taps.fill(1 / width, radius - side, radius + side + 1);
  if (side) taps[radius - side] = taps[radius + side] = (width - (2 * side - 1)) / 2 / width;
  return taps;
}

/** Return how many samples the guide's mean reaches at most to each side. */
export function guideRadius({ max_averaged: maxAveraged }) {
  return Math.ceil((maxAveraged - 1) / 2);
}

/**
 * Return where samples lie among low-res ones: the one before, and the way to the next.
 *
 * @param {number} num
 * @param {number} numLow
 */
export function lowPositions(num, numLow) {
  const index = new Int32Array(num);
  const fraction = new Float32Array(num);
  for (let i = 0; i < num; i++) {
    const place = clip(((i + 0.5) * numLow) / num - 0.5, 0, numLow - 1);
    index[i] = clip(Math.floor(place), 0, Math.max(numLow - 2, 0));
    fraction[i] = place - index[i];
  }
  return { index, fraction };
}

function clip(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function moments() {
  return { mean: 0, variance: 0, covariance: 0, lowest: 0, highest: 0, blurred: 0 };
}

/** Rows and columns around a sample; those beyond the border are the border's. */
class Window {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.places = new Int32Array(WINDOW);
    this.isInner = new Uint8Array(WINDOW);
    for (let n = 0; n < WINDOW; n++) {
      const [right, down] = [n % (2 * RADIUS + 1), Math.floor(n / (2 * RADIUS + 1))];
      this.isInner[n] = Math.abs(right - RADIUS) <= 1 && Math.abs(down - RADIUS) <= 1 ? 1 : 0;
    }
  }

  move(x, y) {
    for (let down = -RADIUS, n = 0; down <= RADIUS; down++) {
      const row = clip(y + down, 0, this.height - 1) * this.width;
      for (let right = -RADIUS; right <= RADIUS; right++, n++) {
        this.places[n] = row + clip(x + right, 0, this.width - 1);
      }
    }
  }
}

function lumaMoments(guide, { places }) {
  let first = 0;
  let second = 0;
  let third = 0;
  for (let n = 0; n < WINDOW; n++) {
    const value = guide[places[n]];
    first += value;
    second += value * value;
    third += value * value * value;
  }
  const mean = first / WINDOW;
  const variance = Math.max(second / WINDOW - mean * mean, 0);
  const thirdMoment = third / WINDOW - mean * (3 * variance + mean * mean);
  return { mean, variance, thirdMoment };
}

/** Return the two-point distribution of luma with given moments. */
function splitLuma({ mean, variance, thirdMoment }, value, params) {
  const root = 1 / Math.sqrt(variance + params.luma_epsilon);
  const skewness = clip(thirdMoment * root ** 3, -params.max_skewness, params.max_skewness);
  const offset = 0.5 * skewness * Math.sqrt(variance);
  const halfSpan = Math.sqrt(variance + offset * offset);
  const middle = mean + offset;
  const aboveDark = clip(value - middle + halfSpan, 0, 2 * halfSpan);
  return { offset, halfSpan, middle, aboveDark, perVariance: root * root };
}

function measureChroma(part, guide, lumaMean, { places, isInner }) {
  const { values } = part;
  let sum = 0;
  let squares = 0;
  let products = 0;
  let inner = 0;
  let lowest = Infinity;
  let highest = -Infinity;
  for (let n = 0; n < WINDOW; n++) {
    const value = values[places[n]];
    sum += value;
    squares += value * value;
    products += value * guide[places[n]];
    if (isInner[n]) inner += value;
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  part.mean = sum / WINDOW;
  part.variance = squares / WINDOW - part.mean ** 2;
  part.covariance = products / WINDOW - part.mean * lumaMean;
  part.blurred = inner / INNER;
  part.lowest = lowest;
  part.highest = highest;
}
