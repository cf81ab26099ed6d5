// How far loading and colouring are.

const MEGABYTE = 1e6;

/** Shows progress at the start, and over a photograph that waits. */
export class Progress {
  #isLoading = false; // the photograph waits for the network

  /** @param {Record<string, any>} elements */
  constructor(elements) {
    this.elements = elements;
  }

  /** Show how much of the network is loaded, in bytes. */
  load(/** @type {{loaded: number, total: number}} */ { loaded, total }) {
    const { loading, loadingText, loadingBar } = this.elements;
    const [part, all] = [loaded, total].map((bytes) => (bytes / MEGABYTE).toFixed(1));
    loading.hidden = false;
    loadingText.textContent = `Loading what colours photographs: ${part} of ${all} MB`;
    loadingBar.value = loaded / total;
    if (this.#isLoading) this.#work(loadingText.textContent, loaded / total);
  }

  /** Hide the progress of loading. */
  endLoading() {
    this.elements.loading.hidden = true;
  }

  /** Show that the photograph waits for the network. */
  waitForNetwork() {
    this.#isLoading = true;
    this.#work("Loading what colours photographs…");
    this.say("Loading what colours photographs.");
  }

  /** Show that the photograph is being coloured. */
  color() {
    this.#isLoading = false;
    this.#work("Colouring…");
    this.say("Colouring the photograph.");
  }

  /** Hide the progress of the photograph. */
  end() {
    this.#isLoading = false;
    this.elements.working.hidden = true;
  }

  /** Let a screen reader say something. */
  say(/** @type {string} */ text) {
    this.elements.status.textContent = text;
  }

  #work(text, share) {
    const { working, workingText, workingBar } = this.elements;
    working.hidden = false;
    workingText.textContent = text;
    if (share === undefined) workingBar.removeAttribute("value");
    else workingBar.value = share;
  }
}
