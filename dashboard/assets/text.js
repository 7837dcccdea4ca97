// Values as people read them. Whatever comes from the program is shown as text, and nothing of it can be anything else.

const minute = 60,
  hour = 60 * minute,
  day = 24 * hour;

/** seconds says a time in seconds in three figures at most: "1.2 ms", "34 s", "2 h 5 min". */
export function seconds(s) {
  if (s == null || !isFinite(s)) return "";
  if (s <= 0) return "0 s";
  if (s < 1e-6) return `${Math.round(s * 1e9)} ns`;
  if (s < 1e-3) return `${figures(s * 1e6)} µs`;
  if (s < 1) return `${figures(s * 1e3)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < minute) return `${Math.floor(s)} s`;
  if (s < hour) return pair(s, minute, "min", 1, "s");
  if (s < day) return pair(s, hour, "h", minute, "min");
  return pair(s, day, "d", hour, "h");
}

function pair(s, big, bigUnit, small, smallUnit) {
  const n = Math.floor(s / big),
    rest = Math.floor((s % big) / small);
  return rest && n < 10 ? `${n} ${bigUnit} ${rest} ${smallUnit}` : `${n} ${bigUnit}`;
}

function figures(x) {
  return x < 9.95 ? x.toFixed(1) : String(Math.round(x));
}

/** bytes says a size: "3.4 MiB". */
export function bytes(n) {
  if (!n) return "0";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1024;
  return `${i && n < 9.95 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** count says a number with its thousands apart, and in short from a million on. */
export function count(n) {
  if (n == null) return "";
  if (n >= 1e9) return `${(n / 1e9).toFixed(2)} G`;
  if (n >= 1e6) return `${(n / 1e6).toFixed(2)} M`;
  return grouped.format(n);
}

/** rate says how much of something there is in a second. */
export function rate(n) {
  if (n == null || !isFinite(n)) return "";
  return n > 0 && n < 9.95 ? n.toFixed(1) : count(n);
}

/** percent says a share of one processor. */
export function percent(x) {
  if (x == null || !isFinite(x)) return "";
  return `${x >= 0.0005 && x < 0.0995 ? (100 * x).toFixed(1) : Math.round(100 * x)} %`;
}

/** clock says the time of day of a Date. */
export function clock(date) {
  return date ? date.toLocaleTimeString("en-GB") : "";
}

/** ago says how long before now a Date was. */
export function ago(date, now) {
  return date ? seconds(Math.max(0, (now - date) / 1000)) : "";
}

// Control bytes, and the marks that turn the direction of what follows, are shown in place of doing something.
const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function picture(c) {
  const n = c.charCodeAt(0);
  return n < 0x20 ? String.fromCharCode(0x2400 + n) : n === 0x7f ? "\u2421" : "\ufffd";
}

/** plain is a text of the program in one line of a bounded length. */
export function plain(s, most = 300) {
  s = String(s ?? "");
  const cut = s.length > most;
  if (cut) s = s.slice(0, most);
  s = s.replace(/\s+/g, " ").replace(unseen, picture);
  return cut ? s + "…" : s;
}

/** block is a text of the program with its lines, of a bounded length: the end of it is what counts. */
export function block(s, most = 65536) {
  s = String(s ?? "").replace(/\r\n/g, "\n");
  if (s.length > most) s = "…" + s.slice(s.length - most);
  return s.replace(unseen, picture);
}
