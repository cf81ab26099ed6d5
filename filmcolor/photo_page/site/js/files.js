// Loads what the worker needs beside its code: parameters, the network, and the runtime.

import { PhotoError } from "./photo-error.js";

const GZIP = [0x1f, 0x8b]; // first bytes

/**
 * @typedef {object} LoadedFiles
 * @property {object} parameters numbers of the colour maths
 * @property {Uint8Array} network an ONNX file
 * @property {Uint8Array} runtime onnxruntime-web's WebAssembly
 */

/**
 * Return all files.
 *
 * @param {URL} root folder of the page
 * @param {(progress: {loaded: number, total: number}) => void} onProgress bytes so far
 * @returns {Promise<LoadedFiles>}
 */
export async function loadFiles(root, onProgress) {
  const [files, parameters] = await Promise.all([
    loadJson(new URL("files.json", root)),
    loadJson(new URL("parameters.json", root)),
  ]);
  const large = [files.network, files.runtime];
  const total = large.reduce((sum, file) => sum + file.bytes, 0);
  const loaded = large.map(() => 0);
  const [network, runtime] = await Promise.all(
    large.map((file, index) =>
      loadPacked(new URL(file.url, root), file.unpacked, (bytes) => {
        loaded[index] = Math.min(bytes, file.bytes); // more where a server has unpacked it
        onProgress({ loaded: loaded.reduce((sum, n) => sum + n, 0), total });
      }),
    ),
  );
  return { parameters, network, runtime };
}

/** @param {URL} url */
async function loadJson(url) {
  const response = await ask(url);
  return response.json().catch(() => {
    throw damaged(url);
  });
}

/**
 * Return the bytes of a file that is compressed with gzip, unpacked.
 *
 * @param {URL} url
 * @param {number} size bytes that it has, unpacked
 * @param {(bytes: number) => void} onBytes
 */
async function loadPacked(url, size, onBytes) {
  const response = await ask(url);
  const packed = await readAll(response.body, onBytes).catch(() => {
    throw unreachable(url);
  });
  const isPacked = GZIP.every((byte, index) => packed[index] === byte);
  const content = isPacked ? await unpack(packed).catch(() => null) : packed;
  // some servers answer everything with a page of theirs
  if (content?.length !== size) throw damaged(url);
  return content;
}

/** @param {Uint8Array} packed */
function unpack(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return readAll(stream, () => {});
}

/** @param {URL} url */
async function ask(url) {
  const response = await fetch(url).catch(() => {
    throw unreachable(url);
  });
  if (!response.ok) {
    throw new PhotoError(
      `${name(url)} could not be loaded: the server answered ${response.status}. Try again later.`,
    );
  }
  return response;
}

/** @param {URL} url */
function unreachable(url) {
  return new PhotoError(
    `${name(url)} could not be loaded. Check the connection to the internet, then try again.`,
  );
}

/** @param {URL} url */
function damaged(url) {
  return new PhotoError(`${name(url)} is damaged. Reload the page.`);
}

/** @param {URL} url */
function name(url) {
  return url.pathname.split("/").pop();
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {(bytes: number) => void} onBytes
 */
async function readAll(stream, onBytes) {
  const parts = [];
  let size = 0;
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    size += part.value.length;
    onBytes(size);
  }
  const bytes = new Uint8Array(size);
  let position = 0;
  for (const part of parts) {
    bytes.set(part, position);
    position += part.length;
  }
  return bytes;
}
