// Playing a few seconds with sound: a clip with the grey and the coloured picture side by side.

import { api } from "./api.js";
import { h } from "./dom.js";

const LONGEST_SECONDS = 10;
const ASK_EVERY = 300; // milliseconds

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * `onState({isPlaying, wait})`, `onFrame(frame, video)` for each frame played, `onStop(frame)`
 * when it stands still again, `onError(error)`.
 */
export class Player {
  #run = 0; // grows with each start and stop, so that older ones end
  #clip = null; // {id, first, stop, version}
  #rate = 24;
  #isWaiting = false; // for frames to be coloured
  #isPlaying = false;
  isLooping = false;

  constructor(filmId, handlers) {
    Object.assign(this, { filmId, handlers });
    this.video = h("video", {
      class: "clip-video",
      playsinline: true,
      preload: "auto",
      "aria-hidden": "true",
      tabindex: "-1",
      "data-testid": "clip",
    });
    this.video.addEventListener("ended", () => this.#ended());
    this.element = this.video;
  }

  get isPlaying() {
    return this.#isPlaying;
  }

  get isActive() {
    return this.#isWaiting || this.#isPlaying;
  }

  /**
   * Plays from a frame to its shot's end, of a shot of more than ten seconds ten from there;
   * with `isWhole` a shorter shot from its beginning. `version`: that of the film's colours.
   */
  async play(from, shot, { rate, version, isWhole }) {
    const run = ++this.#run;
    this.#rate = rate;
    const longest = Math.max(Math.floor(LONGEST_SECONDS * rate), 2);
    const isShort = shot.stop - shot.first <= longest;
    const frame = isWhole && isShort ? shot.first : from;
    let first = isShort ? shot.first : frame;
    let stop = Math.min(shot.stop, first + longest);
    if (stop - first < rate && !isShort) first = Math.max(shot.first, stop - longest);
    const old = this.#clip;
    const isInOld = old && old.version === version && old.first <= frame && frame < old.stop;
    if (isInOld && old.first >= shot.first && old.stop <= shot.stop) ({ first, stop } = old);
    const isAtEnd = frame >= stop - 2;
    try {
      await this.#prepare(run, first, stop, version);
      if (run !== this.#run) return;
      this.video.currentTime = isAtEnd ? 0 : Math.max(frame - first, 0) / rate + 0.001;
      await this.video.play();
      if (run !== this.#run) return this.video.pause();
      this.#isPlaying = true;
      this.handlers.onState({ isPlaying: true, wait: null });
      this.#follow(run);
    } catch (error) {
      if (run !== this.#run) return;
      this.#stand();
      if (error.name === "NotAllowedError") {
        this.handlers.onError(new Error("Ready to play. Press play once more."));
      } else if (error.name !== "AbortError") this.handlers.onError(error);
    }
  }

  /** Stops, or no longer waits to play. */
  pause() {
    if (!this.isActive) return;
    this.#run += 1;
    const wasPlaying = this.#isPlaying;
    this.#stand();
    if (wasPlaying) this.handlers.onStop(this.#frame(this.video.currentTime));
  }

  close() {
    this.#run += 1;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  async #prepare(run, first, stop, version) {
    this.#isWaiting = true;
    this.handlers.onState({ isPlaying: false, wait: { done: 0, total: 0 } });
    const path = `/api/films/${this.filmId}/clips`;
    const { id } = await api.post(path, { first, stop });
    for (;;) {
      const clip = await api.get(`${path}/${id}`);
      if (run !== this.#run) return;
      if (clip.state === "failed") throw new Error(clip.error);
      if (clip.state === "ready") break;
      this.handlers.onState({ isPlaying: false, wait: clip });
      await sleep(ASK_EVERY);
      if (run !== this.#run) return;
    }
    if (this.#clip?.id !== id) {
      await this.#load(`${path}/${id}/video`);
      this.#clip = { id, first, stop, version };
    }
    this.#isWaiting = false;
  }

  #load(source) {
    const { video } = this;
    this.#clip = null;
    return new Promise((resolve, reject) => {
      const listeners = new AbortController();
      const end = (finish, value) => {
        listeners.abort();
        finish(value);
      };
      const { signal } = listeners;
      const failed = new Error("This browser cannot play the clip: it needs H.264 and AAC.");
      video.addEventListener("loadeddata", () => end(resolve), { signal });
      video.addEventListener("error", () => end(reject, failed), { signal });
      video.src = source;
      video.load();
    });
  }

  #frame(seconds) {
    const { first, stop } = this.#clip;
    return Math.min(first + Math.max(Math.round(seconds * this.#rate), 0), stop - 1);
  }

  #follow(run) {
    const show = (seconds) => {
      if (run !== this.#run || !this.#isPlaying || !this.#clip) return;
      this.handlers.onFrame(this.#frame(seconds), this.video);
      next();
    };
    const next = () => {
      if (this.video.requestVideoFrameCallback) {
        this.video.requestVideoFrameCallback((now, { mediaTime }) => show(mediaTime));
      } else requestAnimationFrame(() => show(this.video.currentTime));
    };
    next();
  }

  #ended() {
    if (!this.#isPlaying) return;
    if (this.isLooping) {
      this.video.currentTime = 0;
      this.video.play();
      return;
    }
    this.pause();
  }

  #stand() {
    this.#isWaiting = this.#isPlaying = false;
    this.video.pause();
    this.handlers.onState({ isPlaying: false, wait: null });
  }
}
