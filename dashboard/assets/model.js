// What the page knows: of each snapshot (multiprolab.Stats) the figures, and what they were a moment before.

const second = 1e9; // durations come in nanoseconds
const kept = 61; // snapshots in a series
const slots = 8; // colours of task types
const mostSlow = 8;
const long = 1500; // ms from which a run is a bar of the timeline

/** nanos makes seconds of a duration. */
export const nanos = (n) => (n ?? 0) / second;

/** date makes a Date of a time, or null of no time. */
export function date(text) {
  if (!text || text.startsWith("0001-")) return null;
  return new Date(text);
}

/** Model is fed with snapshots; its fields are what is shown. */
export class Model {
  workers = [];
  pools = [];
  queues = [];
  types = [];
  slowest = [];
  totals = {};
  series = {};
  main = null;
  now = null;
  at = null;
  gap = 0;
  ended = false;
  longest = 10; // seconds between two snapshots, beyond which it is not known what was in between
  #last = new Map(); // the figures of the snapshot before, by what they are of
  #series = new Map();
  #colours = new Map();
  runs = new Map(); // what ran over the last minute, by worker: timeline.js draws it

  /** colour returns the number of the colour of a task type. */
  colour(type) {
    if (!this.#colours.has(type)) {
      if (this.#colours.size > 500) this.#colours.clear();
      this.#colours.set(type, this.#colours.size % slots);
    }
    return this.#colours.get(type);
  }

  /** take takes in a snapshot, or what is kept of one: then types and pools are missing, and perhaps some workers. */
  take(s) {
    const now = date(s.time) ?? new Date();
    this.gap = this.now ? (now - this.now) / 1000 : 0;
    this.now = now;
    this.name = s.name;
    this.started = date(s.started);
    const last = this.#last,
      next = new Map();
    const perSecond = (key, value) => {
      next.set(key, value);
      if (!last.has(key) || !(this.gap > 0)) return NaN;
      return Math.max(0, value - last.get(key)) / this.gap;
    };
    const grow = (key, value) => {
      const list = this.#series.get(key) ?? [];
      list.push(value);
      if (list.length > kept) list.shift();
      next.set("series " + key, true);
      this.#series.set(key, list);
      return list;
    };
    const process = (key, p) => ({
      pid: p?.pid || 0,
      resident: p?.resident ?? 0,
      private: p?.private ?? 0,
      cpu: perSecond(`cpu ${key} ${p?.pid}`, nanos(p?.cpu)),
    });

    this.main = {
      name: "main",
      kind: "main",
      state: this.ended ? "stopped" : "",
      running: [],
      ...process("main", s.main),
    };
    const active = (s.types ?? []).filter((t) => t.running || done(t) > (last.get(`done ${t.type}`) ?? done(t)));
    for (const t of s.types ?? []) next.set(`done ${t.type}`, done(t));
    this.only = active.length === 1 ? active[0].type : null; // the one type that ran since the last snapshot
    this.workers = (s.workers ?? []).map((w) => this.#worker(w, process, perSecond, grow));
    this.pools = poolsOf(s.pools ?? [], this.workers);
    this.queues = (s.queues ?? []).map((q) => ({
      name: q.name,
      ready: q.ready,
      running: q.running,
      throttled: q.throttled,
      delayed: q.delayed,
      dead: q.dead,
      oldest: nanos(q.oldest),
      paused: q.paused,
      until: date(q.paused_until),
      rate: perSecond(`queue ${q.name}`, done(q)),
      series: grow(`queue ${q.name}`, q.ready),
    }));
    this.types = (s.types ?? []).map((t) => ({
      ...t,
      run: latency(t.run),
      wait: latency(t.wait),
      rate: perSecond(`type ${t.type}`, done(t)),
      colour: this.colour(t.type),
    }));
    const slow = (s.types ?? []).flatMap((t) =>
      (t.slowest ?? []).map((x) => ({
        type: t.type,
        id: x.id,
        worker: x.worker,
        run: nanos(x.run),
        at: date(x.time),
        colour: this.colour(t.type),
      })),
    );
    this.slowest = slow.sort((a, b) => b.run - a.run).slice(0, mostSlow);

    const t = s.tasks ?? {},
      sum = (f) => this.workers.reduce((n, w) => n + (f(w) || 0), 0);
    const totals = {
      tasks: perSecond("tasks", done(t)),
      failing: perSecond("failed", t.failed),
      queued: t.queued,
      running: t.running,
      failed: t.failed,
      done: t.succeeded,
      messages: perSecond("messages", s.messages.handled),
      letters: s.messages.dead_letters,
      traffic: perSecond("bytes", s.wire.bytes_sent + s.wire.bytes_received),
      blocked: s.wire.blocked,
      shared: s.wire.shared,
      cpu: sum((w) => w.cpu) + (this.main.cpu || 0),
      memory: sum((w) => w.resident) + this.main.resident,
      up: this.workers.filter(isUp).length,
      busy: this.workers.filter((w) => w.state === "busy").length,
      size: this.workers.filter((w) => !w.spare).length,
    };
    for (const key of ["tasks", "queued", "messages", "cpu", "memory", "busy"]) {
      const known = !s.partial || !["cpu", "memory", "busy"].includes(key); // some workers may be missing
      this.series[key] = grow("total " + key, known ? totals[key] : NaN);
    }
    this.totals = totals;
    for (const key of this.#series.keys()) if (!next.has("series " + key)) this.#series.delete(key);
    this.#last = next;
    this.#forget();
  }

  #worker(w, process, perSecond, grow) {
    const running = (w.running ?? []).map((r) => ({
      kind: r.kind,
      type: r.type,
      id: r.id,
      attempt: r.attempt,
      since: date(r.since),
    }));
    const busy = perSecond(`busy ${w.name}`, nanos(w.busy));
    const died = w.last_death;
    const view = {
      name: w.name,
      kind: "worker",
      pool: w.pool,
      life: w.life,
      spare: w.index < 0,
      state: w.state,
      since: date(w.since),
      running,
      assigned: w.assigned,
      pending: w.pending,
      messages: w.messages,
      tasks: w.tasks,
      restarts: w.restarts,
      messageRate: perSecond(`messages ${w.name}`, w.messages),
      taskRate: perSecond(`tasks ${w.name}`, w.tasks),
      death: died && { at: date(died.time), cause: died.cause, error: died.error, life: died.life },
      busy,
      wire: w.wire,
      ...process(w.name, w.process),
    };
    view.series = grow(`worker ${w.name}`, view.cpu);
    this.#run(view);
    return view;
  }

  /** #run notes what a worker did since the last snapshot. */
  #run(w) {
    const lane = this.runs.get(w.name) ?? { bars: new Map(), shares: [], deaths: [] };
    this.runs.set(w.name, lane);
    const now = this.now.getTime(),
      from = now - this.gap * 1000;
    for (const r of w.running) {
      const key = `${r.kind} ${r.id} ${r.attempt} ${r.since?.getTime()}`;
      lane.bars.set(key, {
        from: r.since?.getTime() ?? from,
        to: now,
        type: r.type,
        colour: this.colour(r.type),
        kind: r.kind,
        id: r.id,
      });
    }
    const short = w.running.find((r) => r.since && now - r.since.getTime() < long);
    // Short runs are seldom seen: they have the type that was seen last, unless no other one can have been.
    lane.type = short?.type ?? this.only ?? lane.type;
    // A run counts as busy time as a whole, when it has ended: so one that was a bar ends its bar, and adds nothing.
    const goesOn = w.running.some((r) => r.since && r.since.getTime() <= from);
    const ended = w.busy > 1.1 ? [...lane.bars.values()].filter((b) => b.to === from && from - b.from >= long) : [];
    for (const bar of ended) bar.to = (from + now) / 2;
    const share = (w.share = goesOn ? 1 : ended.length ? 0 : Math.min(1, w.busy || 0));
    if (this.gap > 0 && this.gap < this.longest)
      lane.shares.push({ from, to: now, share, type: lane.type, colour: lane.type && this.colour(lane.type) });
    if (w.death?.at && lane.deaths.at(-1)?.at !== w.death.at.getTime())
      lane.deaths.push({ at: w.death.at.getTime(), cause: w.death.cause });
  }

  /** #forget lets go of what is older than the timeline. */
  #forget() {
    const before = this.now.getTime() - 61000,
      names = new Set(this.workers.map((w) => w.name));
    for (const [name, lane] of this.runs) {
      lane.shares = lane.shares.filter((x) => x.to > before);
      lane.deaths = lane.deaths.filter((x) => x.at > before);
      for (const [key, bar] of lane.bars) if (bar.to < before) lane.bars.delete(key);
      if (!names.has(name) && !lane.shares.length) this.runs.delete(name);
    }
  }
}

