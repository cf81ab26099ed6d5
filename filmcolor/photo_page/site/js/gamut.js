// CIELAB a, b at a fixed luma to Cb and Cr, inside the gamut: Python's `color.gamut`.

/**
 * Return the Cb and Cr closest to ab at the luma of a code, inside the gamut.
 *
 * Colours of one lightness differ in luma, so lightness is moved by one Newton step until the
 * colour's luma is that of the code.
 *
 * @param {number} code luma, 0 to 255
 * @param {number} a
 * @param {number} b
 * @param {object} gamut `parameters.gamut`
 * @returns {[number, number]} -0.5 to 0.5
 */
export function chromaFromLab(code, a, b, gamut) {
  const luma = code / 255;
  const [kr, kb] = gamut.kr_kb;
  const lightness = gamut.greys.lightness[code];
  const first = rgbFromLabF(lightness, a, b, gamut);
  const step = (lumaOf(first, gamut) - luma) * gamut.greys.slopes[code];
  const rgb = rgbFromLabF(lightness - step, a, b, gamut);
  const achieved = lumaOf(rgb, gamut);
  const cb = ((rgb[2] - achieved) * 0.5) / (1 - kb);
  const cr = ((rgb[0] - achieved) * 0.5) / (1 - kr);
  return shrinkIntoGamut(luma, cb, cr, gamut);
}

/**
 * Return Cb and Cr scaled toward neutral at fixed luma until R'G'B' is within 0 to 1.
 *
 * @param {number} luma 0 to 1
 * @param {number} cb
 * @param {number} cr
 * @param {object} gamut `parameters.gamut`
 * @returns {[number, number]}
 */
export function shrinkIntoGamut(luma, cb, cr, { kr_kb: [kr, kb], tolerance }) {
  const red = 2 * (1 - kr) * cr; // R' - Y'
  const blue = 2 * (1 - kb) * cb;
  const green = -(kr * red + kb * blue) / (1 - kr - kb);
  const highest = Math.max(red, green, blue);
  const lowest = Math.min(red, green, blue);
  // the factor by which the colour overshoots, toward white and toward black
  const excess = Math.max(1, highest / (1 - luma + tolerance), -lowest / (luma + tolerance));
  return [cb / excess, cr / excess];
}

/**
 * Cb and Cr by luma code, b and a, in steps of 16 bits; linear between the entries of the table.
 *
 * Entries are computed when they are first needed: a picture needs few of them.
 */
export class ChromaTable {
  /** @param {object} gamut `parameters.gamut` */
  constructor(gamut) {
    this.gamut = gamut;
    this.side = 2 * gamut.table_steps + 1;
    this.cb = new Int16Array(256 * this.side * this.side);
    this.cr = new Int16Array(this.cb.length);
    this.isKnown = new Uint8Array(this.cb.length);
  }

  /**
   * Return Cb and Cr of luma codes and their colours.
   *
   * @param {Uint8Array} codes
   * @param {Float32Array} ab (codes, 2)
   * @returns {{cb: Float32Array, cr: Float32Array}} -0.5 to 0.5
   */
  lookUp(codes, ab) {
    const { side, gamut } = this;
    const { table_step: step, table_steps: neutral, chroma_unit: unit } = gamut;
    const cb = new Float32Array(codes.length);
    const cr = new Float32Array(codes.length);
    for (let i = 0; i < codes.length; i++) {
      const x = Math.min(Math.max(ab[2 * i] / step + neutral, 0), side - 1);
      const y = Math.min(Math.max(ab[2 * i + 1] / step + neutral, 0), side - 1);
      const column = Math.min(Math.floor(x), side - 2);
      const row = Math.min(Math.floor(y), side - 2);
      const first = this.#entry(codes[i], row, column);
      this.#entry(codes[i], row, column + 1);
      this.#entry(codes[i], row + 1, column);
      this.#entry(codes[i], row + 1, column + 1);
      cb[i] = unit * this.#mix(this.cb, first, x - column, y - row);
      cr[i] = unit * this.#mix(this.cr, first, x - column, y - row);
    }
    return { cb, cr };
  }

  /** Return the place of an entry, which then has its values. */
  #entry(code, row, column) {
    const { side, gamut } = this;
    const place = (code * side + row) * side + column;
    if (!this.isKnown[place]) {
      const a = (column - gamut.table_steps) * gamut.table_step;
      const b = (row - gamut.table_steps) * gamut.table_step;
      const [cb, cr] = chromaFromLab(code, a, b, gamut);
      this.cb[place] = cb / gamut.chroma_unit; // rounded toward neutral, to stay in the gamut
      this.cr[place] = cr / gamut.chroma_unit;
      this.isKnown[place] = 1;
    }
    return place;
  }

  #mix(table, first, x, y) {
    const second = first + this.side;
    const upper = table[first] + (table[first + 1] - table[first]) * x;
    const lower = table[second] + (table[second + 1] - table[second]) * x;
    return upper + (lower - upper) * y;
  }
}

function lumaOf([red, green, blue], { kr_kb: [kr, kb] }) {
  return kr * red + (1 - kr - kb) * green + kb * blue;
}

/** Return R'G'B', not clipped, of CIELAB's f(Y), a and b. */
function rgbFromLabF(lightness, a, b, gamut) {
  const x = inverseF(lightness + a / 500, gamut);
  const y = inverseF(lightness, gamut);
  const z = inverseF(lightness - b / 200, gamut);
  return gamut.white_xyz_to_rgb.map((row) =>
    fromLinear(row[0] * x + row[1] * y + row[2] * z, gamut.srgb),
  );
}

function inverseF(f, { lab_join: join, kappa }) {
  return f > join ? f * f * f : join ** 3 + (f - join) / kappa;
}

function fromLinear(value, { join, slope, shift, gamma }) {
  return value > join ? (1 + shift) * value ** (1 / gamma) - shift : slope * value;
}
