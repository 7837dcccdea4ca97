// Elements, made and changed without markup: there is no way from a text to an element here.

const svgSpace = "http://www.w3.org/2000/svg";

/** el makes an element. Of the properties "class" is its class, "on" its listeners, "data" its data attributes. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** svg makes an element of a drawing. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(svgSpace, tag), properties, children);
}

function fill(e, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (key === "on") for (const [event, f] of Object.entries(value)) e.addEventListener(event, f);
    else if (key === "data") Object.assign(e.dataset, value);
    else e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.filter((c) => c != null));
  return e;
}

/** put sets the text of an element, if it is another one. */
export function put(e, text) {
  text = String(text ?? "");
  if (e.textContent !== text) e.textContent = text;
}

/** mark sets an attribute, if it is another one; null takes it away. */
export function mark(e, name, value) {
  if (value == null) {
    if (e.hasAttribute(name)) e.removeAttribute(name);
  } else if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value);
}

/**
 * keyed makes the children of an element those of a list of items, in its order. An item keeps its child as long as its
 * key is in the list: so what has the focus, or is selected, or is open, stays so.
 */
export function keyed(parent, items, key, make, update) {
  const old = (parent.keyedChildren ??= new Map());
  const now = new Map();
  for (const item of items) {
    const k = key(item);
    if (now.has(k)) continue;
    now.set(k, old.get(k) ?? make(item));
  }
  const gone = [...old].find(([k, child]) => !now.has(k) && child.contains(document.activeElement))?.[1];
  const kept = new Set(now.values()),
    heir = gone && (beside(gone, "nextElementSibling", kept) ?? beside(gone, "previousElementSibling", kept));
  for (const [k, child] of old) if (!now.has(k)) child.remove();
  parent.keyedChildren = now;
  const focused = document.activeElement;
  let at = parent.firstElementChild;
  for (const child of now.values()) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  for (const item of items) update(now.get(key(item)), item);
  if (gone) hand(heir, parent);
}

/** beside returns the nearest child, on one side, that stays. */
function beside(child, way, kept) {
  do child = child[way];
  while (child && !kept.has(child));
  return child;
}

/** hand gives the focus to what opens in a child, else to the section: never to a button that does something. */
export function hand(child, parent) {
  const to = child?.querySelector(".open") ?? parent.closest("section[tabindex]");
  to?.focus({ preventScroll: true });
}

/** shown says that an element is there to be seen, and can have the focus. */
export const shown = (e) => Boolean(e?.isConnected && e.checkVisibility());

/** inUse says that the pointer is on an element or the focus is in it: then nothing should move in it. */
export function inUse(e) {
  return e.matches(":hover") || e.contains(document.activeElement);
}
