// Errors that a person reads.

/** What went wrong with a photograph or with loading, as a sentence that names a remedy. */
export class PhotoError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "PhotoError";
  }
}
