// The worker: it owns the network and the pictures, so that the page never waits.
//
// Messages to it are {id, method, args}; its answers are {id, result} or {id, error}. While files
// are loaded it also sends {progress}. `colorizer.js` is the other end.

import { loadFiles } from "./files.js";
import { Network, numThreads } from "./network.js";
import { Picture } from "./picture.js";

/** @type {Promise<{network: Network, parameters: object}> | undefined} */
let opened;
/** @type {Map<number, Picture>} */
const pictures = new Map();
let lastPicture = 0;

const METHODS = {
  /** Load everything; return what the page shows of it. */
  async open() {
    opened = open();
    const { parameters } = await opened;
    return { parameters, numThreads: numThreads() };
  },

  /** Colour a picture file; return its number and sizes. */
  async color(/** @type {Blob} */ blob) {
    const { network, parameters } = await opened;
    const picture = await Picture.read(blob, parameters);
    await picture.color(network);
    pictures.set(++lastPicture, picture);
    const { width, height, originalWidth, originalHeight } = picture;
    return { picture: lastPicture, width, height, originalWidth, originalHeight };
  },

  before: (/** @type {number} */ number, /** @type {number} */ maxSide) =>
    pictures.get(number).before(maxSide),

  after: (/** @type {number} */ number, /** @type {number} */ maxSide, grade) =>
    pictures.get(number).after(maxSide, grade),

  save: (/** @type {number} */ number, grade, /** @type {string} */ type) =>
    pictures.get(number).save(grade, type),

  close(/** @type {number} */ number) {
    pictures.get(number)?.close();
    pictures.delete(number);
  },
};

async function open() {
  const root = new URL("../", import.meta.url);
  const files = await loadFiles(root, (progress) => postMessage({ progress }));
  const network = await Network.open(files.network, files.runtime);
  return { network, parameters: files.parameters };
}

addEventListener("message", async ({ data: { id, method, args } }) => {
  try {
    const result = await METHODS[method](...args);
    postMessage({ id, result }, result instanceof ImageBitmap ? [result] : []);
  } catch (error) {
    postMessage({ id, error: { name: error?.name ?? "", message: error?.message ?? `${error}` } });
  }
});
