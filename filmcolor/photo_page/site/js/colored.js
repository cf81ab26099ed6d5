// Whether a photograph has colours already.

const SIDE = 64; // pixels of the square that is looked at
const COLORED = 20; // colourfulness (Hasler and Süsstrunk 2003) from which it surely has colours

/**
 * Return whether a picture is clearly in colour; sepia and yellowed paper are not.
 *
 * Only the spread of the opponent colours counts, not their mean: a tint has none.
 *
 * @param {CanvasImageSource} image
 */
export function isColored(image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, SIDE, SIDE);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  const redGreen = [];
  const yellowBlue = [];
  for (let i = 0; i < data.length; i += 4) {
    redGreen.push(data[i] - data[i + 1]);
    yellowBlue.push((data[i] + data[i + 1]) / 2 - data[i + 2]);
  }
  return Math.hypot(deviation(redGreen), deviation(yellowBlue)) > COLORED;
}

/** @param {number[]} values */
function deviation(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return Math.sqrt(square);
}
