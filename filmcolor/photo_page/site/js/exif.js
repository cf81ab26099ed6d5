// EXIF of a photograph, carried into its result: date, camera, place and all else that is noted.
//
// EXIF is a TIFF file of tags alone (CIPA DC-008, Exif 2.32). Offsets in it count from its start,
// and makers' own tags hold such offsets, too, so tags are changed in place and nothing is moved.

const EXIF_MARK = [0x45, 0x78, 0x69, 0x66, 0, 0]; // "Exif", before the TIFF in a JPEG
const PNG_MARK = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const PNG_HEADER_END = 33; // the mark, and the chunk IHDR, which is always the first
const MAX_SEGMENT = 0xffff; // bytes of a JPEG segment, with the two of its length

const TAG = {
  imageWidth: 0x0100,
  imageLength: 0x0101,
  stripOffsets: 0x0111,
  orientation: 0x0112,
  stripByteCounts: 0x0117,
  thumbnailOffset: 0x0201,
  thumbnailLength: 0x0202,
  exifFolder: 0x8769,
  gpsFolder: 0x8825,
  colorSpace: 0xa001,
  pixelWidth: 0xa002,
  pixelHeight: 0xa003,
};
const [SHORT, LONG] = [3, 4]; // types of values
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8]; // by type
const UPRIGHT = 1;
const SRGB = 1;

/**
 * Return the EXIF block of a JPEG, PNG or WebP file, or null where there is none.
 *
 * @param {Uint8Array} file
 * @returns {Uint8Array | null} a TIFF, as it is in the file
 */
export function readExif(file) {
  for (const find of [findInJpeg, findInPng, findInWebp]) {
    const block = find(file);
    if (block) return startsWith(block, EXIF_MARK) ? block.subarray(EXIF_MARK.length) : block;
  }
  return null;
}

/**
 * Return a picture file with an EXIF block, which is changed to suit upright sRGB pixels.
 *
 * The file is returned as it is where the block is malformed, or too large for a JPEG.
 *
 * @param {Uint8Array} file JPEG or PNG, without EXIF
 * @param {Uint8Array} exif from `readExif`
 * @param {{width: number, height: number}} size of the picture, in pixels
 * @returns {Uint8Array}
 */
export function withExif(file, exif, size) {
  const block = forUpright(exif, size);
  if (!block) return file;
  if (isJpeg(file)) {
    const length = 2 + EXIF_MARK.length + block.length;
    if (length > MAX_SEGMENT) return file;
    const head = [0xff, 0xe1, length >> 8, length & 0xff, ...EXIF_MARK];
    return joined(file.subarray(0, 2), head, block, file.subarray(2));
  }
  if (!startsWith(file, PNG_MARK)) return file;
  const body = joined(latin("eXIf"), block);
  const [before, after] = [file.subarray(0, PNG_HEADER_END), file.subarray(PNG_HEADER_END)];
  return joined(before, bigEndian(block.length), body, bigEndian(crc32(body)), after);
}

/**
 * Return an EXIF block for the same picture as upright sRGB pixels, without its thumbnail.
 *
 * @param {Uint8Array} exif
 * @param {{width: number, height: number}} size of the picture, in pixels
 * @returns {Uint8Array | null} null for a malformed block
 */
export function forUpright(exif, { width, height }) {
  const block = exif.slice();
  try {
    const tiff = new Tiff(block);
    const main = tiff.folder(tiff.first);
    const more = main.has(TAG.exifFolder) ? tiff.folder(tiff.number(main, TAG.exifFolder)) : null;
    const place = main.has(TAG.gpsFolder) ? tiff.folder(tiff.number(main, TAG.gpsFolder)) : null;
    tiff.replace(main, TAG.orientation, SHORT, UPRIGHT);
    tiff.replace(main, TAG.imageWidth, LONG, width);
    tiff.replace(main, TAG.imageLength, LONG, height);
    if (more) {
      tiff.replace(more, TAG.colorSpace, SHORT, SRGB);
      tiff.replace(more, TAG.pixelWidth, LONG, width);
      tiff.replace(more, TAG.pixelHeight, LONG, height);
    }
    const end = Math.max(...[main, more, place].map((folder) => (folder ? tiff.end(folder) : 0)));
    return block.subarray(0, tiff.dropThumbnail(main, end));
  } catch (error) {
    if (error instanceof RangeError) return null; // an offset that points out of the block
    throw error;
  }
}

/** @typedef {Map<number, number> & {next: number}} Folder where entries are, by tag */

/** A TIFF whose entries can be changed in place; raises RangeError where it is malformed. */
class Tiff {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    const order = this.view.getUint16(0);
    if (order !== 0x4949 && order !== 0x4d4d) throw new RangeError("not a TIFF");
    this.isLittle = order === 0x4949; // "II"
    if (this.#short(2) !== 42) throw new RangeError("not a TIFF");
    this.first = this.#long(4);
  }

