// Who ran what over the last minute: a lane for each worker. A long run is a bar in the colour of its type; of short runs
// the height of each second says for what share of it the worker was busy.
import { el, keyed, put, mark } from "./dom.js";
import { clock, percent, plain, seconds } from "./text.js";

const span = 60000,
  lane = 18,
  axis = 16,
  most = 100,
  long = 1500;

/** lastMinute says in words what a lane shows. */
function lastMinute({ name, runs }, now) {
  const from = now.getTime() - span,
    inside = (r) => Math.max(0, r.to - Math.max(from, r.from)),
    busy = runs.shares.reduce((sum, s) => sum + s.share * inside(s), 0) / span;
  const ran = [...runs.bars.values(), ...runs.shares].filter((r) => r.type != null && r.to > from),
    types = new Set(ran.map((r) => plain(r.type, 60)));
  const deaths = runs.deaths.filter((d) => d.at > from).map((d) => plain(d.cause, 60));
  return [name, percent(busy), [...types].sort().join(", "), deaths.join(", ")];
}

export class Timeline {
  constructor(model) {
    this.model = model;
    this.canvas = document.getElementById("lanes");
    this.names = document.getElementById("lane-names");
    this.legend = document.getElementById("legend");
    this.tip = document.getElementById("lane-tip");
    this.table = document.getElementById("lane-table");
    this.note = document.getElementById("timeline-note");
    this.canvas.addEventListener("pointermove", (e) => this.point(e));
    this.canvas.addEventListener("pointerleave", () => {
      this.tip.hidden = true;
    });
    new ResizeObserver(() => this.show()).observe(this.canvas.parentElement);
  }

  show() {
    const { model } = this;
    if (!model.now) return;
    const workers = model.workers.slice(0, most);
    keyed(
      this.names,
      workers,
      (w) => w.name,
      () => el("div"),
      (div, w) => {
        put(div, w.name);
        mark(div, "title", w.name);
      },
    );
    this.lanes = workers.map((w) => ({
      name: w.name,
      runs: model.runs.get(w.name) ?? { bars: new Map(), shares: [], deaths: [] },
    }));
    const ratio = window.devicePixelRatio || 1,
      width = this.canvas.parentElement.clientWidth,
      height = workers.length * lane + axis;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    const g = this.canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    this.draw(g, width, height);
    this.showLegend();
    const busy = workers.filter((w) => w.running.length).length;
    mark(
      this.canvas,
      "aria-label",
      `Who ran what over the last minute: ${busy} of ${model.workers.length} workers are busy now. ` +
        "The table before it has the figures.",
    );
    put(this.note, model.workers.length > most ? `the first ${most} of ${model.workers.length} workers` : "");
    keyed(
      this.table,
      this.lanes,
      (l) => l.name,
      () => el("tr", {}, el("th", { scope: "row" }), el("td"), el("td"), el("td")),
      (tr, l) => lastMinute(l, model.now).forEach((text, i) => put(tr.children[i], text)),
    );
  }

  draw(g, width, height) {
    const style = getComputedStyle(document.documentElement),
      ink = (name) => style.getPropertyValue(name).trim();
    const now = this.model.now.getTime(),
      x = (t) => Math.max(0, width * (1 - (now - t) / span));
    const colours = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => ink(`--c${n}`));
    g.font = `10px ${style.fontFamily || "system-ui"}`;
    g.strokeStyle = ink("--line");
    g.fillStyle = ink("--faint");
    g.lineWidth = 1;
    const step = width < 420 ? 20 : 10;
    for (let s = 0; s <= 60; s += step) {
      const at = Math.min(width - 0.5, Math.max(0.5, Math.round(width * (1 - s / 60)) - 0.5));
      g.beginPath();
      g.moveTo(at, 0);
      g.lineTo(at, height - axis + 3);
      g.stroke();
      g.textAlign = s === 0 ? "right" : s === 60 ? "left" : "center";
      g.fillText(s === 0 ? "now" : `\u2212${s} s`, at, height - 3);
    }
    this.lanes.forEach(({ runs }, i) => {
      const bottom = (i + 1) * lane - 3,
        full = lane - 5;
      for (const s of runs.shares) {
        if (s.share <= 0) continue;
        const h = Math.max(1, full * s.share);
        g.globalAlpha = 0.55;
        g.fillStyle = s.colour == null ? colours[7] : colours[s.colour];
        g.fillRect(x(s.from), bottom - h, Math.max(1, x(s.to) - x(s.from) - 0.5), h);
      }
      g.globalAlpha = 1;
      for (const b of runs.bars.values()) {
        if (b.to - b.from < long) continue;
        const from = x(b.from),
          to = Math.max(from + 2, x(b.to));
        g.fillStyle = ink("--paper");
        g.fillRect(from, bottom - full, to - from, full);
        g.fillStyle = colours[b.colour];
        g.beginPath();
        g.roundRect(from, bottom - full, to - from, full, 2);
        g.fill();
      }
      g.fillStyle = ink("--bad");
      for (const d of runs.deaths) if (now - d.at < span) g.fillRect(x(d.at) - 1, bottom - full - 1, 2, full + 2);
    });
  }

  showLegend() {
    const seen = new Map();
    for (const { runs } of this.lanes) {
      for (const r of [...runs.bars.values(), ...runs.shares]) if (r.type != null) seen.set(r.type, r.colour);
    }
    const items = [...seen]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, 12)
      .map(([type, colour]) => ({ type, colour }));
    if (this.lanes.some((l) => l.runs.deaths.length)) items.push({ type: "a death", colour: "dead" });
    keyed(
      this.legend,
      items,
      (i) => `${i.colour} ${i.type}`,
      (i) => el("li", {}, el("span", { class: "swatch", data: { c: i.colour } }), plain(i.type, 60)),
      () => {},
    );
  }

  point(e) {
    const box = this.canvas.getBoundingClientRect(),
      now = this.model.now?.getTime();
    const l = this.lanes?.[Math.floor((e.clientY - box.top) / lane)],
      t = now - span * (1 - (e.clientX - box.left) / box.width);
    this.tip.hidden = !l;
    if (!l) return;
    const bar = [...l.runs.bars.values()].find((b) => b.from <= t && t <= b.to && b.to - b.from >= long);
    const share = l.runs.shares.find((s) => s.from <= t && t <= s.to),
      death = l.runs.deaths.find((d) => Math.abs(d.at - t) < 700);
    const what = death
      ? `died: ${plain(death.cause, 60)}`
      : bar
        ? `${plain(bar.type, 60)} for ${seconds((bar.to - bar.from) / 1000)}`
        : share
          ? `busy ${percent(share.share)}${share.type ? `, ${plain(share.type, 60)}` : ""}`
          : "";
    put(this.tip, `${l.name}  ${clock(new Date(t))}  ${what}`);
    const left = e.clientX - box.left;
    this.tip.style.top = `${Math.min(e.clientY - box.top + 14, box.height - 4)}px`;
    this.tip.style.left = left < box.width / 2 ? `${left + 12}px` : "auto";
    this.tip.style.right = left < box.width / 2 ? "auto" : `${box.width - left + 12}px`;
  }
}
