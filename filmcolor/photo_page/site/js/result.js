// The file of a photograph in colour: its name, its EXIF, saving and sharing.

import { readExif, withExif } from "./exif.js";

const SUFFIXES = { "image/jpeg": ".jpg", "image/png": ".png" };

/** Makes the file of one photograph; the latest one is kept, for a second press on the button. */
export class Result {
  #key = "";
  /** @type {Promise<File> | undefined} */
  #file;

  /**
   * @param {File} source
   * @param {import("./colorizer.js").Photo} photo
   */
  constructor(source, photo) {
    this.source = source;
    this.photo = photo;
  }

  /**
   * Return the file of the photograph in colour.
   *
   * @param {import("./grade.js").Grade} grade
   * @param {"image/jpeg" | "image/png"} type
   * @returns {Promise<File>}
   */
  file(grade, type) {
    const key = JSON.stringify([grade, type]);
    if (key !== this.#key || !this.#file) {
      const file = this.#make(grade, type);
      this.#key = key;
      this.#file = file;
      file.catch(() => {
        if (this.#file === file) this.#file = undefined;
      });
    }
    return this.#file;
  }

  async #make(grade, type) {
    const blob = await this.photo.save(grade, type);
    const [source, bytes] = await Promise.all([this.source, blob].map(bytesOf));
    const exif = readExif(source);
    const parts = exif ? withExif(bytes, exif, this.photo) : bytes;
    return new File([parts], resultName(this.source.name, type), { type });
  }
}

/** @param {Blob} blob */
async function bytesOf(blob) {
  return new Uint8Array(await blob.arrayBuffer());
}

/** Return the name of a result: NAME.color.jpg or NAME.color.png. */
export function resultName(/** @type {string} */ name, /** @type {string} */ type) {
  const stem = name.replace(/(.)\.[^.]*$/, "$1");
  return `${stem || "photograph"}.color${SUFFIXES[type]}`;
}

/** Let the browser save a file; return what the person should know. */
export function download(/** @type {File} */ file) {
  const url = URL.createObjectURL(file);
  const link = Object.assign(document.createElement("a"), { href: url, download: file.name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // a phone may ask before it saves
  return `The browser saves it as ${file.name}.`;
}

/** Return whether this browser can pass pictures to other apps. */
export function canShare() {
  const file = new File(["."], "photograph.jpg", { type: "image/jpeg" });
  return Boolean(navigator.share && navigator.canShare?.({ files: [file] }));
}

/**
 * Give a file to another app; return what the person has to do, or "".
 *
 * @param {File} file
 * @returns {Promise<string>}
 */
export async function share(file) {
  try {
    await navigator.share({ files: [file] });
  } catch (error) {
    if (error.name === "AbortError") return ""; // the person has changed their mind
    // browsers open the list of apps only right after a press; the file is kept for the next one
    if (error.name === "NotAllowedError") return "The photograph is ready. Press Share again.";
    throw error;
  }
  return "";
}
