// The view lives in the address: #SECTION?task=…&hide=…; what has its usual value is left out of it.
const USUAL = { task: "", show: "few", x: "steps", y: "auto", bands: "1", seeds: "0", at: "100", cost: "run", profile: "steps", axis: "all", family: "", metric: "" };
const view = { ...USUAL };
let section = "";
const listeners = [];

function readAddress() {
  const [place, query = ""] = location.hash.slice(1).split("?");
  section = place;
  for (const name of Object.keys(view)) delete view[name];
  Object.assign(view, USUAL, Object.fromEntries(new URLSearchParams(query)));
}

function writeAddress() {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) if (value !== (USUAL[name] ?? "")) query.set(name, value);
  const text = query.toString();
  history.replaceState(null, "", `#${section}${text ? `?${text}` : ""}`);
}

function change(values) {
  Object.assign(view, values);
  writeAddress();
}

function goTo(place) {
  const target = place && document.getElementById(place);
  if (target) target.scrollIntoView();
}

function watchAddress() {
  readAddress();
  window.addEventListener("hashchange", () => {
    readAddress();
    for (const listener of listeners) listener();
    goTo(section);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    const [place, query] = link.getAttribute("href").slice(1).split("?");
    section = place;
    change(Object.fromEntries(new URLSearchParams(query ?? "")));
    if (query) for (const listener of listeners) listener();
    goTo(section);
    const heading = document.querySelector(`#${CSS.escape(section)} :is(h2, h3)`);
    if (heading) {
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
    }
  });
}
