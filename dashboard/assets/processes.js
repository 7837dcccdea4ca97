// The table of processes: main, the pools, and in each its workers.
import { el, put, mark } from "./dom.js";
import { ago, block, bytes, clock, count, percent, plain, rate } from "./text.js";
import { Table } from "./table.js";
import { act, ask, button, may } from "./actions.js";

const merged = ["profile", "heap", "goroutine"]; // the profiles that are there of all processes together

const nothing = "\u2013";

export class Processes {
  constructor(model) {
    this.model = model;
    this.note = document.getElementById("processes-note");
    const now = () => model.now;
    this.table = new Table(
      document.getElementById("processes-table"),
      [
        { title: "Name", kind: "text", value: (p) => p.name, text: (p) => p.name },
        { title: "State", kind: "text", value: (p) => p.state ?? "", draw: (cell, p) => drawState(cell, p, now()) },
        {
          title: "Runs",
          kind: "text",
          from: "narrow",
          value: (p) => oldest(p) && now() - oldest(p),
          text: (p) => runs(p, now()),
        },
        { title: "CPU", value: (p) => p.cpu || 0, text: (p) => percent(p.cpu), zero: true, hint: "of one processor" },
        {
          title: "Memory",
          value: (p) => p.resident,
          text: (p) => (p.resident ? bytes(p.resident) : nothing),
          hint: "resident",
        },
        {
          title: "Private",
          from: "wide",
          value: (p) => p.private,
          text: (p) => (p.private ? bytes(p.private) : nothing),
          hint: "memory of its own",
        },
        { title: "Tasks/s", from: "narrow", value: (p) => p.taskRate || 0, text: (p) => rate(p.taskRate), zero: true },
        {
          title: "Messages/s",
          from: "middle",
          value: (p) => p.messageRate || 0,
          text: (p) => rate(p.messageRate),
          zero: true,
          hint: "that its handlers have taken",
        },
        {
          title: "Tasks",
          from: "wide",
          value: (p) => p.tasks ?? 0,
          text: (p) => count(p.tasks),
          zero: true,
          hint: "ended, in all lives",
        },
        {
          title: "Restarts",
          from: "narrow",
          value: (p) => p.restarts ?? 0,
          text: (p) => count(p.restarts),
          zero: true,
        },
        {
          title: "Last death",
          kind: "text",
          from: "middle",
          value: (p) => p.death?.at?.getTime() ?? 0,
          text: (p) => (p.death ? `${plain(p.death.cause, 40)}, ${ago(p.death.at, now())} ago` : ""),
        },
        { title: "PID", from: "middle", value: (p) => p.pid || 0, text: (p) => (p.pid ? String(p.pid) : "") },
      ],
      {
        key: (p) => `${p.kind} ${p.name}`,
        group: (p) => (p.kind === "worker" && !p.lone ? `pool ${p.pool}` : null),
        rowClass: (p) => (p.kind === "worker" ? (p.lone ? "lone" : "member") : "pool"),
        drawer: (p) => new Drawer(p, model),
        empty: "No process yet.",
      },
    );
  }

  /** begin shows where the profiles of all processes are; it is called when it is known what is allowed. */
  begin(combine) {
    const links = may("profile")
      ? [["Profiles", "debug/pprof/"], ...(combine ? merged.map((p) => [`${p} of all`, `debug/pprof/${p}`]) : [])]
      : [];
    document
      .getElementById("profiles")
      .replaceChildren(...links.map(([title, href]) => el("a", { href, target: "_blank", rel: "noreferrer" }, title)));
  }

  show() {
    const { model } = this,
      rows = [model.main];
    for (const pool of model.pools) {
      rows.push(pool);
      for (const w of pool.members) rows.push(w);
    }
    this.table.show(rows);
    put(this.note, `${model.totals.up} of ${model.totals.size} workers are up`);
  }
}

function drawState(cell, p, now) {
  if (p.kind !== "worker") {
    mark(cell, "class", "text quiet");
    return put(cell, p.kind === "pool" ? `${p.up} of ${p.size} up` : "");
  }
  if (!cell.firstElementChild) cell.append(el("span", { class: "state" }), " ", el("span", { class: "quiet narrow" }));
  mark(cell.firstElementChild, "data-state", p.state);
  put(cell.firstElementChild, p.state);
  put(cell.lastElementChild, p.since ? ago(p.since, now) : "");
}

const oldest = (p) => p.running.reduce((t, r) => (r.since && (!t || r.since < t) ? r.since : t), null);

function runs(p, now) {
  if (p.kind === "pool") return p.busy ? `${p.busy} busy` : "";
  if (!p.running.length) return "";
  const r = p.running.reduce((a, b) => (b.since < a.since ? b : a)),
    more = p.running.length - 1;
  return `${r.kind === "task" ? "" : `${r.kind} `}${plain(r.type, 80)} ${r.since ? ago(r.since, now) : ""}${more ? `, and ${more} more` : ""}`;
}

/** Drawer is what opens below the row of a process. */
class Drawer {
  constructor(p, model) {
    this.model = model;
    this.facts = el("dl", { class: "facts" });
    this.tools = el("div", { class: "row-tools" });
    this.output = el("div", { class: "drawer-output" });
    this.node = el("div", { class: "drawer" }, this.facts, this.tools, this.output);
    this.addTools(p);
    if (p.kind === "worker") {
      this.death = el("div", { hidden: true }, el("h3", {}, "Last death"), el("pre"));
      this.stderr = el("pre", { tabindex: "0", role: "region", "aria-label": `stderr of ${p.name}` });
      this.output.append(this.death, el("div", {}, el("h3", {}, "Standard error, the end of it"), this.stderr));
      this.read(p.name);
    }
    this.dump = el(
      "div",
      { hidden: true },
      el("h3", {}, "Stacks of its goroutines"),
      el("pre", { tabindex: "0", role: "region", "aria-label": `stacks of ${p.name}` }),
    );
    this.output.append(this.dump);
  }

