// Queues, task types, and the slowest tasks.
import { el, put, mark } from "./dom.js";
import { ago, count, plain, rate, seconds } from "./text.js";
import { Table } from "./table.js";
import { button, perform } from "./actions.js";
import { spark, drawSpark } from "./spark.js";

/** queues makes the table of the queues. */
export function queues() {
  return new Table(
    document.getElementById("queues-table"),
    [
      { title: "Queue", kind: "text", value: (q) => q.name, text: (q) => plain(q.name) || "all others" },
      { title: "Ready", value: (q) => q.ready, text: (q) => count(q.ready), zero: true, hint: "wait for a worker" },
      {
        title: "Throttled",
        from: "middle",
        value: (q) => q.throttled,
        text: (q) => count(q.throttled),
        zero: true,
        hint: "of the ready ones, a throttle holds these back",
      },
      {
        title: "Last minute",
        from: "narrow",
        draw: (cell, q) => drawSpark(cell.firstChild ?? cell.appendChild(spark()), q.series),
      },
      { title: "Running", from: "narrow", value: (q) => q.running, text: (q) => count(q.running), zero: true },
      { title: "Delayed", from: "middle", value: (q) => q.delayed, text: (q) => count(q.delayed), zero: true },
      { title: "Dead", value: (q) => q.dead, text: (q) => count(q.dead), zero: true },
      { title: "Oldest", from: "narrow", value: (q) => q.oldest, text: (q) => (q.ready ? seconds(q.oldest) : "") },
      { title: "Done/s", value: (q) => q.rate || 0, text: (q) => rate(q.rate), zero: true },
      { title: "", kind: "do", draw: drawPause },
    ],
    { key: (q) => q.name, empty: "No queue yet." },
  );
}

function drawPause(cell, q) {
  if (!q.name) return; // it stands for several
  if (!cell.firstChild) {
    const name = q.name;
    const pause = button("pause", "Pause", () => perform("pause", { queue: name }), `Pause queue ${name}`);
    const resume = button("pause", "Resume", () => perform("resume", { queue: name }), `Resume queue ${name}`);
    if (resume) resume.dataset.action = "resume";
    cell.append(el("span", { class: "warn" }), ...[pause, resume].filter(Boolean));
  }
  const pause = cell.querySelector("[data-action=pause]"),
    resume = cell.querySelector("[data-action=resume]");
  put(cell.firstChild, q.paused && !resume ? "paused" : "");
  const focus = cell.contains(document.activeElement);
  if (pause) pause.hidden = q.paused;
  if (resume) resume.hidden = !q.paused;
  if (focus) (q.paused ? resume : pause)?.focus({ preventScroll: true });
}

function drawType(cell, t) {
  if (!cell.firstChild) cell.append(el("span", { class: "swatch" }), el("span"));
  mark(cell.firstChild, "data-c", t.colour);
  put(cell.lastChild, plain(t.type, 80) || "all others");
  mark(cell, "title", t.type.length > 24 ? t.type : null);
}

/** types makes the table of the task types. */
export function types() {
  const times = (name, what) =>
    ["p50", "p90", "p99"].map((p) => ({
      title: `${name} ${p}`,
      from:
        p === "p50" ? (name === "Run" ? null : "middle") : p === "p90" ? "wide" : name === "Run" ? "narrow" : "middle",
      value: (t) => t[what][p],
      text: (t) => (t[what].count ? seconds(t[what][p]) : ""),
    }));
  return new Table(
    document.getElementById("types-table"),
    [
      { title: "Type", kind: "text", value: (t) => t.type, draw: drawType },
      { title: "Done/s", value: (t) => t.rate || 0, text: (t) => rate(t.rate), zero: true },
      { title: "Succeeded", from: "narrow", value: (t) => t.succeeded, text: (t) => count(t.succeeded), zero: true },
      { title: "Failed", value: (t) => t.failed, text: (t) => count(t.failed), zero: true },
      { title: "Cancelled", from: "middle", value: (t) => t.cancelled, text: (t) => count(t.cancelled), zero: true },
      { title: "Retried", from: "wide", value: (t) => t.retried ?? 0, text: (t) => count(t.retried ?? 0), zero: true },
      { title: "Queued", from: "narrow", value: (t) => t.queued, text: (t) => count(t.queued), zero: true },
      { title: "Running", from: "narrow", value: (t) => t.running, text: (t) => count(t.running), zero: true },
      ...times("Run", "run"),
      ...times("Wait", "wait"),
    ],
    {
      key: (t) => t.type,
      drawer: (t) => new Latencies(t),
      sort: { column: 0, way: "ascending" },
      empty: "No task yet.",
    },
  );
}

/** Latencies is what opens below the row of a type: how long its tasks ran, and how long they had waited. */
class Latencies {
  constructor() {
    this.parts = ["Run", "Wait"].map((title) => ({
      title: el("h3", {}, title),
      bars: el("div", { class: "bars", "aria-hidden": "true" }),
      ends: el("div", { class: "bar-ends" }),
    }));
    this.node = el(
      "div",
      { class: "drawer columns" },
      ...this.parts.map((p) => el("div", {}, p.title, p.bars, p.ends)),
    );
  }

  update(t) {
    [t.run, t.wait].forEach((h, i) => {
      const { title, bars, ends } = this.parts[i],
        top = Math.max(1, ...h.buckets.map((b) => b.count));
      put(
        title,
        `${i ? "Wait" : "Run"}: mean ${seconds(h.mean)}, p50 ${seconds(h.p50)}, p90 ${seconds(h.p90)}, p99 ${seconds(h.p99)}, most ${seconds(h.max)}`,
      );
      while (bars.children.length > h.buckets.length) bars.lastChild.remove();
      h.buckets.forEach((b, j) => {
        const bar = bars.children[j] ?? bars.appendChild(el("i"));
        bar.style.height = `${Math.max(2, (100 * b.count) / top)}%`;
        mark(bar, "title", `${count(b.count)} up to ${seconds(b.to)}`);
      });
      put(ends, h.buckets.length ? `${seconds(h.buckets[0].to)} to ${seconds(h.buckets.at(-1).to)}` : "");
    });
  }
}

/** slowest makes the table of the slowest tasks. */
export function slowest(model) {
  return new Table(
    document.getElementById("slowest-table"),
    [
      { title: "Type", kind: "text", value: (t) => t.type, draw: drawType },
      { title: "Task", from: "narrow", value: (t) => t.id, text: (t) => String(t.id) },
      { title: "Worker", kind: "text", value: (t) => t.worker, text: (t) => plain(t.worker, 80) },
      { title: "Run", value: (t) => t.run, text: (t) => seconds(t.run) },
      {
        title: "Ended",
        from: "narrow",
        value: (t) => t.at?.getTime() ?? 0,
        text: (t) => (t.at ? `${ago(t.at, model.now)} ago` : ""),
      },
    ],
    {
      key: (t) => `${t.type} ${t.id} ${t.run}`,
      sort: { column: 3, way: "descending" },
      empty: "No task has ended yet.",
    },
  );
}
