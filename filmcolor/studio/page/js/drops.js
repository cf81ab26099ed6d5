// Pictures that are dropped onto the frame.

/** Calls `onPicture(file)` for a picture dropped onto an element; films are left to the page. */
export function takePictures(element, onPicture) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  for (const type of ["dragenter", "dragover"]) {
    element.addEventListener(type, (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      element.classList.add("is-target");
    });
  }
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget)) element.classList.remove("is-target");
  });
  element.addEventListener("drop", (event) => {
    element.classList.remove("is-target");
    const files = [...(event.dataTransfer?.files ?? [])];
    const picture = files.find(({ type }) => type.startsWith("image/"));
    if (!picture) return;
    event.preventDefault();
    onPicture(picture);
  });
}
