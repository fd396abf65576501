// Draws what /conflicts/events sends. Text only ever becomes text: no HTML is made of it.
"use strict";

const NUMBERS = [
  ["requests_in_flight", "requests under way"],
  ["claims_held", "claims held"],
  ["leases_lost", "leases lost"],
  ["changes_behind", "changes behind the proxy"],
  ["store_errors", "store errors"],
  ["probes", "probes"],
  ["replayed", "writes that came again"],
];
const byId = (id) => document.getElementById(id);
const drawn = new Map();
let chart = null;
let latest = null;
let heard = null;
let paused = false;
let told = null;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

// Redraws only what differs: a selection, a scroll position and a screen reader's place survive.
function draw(id, data, make) {
  const key = JSON.stringify(data);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  byId(id).replaceChildren(...data.map(make));
}

function moment(seconds) {
  const made = element("time", new Date(seconds * 1000).toLocaleTimeString());
  made.dateTime = new Date(seconds * 1000).toISOString();
  made.title = new Date(seconds * 1000).toLocaleString();
  return made;
}

function row(heading, ...cells) {
  const made = element("tr");
  const head = element("th", heading);
  head.scope = "row";
  made.append(head, ...cells);
  return made;
}

const number = (value) => element("td", value.toLocaleString(), "number");
const rate = (value) => element("td", value.toFixed(value > 0 && value < 10 ? 2 : 0), "number");

function routeRow(route) {
  const words = element("td");
  const list = element("ul");
  list.append(...route.words.map((word) => element("li", word)));
  words.append(list);
  return row(route.name, words, rate(route.requests_rate), rate(route.refused_rate), number(route.requests), number(route.refused));
}

function resourceRow(resource) {
  const last = element("td");
  last.append(moment(resource.last));
  return row(resource.name, element("td", resource.route), number(resource.conflicts), number(resource.addresses), last);
}

function article(conflict) {
  const item = element("li");
  const made = element("article", undefined, conflict.end);
  const title = element("h3", `${conflict.method} ${conflict.resource}: ${conflict.status}`);
  title.id = `conflict-${conflict.number}`;
  made.setAttribute("aria-labelledby", title.id);
  const steps = element("ol");
  for (const step of conflict.steps) {
    const line = element("li");
    line.append(step.at === null ? element("span", "before") : moment(step.at), element("span", step.text));
    steps.append(line);
  }
  made.append(title, element("p", `Route ${conflict.route}. Now: ${conflict.verdict}.`, "verdict"), steps);
  item.append(made);
  return item;
}

// A change that no write through the proxy explains: what it is, and until when writes are verified.
function finding(found) {
  const item = element("li", undefined, found.kind);
  const title = element("strong", `Route ${found.route}: `);
  const until = element("span", found.verifying ? " Conditional writes on this route are verified with the backend until " : " Conditional writes were verified until ");
  until.append(moment(found.until), ".");
  const change = element("span", `${found.resource} changed although no write through the proxy did it, seen `);
  change.append(moment(found.at), ". ");
  item.append(title, change, element("span", found.text), until);
  return item;
}

function health(data) {
  const state = data.draining ? "Stopping: no new requests." : data.ready ? "Guarded writes are served." : "Guarded writes get 503.";
  byId("ready").className = data.ready && !data.draining ? "good" : "bad";
  say("ready", `${state} Store: ${data.store}`);
  draw("warnings", data.warnings, (warning) => element("li", warning));
  draw("numbers", NUMBERS.map(([name, words]) => [words, data[name]]), ([words, value]) => {
    const made = element("div");
    made.append(element("dt", words), element("dd", value.toLocaleString()));
    return made;
  });
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function newChart(data) {
  const axis = () => ({ stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } });
  const line = (label, name, dash) => ({ label, stroke: color(name), width: 2, dash, points: { show: false }, value: (_, v) => (v === null ? "-" : `${v.toFixed(2)}/s`) });
  return new uPlot({
    width: byId("chart").clientWidth, height: 220, cursor: { drag: { x: false, y: false } },
    scales: { x: { range: (_, low, high) => [high - 900, high] }, y: { range: (_, low, high) => [0, Math.max(high || 0, 1) * 1.1] } },
    axes: [axis(), { ...axis(), size: 60 }],
    series: [{ label: "Time" }, line("Requests", "--requests"), line("Refused", "--refused", [6, 4])],
  }, data, byId("chart"));
}

function showChart(history) {
  const last = history.times.length - 1;
  const key = String(history.times[last]);
  const known = drawn.get("chart") === key;
  if (last < 0) return say("chart-text", "The chart begins after ten seconds.");
  if (known && chart) return;
  drawn.set("chart", key);
  const data = [history.times, history.requests, history.refused];
  if (chart) chart.setData(data); else chart = newChart(data);
  const most = Math.max(...history.refused).toFixed(2);
  say("chart-text", `Now ${history.requests[last].toFixed(2)} requests and ${history.refused[last].toFixed(2)} refusals per second; at most ${most} refusals per second in this time.`);
}

function redrawChart() {
  if (chart) chart.destroy();
  chart = null;
  drawn.delete("chart");
  if (latest) showChart(latest.history);
}

// Said aloud only where there is something new, not with every event.
function announce(data) {
  const fresh = told === null ? 0 : data.total - told;
  if (fresh > 0) say("live", `${fresh} new ${fresh === 1 ? "conflict" : "conflicts"} at ${new Date(data.now * 1000).toLocaleTimeString()}`);
  else if (told === null) say("live", `Live: ${data.total} ${data.total === 1 ? "conflict" : "conflicts"} since the start`);
  told = data.total;
}

function show(data) {
  latest = data;
  health(data.health);
  showChart(data.history);
  draw("findings", data.findings, finding);
  byId("no-findings").hidden = data.findings.length > 0;
  draw("routes", data.routes, routeRow);
  draw("resources", data.resources, resourceRow);
  byId("resources-table").hidden = data.resources.length === 0;
  byId("no-resources").hidden = data.resources.length > 0;
  say("resources-caption", `Among the last ${data.kept} conflicts; the most fought over first.`);
  byId("no-stories").hidden = data.conflicts.length > 0;
  draw("list", data.conflicts, article);
  announce(data);
}

function watch() {
  const events = new EventSource("/conflicts/events");
  let lost = false;
  events.onmessage = (event) => {
    if (lost) told = null;
    lost = false;
    heard = JSON.parse(event.data);
    if (!paused) show(heard);
  };
  events.onerror = () => {
    lost = true;
    say("live", "The proxy does not answer; trying again. What you see is what it said last.");
    if (events.readyState === EventSource.CLOSED) setTimeout(watch, 5000);
  };
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) say("live", "Paused.");
  else {
    told = null;
    if (heard) show(heard);
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawChart);
let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(redrawChart, 100);
});
watch();
