// Dead tasks, and events.
import { el, hand, keyed, put, mark } from "./dom.js";
import { ago, block, clock, plain } from "./text.js";
import { act, ask, button, perform } from "./actions.js";
import { date } from "./model.js";

const mostEvents = 200;

/** Dead is the list of the tasks that have no attempt left. */
export class Dead {
  constructor(model) {
    this.model = model;
    this.list = document.getElementById("dead-list");
    this.note = document.getElementById("dead-note");
    this.badge = document.getElementById("dead-badge");
    this.tools = document.getElementById("dead-tools");
    this.tasks = [];
    this.total = 0;
  }

  /** begin makes the buttons for all; it is called when it is known what is allowed. */
  begin() {
    const all = (action, title, text) =>
      button(action, title, () =>
        ask({
          title: `${title.replace(" all", "")} all ${this.total} dead tasks?`,
          text,
          yes: title,
          action,
          run: () => act(action, { all: true }),
        }),
      );
    this.tools.replaceChildren(
      ...[
        all("retry", "Retry all", "They go back into their queues with all their attempts."),
        all("discard", "Discard all", "They are forgotten."),
      ].filter(Boolean),
    );
    this.version = null; // perhaps it is another program
    this.show();
  }

  /** changed fetches the list when its version is another one. */
  async changed(version) {
    if (version && version === this.version) return;
    this.version = version;
    try {
      const answer = await fetch("api/dead");
      if (!answer.ok) throw new Error(answer.statusText);
      ({ tasks: this.tasks, total: this.total } = await answer.json());
      this.show();
    } catch {
      this.version = null; // the next snapshot asks again
    }
  }

  show() {
    this.badge.hidden = !this.total;
    put(this.badge, this.total);
    const focused = !this.total && this.tools.contains(document.activeElement);
    this.tools.hidden = !this.total;
    if (focused) hand(null, this.tools);
    put(
      this.note,
      this.total > this.tasks.length
        ? `the newest ${this.tasks.length} of ${this.total}`
        : this.total
          ? String(this.total)
          : "none",
    );
    keyed(
      this.list,
      this.tasks,
      (t) => `${t.id} ${t.at}`,
      (t) => this.make(t),
      (li, t) => put(li.when, `${ago(date(t.at), this.model.now ?? new Date())} ago`),
    );
  }

  async #one(action, t) {
    await perform(action, { ids: [t.id] });
    await this.changed(null); // at once, and not with the next snapshot
  }

  make(t) {
    const body = el("div", { hidden: true }),
      when = el("time", { datetime: t.at });
    const open = el(
      "button",
      {
        type: "button",
        class: "open grow",
        "aria-expanded": "false",
        on: {
          click: () => {
            body.hidden = !body.hidden;
            mark(open, "aria-expanded", !body.hidden);
            if (!body.hidden && !body.childElementCount) body.append(...t.attempts.flatMap(attempt));
          },
        },
      },
      `${plain(t.type, 80)} `,
      el("span", { class: "quiet" }, `#${t.id} in ${plain(t.queue, 80)}`),
    );
    const li = el(
      "li",
      {},
      el(
        "div",
        { class: "line" },
        open,
        when,
        el(
          "span",
          { class: "row-tools" },
          ...[
            button("retry", "Retry", () => this.#one("retry", t), `Retry task ${t.id}`),
            button("discard", "Discard", () => this.#one("discard", t), `Discard task ${t.id}`),
          ].filter(Boolean),
        ),
      ),
      el("p", { class: "cause" }, plain(t.cause)),
      body,
    );
    li.when = when;
    return li;
  }
}

function attempt(a, i) {
  return [
    el(
      "div",
      { class: "attempt" },
      el("h3", {}, `Attempt ${i + 1}${a.worker ? `, ${plain(a.worker, 80)}` : ""}`),
      el("pre", { tabindex: "0" }, block(a.error)),
    ),
  ];
}

/** Events is the list of what happened, the newest first. */
export class Events {
  constructor(say) {
    this.list = document.getElementById("events-list");
    this.note = document.getElementById("events-note");
    this.say = say;
    this.events = [];
    this.newest = 0;
  }

  add(events) {
    if (!events?.length) return;
    const fresh = events.filter((e) => e.seq > this.newest),
      first = !this.events.length;
    if (!fresh.length) return;
    this.newest = fresh.at(-1).seq;
    this.events = [...fresh.reverse(), ...this.events].slice(0, mostEvents);
    const failed = fresh.filter((e) => e.level === "error");
    if (!first && failed.length)
      this.say(
        failed.length > 1
          ? `${failed.length} failures, the last: ${plain(failed[0].title)} ${plain(failed[0].worker)}`
          : `${plain(failed[0].title)} ${plain(failed[0].worker)}`,
      );
    this.show();
  }

  /** restart forgets the events: the program is another one. */
  restart() {
    this.events = [];
    this.newest = 0;
    this.show();
  }

  show() {
    put(this.note, this.events.length ? "" : "none yet");
    keyed(
      this.list,
      this.events,
      (e) => e.seq,
      (e) => this.make(e),
      () => {},
    );
  }

  make(e) {
    const at = date(e.at);
    const line = [
      el("span", { class: "level", data: { level: e.level } }),
      el("span", { class: "unseen" }, `${e.level}: `),
      el("time", { datetime: e.at }, clock(at)),
    ];
    const what = [
      plain(e.title, 80),
      " ",
      el("strong", {}, plain(e.worker, 80)),
      " ",
      el("span", { class: "quiet" }, plain(e.text)),
    ];
    if (!e.detail) return el("li", {}, el("div", { class: "line" }, ...line, el("span", { class: "grow" }, ...what)));
    const pre = el("pre", { hidden: true, tabindex: "0" });
    const open = el(
      "button",
      {
        type: "button",
        class: "open grow",
        "aria-expanded": "false",
        on: {
          click: () => {
            pre.hidden = !pre.hidden;
            put(pre, block(e.detail));
            mark(open, "aria-expanded", !pre.hidden);
          },
        },
      },
      ...what,
    );
    return el("li", {}, el("div", { class: "line" }, ...line, open), pre);
  }
}
