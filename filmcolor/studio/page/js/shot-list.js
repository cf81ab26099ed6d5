// The shots of a film as far as they are known, by number and by frame.

export class ShotList {
  all = [];
  isComplete = false;
  revision = 0; // of the last news, to be asked for what is newer

  /** Takes an answer of `…/shots`; returns whether any shot changed. */
  take({ revision, is_complete: isComplete, shots }) {
    Object.assign(this, { revision, isComplete });
    if (!shots.length) return false;
    const known = new Map(this.all.map((shot) => [shot.number, shot]));
    for (const shot of shots) known.set(shot.number, shot);
    this.all = [...known.values()].sort((a, b) => a.number - b.number);
    return true;
  }

  /** Returns whether every shot is known and has a thumbnail in the colours of a version. */
  isSettled(version) {
    return this.isComplete && this.all.every(({ thumbnail }) => thumbnail.color === version);
  }

  get(number) {
    return this.all.find((shot) => shot.number === number);
  }

  /** Returns the shot of a frame, or null. */
  at(frame) {
    let [low, high] = [0, this.all.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const shot = this.all[middle];
      if (frame < shot.first) high = middle - 1;
      else if (frame >= shot.stop) low = middle + 1;
      else return shot;
    }
    return null;
  }

  /** Returns the shot that is `steps` after that of a frame, at most the last; or null. */
  after(frame, steps) {
    const index = this.all.indexOf(this.at(frame));
    if (index < 0) return null;
    return this.all[Math.min(Math.max(index + steps, 0), this.all.length - 1)];
  }

  /** Returns when a frame begins, in seconds of the film. */
  seconds(frame, frameRate) {
    const shot = this.at(frame);
    if (!shot) return frame / frameRate;
    const share = (frame - shot.first) / (shot.stop - shot.first);
    return shot.start_seconds + share * (shot.end_seconds - shot.start_seconds);
  }
}
