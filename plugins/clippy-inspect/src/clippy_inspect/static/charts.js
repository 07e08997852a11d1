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

const count = (number) => (number === null ? "–" : `${number}`);
const duration = (micro) => (micro === null ? "–" : micro < 1e3 ? `${Math.round(micro)} µs`
  : micro < 1e6 ? `${+(micro / 1e3).toPrecision(3)} ms` : `${+(micro / 1e6).toPrecision(3)} s`);

// Where each stands, what it says, and of which columns of the time line it is made.
const CHARTS = [
  { id: "rate-chart", says: count, lines: [
    { column: 1, label: "requests", stroke: "accent", fill: "accent-ground" }, { column: 2, label: "failed", stroke: "bad-colour", dash: [4, 3] }] },
  { id: "latency-chart", says: duration, lines: [
    { column: 3, label: "answers p50", stroke: "accent" }, { column: 4, label: "p95", stroke: "held-colour", dash: [4, 3] }] },
];
const drawn = new Map();

// over more than a day the time alone says nothing: at most marks of the axis it is midnight
function clock(plot, at) {
  const time = new Date(at * 1000), { min, max } = plot.scales.x;
  return max - min > 86400 ? time.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false })
    : time.toLocaleTimeString([], { hour12: false });
}

// what the legend says while nobody points at a time: the newest one that says something
function resting(plot) {
  if (plot.cursor.idx != null || !plot.legend.live) return;
  const lines = plot.data.slice(1);
  let newest = plot.data[0].length - 1;
  while (newest > 0 && lines.every((line) => line[newest] === null)) newest -= 1;
  if (newest >= 0 && plot.legend.idxs[0] !== newest) plot.setLegend({ idx: newest }, false);
}

function plot(place, chart, data) {
  const axis = { stroke: worked("quiet"), grid: { stroke: worked("line-colour"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const says = (_, number) => chart.says(number ?? null);
  return new uPlot({
    width: place.clientWidth, height: 180, legend: { show: true }, hooks: { setData: [resting], setLegend: [resting] }, cursor: { drag: { x: false, y: false }, sync: { key: "time" } },
    scales: { y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [{ ...axis, values: (made, places) => places.map((at) => clock(made, at)), space: 104 },
           { ...axis, size: 64, values: (_, places) => places.map((number) => chart.says(number)) }],
    series: [{ value: (made, at) => (at === null ? "–" : clock(made, at)) },
             ...chart.lines.map((line) => ({ label: line.label, value: says, width: 2, dash: line.dash, stroke: worked(line.stroke),
                                            fill: line.fill && worked(line.fill) }))],
  }, data, place);
}

async function draw() {
  const source = document.getElementById("rate-chart");
  if (!source || typeof uPlot === "undefined") return;
  const answer = await fetch(source.dataset.chart, { headers: { "hx-request": "true" } });
  if (!answer.ok) return;
  const line = (await answer.json()).timeline;
  for (const chart of CHARTS) {
    const place = document.getElementById(chart.id), before = drawn.get(chart.id);
    if (!place) continue;
    const data = [0, ...chart.lines.map((one) => one.column)].map((column) => line.map((one) => one[column]));
    if (before && before.root.isConnected) before.setData(data);
    else drawn.set(chart.id, plot(place, chart, data));
  }
}
function again() { for (const made of drawn.values()) made.destroy(); drawn.clear(); draw(); }
addEventListener("resize", () => {
  for (const [id, made] of drawn) { const place = document.getElementById(id); if (place) made.setSize({ width: place.clientWidth, height: 180 }); }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
document.addEventListener("htmx:afterSwap", draw);
document.addEventListener("DOMContentLoaded", draw);
if (document.readyState !== "loading") draw();
