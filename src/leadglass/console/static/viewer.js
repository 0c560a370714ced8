// The 2D viewer: frames come as stored values; windowing happens here, so dragging is immediate.
const root = document.querySelector("#viewer");
const model = JSON.parse(root.dataset.model);
const canvas = document.querySelector("#picture");
const glass = document.querySelector("#glass");
const slider = document.querySelector("#slider");
const label = { place: document.querySelector("#place"), window: document.querySelector("#window"), size: document.querySelector("#size"), fault: document.querySelector("#fault"), value: document.querySelector("#value") };
const CACHE_MAX = 80;
const cache = new Map();
let frames = [];
let at = 0;
let picture = null;
let level = null;
let inverted = false;
let wanted = 0;

function address(frame) {
  return `/studies/${encodeURIComponent(model.study)}/instances/${encodeURIComponent(frame[0])}/frames/${frame[1]}/pixels`;
}

async function load(index) {
  const url = address(frames[index]);
  if (!cache.has(url)) {
    const promise = fetch(url).then(async (answer) => {
      if (!answer.ok) throw new Error(await answer.text());
      const facts = JSON.parse(answer.headers.get("X-Picture"));
      const bytes = await answer.arrayBuffer();
      const kinds = { rgb8: Uint8Array, u16: Uint16Array, i16: Int16Array, f32: Float32Array };
      return { ...facts, values: new (kinds[facts.kind] ?? Uint8Array)(bytes) };
    });
    cache.set(url, promise);
    promise.catch(() => cache.delete(url));
    if (cache.size > CACHE_MAX) cache.delete(cache.keys().next().value);
  }
  return cache.get(url);
}

async function show(index) {
  at = Math.max(0, Math.min(frames.length - 1, index));
  slider.value = String(at);
  label.place.textContent = `${at + 1} / ${frames.length}`;
  const turn = ++wanted;
  try {
    const next = await load(at);
    if (turn !== wanted) return;
    picture = next;
    label.fault.textContent = "";
    if (level === null && picture.kind !== "rgb8") level = { centre: picture.centre, width: picture.width };
    draw();
    for (const near of [at + 1, at - 1, at + 2]) if (frames[near]) load(near).catch(() => {});
  } catch (error) {
    if (turn !== wanted) return;
    picture = null;
    canvas.width = canvas.height = 1;
    label.fault.textContent = `${root.dataset.fault} ${error.message}`;
  }
}

function draw() {
  if (picture === null) return;
  const { rows, columns, values } = picture;
  if (canvas.width !== columns || canvas.height !== rows) { canvas.width = columns; canvas.height = rows; }
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const out = new Uint32Array(image.data.buffer);
  if (picture.kind === "rgb8") {
    for (let i = 0, j = 0; i < out.length; i++, j += 3) {
      const rgb = values[j] | (values[j + 1] << 8) | (values[j + 2] << 16);
      out[i] = 0xff000000 | (inverted ? ~rgb & 0xffffff : rgb);
    }
    label.window.textContent = "RGB";
  } else {
    const width = Math.max(level.width, 1e-6);
    const low = level.centre - width / 2;
    const gain = (255 / width) * picture.slope;
    const base = ((picture.intercept - low) * 255) / width;
    const flip = picture.inverted !== inverted;
    for (let i = 0; i < out.length; i++) {
      let grey = values[i] * gain + base;
      grey = grey < 0 ? 0 : grey > 255 ? 255 : grey | 0;
      if (flip) grey = 255 - grey;
      out[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    label.window.textContent = `C ${number(level.centre)}  ${french ? "L" : "W"} ${number(level.width)} ${unit()}`;
  }
  context.putImageData(image, 0, 0);
  label.size.textContent = `${columns} × ${rows}`;
  root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
}

const french = document.documentElement.lang === "fr";

function number(value) {
  const text = String(Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 100) / 100);
  return french ? text.replace(".", ",") : text;
}

function unit() {
  return french && picture.unit === "HU" ? "UH" : picture.unit;
}

function choose(uid) {
  const series = model.series.find((one) => one.uid === uid) ?? model.series[0];
  for (const button of document.querySelectorAll("[data-series]")) button.setAttribute("aria-pressed", String(button.dataset.series === series.uid));
  frames = series.instances.flatMap(([sop, count]) => Array.from({ length: count }, (_, n) => [sop, n + 1]));
  slider.max = String(frames.length - 1);
  level = null;
  show(Math.floor((frames.length - 1) / 2));
}

for (const button of document.querySelectorAll("[data-series]")) button.addEventListener("click", () => choose(button.dataset.series));
slider.addEventListener("input", () => show(Number(slider.value)));
glass.addEventListener("wheel", (event) => { event.preventDefault(); show(at + Math.sign(event.deltaY)); }, { passive: false });

function preset(centre, width) {
  if (picture === null || picture.kind === "rgb8") return;
  level = centre === null ? { centre: picture.centre, width: picture.width } : { centre, width };
  draw();
}
const presets = [...document.querySelectorAll("[data-centre]")];
for (const button of presets) button.addEventListener("click", () => preset(button.dataset.centre === "" ? null : Number(button.dataset.centre), Number(button.dataset.width)));
function flip() { inverted = !inverted; draw(); }
document.querySelector("#invert").addEventListener("click", flip);

let drag = null;
glass.addEventListener("pointerdown", (event) => {
  if (picture === null || picture.kind === "rgb8") return;
  glass.setPointerCapture(event.pointerId);
  drag = { x: event.clientX, y: event.clientY, ...level };
});
glass.addEventListener("pointermove", (event) => {
  if (drag !== null) {
    const speed = Math.max(drag.width, 1) / 300;
    level = { centre: drag.centre + (event.clientY - drag.y) * speed, width: Math.max(1e-3, drag.width + (event.clientX - drag.x) * speed) };
    draw();
  } else if (picture !== null && picture.kind !== "rgb8") {
    const box = canvas.getBoundingClientRect();
    const scale = Math.min(box.width / picture.columns, box.height / picture.rows);
    const x = Math.floor((event.clientX - box.left - (box.width - picture.columns * scale) / 2) / scale);
    const y = Math.floor((event.clientY - box.top - (box.height - picture.rows * scale) / 2) / scale);
    const inside = x >= 0 && y >= 0 && x < picture.columns && y < picture.rows;
    label.value.textContent = inside ? `${x}, ${y}: ${number(picture.values[y * picture.columns + x] * picture.slope + picture.intercept)} ${unit()}` : "";
  }
});
for (const name of ["pointerup", "pointercancel"]) glass.addEventListener(name, () => { drag = null; });

addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement && event.target !== slider) return;
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
  if (event.key in steps) { event.preventDefault(); show(at + steps[event.key]); }
  else if (event.key === "Home") { event.preventDefault(); show(0); }
  else if (event.key === "End") { event.preventDefault(); show(frames.length - 1); }
  else if (event.key === "i" || event.key === "I") flip();
  else if (event.key >= "0" && event.key <= "9") presets[Number(event.key)]?.click();
});

choose(model.chosen);
