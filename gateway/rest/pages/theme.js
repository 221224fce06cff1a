// The theme before the first paint: a plain script in the head. "auto" is what the system prefers.
(() => {
  const themes = ["auto", "light", "dark"];
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage may be forbidden
    }
  }

  function choose(theme) {
    root.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // for this page alone, then
    }
    dispatchEvent(new Event("theme"));
  }

  root.dataset.theme = themes.includes(stored()) ? stored() : "auto";
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));

  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("#theme");
    const tell = () => (button.textContent = `Theme: ${root.dataset.theme}`);
    button.addEventListener("click", () => {
      choose(themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length]);
      tell();
    });
    button.hidden = false;
    tell();
  });
})();
