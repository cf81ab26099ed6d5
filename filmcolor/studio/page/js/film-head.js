// The top of the view of a film: its name, its facts, and the buttons that colour it.

import { button, fill, h, icon } from "./dom.js";

/** `onAll()` and `onSoon()` are called to colour the film, or ten seconds of it. */
export class FilmHead {
  constructor({ onAll, onSoon }) {
    this.title = h("h1", { class: "film-name", tabindex: "-1" });
    this.facts = h("p", { class: "film-facts muted" });
    this.notes = h("details", { class: "film-notes", hidden: true });
    const soon = button("Ten seconds from here…", {
      picture: "play",
      title: "Colour ten seconds from this frame into a film, to try it out",
      onclick: onSoon,
    });
    const all = button("Colour the film…", { kind: "primary", picture: "film", onclick: onAll });
    this.element = h(
      "header",
      { class: "film-head" },
      h("div", { class: "film-title" }, this.title, this.facts),
      this.notes,
      h("div", { class: "film-actions" }, soon, all),
    );
  }

  setFilm({ name, facts, notes }) {
    this.title.textContent = this.title.title = name;
    this.facts.textContent = this.facts.title = facts.join(" · ");
    this.notes.hidden = !notes.length;
    const count = `${notes.length} ${notes.length === 1 ? "note" : "notes"}`;
    const lines = notes.map((line) => h("li", {}, line));
    fill(this.notes, h("summary", {}, icon("alert"), count), h("ul", {}, lines));
  }
}
