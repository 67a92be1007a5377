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

// A task or a section is a place that the back button returns to; other choices change the place where one is.
function writeAddress(isPlace = false) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) if (value !== (USUAL[name] ?? "")) query.set(name, value);
  const text = query.toString();
  const address = `#${section}${text ? `?${text}` : ""}`;
  if (isPlace && address !== location.hash) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

function change(values, isPlace = "task" in values) {
  Object.assign(view, values);
  writeAddress(isPlace);
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
    change(Object.fromEntries(new URLSearchParams(query ?? "")), true);
    if (query) for (const listener of listeners) listener();
    goTo(section);
    const heading = document.querySelector(`#${CSS.escape(section)} :is(h2, h3)`);
    if (heading) {
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
    }
  });
}