  /** Return the folder (IFD) at an offset. */
  folder(/** @type {number} */ offset) {
    const folder = /** @type {Folder} */ (new Map());
    const numEntries = this.#short(offset);
    for (let i = 0; i < numEntries; i++) {
      const at = offset + 2 + 12 * i;
      this.view.getUint32(at + 8); // all of it is in the block
      folder.set(this.#short(at), at);
    }
    folder.next = offset + 2 + 12 * numEntries;
    return folder;
  }

  /** Return the number that is the value of a tag. */
  number(/** @type {Folder} */ folder, /** @type {number} */ tag) {
    const at = folder.get(tag);
    return this.#short(at + 2) === SHORT ? this.#short(at + 8) : this.#long(at + 8);
  }

  /** Change the value of a tag, if it is there. */
  replace(folder, tag, type, value) {
    const at = folder.get(tag);
    if (at === undefined) return;
    this.view.setUint16(at + 2, type, this.isLittle);
    this.view.setUint32(at + 4, 1, this.isLittle);
    this.view.setUint32(at + 8, 0);
    if (type === SHORT) this.view.setUint16(at + 8, value, this.isLittle);
    else this.view.setUint32(at + 8, value, this.isLittle);
  }

  /** Return where a folder and its values end. */
  end(/** @type {Folder} */ folder) {
    const ends = [...folder.values()].map((at) => {
      const size = (TYPE_BYTES[this.#short(at + 2)] ?? 0) * this.#long(at + 4);
      return size > 4 ? this.#long(at + 8) + size : 0;
    });
    return Math.max(folder.next + 4, ...ends);
  }

  /**
   * Remove the second folder, which has the thumbnail; return where the block now ends.
   *
   * @param {Folder} main
   * @param {number} end of all else that is known
   */
  dropThumbnail(main, end) {
    const all = this.bytes.length;
    if (main.next + 4 > all) return all; // some writers leave the last offset out
    const offset = this.#long(main.next);
    if (!offset) return all;
    this.view.setUint32(main.next, 0);
    let thumbnail;
    try {
      thumbnail = this.folder(offset);
    } catch {
      return all; // nobody can find it now
    }
    const [start, stop] = this.#span(thumbnail);
    if (start < end) return all; // among other values
    if (stop >= all) return start;
    this.bytes.fill(0, start, stop);
    return all;
  }

  /** Return the start and the end of a thumbnail's bytes. */
  #span(folder) {
    for (const [offset, length] of [
      [TAG.thumbnailOffset, TAG.thumbnailLength],
      [TAG.stripOffsets, TAG.stripByteCounts],
    ]) {
      if (!folder.has(offset) || !folder.has(length)) continue;
      const start = this.number(folder, offset);
      return [start, start + this.number(folder, length)];
    }
    return [0, 0];
  }

  #short(at) {
    return this.view.getUint16(at, this.isLittle);
  }

  #long(at) {
    return this.view.getUint32(at, this.isLittle);
  }
}

function findInJpeg(/** @type {Uint8Array} */ file) {
  if (!isJpeg(file)) return null;
  let at = 2;
  while (at + 4 <= file.length && file[at] === 0xff) {
    const marker = file[at + 1];
    if (marker === 0xff) {
      at += 1; // a fill byte
      continue;
    }
    if (marker === 0xda || marker === 0xd9) return null; // the pixels, the end
    const end = at + 2 + (file[at + 2] << 8) + file[at + 3];
    const body = file.subarray(at + 4, end);
    if (marker === 0xe1 && startsWith(body, EXIF_MARK)) return content(file, at + 4, end);
    at = end;
  }
  return null;
}

function findInPng(/** @type {Uint8Array} */ file) {
  if (!startsWith(file, PNG_MARK)) return null;
  const view = viewOf(file);
  for (let at = PNG_MARK.length; at + 8 <= file.length; ) {
    const end = at + 8 + view.getUint32(at); // after the length and the name
    if (startsWith(file.subarray(at + 4), latin("eXIf"))) return content(file, at + 8, end);
    at = end + 4; // after the checksum
  }
  return null;
}

function findInWebp(/** @type {Uint8Array} */ file) {
  if (!startsWith(file, latin("RIFF")) || !startsWith(file.subarray(8), latin("WEBP"))) return null;
  const view = viewOf(file);
  for (let at = 12; at + 8 <= file.length; ) {
    const end = at + 8 + view.getUint32(at + 4, true); // after the name and the length
    if (startsWith(file.subarray(at), latin("EXIF"))) return content(file, at + 8, end);
    at = end + (end % 2); // chunks start at even places
  }
  return null;
}

function content(file, start, end) {
  return end <= file.length ? file.subarray(start, end) : null;
}

function viewOf(/** @type {Uint8Array} */ { buffer, byteOffset, byteLength }) {
  return new DataView(buffer, byteOffset, byteLength);
}

function isJpeg(file) {
  return startsWith(file, [0xff, 0xd8]);
}

function startsWith(bytes, start) {
  return start.every((value, index) => bytes[index] === value);
}

function latin(text) {
  return [...text].map((letter) => letter.charCodeAt(0));
}

function bigEndian(value) {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
}

/** @param {...(Uint8Array | number[])} parts */
function joined(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Return the checksum of a PNG chunk (ISO 3309). */
function crc32(/** @type {Uint8Array} */ bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
