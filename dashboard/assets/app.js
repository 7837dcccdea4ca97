// The page: it takes the stream of snapshots, and shows each.
import { el, put, mark } from "./dom.js";
import { ago, bytes, clock, count, percent, plain, rate } from "./text.js";
import { Model, date } from "./model.js";
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
const pause = 1500; // ms between two things that are said
let spoken = 0,
  unsaid = [];

/** say tells a screen reader something, and not too often: what comes in quick succession is said together. */
function say(text) {
  if (!text) return;
  if (!unsaid.length) setTimeout(speak, Math.max(0, spoken + pause - Date.now()));
  unsaid = [...unsaid.filter((t) => t !== text), text].slice(-3);
}

function speak() {
  const text = unsaid.join(". ");
  unsaid = [];
  spoken = Date.now();
  put(id("announcer"), id("announcer").textContent === text ? text + "\u00a0" : text); // the same is news again
}

/** connection says how the stream is doing. */
let state = "connecting",
  detail = null,
  held = false;
function connection(next, more = null) {
  const before = state;
  if (next !== state || more) detail = more;
  state = next;
  const because = detail?.cause ? `: ${plain(detail.cause)}` : "";
  const shown = held && next === "live" ? "held" : next;
  mark(id("connection"), "data-state", shown);
  put(
    id("connection"),
    {
      connecting: "connecting",
      live: "live",
      held: `held at ${clock(model.now)}`,
      lost: (model.now ? `no connection since ${clock(model.now)}` : "no connection") + because,
      ended: `the program has ended${because}`,
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
let missed = [], // snapshots that came while the page was held
  unheard = []; // events, likewise

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
  if (held) return;
  const last = missed.pop();
  for (const { stats } of missed) model.take(stats);
  missed = [];
  if (last) show(last);
  events.add(unheard);
  unheard = [];
});

/** keep keeps a snapshot for when the page is let go: of all but the last one, what the last minute needs. */
function keep(sample) {
  if (missed.length) missed.push({ stats: { ...missed.pop().stats, types: [], pools: [] } });
  missed.push(sample);
  while (date(sample.stats.time) - date(missed[0].stats.time) > 61000) missed.shift();
}
themeButton(id("theme"), () => timeline.show());
announceTo(say);

let title = "multiprolab",
  present = null;
live({
  history(list) {
    if (!held) for (const stats of list) if (!model.now || date(stats.time) > model.now) model.take(stats);
  },
  hello(page) {
    title = plain(page.title, 80);
    put(id("program"), title);
    allow(page.allow);
    if (present && present !== page.show) {
      events.restart();
      unheard = [];
    }
    present = page.show;
    model.longest = Math.max(10, 3 * page.interval);
    processes.begin(page.combine);
    dead.begin();
  },
  sample(sample) {
    if (held) keep(sample);
    else show(sample);
  },
  happened(list) {
    if (held) unheard = [...unheard, ...list].slice(-200);
    else events.add(list);
  },
  tell(next, detail) {
    model.ended = next === "ended";
    connection(next, detail);
  },
});
