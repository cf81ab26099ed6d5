// Starts the page.

import { offlineReady, onUpdate, takeShared } from "./offline.js";
import { Screen } from "./screen.js";
import { listenForPhotographs } from "./sources.js";
import { missingFeatures } from "./support.js";

/** @type {Record<string, any>} elements by their ids in camel case */
const elements = {};
for (const element of document.querySelectorAll("[id]")) {
  elements[element.id.replace(/-(.)/g, (_, letter) => letter.toUpperCase())] = element;
}

function begin() {
  elements.unsupported.hidden = true;
  const missing = missingFeatures();
  if (missing) {
    elements.startProblem.textContent = missing;
    elements.startProblem.hidden = false;
    return;
  }
  const screen = new Screen(elements);
  elements.sources.hidden = false;
  listenForPhotographs(elements, (file) => screen.choose(file));
  screen.load();
  showOffline(screen);
}

/** Show what the service worker makes possible. */
async function showOffline(screen) {
  onUpdate((apply) => {
    elements.reload.onclick = apply;
    elements.update.hidden = false;
  });
  screen.loader.loaded.then(offlineReady).then(() => {
    elements.offline.hidden = false;
  });
  const shared = await takeShared();
  if (shared) screen.choose(shared);
}

begin();
