// Before the first paint: the colours that this browser was told to keep.
"use strict";
const THEMES = ["system", "light", "dark"];
const kept = () => { try { return localStorage.getItem("clippy-theme") || "system"; } catch { return "system"; } };
const wear = (theme) => {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
};
wear(kept());
document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  if (!button) return;
  const say = (theme) => { button.textContent = `Theme: ${theme}`; };
  say(kept());
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(kept()) + 1) % THEMES.length];
    try { localStorage.setItem("clippy-theme", next); } catch { /* a private window keeps nothing */ }
    wear(next);
    say(next);
    document.dispatchEvent(new CustomEvent("theme"));
  });
});
