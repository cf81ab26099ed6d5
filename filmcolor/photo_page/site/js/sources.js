// Where a photograph comes from: the camera, a file, a drop, the clipboard.

/**
 * Call `onFile` for each photograph that a person gives to the page.
 *
 * @param {Record<string, HTMLElement>} elements
 * @param {(file: File) => void} onFile
 */
export function listenForPhotographs(elements, onFile) {
  for (const [button, input] of [
    [elements.choose, elements.chooseFile],
    [elements.take, elements.takeFile],
  ]) {
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = ""; // so that choosing the same file again counts
      if (file) onFile(file);
    });
  }
  listenForDrops(elements.dropTarget, onFile);
  document.addEventListener("paste", (event) => take(event, event.clipboardData, onFile));
}

function listenForDrops(target, onFile) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  for (const type of ["dragenter", "dragover"]) {
    document.addEventListener(type, (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      target.hidden = false;
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) target.hidden = true; // it has left the window
  });
  document.addEventListener("drop", (event) => {
    target.hidden = true;
    take(event, event.dataTransfer, onFile);
  });
}

/** Take the first picture, or else the first file, so that a wrong one is named. */
function take(event, data, onFile) {
  const files = [...(data?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  onFile(files.find(({ type }) => type.startsWith("image/")) ?? files[0]);
}
