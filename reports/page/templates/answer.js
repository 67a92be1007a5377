// The first screen: lanes of the forest plot can be hidden, and nothing is folded on paper.
function dressForest() {
  for (const button of document.querySelectorAll("#answer [data-toggle]")) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(pressed));
      for (const lane of document.querySelectorAll(`.forest [data-lane="${button.dataset.toggle}"]`)) lane.hidden = !pressed;
    });
  }
  const folded = () => document.querySelectorAll("details:not([open])");
  window.addEventListener("beforeprint", () => folded().forEach((place) => { place.open = true; place.dataset.folded = "1"; }));
  window.addEventListener("afterprint", () => document.querySelectorAll("[data-folded]").forEach((place) => { place.open = false; delete place.dataset.folded; }));
}
