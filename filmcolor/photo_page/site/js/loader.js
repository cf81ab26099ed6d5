// Opens the colorizer once, and again after it has failed.

import { Colorizer } from "./colorizer.js";
import { controlled } from "./offline.js";

/** The way to the colorizer for all that needs it. */
export class Loader {
  /** @type {Promise<Colorizer> | undefined} */
  #opening;
  /** @type {Colorizer | undefined} */
  #colorizer;

  /** @param {import("./progress.js").Progress} progress */
  constructor(progress) {
    this.progress = progress;
    /** @type {Promise<void>} resolves when everything was loaded for the first time */
    this.loaded = new Promise((resolve) => {
      this.onLoaded = resolve;
    });
  }

  /** Whether the colorizer can be used at once. */
  get isOpen() {
    return Boolean(this.#colorizer) && !this.#colorizer.failure;
  }

  /**
   * Return the colorizer when it is loaded.
   *
   * @returns {Promise<Colorizer>}
   */
  open() {
    if (this.#colorizer?.failure) this.#opening = this.#colorizer = undefined;
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open() {
    try {
      await controlled(); // so that what is loaded is stored
      const onProgress = (bytes) => this.progress.load(bytes);
      this.#colorizer = await Colorizer.open({ onProgress });
      this.onLoaded();
      return this.#colorizer;
    } catch (error) {
      this.#opening = undefined; // so that it can be tried again
      throw error;
    } finally {
      this.progress.endLoading();
    }
  }
}
