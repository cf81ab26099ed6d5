// The strip of shots: one thumbnail each, of which only those in view are in the document.

import { formatTime, h } from "./dom.js";

const GAP = 6; // pixels between thumbnails
const SPARE = 4; // thumbnails made on both sides of those in view

/** Returns "Shot 3, 0:12 to 0:17, corrected". */
export function shotName(shot) {
  const isCorrected = marks(shot).length > 0;
  const [start, end] = [formatTime(shot.start_seconds), formatTime(shot.end_seconds)];
  return `Shot ${shot.number}, ${start} to ${end}${isCorrected ? ", corrected" : ""}`;
}

/** Returns what was corrected in a shot, in words. */
function marks({ strokes, references, grade }) {
  return [
    strokes?.length && "strokes",
    references?.length && "a picture",
    Object.keys(grade ?? {}).length && "its own sliders",
  ].filter(Boolean);
}

export function thumbnailPath(filmId, { number, thumbnail }) {
  const side = thumbnail.color ? "color" : "grey";
  const version = encodeURIComponent(thumbnail.color);
  return `/api/films/${filmId}/shots/${number}/thumbnail?side=${side}&v=${version}`;
}

/** `onSelect(shot)` is called for a click or a key, `onVisible(numbers)` for what is in view. */
export class Strip {
  #shots = [];
  #options = new Map(); // shot number → element
  #current = 0; // shot number
  #timer = 0;
  #seen = "";

  constructor(filmId, { onSelect, onVisible }) {
    Object.assign(this, { filmId, onSelect, onVisible, aspect: 4 / 3 });
    this.inner = h("div", { class: "strip-inner", role: "presentation" });
    this.element = h(
      "div",
      {
        class: "strip",
        role: "listbox",
        "aria-label": "Shots",
        "aria-orientation": "horizontal",
        "data-testid": "strip",
      },
      this.inner,
    );
    this.element.addEventListener("scroll", () => this.#lay(), { passive: true });
    this.element.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(Number(option.dataset.shot));
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("wheel", (event) => {
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.ctrlKey) return;
      this.element.scrollLeft += event.deltaY; // the wheel of a mouse turns the strip
      event.preventDefault();
    }, { passive: false });
    this.observer = new ResizeObserver(() => this.#lay());
    this.observer.observe(this.element);
  }

  close() {
    this.observer.disconnect();
    clearTimeout(this.#timer);
  }

  /** Takes the shots in their order, and the frame's width divided by its height. */
  setShots(shots, aspect) {
    this.#shots = shots;
    this.aspect = aspect;
    this.#lay();
  }

  /** Marks the current shot and brings it into view. */
  setCurrent(number) {
    if (number === this.#current) return;
    this.#current = number;
    const index = this.#index(number);
    if (index >= 0) this.#reveal(index);
    this.#lay();
  }

  #index(number) {
    const guess = number - 1;
    if (this.#shots[guess]?.number === number) return guess;
    return this.#shots.findIndex((shot) => shot.number === number);
  }

  get #pitch() {
    return this.#itemWidth + GAP;
  }

  get #itemWidth() {
    const height = Math.max(this.element.clientHeight - 2 * GAP, 24);
    return Math.round(height * Math.min(Math.max(this.aspect, 0.5), 3));
  }

  #reveal(index) {
    const { element } = this;
    const [left, right] = [index * this.#pitch, (index + 1) * this.#pitch];
    const isInView = left >= element.scrollLeft && right <= element.scrollLeft + element.clientWidth;
    if (!isInView) element.scrollLeft = left - (element.clientWidth - this.#pitch) / 2;
  }

  #choose(number, isFocused = true) {
    const shot = this.#shots[this.#index(number)];
    if (!shot) return;
    this.setCurrent(number);
    if (isFocused) this.#options.get(number)?.focus({ preventScroll: true });
    this.onSelect(shot);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(Math.floor(this.element.clientWidth / this.#pitch), 1);
    const index = Math.max(this.#index(this.#current), 0);
    const last = this.#shots.length - 1;
    const places = {
      ArrowLeft: index - 1,
      ArrowUp: index - 1,
      ArrowRight: index + 1,
      ArrowDown: index + 1,
      PageUp: index - page,
      PageDown: index + page,
      Home: 0,
      End: last,
      Enter: index,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    event.stopPropagation();
    const target = this.#shots[Math.min(Math.max(places[event.key], 0), last)];
    if (target) this.#choose(target.number);
  }

  #lay() {
    const { element, inner } = this;
    const pitch = this.#pitch;
    inner.style.width = `${Math.max(this.#shots.length * pitch - GAP, 0)}px`;
    const first = Math.max(Math.floor(element.scrollLeft / pitch), 0);
    const last = Math.ceil((element.scrollLeft + element.clientWidth) / pitch);
    const wanted = new Set();
    for (let i = first - SPARE; i < last + SPARE; i++) if (this.#shots[i]) wanted.add(i);
    const current = this.#index(this.#current);
    wanted.add(current >= 0 ? current : 0); // where the Tab key leads to
    const numbers = new Set();
    for (const index of [...wanted].sort((a, b) => a - b)) {
      const shot = this.#shots[index];
      if (!shot) continue;
      numbers.add(shot.number);
      this.#layOption(shot, index);
    }
    for (const [number, option] of this.#options) {
      if (numbers.has(number)) continue;
      option.remove();
      this.#options.delete(number);
    }
    // the shot that is worked on comes first
    const inView = this.#shots.slice(first, last).map(({ number }) => number);
    const seen = this.#current ? [...new Set([this.#current, ...inView])] : inView;
    if (seen.join() === this.#seen) return;
    this.#seen = seen.join();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.onVisible(seen), 150);
  }

  #layOption(shot, index) {
    let option = this.#options.get(shot.number);
    if (!option) {
      option = h("div", { class: "shot", role: "option", dataset: { shot: shot.number } });
      const picture = h("img", { class: "shot-picture", alt: "", draggable: "false" });
      const number = h("span", { class: "shot-number", "aria-hidden": "true" }, shot.number);
      option.append(picture, number, h("span", { class: "shot-mark", "aria-hidden": "true" }));
      this.#options.set(shot.number, option);
      this.inner.append(option);
    }
    option.style.width = `${this.#itemWidth}px`;
    option.style.transform = `translateX(${index * this.#pitch}px)`;
    const corrected = marks(shot);
    const isCurrent = shot.number === this.#current || (!this.#current && index === 0);
    const attributes = {
      "aria-label": shotName(shot),
      "aria-selected": String(shot.number === this.#current),
      "aria-posinset": String(index + 1),
      "aria-setsize": String(this.#shots.length),
      tabindex: isCurrent ? "0" : "-1",
      title: shotName(shot) + (corrected.length ? `: ${corrected.join(", ")}` : ""),
    };
    for (const [name, value] of Object.entries(attributes)) {
      if (option.getAttribute(name) !== value) option.setAttribute(name, value);
    }
    const [picture, , mark] = option.children;
    mark.hidden = !corrected.length;
    option.dataset.side = shot.thumbnail.color ? "color" : "grey";
    if (!shot.thumbnail.grey && !shot.thumbnail.color) return;
    const path = thumbnailPath(this.filmId, shot);
    if (picture.getAttribute("src") !== path) picture.setAttribute("src", path);
  }
}
