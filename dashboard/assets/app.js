// The page: it takes the stream of snapshots, and shows each.
import { el, put, mark } from "./dom.js";
import { ago, bytes, clock, count, percent, plain, rate } from "./text.js";
import { Model } from "./model.js";
import { live } from "./live.js";
import { allow, announceTo } from "./actions.js";
import { Timeline } from "./timeline.js";
import { Processes } from "./processes.js";
import { queues, slowest, types } from "./work.js";
import { Dead, Events } from "./lists.js";
import { spark, drawSpark } from "./spark.js";
import { themeButton } from "./theme.js";

const id = (name) => document.getElementById(name);
const model = new Model();
let spoken = 0;

/** say tells a screen reader something, and not too often. */
function say(text) {
  const now = Date.now();
  if (!text || now - spoken < 1500) return;
  spoken = now;
  put(id("announcer"), text);
}

/** connection says how the stream is doing. */
let state = "connecting",
  held = false;
function connection(next, detail) {
  const before = state;
  state = next;
  const shown = held && next === "live" ? "held" : next;
  mark(id("connection"), "data-state", shown);
  put(
    id("connection"),
    {
      connecting: "connecting",
      live: "live",
      held: `held at ${clock(model.now)}`,
      lost: model.now ? `no connection since ${clock(model.now)}` : "no connection",
      ended: `the program has ended${detail?.cause ? `: ${plain(detail.cause)}` : ""}`,
    }[shown],
  );
  if (before !== next && (next === "lost" || next === "ended" || before === "lost")) say(id("connection").textContent);
}

const gauges = [
  {
    title: "Tasks",
    unit: "/s",
    value: () => rate(model.totals.tasks),
    note: () => `${count(model.totals.failed)} failed`,
    series: "tasks",
  },
  {
    title: "Queued",
    unit: "",
    value: () => count(model.totals.queued),
    note: () => `${count(model.totals.running)} running`,
    series: "queued",
  },
  {
    title: "Workers busy",
    unit: "",
    value: () => `${model.totals.busy}`,
    note: () => `${model.totals.up} of ${model.totals.size} up`,
    series: "busy",
  },
  {
    title: "Messages",
    unit: "/s",
    value: () => rate(model.totals.messages),
    note: () => (isFinite(model.totals.traffic) ? `${bytes(model.totals.traffic)}/s` : ""),
    series: "messages",
  },
  { title: "CPU", unit: "", value: () => percent(model.totals.cpu), note: () => "of one processor", series: "cpu" },
  { title: "Memory", unit: "", value: () => bytes(model.totals.memory), note: () => "resident", series: "memory" },
].map((g) => {
  const value = el("span"),
    note = el("small"),
    line = spark();
  id("gauges").append(el("div", { class: "gauge" }, el("dt", {}, g.title), el("dd", {}, value, note), line));
  return {
    ...g,
    show() {
      put(value, g.value() + (g.value() ? g.unit : ""));
      put(note, g.note());
      drawSpark(line, model.series[g.series] ?? []);
    },
  };
});

const timeline = new Timeline(model),
  processes = new Processes(model),
  queueTable = queues(),
  typeTable = types(),
  slowTable = slowest(model);
const dead = new Dead(model),
  events = new Events(say);
let waiting = null;

function show(sample) {
  model.take(sample.stats);
  document.title = `${title}: ${count(model.totals.queued)} queued`;
  put(id("uptime"), model.started ? `up ${ago(model.started, model.now)}` : "");
  for (const g of gauges) g.show();
  timeline.show();
  processes.show();
  queueTable.show(model.queues);
  typeTable.show(model.types);
  slowTable.show(model.slowest);
  dead.changed(sample.dead);
  dead.show();
}

id("hold").addEventListener("click", () => {
  held = !held;
  mark(id("hold"), "aria-pressed", held);
  connection(state);
  if (!held && waiting) {
    show(waiting);
    waiting = null;
  }
});
themeButton(id("theme"), () => timeline.show());
announceTo(say);

let title = "multiprolab",
  present = null;
live({
  hello(page) {
    title = plain(page.title, 80);
    put(id("program"), title);
    allow(page.allow);
    if (present && present !== page.show) events.restart();
    present = page.show;
    dead.begin();
  },
  sample(sample) {
    if (held) waiting = sample;
    else show(sample);
  },
  happened(list) {
    events.add(list);
  },
  tell(next, detail) {
    model.ended = next === "ended";
    connection(next, detail);
  },
});
