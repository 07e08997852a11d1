// Charts of numbers that the tables beside them hold as well.
"use strict";

// A custom property may hold light-dark(), which a canvas does not read: an element works it out.
function worked(name) {
  const probe = document.createElement("span");
  probe.className = `probe ${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

let drawn = null;
async function draw() {
  const place = document.getElementById("rate-chart");
  if (!place || typeof uPlot === "undefined") return;
  const answer = await fetch(place.dataset.chart, { headers: { "hx-request": "true" } });
  if (!answer.ok) return;
  const line = (await answer.json()).timeline;
  const data = [line.map((one) => one[0]), line.map((one) => one[1]), line.map((one) => one[2])];
  if (drawn && drawn.root.isConnected) { drawn.setData(data); return; }
  const axis = { stroke: worked("quiet"), grid: { stroke: worked("line-colour"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  // over more than a day the time alone says nothing: at most marks of the axis it is midnight
  const clock = (plot, at) => {
    const time = new Date(at * 1000), { min, max } = plot.scales.x;
    return max - min > 86400 ? time.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false })
      : time.toLocaleTimeString([], { hour12: false });
  };
  const times = { ...axis, values: (plot, places) => places.map((at) => clock(plot, at)), space: 104 };
  const number = (_, count) => (count === null ? "–" : count);
  drawn = new uPlot({
    width: place.clientWidth, height: 180, legend: { show: true }, cursor: { drag: { x: false, y: false } },
    axes: [times, { ...axis, size: 56 }],
    series: [{ value: (plot, at) => (at === null ? "–" : clock(plot, at)) }, { label: "requests", value: number, stroke: worked("accent"), width: 2, fill: worked("accent-ground") },
             { label: "failed", value: number, stroke: worked("bad-colour"), width: 2, dash: [4, 3] }],
  }, data, place);
}
function again() { if (drawn) { drawn.destroy(); drawn = null; } draw(); }
addEventListener("resize", () => { const place = document.getElementById("rate-chart"); if (drawn && place) drawn.setSize({ width: place.clientWidth, height: 180 }); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
document.addEventListener("htmx:afterSwap", draw);
document.addEventListener("DOMContentLoaded", draw);
if (document.readyState !== "loading") draw();
