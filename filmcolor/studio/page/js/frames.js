// The frames of one film as bitmaps, fetched newest first and kept for a second look.

import { connection } from "./api.js";

const BUDGET_BYTES = 192e6; // of decoded bitmaps: 47 frames of 1080p with both sides at 4 bytes a pixel
const MAX_BITMAPS = 160;

/** Loads one thing at a time: the newest that was asked for, then what was asked for in advance. */
class Lane {
  #isBusy = false;
  #next = null;
  #later = [];

  constructor(load) {
    this.load = load;
  }

  want(frame) {
    this.#next = frame;
    this.#later = [];
    this.#pump();
  }

  prepare(frames) {
    this.#later = [...frames];
    this.#pump();
  }

  async #pump() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#next !== null || this.#later.length) {
      const frame = this.#next ?? this.#later.shift();
      this.#next = null;
      await this.load(frame);
    }
    this.#isBusy = false;
  }
}

/**
 * `onArrive(frame, side)` is called for each new bitmap, `onError(error)` if one cannot be had.
 * `keep(bitmap)` returns whether a bitmap is on screen, so that it is not freed.
 */
export class Frames {
  #cache = new Map(); // key → {frame, side, version, bitmap}, oldest use first
  #lanes = {};
  #abort = new AbortController();

  constructor(filmId, { onArrive, onError, keep }) {
    Object.assign(this, { filmId, onArrive, onError, keep, version: "" });
    for (const side of ["grey", "color"]) {
      this.#lanes[side] = new Lane((frame) => this.#load(frame, side));
    }
  }

  /** Returns {bitmap, isCurrent} or null. A coloured frame may have the colours of before. */
  peek(frame, side) {
    const current = this.#cache.get(this.#key(frame, side, this.version));
    if (current) {
      this.#touch(current);
      return { bitmap: current.bitmap, isCurrent: true };
    }
    let found = null;
    for (const entry of this.#cache.values()) {
      if (entry.frame === frame && entry.side === side) found = entry;
    }
    return found && { bitmap: found.bitmap, isCurrent: false };
  }

  /** Fetches both sides of a frame; what was asked for before is dropped if it has not begun. */
  want(frame) {
    for (const side of ["grey", "color"]) {
      if (!this.peek(frame, side)?.isCurrent) this.#lanes[side].want(frame);
    }
  }

  /** Fetches frames that are likely to be wanted next, when nothing else is. */
  prepare(frames) {
    for (const side of ["grey", "color"]) {
      const missing = frames.filter((frame) => !this.peek(frame, side)?.isCurrent);
      this.#lanes[side].prepare(missing);
    }
  }

  close() {
    this.#abort.abort();
    for (const { bitmap } of this.#cache.values()) bitmap.close();
    this.#cache.clear();
  }

  #key(frame, side, version) {
    return side === "grey" ? `${frame} grey` : `${frame} color ${version}`;
  }

  #touch(entry) {
    const key = this.#key(entry.frame, entry.side, entry.version);
    this.#cache.delete(key);
    this.#cache.set(key, entry);
  }

  async #load(frame, side) {
    if (this.peek(frame, side)?.isCurrent) return;
    const asked = this.version;
    const path = `/api/films/${this.filmId}/frames/${frame}?side=${side}`;
    try {
      const response = await fetch(path, { signal: this.#abort.signal, cache: "no-cache" });
      if (!response.ok) {
        const answer = await response.json().catch(() => ({}));
        throw new Error(answer.error ?? `Frame ${frame} cannot be shown.`);
      }
      const version = response.headers.get("X-Version") || asked;
      const bitmap = await createImageBitmap(await response.blob());
      if (this.#abort.signal.aborted) return bitmap.close();
      this.#touch({ frame, side, version, bitmap });
      this.#shrink();
      this.onArrive(frame, side, version);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof TypeError) connection.report("gone");
      else this.onError(error, frame, side);
    }
  }

  #shrink() {
    let numBytes = 0;
    for (const { bitmap } of this.#cache.values()) numBytes += bitmap.width * bitmap.height * 4;
    for (const [key, { bitmap }] of this.#cache) {
      if (numBytes <= BUDGET_BYTES && this.#cache.size <= MAX_BITMAPS) return;
      if (this.keep(bitmap)) continue;
      numBytes -= bitmap.width * bitmap.height * 4;
      this.#cache.delete(key);
      bitmap.close();
    }
  }
}
