// How far loading and colouring are.

const MEGABYTE = 1e6;

/** Shows progress at the start, and over a photograph that waits. */
export class Progress {
  #isWaiting = false; // a photograph waits for the network
  #bytes = { loaded: 0, total: 0 };

  /** @param {Record<string, any>} elements */
  constructor(elements) {
    this.elements = elements;
  }

  /** Show how much of the network is loaded, in bytes. */
  load(/** @type {{loaded: number, total: number}} */ bytes) {
    const { loading, loadingText, loadingBar } = this.elements;
    this.#bytes = bytes;
    loading.hidden = false;
    show(loadingText, loadingBar, bytes);
    if (this.#isWaiting) this.waitForNetwork();
  }

  /** Hide the progress of loading. */
  endLoading() {
    this.elements.loading.hidden = true;
  }

  /** Show that the photograph waits for the network. */
  waitForNetwork() {
    const { working, workingText, workingBar } = this.elements;
    if (!this.#isWaiting) this.say("Loading the colours.");
    this.#isWaiting = true;
    working.hidden = false;
    show(workingText, workingBar, this.#bytes);
  }

  /** Show that the photograph is being coloured. */
  color() {
    const { working, workingText, workingBar } = this.elements;
    this.#isWaiting = false;
    working.hidden = false;
    workingText.textContent = "Colouring…";
    workingBar.removeAttribute("value");
    this.say("Colouring the photograph.");
  }

  /** Hide the progress of the photograph. */
  end() {
    this.#isWaiting = false;
    this.elements.working.hidden = true;
  }

  /** Let a screen reader say something. */
  say(/** @type {string} */ text) {
    this.elements.status.textContent = text;
  }
}

function show(text, bar, { loaded, total }) {
  const [part, all] = [loaded, total].map((bytes) => (bytes / MEGABYTE).toFixed(1));
  text.textContent = total ? `Loading the colours: ${part} of ${all} MB` : "Loading the colours…";
  if (total) bar.value = loaded / total;
  else bar.removeAttribute("value");
}
