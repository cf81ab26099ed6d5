// The large picture: grey on the left of a divider, coloured on its right; zoom and position.

import { button, h } from "./dom.js";

const MAX_ZOOM = 32; // times the size that fits
const PIXELS_FROM = 3; // zoom and size of a pixel from which single pixels are shown as squares

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class Viewer {
  #zoom = 1;
  #center = [0.5, 0.5]; // what of the picture is in the middle, 0 to 1
  #divider = 0.5;
  #request = 0;
  #size = [0, 0];
  #grey = null;
  #color = null;
  #video = null;
  width = 0; // of the frame as shown, pixels
  height = 0;
  strokes = null; // a canvas of the frame's size
  areStrokesShown = true;
  failedStrokes = [];
  cursor = null; // {x, y, radius, color}: the brush, in the frame's pixels

  constructor() {
    this.canvas = h("canvas", {
      class: "picture-canvas",
      role: "img",
      "aria-label": "The frame, grey left and in colour right of the divider",
      "data-testid": "picture",
    });
    this.handle = h("div", {
      class: "divider",
      role: "slider",
      tabindex: "0",
      "aria-label": "Divider between grey and colour",
      "aria-orientation": "horizontal",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      title: "Drag to compare. Double-click, or C: all in colour, all grey",
      "data-testid": "divider",
    });
    this.handle.append(h("span", { class: "divider-grip" }));
    this.mark = h("div", { class: "coloring-mark", "data-testid": "coloring", hidden: true });
    this.whole = button("Whole picture", { class: "button whole-picture", picture: "zoom" });
    this.whole.title = "Whole picture (0)";
    this.whole.addEventListener("click", () => this.fit());
    const parts = [this.canvas, this.handle, this.mark, this.whole];
    this.element = h("div", { class: "stage" }, parts);
    this.#listenToHandle();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
    this.draw();
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.#request);
    this.#request = -1;
  }

  setSize(width, height) {
    if (width === this.width && height === this.height) return;
    Object.assign(this, { width, height });
    this.fit();
  }

  /** Shows a frame; without colours both sides are grey. `mark` is what is still to come, or "". */
  setFrame(grey, color, mark) {
    this.#grey = grey;
    this.#color = color;
    this.#video = null;
    this.setMark(mark);
    this.draw();
  }

  setMark(mark) {
    this.mark.hidden = !mark;
    if (mark && this.mark.textContent !== mark) this.mark.textContent = mark;
  }

  /** Shows what a video has now, grey in its left half and coloured in its right. */
  setVideo(video) {
    this.#video = video;
    this.setMark("");
    this.draw();
  }

  shows(bitmap) {
    return bitmap === this.#grey || bitmap === this.#color;
  }

  get divider() {
    return this.#divider;
  }

  /** How much of what is seen is grey, 0 to 1. */
  set divider(share) {
    this.#divider = clamp(share, 0, 1);
    this.draw();
  }

  /** From both sides to all colour, all grey and both sides again. */
  toggleDivider() {
    if (this.#divider === 0) this.divider = 1;
    else if (this.#divider === 1) this.divider = 0.5;
    else this.divider = 0;
  }

  get zoom() {
    return this.#zoom;
  }

  fit() {
    this.#zoom = 1;
    this.#center = [0.5, 0.5];
    this.draw();
  }

  /** Enlarges by a factor around a place of the window, or the middle. */
  zoomBy(factor, clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const x = clientX === undefined ? box.width / 2 : clientX - box.left;
    const y = clientY === undefined ? box.height / 2 : clientY - box.top;
    const before = this.#place();
    const [u, v] = [(x - before.left) / before.width, (y - before.top) / before.height];
    this.#zoom = clamp(this.#zoom * factor, 1, MAX_ZOOM);
    const after = this.#place();
    this.panBy(x - (after.left + u * after.width), y - (after.top + v * after.height));
  }

  panBy(dx, dy) {
    const { width, height } = this.#place();
    this.#center[0] -= dx / width;
    this.#center[1] -= dy / height;
    this.draw();
  }

  /** Returns the frame's pixel (x, y) at a place of the window. */
  toFrame(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, scale } = this.#place();
    return [(clientX - box.left - left) / scale, (clientY - box.top - top) / scale];
  }

  /** Returns how large a pixel of the frame is, in pixels of the window. */
  get scale() {
    return this.#place().scale;
  }

  /** Returns the divider's place for a place of the window. */
  toDivider(clientX) {
    const box = this.canvas.getBoundingClientRect();
    const seen = this.#seen(this.#place());
    return seen.width ? (clientX - box.left - seen.left) / seen.width : 0;
  }

  /** Returns the colour of the coloured frame around a pixel, or null. */
  colorAt(x, y) {
    const source = this.#color;
    if (!source || x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const sample = document.createElement("canvas");
    const size = 3;
    Object.assign(sample, { width: 1, height: 1 });
    const context = sample.getContext("2d");
    const [ratioX, ratioY] = [source.width / this.width, source.height / this.height];
    const left = clamp(Math.round(x * ratioX) - 1, 0, source.width - size);
    const top = clamp(Math.round(y * ratioY) - 1, 0, source.height - size);
    context.imageSmoothingQuality = "high";
    context.drawImage(source, left, top, size, size, 0, 0, 1, 1);
    const rgb = [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    return `#${rgb.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  }

  draw() {
    if (!this.#request) this.#request = requestAnimationFrame(() => this.#paint());
  }

  /** Returns where the frame lies on the canvas, and its scale. */
  #place() {
    const [width, height] = this.#size;
    if (!this.width || !width) return { left: 0, top: 0, width: 1, height: 1, scale: 1 };
    const scale = Math.min(width / this.width, height / this.height) * this.#zoom;
    const [across, down] = [this.width * scale, this.height * scale];
    // what is smaller than the window is centred, what is larger has no empty border
    const [marginX, marginY] = [width / across / 2, height / down / 2];
    const [x, y] = this.#center;
    this.#center[0] = marginX >= 0.5 ? 0.5 : clamp(x, marginX, 1 - marginX);
    this.#center[1] = marginY >= 0.5 ? 0.5 : clamp(y, marginY, 1 - marginY);
    const left = width / 2 - this.#center[0] * across;
    const top = height / 2 - this.#center[1] * down;
    return { left, top, width: across, height: down, scale };
  }

  #seen({ left, top, width, height }) {
    const [x, y] = [Math.max(left, 0), Math.max(top, 0)];
    const right = Math.min(left + width, this.#size[0]);
    const bottom = Math.min(top + height, this.#size[1]);
    return { left: x, top: y, width: Math.max(right - x, 0), height: Math.max(bottom - y, 0) };
  }

  #paint() {
    this.#request = 0;
    const { clientWidth, clientHeight } = this.element;
    const ratio = window.devicePixelRatio || 1;
    this.#size = [clientWidth, clientHeight];
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    const place = this.#place();
    const seen = this.#seen(place);
    const split = seen.left + this.#divider * seen.width;
    this.#layHandle(seen, split);
    this.whole.hidden = this.#zoom <= 1;
    if (!this.width) return;
    const arePixelsSquares = this.#zoom >= PIXELS_FROM && place.scale >= PIXELS_FROM;
    context.imageSmoothingEnabled = !arePixelsSquares;
    context.imageSmoothingQuality = "high";
    this.#half(context, place, seen, 0, seen.left, split);
    this.#half(context, place, seen, 1, split, seen.left + seen.width);
    if (!this.#video) this.#drawStrokes(context, place, seen);
    this.#drawCursor(context, place);
  }

  /** Draws the grey (0) or the coloured (1) picture between two places across. */
  #half(context, place, seen, side, left, right) {
    if (right <= left) return;
    context.save();
    context.beginPath();
    context.rect(left, seen.top, right - left, seen.height);
    context.clip();
    const target = [place.left, place.top, place.width, place.height];
    if (this.#video) {
      const [width, height] = [this.#video.videoWidth / 2, this.#video.videoHeight];
      if (width) context.drawImage(this.#video, side * width, 0, width, height, ...target);
    } else {
      const bitmap = (side === 1 && this.#color) || this.#grey;
      if (bitmap) context.drawImage(bitmap, ...target);
    }
    context.restore();
  }

  #drawStrokes(context, place, seen) {
    context.save();
    context.beginPath();
    context.rect(seen.left, seen.top, seen.width, seen.height);
    context.clip();
    if (this.strokes && this.areStrokesShown) {
      context.globalAlpha = 0.75;
      context.drawImage(this.strokes, place.left, place.top, place.width, place.height);
      context.globalAlpha = 1;
    }
    context.lineWidth = 2;
    for (const { points } of this.failedStrokes) {
      for (const [color, offset] of [["#000000", 0], ["#ffffff", 5]]) {
        context.strokeStyle = color;
        context.setLineDash([5, 5]);
        context.lineDashOffset = offset;
        context.beginPath();
        for (const [x, y] of points) {
          context.lineTo(place.left + x * place.scale, place.top + y * place.scale);
        }
        context.stroke();
      }
    }
    context.restore();
  }

  #drawCursor(context, place) {
    if (!this.cursor) return;
    const { x, y, radius, color } = this.cursor;
    const center = [place.left + x * place.scale, place.top + y * place.scale];
    const across = Math.max(radius * place.scale, 1.5);
    for (const [style, width] of [["#000000", 3], [color ?? "#ffffff", 1.5]]) {
      context.beginPath();
      context.arc(...center, across, 0, 2 * Math.PI);
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke();
    }
  }

  #layHandle(seen, split) {
    const { handle } = this;
    handle.hidden = !seen.width || !this.width;
    handle.style.left = `${split}px`;
    handle.style.top = `${seen.top}px`;
    handle.style.height = `${seen.height}px`;
    const percent = String(Math.round(100 * this.#divider));
    if (handle.getAttribute("aria-valuenow") === percent) return;
    handle.setAttribute("aria-valuenow", percent);
    handle.setAttribute("aria-valuetext", `${percent} % grey`);
  }

  #listenToHandle() {
    const { handle } = this;
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      this.divider = this.toDivider(event.clientX);
    });
    handle.addEventListener("dblclick", () => this.toggleDivider());
    handle.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const places = {
        ArrowLeft: this.#divider - step,
        ArrowDown: this.#divider - step,
        ArrowRight: this.#divider + step,
        ArrowUp: this.#divider + step,
        Home: 0,
        End: 1,
      };
      if (!(event.key in places) || event.ctrlKey || event.metaKey || event.altKey) return;
      this.divider = places[event.key];
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
