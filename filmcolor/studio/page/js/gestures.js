// What mouse, pen and fingers do on the large picture.

const WHEEL_STEP = 0.0018; // of the zoom's logarithm, for a pixel of the wheel
const PINCH_STEP = 0.01; // the same for a touchpad's pinch

/**
 * Connects a viewer with what paints on it.
 * `painter`: `tool` ("look", "brush", "grey", "eraser" or "picker"), `radius` and `color` of the
 * brush, and `begin()`, `add(x, y, pressure)`, `end()`, `cancel()`, `pick(x, y)`.
 * Dragging moves the divider, or the enlarged picture; with a brush it paints.
 */
export class Gestures {
  #pointers = new Map(); // those that are down: id → event
  #action = ""; // "paint", "pan", "divide" or "pinch"
  #pinch = null;
  #isSpaceDown = false;
  hasPanned = false; // since the space bar went down

  constructor(viewer, painter) {
    Object.assign(this, { viewer, painter });
    const { canvas } = viewer;
    const listen = (name, handle, options) => canvas.addEventListener(name, handle, options);
    listen("pointerdown", (event) => this.#down(event));
    listen("pointermove", (event) => this.#move(event));
    listen("pointerup", (event) => this.#up(event));
    listen("pointercancel", (event) => this.#lost(event));
    listen("pointerleave", () => this.hideCursor());
    listen("wheel", (event) => this.#wheel(event), { passive: false });
    listen("dblclick", () => {
      if (this.painter.tool === "look") viewer.toggleDivider();
    });
    listen("contextmenu", (event) => {
      if (this.#action === "paint") event.preventDefault();
    });
    this.update();
  }

  set isSpaceDown(isDown) {
    if (isDown && !this.#isSpaceDown) this.hasPanned = false;
    this.#isSpaceDown = isDown;
    this.update();
  }

  get isPainting() {
    return this.#action === "paint";
  }

  /** Shows the pointer that goes with the tool. */
  update() {
    const { tool } = this.painter;
    let name = tool;
    if (this.#isSpaceDown || this.#action === "pan") name = "pan";
    else if (tool === "look" && this.viewer.zoom > 1) name = "pan";
    this.viewer.canvas.dataset.pointer = name;
    if (name === "look" || name === "pan" || name === "picker") this.hideCursor();
  }

  hideCursor() {
    if (!this.viewer.cursor) return;
    this.viewer.cursor = null;
    this.viewer.draw();
  }

  #down(event) {
    const { viewer, painter } = this;
    const isPenDown = [...this.#pointers.values()].some(({ pointerType }) => pointerType === "pen");
    if (isPenDown && event.pointerType === "touch") return; // the hand that holds the pen
    if (event.pointerType === "mouse" && event.button > 1) return;
    event.preventDefault();
    document.activeElement?.blur?.();
    viewer.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    if (this.#pointers.size === 2) {
      if (this.#action === "paint") painter.cancel();
      this.#action = "pinch";
      this.#pinch = this.#spread();
    } else if (this.#pointers.size === 1) {
      this.#begin(event);
    }
    this.update();
  }

  #begin(event) {
    const { viewer, painter } = this;
    const [x, y] = viewer.toFrame(event.clientX, event.clientY);
    if (this.#isSpaceDown || event.button === 1) this.#action = "pan";
    else if (painter.tool === "picker") {
      this.#action = "";
      painter.pick(x, y);
    } else if (painter.tool !== "look") {
      this.#action = painter.begin() ? "paint" : "";
      if (this.#action) painter.add(x, y, this.#pressure(event));
    } else {
      this.#action = viewer.zoom > 1 ? "pan" : "divide";
    }
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    this.#showCursor(event);
    if (!before) return;
    this.#pointers.set(event.pointerId, event);
    const { viewer, painter } = this;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (this.#action === "pinch") this.#movePinch();
    else if (this.#action === "pan") {
      this.hasPanned = true;
      viewer.panBy(dx, dy);
    } else if (this.#action === "divide") {
      if (dx) viewer.divider = viewer.toDivider(event.clientX);
    } else if (this.#action === "paint") {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) {
        painter.add(...viewer.toFrame(each.clientX, each.clientY), this.#pressure(each));
      }
    }
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (this.#action === "paint") this.painter.end();
    if (this.#action !== "pinch" || !this.#pointers.size) this.#action = "";
    this.update();
  }

  #lost(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (this.#action === "paint") this.painter.cancel();
    this.#action = "";
    this.update();
  }

  #spread() {
    const [a, b] = [...this.#pointers.values()];
    return {
      x: (a.clientX + b.clientX) / 2,
      y: (a.clientY + b.clientY) / 2,
      distance: Math.max(Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), 1),
    };
  }

  #movePinch() {
    if (this.#pointers.size < 2) return;
    const [before, now] = [this.#pinch, this.#spread()];
    this.viewer.panBy(now.x - before.x, now.y - before.y);
    this.viewer.zoomBy(now.distance / before.distance, now.x, now.y);
    this.#pinch = now;
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 20 : event.deltaY;
    const step = event.ctrlKey ? PINCH_STEP : WHEEL_STEP;
    this.viewer.zoomBy(Math.exp(-pixels * step), event.clientX, event.clientY);
    this.update();
  }

  #pressure({ pointerType, pressure }) {
    return pointerType === "pen" && pressure > 0 ? pressure : 1;
  }

  #showCursor(event) {
    const { viewer, painter } = this;
    if (!["brush", "grey", "eraser"].includes(painter.tool) || event.pointerType === "touch") return;
    if (this.#isSpaceDown || this.#action === "pan") return;
    const [x, y] = viewer.toFrame(event.clientX, event.clientY);
    viewer.cursor = { x, y, radius: painter.radius, color: painter.color };
    viewer.draw();
  }
}