  addTools(p) {
    const { name, kind } = p;
    this.tools.append(
      ...[
        kind === "main"
          ? null
          : button("restart", "Restart", () =>
              ask({
                title: `Restart ${name}?`,
                text:
                  kind === "pool"
                    ? "Its workers are replaced one after the other. Each finishes what it runs."
                    : "It finishes what it runs, and is replaced.",
                yes: "Restart",
                action: "restart",
                run: () => act("restart", { worker: name }),
              }),
            ),
        kind !== "pool"
          ? null
          : button("resize", "Resize", () =>
              ask({
                title: `Resize ${name}`,
                text: "Workers that are taken away finish what they run.",
                yes: "Resize",
                action: "resize",
                number: { label: "Workers", value: this.model.pools.find((x) => x.name === name)?.size ?? 1 },
                run: (size) => act("resize", { worker: name, size }),
              }),
            ),
        kind !== "worker"
          ? null
          : button("kill", "Kill", () =>
              ask({
                title: `Kill ${name}?`,
                text: "Its process ends at once, in the middle of what it runs, and is replaced.",
                yes: "Kill",
                action: "kill",
                run: () => act("kill", { worker: name }),
              }),
            ),
        kind === "pool" ? null : button("dump", "Stacks", () => this.showDump(name)),
        !may("profile")
          ? null
          : el("a", { href: `debug/pprof/${name}/`, target: "_blank", rel: "noreferrer" }, "Profiles"),
      ].filter(Boolean),
    );
    this.tools.hidden = !this.tools.childElementCount;
  }

  async showDump(name) {
    const pre = this.dump.querySelector("pre");
    this.dump.hidden = false;
    put(pre, "…");
    try {
      put(pre, block((await act("dump", { worker: name })).stacks, 1 << 20));
    } catch (err) {
      put(pre, err.message);
    }
  }

  /** read fetches the end of what a worker has printed, again and again while the drawer is open. */
  async read(name) {
    const end = new AbortController();
    this.close = () => end.abort();
    for (let asked = 0; !end.signal.aborted; asked++) {
      if (asked)
        await new Promise((done) => {
          this.wake = done;
        });
      if (end.signal.aborted || (asked && !this.node.isConnected)) return;
      try {
        const answer = await fetch(`api/stderr?worker=${encodeURIComponent(name)}`, { signal: end.signal });
        const text = await answer.text(),
          atEnd = this.stderr.scrollTop + this.stderr.clientHeight >= this.stderr.scrollHeight - 4;
        const shown = answer.ok ? block(text) || "nothing" : plain(text);
        if (this.stderr.textContent !== shown && !selected(this.stderr)) {
          put(this.stderr, shown);
          this.stderr.classList.toggle("quiet", !answer.ok || !text);
          if (atEnd) this.stderr.scrollTop = this.stderr.scrollHeight;
        }
      } catch {
        /* the stream says that the program cannot be reached; the next snapshot asks again */
      }
    }
  }

  update(p) {
    const now = this.model.now,
      facts = [
        ["PID", p.pid || ""],
        ["Memory of its own", p.private ? bytes(p.private) : ""],
      ];
    if (p.kind === "worker") {
      facts.push(
        ["Life", p.life],
        ["Up since", p.since && `${clock(p.since)}`],
        ["Runs", runs(p, now)],
        ["Tasks assigned, not begun", p.assigned],
        ["Messages to handle", p.pending],
        ["Tasks", count(p.tasks)],
        ["Messages", count(p.messages)],
        ["Restarts", p.restarts],
        ["Busy", isFinite(p.share) ? percent(p.share) : ""],
      );
      if (p.death)
        facts.push(["Last death", `${plain(p.death.cause)}, in life ${p.death.life}, ${ago(p.death.at, now)} ago`]);
      this.death.hidden = !p.death?.error;
      if (p.death && !selected(this.death)) put(this.death.lastChild, block(p.death.error, 16384));
      this.wake?.();
    } else if (p.kind === "pool") {
      facts.push(
        ["Workers", `${p.up} of ${p.size} up, ${p.busy} busy`],
        ["Spares", p.spares || ""],
        ["Deaths", p.deaths.map(([cause, n]) => `${n} ${cause}`).join(", ")],
        ["Tasks", count(p.tasks)],
        ["Messages", count(p.messages)],
        ["Restarts", p.restarts],
      );
    } else {
      const { shared, traffic, blocked } = this.model.totals;
      facts.push(
        ["Up for", this.model.started ? ago(this.model.started, now) : ""],
        ["On the wire", isFinite(traffic) ? `${bytes(traffic)}/s` : ""],
        ["Wait for credit", blocked],
        ["Shared memory", bytes(shared)],
      );
    }
    const list = facts.filter(([, v]) => v != null && v !== "");
    while (this.facts.children.length > list.length) this.facts.lastChild.remove();
    list.forEach(([name, value], i) => {
      const pair = this.facts.children[i] ?? this.facts.appendChild(el("div", {}, el("dt"), el("dd")));
      put(pair.firstChild, name);
      put(pair.lastChild, value);
    });
  }
}

function selected(e) {
  const s = getSelection();
  return Boolean(s && !s.isCollapsed && e.contains(s.anchorNode));
}
