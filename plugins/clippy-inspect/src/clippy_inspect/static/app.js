// Live data and keys.  Pages work without this file; it only saves pressing "reload".
"use strict";

const said = document.getElementById("link-state");
let events = null;
const tell = (text) => { if (said) said.textContent = text; };

// At most once in so many milliseconds, and always once after the last call: htmx's own throttle drops the last.
function paced(pause, act) {
  let timer = null, last = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => { timer = null; last = Date.now(); act(); }, Math.max(0, last + pause - Date.now()));
  };
}
const happens = (name) => () => document.body.dispatchEvent(new CustomEvent(name));
const often = paced(400, happens("exchange"));
const seldom = paced(2000, happens("exchange-slow"));
const here = paced(400, happens("this-exchange"));

// Which requests changed; none named: any may have.
function changed(ids) {
  often();
  seldom();
  const shown = document.querySelector("[data-exchange]");
  if (shown && (!ids.length || ids.includes(shown.dataset.exchange))) here();
}

// A tab that nobody looks at lets go of its connection: browsers have six for one server, all tabs together.
function listen() {
  if (document.body.dataset.live !== "yes" || document.hidden || events) return;
  events = new EventSource("/api/events");
  events.addEventListener("open", () => {
    tell("live");
    changed([]); // what happened since this page was made, or while there was no connection
  });
  events.addEventListener("error", () => tell(events && events.readyState === 2 ? "cut off: load the page again" : "reconnecting"));
  events.addEventListener("changed", (event) => {
    const ids = JSON.parse(event.data);
    changed(ids);
  });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden && events) { events.close(); events = null; tell("resting"); }
  else if (!document.hidden) listen();
});
window.addEventListener("pagehide", () => { if (events) { events.close(); events = null; } });
window.addEventListener("pageshow", listen);

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const filter = document.getElementById("filter");
  if (filter) { event.preventDefault(); filter.focus(); filter.select(); }
});

// The address says what is shown, so that it can be kept and sent on.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target.id !== "filter-form") return;
  const asked = [...new FormData(event.target)].filter(([, value]) => value);
  history.replaceState(null, "", asked.length ? `/?${new URLSearchParams(asked)}` : "/");
});
document.addEventListener("htmx:responseError", (event) => tell(`refused: ${event.detail.xhr.status}`));
document.addEventListener("htmx:sendError", () => tell("no answer from the program"));

// After a button was pressed its page says what came of it, also when nothing else happens.
document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.requestConfig || event.detail.requestConfig.verb !== "post") return;
  document.body.dispatchEvent(new CustomEvent("acted"));
  here();
});

// A button or link that is being pressed is not taken away: its click would be lost.  The page is drawn a moment later.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!document.querySelector("main :is(button, a):active")) return;
  event.detail.shouldSwap = false;
  changed([]);
});

// What was open stays open when a page is drawn again, and what was scrolled stays where it is.
let open = new Map(), moved = new Map();
document.addEventListener("htmx:beforeSwap", () => {
  open = new Map([...document.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
  moved = new Map([...document.querySelectorAll(".talk[id]")].map((each) => [each.id, each.scrollTop]));
});
document.addEventListener("htmx:afterSwap", () => {
  for (const [id, was] of open) {
    const each = document.getElementById(id);
    if (each) each.open = was;
  }
  for (const [id, was] of moved) {
    const each = document.getElementById(id);
    if (each && was) each.scrollTop = was;
  }
  offer();
});

// Only with a script can a text be put where it is pasted from; without one it is a file.
function offer() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const said = button.textContent;
  try {
    const answer = await fetch(button.dataset.copy, { headers: { "hx-request": "true" } });
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    // a terminal may act upon control characters that are pasted, whatever quotes stand around them
    const safe = !/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text);
    if (safe) await navigator.clipboard.writeText(text);
    button.textContent = safe ? "Copied" : "It has control characters: take the file";
  } catch {
    button.textContent = "Could not copy";
  }
  setTimeout(() => { button.textContent = said; }, 2000);
});
offer();
