// Colours: as the system has them, light, or dark.
import { mark, put } from "./dom.js";

const choices = ["auto", "light", "dark"],
  titles = { auto: "Auto", light: "Light", dark: "Dark" },
  place = "multiprolab-theme";

/** themeButton makes a button go through the choices; changed is called after each change. */
export function themeButton(button, changed) {
  let at = "auto";
  try {
    at = localStorage.getItem(place) ?? at;
  } catch {
    /* a page without storage forgets the choice */
  }
  const show = () => {
    if (!choices.includes(at)) at = "auto";
    mark(document.documentElement, "data-theme", at === "auto" ? null : at);
    put(button, titles[at]);
    mark(button, "aria-label", `Colours: ${titles[at]}`);
  };
  show();
  button.addEventListener("click", () => {
    at = choices[(choices.indexOf(at) + 1) % choices.length];
    try {
      localStorage.setItem(place, at);
    } catch {
      /* as above */
    }
    show();
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
