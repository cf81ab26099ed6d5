// Luma of pictures, and the small 8-bit pictures that the network sees.
//
// Sizes and rounding are those of OpenCV, which Python uses: `cv2.resize` of 8-bit planes with
// INTER_AREA for halves and INTER_LINEAR for the rest, whose coefficients have 11 bits.

const COEFFICIENT = 2048; // one, in coefficients of 11 bits

/**
 * Return the luma that each value of red, green and blue adds, as single-precision numbers.
 *
 * @param {object} parameters
 * @returns {{red: Float32Array, green: Float32Array, blue: Float32Array}}
 */
export function lumaTables({ luma_weights: weights }) {
  const tables = weights.map((weight) =>
    Float32Array.from({ length: 256 }, (_, value) => value * Math.fround(weight)),
  );
  return { red: tables[0], green: tables[1], blue: tables[2] };
}

/**
 * Write the luma of RGBA pixels, rounded to code values.
 *
 * @param {Uint8Array | Uint8ClampedArray} rgba
 * @param {Uint8Array} codes
 * @param {number} offset where the first pixel's code is written
 * @param {object} parameters
 */
export function lumaCodes(rgba, codes, offset, parameters) {
  const { red, green, blue } = lumaTables(parameters);
  const rounded = new Uint8ClampedArray(codes.buffer, codes.byteOffset, codes.length); // to even
  const end = offset + rgba.length / 4;
  for (let i = offset, k = 0; i < end; i++, k += 4) {
    const part = Math.fround(red[rgba[k]] + green[rgba[k + 1]]);
    rounded[i] = Math.fround(part + blue[rgba[k + 2]]);
  }
}

/**
 * Return the sides of the picture that the network sees: in proportion, and multiples of a stride.
 *
 * @param {number} width
 * @param {number} height
 * @param {number} shortSide
 * @param {{stride: number}} parameters
 */
export function proxySize(width, height, shortSide, { stride }) {
  const scale = shortSide / Math.min(width, height);
  const side = (length) => Math.max(stride, stride * roundEven((length * scale) / stride));
  return { width: side(width), height: side(height) };
}

/**
 * Return 8-bit luma at another size: halved as often as it can be, then interpolated.
 *
 * @param {Uint8Array} codes
 * @param {number} width
 * @param {number} height
 * @param {{width: number, height: number}} size
 * @returns {Uint8Array}
 */
export function downscale(codes, width, height, size) {
  let plane = { codes, width, height };
  while (plane.width >= 2 * size.width && plane.height >= 2 * size.height) {
    plane = halve(plane.codes, plane.width, plane.height);
  }
  return resize(plane.codes, plane.width, plane.height, size);
}

/**
 * Return an 8-bit plane at half its size, rounded down; each pixel is the mean of four.
 *
 * @param {Uint8Array} codes
 * @param {number} width
 * @param {number} height
 */
export function halve(codes, width, height) {
  const halfWidth = Math.max(1, width >> 1);
  const halfHeight = Math.max(1, height >> 1);
  const half = new Uint8Array(halfWidth * halfHeight);
  const right = width > 1 ? 1 : 0; // a side of one pixel stays
  const below = height > 1 ? width : 0;
  // OpenCV rounds the mean of four upwards, and that of two to even
  const isMeanOfFour = right > 0 && below > 0;
  for (let y = 0, to = 0; y < halfHeight; y++) {
    for (let from = 2 * y * width, x = 0; x < halfWidth; x++, from += 2, to++) {
      const first = codes[from] + codes[from + right];
      const sum = first + codes[from + below] + codes[from + below + right];
      half[to] = isMeanOfFour ? (sum + 2) >> 2 : roundEven(sum / 4);
    }
  }
  return { codes: half, width: halfWidth, height: halfHeight };
}

/** Return a number rounded to the nearest integer, halves to even. */
export function roundEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

function resize(codes, width, height, size) {
  if (size.width === width && size.height === height) return codes.slice();
  const columns = positions(size.width, width);
  const rows = positions(size.height, height);
  const resized = new Uint8Array(size.width * size.height);
  for (let y = 0, to = 0; y < size.height; y++) {
    const upper = rows.before[y] * width;
    const lower = rows.after[y] * width;
    const upperShare = rows.share[y];
    const lowerShare = COEFFICIENT - upperShare;
    for (let x = 0; x < size.width; x++, to++) {
      const before = columns.before[x];
      const after = columns.after[x];
      const share = columns.share[x];
      const rest = COEFFICIENT - share;
      const top = codes[upper + before] * share + codes[upper + after] * rest;
      const bottom = codes[lower + before] * share + codes[lower + after] * rest;
      // 22 bits of fraction are more than 32-bit integers of OpenCV hold: 4 are dropped early
      const sum = ((upperShare * (top >> 4)) >> 16) + ((lowerShare * (bottom >> 4)) >> 16);
      resized[to] = (sum + 2) >> 2;
    }
  }
  return resized;
}

/** Return the samples around each of `num` places among `numSource`, and the first one's share. */
function positions(num, numSource) {
  const before = new Int32Array(num);
  const after = new Int32Array(num);
  const share = new Int32Array(num);
  const scale = 1 / (num / numSource);
  for (let i = 0; i < num; i++) {
    const place = Math.fround((i + 0.5) * scale - 0.5);
    const index = Math.floor(place);
    const last = numSource - 1;
    before[i] = Math.min(Math.max(index, 0), last);
    after[i] = Math.min(Math.max(index + 1, 0), last);
    share[i] = roundEven(Math.fround(1 - Math.fround(place - index)) * COEFFICIENT);
  }
  return { before, after, share };
}
