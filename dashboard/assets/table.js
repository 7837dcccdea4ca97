// A table of rows that change each second: it can be sorted, and rows open.
import { el, keyed, put, mark, inUse } from "./dom.js";
import { count } from "./text.js";

const most = 100; // rows that are shown at first, and of each group

/**
 * Table shows items as rows. A column has a title, a text(item), and perhaps: value(item) to sort by; kind ("text", or
 * "do" for buttons); from ("narrow", "middle", "wide": on smaller screens it is left out); zero: its zeros are faint;
 * draw(cell, item), in place of text. The first column is the row's header. Options: key(item); group(item), the key of the item that it
 * belongs to; rowClass(item); drawer(item), which makes {node, update(item)} for what opens below a row.
 */
export class Table {
  constructor(table, columns, options) {
    Object.assign(this, {
      table,
      columns,
      options,
      sort: options.sort ?? null,
      open: new Map(),
      items: [],
      order: new Map(),
    });
    this.heads = columns.map((c, i) => {
      const th = el("th", { scope: "col", class: classes(c), title: c.hint });
      if (c.value) th.append(el("button", { type: "button", on: { click: () => this.sortBy(i) } }, c.title));
      else th.append(c.title);
      return th;
    });
    this.body = el("tbody");
    table.append(el("thead", {}, el("tr", {}, ...this.heads)), this.body);
    this.empty = el("p", { class: "empty" }, options.empty ?? "");
    this.whole = false;
    const turn = () => {
      this.whole = !this.whole;
      this.show(this.items);
    };
    this.more = el("button", { type: "button", class: "more", hidden: true, on: { click: turn } });
    table.parentElement.append(this.empty, this.more);
    this.showSort();
  }

  sortBy(i) {
    const first = this.columns[i].kind ? "ascending" : "descending",
      second = first === "ascending" ? "descending" : "ascending";
    if (this.sort?.column !== i) this.sort = { column: i, way: first };
    else if (this.sort.way === first) this.sort.way = second;
    else this.sort = this.options.sort ?? null;
    this.showSort();
    this.order.clear();
    this.show(this.items);
  }

  showSort() {
    this.heads.forEach((th, i) => mark(th, "aria-sort", this.sort?.column === i ? this.sort.way : null));
  }

  /** sorted returns the items in their order: each behind the one that it belongs to. */
  sorted(items) {
    const { key, group } = this.options;
    if (this.order.size && inUse(this.body)) {
      // nothing moves under a finger
      return [...items].sort((a, b) => (this.order.get(key(a)) ?? Infinity) - (this.order.get(key(b)) ?? Infinity));
    }
    let by = () => 0;
    if (this.sort) {
      const value = this.columns[this.sort.column].value,
        sign = this.sort.way === "descending" ? -1 : 1;
      by = (a, b) => sign * compare(value(a), value(b));
    }
    const tops = items.filter((i) => !group?.(i)).sort(by),
      below = new Map();
    for (const i of items) {
      const g = group?.(i);
      if (!g) continue;
      if (!below.has(g)) below.set(g, []);
      below.get(g).push(i);
    }
    return tops.flatMap((t) => [t, ...(below.get(key(t)) ?? []).sort(by)]);
  }

  /** first returns the rows that are shown at first: so many of each group, and those that are open. */
  first(rows) {
    const { key, group } = this.options,
      shown = new Map();
    return rows.filter((r) => {
      const g = group?.(r),
        n = (shown.get(g) ?? 0) + 1;
      shown.set(g, n);
      return n <= most || this.open.has(key(r));
    });
  }

  show(items) {
    const { key, rowClass } = this.options;
    this.items = items;
    const all = this.sorted(items);
    this.order = new Map(all.map((r, i) => [key(r), i]));
    const first = this.first(all),
      rows = this.whole ? all : first;
    this.more.hidden = first.length === all.length;
    put(this.more, this.whole ? "Show fewer rows" : `Show all ${count(all.length)} rows`);
    this.table.hidden = !items.length;
    this.empty.hidden = items.length > 0;
    const lines = [];
    for (const item of rows) {
      lines.push({ item, key: "r" + key(item) });
      if (this.open.has(key(item))) lines.push({ item, key: "d" + key(item), drawer: this.open.get(key(item)) });
    }
    for (const k of this.open.keys()) if (!this.order.has(k)) this.open.delete(k);
    keyed(
      this.body,
      lines,
      (l) => l.key,
      (l) => (l.drawer ? this.makeDrawer(l) : this.makeRow(l.item)),
      (tr, l) => {
        if (l.drawer) return l.drawer.update?.(l.item);
        mark(tr, "class", rowClass?.(l.item) ?? null);
        this.columns.forEach((c, i) => this.showCell(tr, c, i, l.item));
      },
    );
  }

  makeRow(item) {
    const tr = el("tr");
    tr.append(...this.columns.map((c, i) => el(i ? "td" : "th", { class: classes(c), scope: i ? null : "row" })));
    const first = tr.firstChild;
    if (this.options.drawer) {
      const k = this.options.key(item);
      first.append(
        el("button", { type: "button", class: "open", "aria-expanded": "false", on: { click: () => this.toggle(k) } }),
      );
    }
    return tr;
  }

  showCell(tr, column, i, item) {
    let cell = tr.children[i];
    if (i === 0 && this.options.drawer) {
      cell = cell.firstChild;
      mark(cell, "aria-expanded", this.open.has(this.options.key(item)));
    }
    if (column.draw) return column.draw(cell, item);
    const text = column.text(item);
    put(cell, text);
    if (column.kind) mark(cell, "title", text.length > 24 ? text : null);
    if (column.zero) cell.classList.toggle("zero", text === "0" || text === "0 %");
  }

  toggle(key) {
    if (this.open.has(key)) (this.open.get(key).close?.(), this.open.delete(key));
    else this.open.set(key, this.options.drawer(this.items.find((i) => this.options.key(i) === key)));
    this.show(this.items);
  }

  makeDrawer(line) {
    return el("tr", { class: "detail" }, el("td", { colspan: this.columns.length }, line.drawer.node));
  }
}

function classes(c) {
  return [c.kind === "do" ? "do" : c.kind && "text", c.from].filter(Boolean).join(" ") || null;
}

function compare(a, b) {
  if (typeof a === "string" || typeof b === "string")
    return String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
  return (a ?? -Infinity) < (b ?? -Infinity) ? -1 : (a ?? -Infinity) > (b ?? -Infinity) ? 1 : 0;
}
