// A line of one figure over the last minute.
import { svg, mark } from "./dom.js";

const steps = 60;

/** spark makes the drawing of a series. */
export function spark() {
  const drawing = svg("svg", {
    class: "spark",
    viewBox: `0 0 ${steps} 20`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  drawing.append(svg("path", { class: "area" }), svg("path", {}));
  return drawing;
}

/** drawSpark draws numbers, the newest last; what is not known is left out. */
export function drawSpark(drawing, numbers) {
  const last = numbers.slice(-steps - 1),
    top = Math.max(1e-9, ...last.filter(isFinite));
  let line = "",
    from = null;
  const shift = steps - last.length + 1;
  last.forEach((n, i) => {
    if (!isFinite(n)) return;
    from ??= i + shift;
    line += `${line ? "L" : "M"}${i + shift} ${(19 - (n / top) * 17).toFixed(2)}`;
  });
  mark(drawing.lastChild, "d", line);
  mark(drawing.firstChild, "d", line && `${line}L${steps} 20L${from} 20Z`);
}