/** done is how many tasks have ended. */
const done = (t) => t.succeeded + t.failed + t.cancelled;

function latency(h) {
  return {
    count: h?.count ?? 0,
    p50: nanos(h?.p50),
    p90: nanos(h?.p90),
    p99: nanos(h?.p99),
    max: nanos(h?.max),
    mean: h?.count ? nanos(h.sum) / h.count : 0,
    buckets: (h?.buckets ?? []).map((b) => ({ to: nanos(b.bound), count: b.count })),
  };
}

/** isUp says that a worker has its place, and can be given something to do. */
export const isUp = (w) => !w.spare && (w.state === "ready" || w.state === "busy");

/** poolsOf sums up the workers of each pool. */
function poolsOf(pools, workers) {
  return pools.map((p) => {
    const members = workers.filter((w) => w.pool === p.name),
      sum = (f) => members.reduce((n, w) => n + (f(w) || 0), 0);
    const latest = members
      .map((w) => w.death)
      .filter((d) => d?.at)
      .sort((a, b) => b.at - a.at)[0];
    return {
      name: p.name,
      kind: "pool",
      members,
      size: p.size,
      spares: p.spares,
      restarts: p.restarts,
      deaths: Object.entries(p.deaths ?? {}),
      up: members.filter(isUp).length,
      busy: members.filter((w) => w.state === "busy").length,
      running: members.flatMap((w) => w.running),
      cpu: sum((w) => w.cpu),
      resident: sum((w) => w.resident),
      private: sum((w) => w.private),
      messages: sum((w) => w.messages),
      tasks: sum((w) => w.tasks),
      messageRate: sum((w) => w.messageRate),
      taskRate: sum((w) => w.taskRate),
      death: latest,
    };
  });
}
