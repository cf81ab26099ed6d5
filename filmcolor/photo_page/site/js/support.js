// What the page needs from the browser, and sentences about what went wrong.

const NEEDED = {
  Worker: "workers",
  WebAssembly: "WebAssembly",
  DecompressionStream: "DecompressionStream",
  OffscreenCanvas: "OffscreenCanvas",
  createImageBitmap: "createImageBitmap",
};

/** Return a sentence about what this browser lacks, or "". */
export function missingFeatures() {
  const missing = Object.keys(NEEDED).filter((name) => !(name in globalThis));
  if (!missing.length) return "";
  const names = missing.map((name) => NEEDED[name]).join(", ");
  return (
    `This browser lacks what the page needs (${names}). Update it, or use another one: ` +
    "Chrome or Edge 105, Firefox 114, Safari 16.4 (iOS 16.4), or a newer version of these."
  );
}

/** Return why a file cannot be shown as a picture, and what to do. */
export function unreadable(/** @type {File} */ { name, type, size }) {
  const file = name || "This file";
  if (!size) return `${file} is empty. Choose another photograph.`;
  if (/^image\/hei[cf]/.test(type) || /\.hei[cf]$/i.test(file)) {
    return `This browser cannot read HEIC, the format of ${file}. Save it as JPEG first.`;
  }
  if (type.startsWith("image/") || /\.(tiff?|avif|jxl|webp|raw|dng)$/i.test(file)) {
    return `This browser cannot read ${file}. It may be damaged; else save it as JPEG or PNG first.`;
  }
  return `${file} is not a picture. Choose a JPEG or PNG file.`;
}

/** Return an error as a sentence for a person. */
export function sentence(/** @type {unknown} */ error) {
  const { name, message } = /** @type {Error} */ (error);
  if (name === "PhotoError") return message;
  console.warn(error);
  return `Something went wrong: ${message}. Reload the page and try again.`;
}
