// Colours photographs in a worker; the page's way to everything that is not the page itself.

import { PhotoError } from "./photo-error.js";

export { PhotoError };

/** @typedef {{saturation: number, warmth: number}} Grade */

const OUT_OF_MEMORY = "There is not enough memory for this photograph. Choose a smaller one.";

/** A network that colours photographs, in a thread of its own. */
export class Colorizer {
  /**
   * @param {Worker} worker
   * @param {(progress: {loaded: number, total: number}) => void} onProgress
   */
  constructor(worker, onProgress) {
    this.worker = worker;
    this.numThreads = 1; // that the network uses
    this.parameters = undefined; // ranges and defaults of the grade, among others
    this.failure = undefined; // why the worker has ended
    this.calls = new Map();
    this.lastCall = 0;
    worker.onmessage = ({ data }) => {
      if (data.progress) onProgress(data.progress);
      else this.#settle(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new PhotoError(`The page has stopped: ${event.message || "a file is missing"}.`));
    };
  }

  /**
   * Return a colorizer when everything is loaded.
   *
   * @param {{onProgress?: (progress: {loaded: number, total: number}) => void}} options
   * @returns {Promise<Colorizer>}
   */
  static async open({ onProgress = () => {} } = {}) {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    const colorizer = new Colorizer(worker, onProgress);
    try {
      Object.assign(colorizer, await colorizer.call("open"));
    } catch (error) {
      colorizer.close();
      throw error;
    }
    return colorizer;
  }

  /**
   * Return a photograph with its colours.
   *
   * @param {Blob} blob
   * @returns {Promise<Photo>}
   */
  async color(blob) {
    return new Photo(this, await this.call("color", blob));
  }

  /** End the worker; what was asked of it fails. */
  close() {
    this.#fail(new PhotoError("The page was closed."));
  }

  /** Ask the worker for something. */
  call(method, ...args) {
    if (this.failure) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const id = ++this.lastCall;
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, args });
    });
  }

  #settle({ id, result, error }) {
    const call = this.calls.get(id);
    this.calls.delete(id);
    if (!error) return call?.resolve(result);
    call?.reject(readable(error));
    // only another worker has memory again: that of WebAssembly never shrinks
    if (isOutOfMemory(error)) this.#fail(readable(error));
  }

  #fail(error) {
    this.failure = error;
    this.worker.terminate();
    for (const call of this.calls.values()) call.reject(error);
    this.calls.clear();
  }
}

/** A photograph that the worker holds. */
class Photo {
  constructor(colorizer, { picture, width, height, originalWidth, originalHeight }) {
    this.colorizer = colorizer;
    this.number = picture;
    Object.assign(this, { width, height, originalWidth, originalHeight });
  }

  /** Whether the photograph had to be made smaller. */
  get isReduced() {
    return this.width !== this.originalWidth || this.height !== this.originalHeight;
  }

  /**
   * Return the photograph as it is, with sides of at most `maxSide` pixels.
   *
   * @returns {Promise<ImageBitmap>}
   */
  before(/** @type {number} */ maxSide) {
    return this.colorizer.call("before", this.number, maxSide);
  }

  /**
   * Return the photograph in colour, with sides of at most `maxSide` pixels.
   *
   * @returns {Promise<ImageBitmap>}
   */
  after(/** @type {number} */ maxSide, /** @type {Grade} */ grade) {
    return this.colorizer.call("after", this.number, maxSide, grade);
  }

  /**
   * Return a file of the photograph in colour, at full size, without EXIF.
   *
   * @returns {Promise<Blob>}
   */
  save(/** @type {Grade} */ grade, /** @type {string} */ type) {
    return this.colorizer.call("save", this.number, grade, type);
  }

  /** Free the photograph's memory. */
  close() {
    return this.colorizer.call("close", this.number).catch(() => {});
  }
}

/** Return an error of the worker as one that a person reads. */
function readable({ name, message }) {
  if (name === "PhotoError") return new PhotoError(message);
  if (isOutOfMemory({ name, message })) return new PhotoError(OUT_OF_MEMORY);
  return new PhotoError(`Something went wrong: ${message}. Reload the page and try again.`);
}

function isOutOfMemory({ name, message }) {
  if (name === "PhotoError") return false; // it may name a file
  return name === "RangeError" || /memory|alloc/i.test(message); // std::bad_alloc, too
}
