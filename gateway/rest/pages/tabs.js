// Tabs as the ARIA practices draw them: arrows move, one tab stop.

import { el } from "./dom.js";

/** A tablist named `name` over panels: { title: element }. */
export function tabs(name, panels) {
  const titles = Object.keys(panels);
  const id = (i, part) => `${name.toLowerCase().replace(/\W+/g, "-")}-${part}-${i}`;
  const buttons = titles.map((title, i) => el("button", {
    type: "button", role: "tab", id: id(i, "tab"), "aria-controls": id(i, "panel"), click: () => choose(i),
  }, title));
  const sheets = titles.map((title, i) => el("div", {
    role: "tabpanel", id: id(i, "panel"), "aria-labelledby": id(i, "tab"),
  }, panels[title]));

  function choose(chosen) {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", i === chosen);
      button.tabIndex = i === chosen ? 0 : -1;
      sheets[i].hidden = i !== chosen;
    });
  }

  const list = el("div", { role: "tablist", "aria-label": name }, buttons);
  list.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = (to + buttons.length) % buttons.length;
    choose(next);
    buttons[next].focus();
  });
  choose(0);
  return el("div", { class: "tabs" }, list, sheets);
}
