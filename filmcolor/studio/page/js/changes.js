// Changes to a film's corrections, sent one after the other.

/**
 * `onDone(corrections)` gets the answer of each change, `onError(error)` what went wrong.
 * `count` grows with each change, so that older answers can be recognised.
 */
export class Changes {
  #tail = Promise.resolve();
  #waiting = new Map();
  count = 0;
  numPending = 0;

  constructor(onDone, onError) {
    Object.assign(this, { onDone, onError });
  }

  /** Sends a change after those before it; resolves to the corrections, or null if it failed. */
  run(send) {
    this.numPending += 1;
    this.count += 1;
    const result = this.#tail.then(async () => {
      let corrections = null;
      let failure = null;
      try {
        corrections = await send();
      } catch (error) {
        failure = error;
      }
      this.numPending -= 1;
      this.count += 1;
      if (failure) this.onError(failure);
      else if (corrections) this.onDone(corrections);
      return corrections;
    });
    this.#tail = result;
    return result;
  }

  /** Like `run`, but of several changes with the same name that wait, only the last is sent. */
  latest(name, send) {
    const isWaiting = this.#waiting.has(name);
    this.#waiting.set(name, send);
    if (isWaiting) return;
    this.run(() => {
      const newest = this.#waiting.get(name);
      this.#waiting.delete(name);
      return newest();
    });
  }
}
