// What the page does to the program. Which buttons there are, the program's configuration says.
import { el, mark, put, shown } from "./dom.js";
import { plain } from "./text.js";

let allowed = new Set();

/** allow notes what the program lets this page do. */
export function allow(list) {
  allowed = new Set(list ?? []);
}

/** may says whether the program lets this page do it. */
export const may = (action) => allowed.has(action);

/** act does something, and returns what the program has answered; it throws an Error with the program's text. */
export async function act(action, body) {
  const answer = await fetch(`api/actions/${action}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "same-origin",
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(plain(text || answer.statusText));
  return text ? JSON.parse(text) : {};
}

/**
 * button makes a button for an action, or nothing if it is not allowed. While press has not come to its end, another
 * press does nothing; nor does the second click of a double click, below which there may be another button by then.
 */
export function button(action, title, press, label) {
  if (!may(action)) return null;
  const danger = ["kill", "discard"].includes(action) ? "danger" : null;
  const click = async (e) => {
    if (e.detail > 1 || made.hasAttribute("aria-disabled")) return;
    mark(made, "aria-disabled", true);
    try {
      await press();
    } finally {
      mark(made, "aria-disabled", null);
    }
  };
  const properties = { type: "button", class: danger, "aria-label": label, data: { action }, on: { click } };
  const made = el("button", properties, title);
  return made;
}

let said = () => {};

/** announceTo sets who says in words what has been done. */
export function announceTo(say) {
  said = say;
}

/** perform does it at once, and says how it went. */
export async function perform(action, body, done) {
  try {
    const answer = await act(action, body);
    said(answer.done ?? done);
    return answer;
  } catch (err) {
    await ask({ title: "That did not work", text: err.message, yes: null });
    return null;
  }
}

const dialog = document.getElementById("question"),
  part = (name) => document.getElementById("question-" + name);

/**
 * ask asks in a dialog; do is what is done when the answer is yes, with the number if there is one. What goes wrong is said
 * in the dialog, which stays. Without yes it only tells.
 */
export function ask({ title, text, yes, action, number, run }) {
  const before = document.activeElement;
  put(part("title"), title);
  put(part("text"), text);
  put(part("error"), "");
  const input = part("number").querySelector("input");
  part("number").hidden = number == null;
  if (number) {
    put(part("number").querySelector("span"), number.label);
    input.value = number.value;
  }
  put(part("no"), yes ? "Cancel" : "Close");
  part("yes").hidden = !yes;
  part("yes").disabled = false;
  put(part("yes"), yes ?? "");
  part("yes").className = ["kill", "discard"].includes(action) ? "strong danger" : "strong";
  return new Promise((resolve) => {
    let over = false; // the dialog may be that of another question by then
    const finish = (result) => {
      if (over) return;
      over = true;
      dialog.oncancel = null;
      dialog.close();
      if (shown(before)) before.focus({ preventScroll: true });
      resolve(result);
    };
    dialog.oncancel = (e) => {
      e.preventDefault();
      finish(null);
    }; // Escape
    part("no").onclick = () => finish(null);
    const go = async () => {
      if (part("yes").disabled) return;
      part("yes").disabled = true;
      put(part("error"), "");
      try {
        const answer = await run(number ? Number(input.value) : undefined);
        said(answer?.done ?? "Done");
        finish(answer ?? {});
      } catch (err) {
        if (over) return said(err.message);
        put(part("error"), err.message);
      } finally {
        if (!over) part("yes").disabled = false;
      }
    };
    part("yes").onclick = go;
    input.onkeydown = (e) => {
      if (e.key === "Enter") {
        e.preventDefault();
        go();
      }
    };
    if (!dialog.open) dialog.showModal();
    (number ? input : part("no")).focus();
  });
}
