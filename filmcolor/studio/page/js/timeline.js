// Where we are: the bar of the current shot, the bar of the whole film, and the buttons to play.

import { fill, formatTime, h, icon, iconButton } from "./dom.js";

/**
 * `handlers`: `go(frame)`, `step(frames)`, `skip(shots)`, `play()`, `cancel()`, `loop(isOn)`,
 * `mute(isOn)`.
 */
export class Timeline {
  #shots = [];
  #numFrames = 1;
  #request = 0;

  constructor(handlers) {
    const toggle = (name, picture, key, change) => {
      const element = iconButton(`${name} (${key})`, picture, { "aria-pressed": "false" });
      element.setAttribute("aria-label", name);
      element.addEventListener("click", () => {
        const isOn = element.getAttribute("aria-pressed") !== "true";
        element.setAttribute("aria-pressed", String(isOn));
        change(isOn);
      });
      return element;
    };
    const press = (name, picture, key, action, testId) => {
      const props = { onclick: action, title: `${name} (${key})`, "data-testid": testId };
      return iconButton(name, picture, props);
    };
    this.play = press("Play this shot", "play", "Space", () => handlers.play(), "play");
    this.loop = toggle("Repeat", "loop", "L", handlers.loop);
    this.mute = toggle("Mute", "mute", "M", handlers.mute);
    this.frame = h("input", {
      class: "frame-number",
      type: "number",
      inputmode: "numeric",
      min: "0",
      step: "1",
      "aria-label": "Frame number",
      title: "Frame number: type one to go there",
      onchange: () => handlers.go(Number(this.frame.value)),
    });
    this.time = h("span", { class: "time", "data-testid": "time" });
    this.place = h("span", { class: "place", "data-testid": "place" });
    this.progress = h("progress", { class: "clip-progress", "aria-label": "Colouring to play" });
    this.progressText = h("span", { class: "clip-text" });
    const cancel = iconButton("Do not play", "close", { onclick: () => handlers.cancel() });
    this.waiting = h("div", { class: "clip-wait", hidden: true, "data-testid": "clip-progress" });
    this.waiting.append(this.progress, this.progressText, cancel);
    this.scrub = this.#range("Frame in the shot", "scrub", handlers);
    this.whole = this.#range("Position in the film", "whole", handlers);
    this.map = h("canvas", { class: "whole-map", "aria-hidden": "true" });
    const buttons = h(
      "div",
      { class: "play-buttons", role: "group", "aria-label": "Playing" },
      press("Previous shot", "previous", "Page Up", () => handlers.skip(-1)),
      press("Previous frame", "back", "←", () => handlers.step(-1)),
      this.play,
      press("Next frame", "chevron", "→", () => handlers.step(1)),
      press("Next shot", "next", "Page Down", () => handlers.skip(1)),
      this.loop,
      this.mute,
    );
    const where = h("label", { class: "where" }, "Frame ", this.frame);
    this.element = h(
      "div",
      { class: "timeline" },
      this.scrub,
      h("div", { class: "timeline-row" }, buttons, this.waiting, this.time, where, this.place),
      h("div", { class: "whole" }, this.map, this.whole),
    );
    this.observer = new ResizeObserver(() => this.#drawMap());
    this.observer.observe(this.map);
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.#request);
  }

  /** Takes the shots found so far and the number of frames of the film. */
  setShots(shots, numFrames) {
    this.#shots = shots;
    this.#numFrames = Math.max(numFrames, 1);
    this.whole.max = this.frame.max = String(this.#numFrames - 1);
    this.#drawMap();
  }

  /** Shows a frame's place: `seconds` of the film, in a shot or in what is known yet. */
  setFrame(frame, seconds, shot) {
    const [first, last] = shot ? [shot.first, shot.stop - 1] : [0, this.#numFrames - 1];
    this.scrub.min = String(first); // the limits before the value, which they confine
    this.scrub.max = String(Math.max(last, first));
    const time = formatTime(seconds, 2);
    for (const range of [this.scrub, this.whole]) {
      range.value = String(frame);
      range.setAttribute("aria-valuetext", `Frame ${frame}, ${time}`);
    }
    for (const range of [this.scrub, this.whole]) {
      const [low, high] = [Number(range.min), Number(range.max)];
      const share = high > low ? (frame - low) / (high - low) : 0;
      range.style.setProperty("--share", String(share));
    }
    this.time.textContent = time;
    if (document.activeElement !== this.frame) this.frame.value = String(frame);
    this.place.textContent = shot
      ? `${frame - first + 1} of ${last - first + 1} in shot ${shot.number}`
      : "looking for shots…";
  }

  /** Shows whether it plays; `wait` is {done, total} while the frames to play are coloured. */
  setPlaying(isPlaying, wait = null) {
    const name = isPlaying ? "Pause" : "Play this shot";
    if (this.play.getAttribute("aria-label") !== name) {
      this.play.setAttribute("aria-label", name);
      this.play.title = `${name} (Space)`;
      fill(this.play, icon(isPlaying ? "pause" : "play"));
    }
    this.waiting.hidden = !wait;
    if (!wait) return;
    if (wait.total) {
      this.progress.max = wait.total;
      this.progress.value = wait.done;
      this.progressText.textContent = `colouring ${wait.done} of ${wait.total} frames`;
    } else {
      this.progress.removeAttribute("value");
      this.progressText.textContent = "colouring…";
    }
  }

  #range(name, testId, handlers) {
    const range = h("input", {
      class: `bar bar-${testId}`,
      type: "range",
      min: "0",
      max: "0",
      step: "1",
      "aria-label": name,
      "data-testid": testId,
    });
    range.addEventListener("input", () => handlers.go(Number(range.value)));
    return range;
  }

  #drawMap() {
    if (!this.#request) this.#request = requestAnimationFrame(() => this.#paintMap());
  }

  #paintMap() {
    this.#request = 0;
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.map;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    Object.assign(this.map, { width, height });
    const context = this.map.getContext("2d");
    const style = getComputedStyle(this.map);
    const across = width / this.#numFrames;
    for (const shot of this.#shots) {
      const isCorrected = shot.strokes?.length || shot.references?.length;
      const hasGrade = Object.keys(shot.grade ?? {}).length > 0;
      const color = isCorrected || hasGrade ? "--map-corrected" : "--map-shot";
      context.fillStyle = style.getPropertyValue(color);
      const left = shot.first * across;
      const gap = Math.min(ratio, ((shot.stop - shot.first) * across) / 3);
      context.fillRect(left, 0, Math.max((shot.stop - shot.first) * across - gap, ratio / 2), height);
    }
  }
}
