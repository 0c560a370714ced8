// Moments are written in UTC by the server; here they become this browser's own time, UTC staying in the title.
const two = (number) => String(number).padStart(2, "0");

export function localise(root) {
  const french = document.documentElement.lang === "fr";
  for (const element of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const [year, month, day] = [moment.getFullYear(), two(moment.getMonth() + 1), two(moment.getDate())];
    const clock = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
    element.textContent = `${french ? `${day}/${month}/${year}` : `${year}-${month}-${day}`} ${clock}`;
    element.dataset.local = "";
  }
}

// A picture that cannot be made becomes a labelled tile.
export function tile(image) {
  const label = document.createElement("span");
  label.className = `${image.className} blank`.trim();
  label.textContent = image.dataset.none;
  image.replaceWith(label);
}

localise(document);
for (const image of document.querySelectorAll("img[data-none]")) {
  if (image.complete && image.naturalWidth === 0 && image.currentSrc !== "") tile(image);
  else image.addEventListener("error", () => tile(image), { once: true });
}
