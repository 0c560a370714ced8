// Pictures in colour, rendered by the server: a slider, and a button that lets them run.
const FRAME_MS = 100;
const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;

for (const figure of document.querySelectorAll(".player")) {
  const model = JSON.parse(figure.dataset.model);
  const frames = model.instances.flatMap(([sop, count]) => Array.from({ length: count }, (_, n) => [sop, n + 1]));
  const picture = figure.querySelector("img");
  const button = figure.querySelector("button");
  const slider = figure.querySelector("input");
  const place = figure.querySelector("output");
  const kept = new Map();
  let running = false;
  let wanted = 0;

  const address = ([sop, frame]) => `/dicom-web/studies/${model.study}/series/${model.series}/instances/${sop}/frames/${frame}/rendered`;

  async function load(index) {
    if (!kept.has(index)) {
      const image = new Image();
      image.src = address(frames[index]);
      kept.set(index, image.decode().then(() => image.src));
      kept.get(index).catch(() => kept.delete(index));
    }
    return kept.get(index);
  }

  async function show(index) {
    const turn = ++wanted;
    slider.value = String(index + 1);
    place.textContent = `${index + 1} / ${frames.length}`;
    try {
      const source = await load(index);
      if (turn === wanted) picture.src = source;
    } catch {
      stop();
    }
  }

  async function run() {
    while (running) {
      const began = performance.now();
      await show((Number(slider.value) % frames.length));
      await new Promise((done) => setTimeout(done, Math.max(0, FRAME_MS - (performance.now() - began))));
    }
  }

  function stop() {
    running = false;
    button.textContent = figure.dataset.play;
  }

  function start() {
    running = true;
    button.textContent = figure.dataset.pause;
    run();
  }

  button.addEventListener("click", () => (running ? stop() : start()));
  slider.addEventListener("input", () => { stop(); show(Number(slider.value) - 1); });
  if ("turns" in figure.dataset) {
    if (!quiet) start();
  } else {
    show(Math.floor(frames.length / 2));
  }
}
