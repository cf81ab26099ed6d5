// The dialog "Shots like this one": gives other shots the colours of this one.

import { api } from "./api.js";
import { h, openDialog } from "./dom.js";
import { shotName, thumbnailPath } from "./strip.js";

/**
 * Asks which shots take the colours and the grade of `shot`; `shotOf(number)` returns a shot.
 * Returns {shots, grade, colors} or null.
 */
export async function chooseAlike(filmId, shot, shotOf) {
  const list = h("div", { class: "alike", "aria-busy": "true", "data-testid": "alike" });
  list.append(h("p", { class: "muted" }, "Looking for shots that show the same…"));
  const option = (text, isChecked) => {
    const box = h("input", { type: "checkbox", checked: isChecked });
    return [box, h("label", { class: "check" }, box, text)];
  };
  const [colors, colorsLabel] = option("its colours, where they show the same", true);
  const [grade, gradeLabel] = option("its sliders", Object.keys(shot.grade ?? {}).length > 0);
  const body = h(
    "div",
    { class: "stack" },
    h("p", {}, `These shots get what shot ${shot.number} has:`),
    h("div", { class: "row" }, colorsLabel, gradeLabel),
    list,
  );
  const boxes = new Map();
  const search = api.get(`/api/films/${filmId}/shots/${shot.number}/alike`).then(
    ({ shots }) => {
      list.removeAttribute("aria-busy");
      const cards = shots
        .map(({ number, confidence }) => [shotOf(number), confidence])
        .filter(([other]) => other)
        .map(([other, confidence]) => card(filmId, other, confidence, boxes));
      const none = h("p", {}, "No other shot shows the same.");
      list.replaceChildren(...(cards.length ? cards : [none]));
    },
    (error) => {
      list.removeAttribute("aria-busy");
      list.replaceChildren(h("p", { class: "problem" }, error.message));
    },
  );
  const chosen = async () => {
    await search;
    const shots = [...boxes].filter(([, box]) => box.checked).map(([number]) => number);
    return { shots, grade: grade.checked, colors: colors.checked };
  };
  const buttons = [
    { label: "Cancel", value: null, kind: "quiet" },
    { label: "Apply", kind: "primary", action: chosen },
  ];
  const answer = await openDialog("Shots like this one", body, buttons, { wide: true });
  return answer?.shots.length && (answer.grade || answer.colors) ? answer : null;
}

function card(filmId, shot, confidence, boxes) {
  const isSure = confidence === "strong";
  const box = h("input", { type: "checkbox", checked: isSure, "aria-label": shotName(shot) });
  boxes.set(shot.number, box);
  const picture = h("img", { alt: "", src: thumbnailPath(filmId, shot), loading: "lazy" });
  const text = h("span", {}, `Shot ${shot.number}`);
  const note = h("span", { class: "muted small" }, isSure ? "surely the same" : "perhaps the same");
  return h("label", { class: "alike-card" }, picture, h("span", { class: "row" }, box, text, note));
}
