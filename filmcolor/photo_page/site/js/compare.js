// The photograph before and after, with a divider between the two.

const START = 50; // percent of the width that is before

/** The large picture: before on the left of a divider, after on its right. */
export class Compare {
  /** @type {{id: number, x: number, y: number, isDragged: boolean} | null} */
  #pointer = null; // that is down on the photograph, and where it was pressed

  /** @param {Record<string, HTMLElement>} elements frame, placeholder, before, after and others */
  constructor(elements) {
    this.elements = elements;
    this.divider = /** @type {HTMLInputElement} */ (elements.divider);
    this.divider.addEventListener("input", () => this.#place(Number(this.divider.value)));
    this.#listen(elements.frame);
    this.reset();
  }

  /** Put the divider back into the middle. */
  reset() {
    this.#place(START);
  }

  /**
   * Show a photograph that has no colours yet; the bitmap is used up.
   *
   * @param {ImageBitmap} small
   */
  showPlaceholder(small) {
    this.#setRatio(small.width, small.height);
    draw(this.elements.placeholder, small);
    this.#show(false);
    this.reset();
  }

  /**
   * Show both sides; the bitmaps are used up.
   *
   * @param {ImageBitmap} before
   * @param {ImageBitmap} after
   */
  show(before, after) {
    this.#setRatio(before.width, before.height);
    draw(this.elements.before, before);
    draw(this.elements.after, after);
    this.#show(true);
  }

  /** Show other colours of the same photograph; the bitmap is used up. */
  showAfter(/** @type {ImageBitmap} */ after) {
    draw(this.elements.after, after);
  }

  /** Free the memory of what is shown. */
  clear() {
    for (const name of ["placeholder", "before", "after"]) {
      Object.assign(this.elements[name], { width: 1, height: 1 });
    }
  }

  /** Long side of the picture on the screen, in the screen's own pixels. */
  get screenSide() {
    const { width, height } = this.elements.frame.getBoundingClientRect();
    return Math.max(width, height) * (window.devicePixelRatio || 1);
  }

  #show(isColored) {
    const { placeholder, before, afterLayer, tagBefore, divider, line } = this.elements;
    placeholder.hidden = isColored;
    for (const each of [before, afterLayer, tagBefore, divider, line]) each.hidden = !isColored;
  }

  #setRatio(width, height) {
    this.elements.frame.style.setProperty("--ratio", String(width / height));
  }

  /** @param {number} percent */
  #place(percent) {
    const value = Math.round(Math.min(Math.max(percent, 0), 100) * 10) / 10;
    const whole = Math.round(value);
    this.divider.value = String(value);
    this.divider.setAttribute("aria-valuetext", `${whole} % before, ${100 - whole} % after`);
    this.elements.frame.style.setProperty("--split", `${value}%`);
  }

  // A press moves the divider when it is dragged across or let go, not when it starts: it may
  // become scrolling or a pinch, and then the browser takes it and sends `pointercancel`.
  #listen(frame) {
    const place = ({ clientX }) => {
      const { left, width } = frame.getBoundingClientRect();
      this.#place((100 * (clientX - left)) / width);
    };
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary || this.divider.hidden) return;
      const { pointerId: id, clientX: x, clientY: y } = event;
      this.#pointer = { id, x, y, isDragged: false };
      frame.setPointerCapture(event.pointerId);
      event.preventDefault(); // neither selects text nor drags the picture away
      this.divider.focus({ preventScroll: true });
    });
    frame.addEventListener("pointermove", (event) => {
      const start = this.#pointer;
      if (event.pointerId !== start?.id) return;
      const [across, along] = [event.clientX - start.x, event.clientY - start.y].map(Math.abs);
      start.isDragged ||= across > along;
      if (start.isDragged) place(event);
    });
    frame.addEventListener("pointerup", (event) => {
      if (event.pointerId !== this.#pointer?.id) return;
      place(event);
      this.#pointer = null;
    });
    frame.addEventListener("pointercancel", () => {
      this.#pointer = null;
    });
  }
}

function draw(canvas, bitmap) {
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
}
