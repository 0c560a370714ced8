import { localise } from "/static/page.js";

// The studies list: search from three characters after 400 ms, and rows that follow the archive.
const box = document.querySelector("#q");
const rows = document.querySelector("#rows");
const lamp = document.querySelector("#live");
let timer = 0;
let running = null;

async function refresh() {
  running?.abort();
  running = new AbortController();
  const text = box.value.trim();
  const query = new URLSearchParams({ part: "1" });
  if (text.length >= 3) query.set("q", text);
  try {
    const answer = await fetch(`/?${query}`, { signal: running.signal, headers: { Accept: "text/html" } });
    if (answer.redirected) { location.assign("/login"); return; }
    if (!answer.ok) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!rows.querySelector("table") !== !parsed.querySelector("table") && text.length < 3) { location.reload(); return; }
    rows.replaceChildren(...parsed.body.childNodes);
    localise(rows);
  } catch (error) {
    if (error.name !== "AbortError") lamp?.classList.remove("on");
  }
}

box?.addEventListener("input", () => {
  clearTimeout(timer);
  const length = box.value.trim().length;
  if (length === 0 || length >= 3) timer = setTimeout(refresh, 400);
});

const stream = new EventSource("/events");
stream.addEventListener("open", () => lamp?.classList.add("on"));
stream.addEventListener("error", () => lamp?.classList.remove("on"));
stream.addEventListener("change", refresh);
addEventListener("pagehide", () => stream.close());
