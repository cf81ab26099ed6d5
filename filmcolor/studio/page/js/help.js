// The dialog of "?": how to begin, and all keys.

import { h, openDialog } from "./dom.js";
import { KEYS } from "./keys.js";

const BEGIN = [
  "Open a film: its shots appear below the picture, each in colour as soon as it is ready.",
  "Where a colour is wrong, take the brush, choose a colour and paint a stroke on the thing: the shot follows.",
  "Press “Colour the film” when you like what you see: the queue shows how far it is and plays the result.",
];

const PAGE_KEYS = [
  [["?"], "this help"],
  [["Esc"], "close a dialog"],
  [["Tab", "Shift+Tab"], "next or previous button"],
];

export function openHelp() {
  const body = [
    h("ol", { class: "begin" }, BEGIN.map((text) => h("li", {}, text))),
    keyList("Film and photograph", KEYS),
    keyList("Everywhere", PAGE_KEYS),
  ];
  return openDialog("Help", body, [], { wide: true });
}

/** `keys`: [[name of a key, …], what they do]. */
function keyList(title, keys) {
  const rows = keys.map(([names, text]) => [
    h("dt", {}, names.map((name) => h("kbd", {}, name))),
    h("dd", {}, text),
  ]);
  return h("section", { class: "stack" }, h("h3", {}, title), h("dl", { class: "keys" }, rows));
}
