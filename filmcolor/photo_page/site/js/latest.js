// Work of which only the latest request matters.

/**
 * Return a function that asks for work: one piece at a time, and while it runs only the latest
 * request waits. So what is shown follows a slider, however slow the work is.
 *
 * @template T
 * @param {(request: T) => Promise<void>} work
 * @param {(error: unknown) => void} onError
 * @returns {(request: T) => void}
 */
export function latest(work, onError) {
  /** @type {{request: T} | undefined} */
  let waiting;
  let isBusy = false;
  return async (request) => {
    waiting = { request };
    if (isBusy) return;
    isBusy = true;
    while (waiting) {
      const next = waiting.request;
      waiting = undefined;
      await work(next).catch(onError);
    }
    isBusy = false;
  };
}
