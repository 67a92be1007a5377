// The explorer: one task's charts, drawn when it is chosen, from choices that the address keeps.
const FEW = 8, RUN_DASHES = [[12, 3, 2, 3], [2, 5], [7, 2, 2, 2, 2, 2]];
const UNITS = { steps: "step", seconds: "wall-clock time of one replica", gradients: "gradient evaluations" };
const charts = new Map();
let index, current, pointed = null, drawing = 0, queue = Promise.resolve();

const at = (id) => document.getElementById(id);
const factor = (curve) => (view.x === "steps" ? 1 : number(curve.perStep[view.x]));
const spread = (values) => values.length > 0 && Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 10;
const scaleOf = (values) => (spread(values.filter(Number.isFinite)) ? "log" : "linear");

async function draw(id, spec, room = 0) {
  const place = at(id);
  charts.get(id)?.finalize();
  const padding = room ? { left: 5, top: 5, bottom: 5, right: room } : 5;
  const framed = { padding, ...spec, width: Math.max(place.clientWidth, 220), autosize: { type: "fit-x", contains: "padding" }, config: CONFIG };
  const made = await vegaEmbed(place, framed, { renderer: "svg", actions: false, tooltip: false, defaultStyle: false, logLevel: 1 });
  charts.set(id, made);
  place.querySelector("svg").setAttribute("aria-hidden", "true");
  return made.view;
}

function none(id, words) {
  charts.get(id)?.finalize();
  charts.delete(id);
  at(id).replaceChildren(element("p", { class: "quiet" }, words));
}

// Shown are the learned optimizers and the best others, all, none, or a list of labels chosen by hand.
function chosen() {
  const { curves } = current;
  if (view.show === "all") return new Set(curves.map((c) => c.label));
  if (view.show === "none") return new Set();
  if (view.show.startsWith("[")) {
    try {
      return new Set(JSON.parse(view.show));
    } catch {
      view.show = USUAL.show;
    }
  }
  const others = curves.filter((c) => !c.learned).sort((a, b) => number(a.final.mean) - number(b.final.mean));
  const learned = curves.filter((c) => c.learned).slice(0, FEW);
  return new Set([...learned, ...others.slice(0, Math.max(FEW - learned.length, 3))].map((c) => c.label));
}

// One drawing after the other; one that a newer choice has overtaken is left out.
function show() {
  const turn = ++drawing;
  queue = queue.then(() => turn === drawing && render(turn, performance.now()));
  return queue;
}

async function render(turn, began) {
  const place = Math.max(index.tasks.indexOf(view.task), 0);
  current = await part(`task-${place}`);
  for (const curve of current.curves) {
    const style = index.styles[curve.optimizer];
    // The same optimizer of another run has other dashes, for its colour and marker are the same.
    const run = Math.max(index.runs.indexOf(curve.run), 0);
    curve.style ??= { ...style, dash: run ? RUN_DASHES[(run - 1) % RUN_DASHES.length] : style.dash };
  }
  at("task").value = index.tasks[place];
  for (const name of ["bands", "seeds"]) at("controls").elements[name].checked = view[name] === "1";
  if (!(view.x in UNITS)) view.x = USUAL.x;
  if (!["auto", "log", "linear"].includes(view.y)) view.y = USUAL.y;
  if (![...at("cost").options].some((option) => option.value === view.cost)) view.cost = USUAL.cost;
  if (!(Number(view.at) >= 0 && Number(view.at) <= 100)) view.at = USUAL.at;
  at("controls").elements.x.value = view.x;
  at("at").value = view.at;
  at("cost").value = view.cost;
  const visible = current.curves.filter((curve) => chosen().has(curve.label));
  await drawCurves(visible);
  listValues();
  document.documentElement.dataset.milliseconds = String(Math.round(performance.now() - began));
  for (const step of [drawTask, drawHeldout, drawFinals, drawCosts, drawLandscape, drawProfiles]) {
    await new Promise((done) => setTimeout(done));
    if (turn !== drawing) return;
    await step(visible);
  }
  document.documentElement.dataset.drawn = String(turn);
}

async function drawCurves(visible) {
  const timed = visible.filter((curve) => Number.isFinite(factor(curve)));
  const positions = [...timed.entries()];
  const values = positions.flatMap(([, curve]) => [...curve.middle, ...curve.low].map(number).filter(Number.isFinite));
  const y = view.y === "auto" ? scaleOf(values) : view.y;
  at("controls").elements.y.value = y;
  const fits = (value) => Number.isFinite(value) && (y !== "log" || value > 0);
  const skipStart = view.x === "seconds";
  const rows = [], seeds = [];
  let below = 0;
  for (const curve of timed) {
    curve.steps.forEach((step, i) => {
      const middle = number(curve.middle[i]);
      if (skipStart && step === 0) return;
      if (!fits(middle)) {
        if (Number.isFinite(middle)) below += 1;
        return;
      }
      const low = number(curve.low[i]), high = number(curve.high[i]);
      rows.push({ label: curve.label, x: step * factor(curve), y: middle, low: fits(low) ? low : middle, high: fits(high) ? high : middle });
    });
    if (view.seeds === "1") {
      (curve.seeds ?? []).forEach((losses, seed) => losses.forEach((loss, i) => {
        const x = curve.seedSteps[i] * factor(curve);
        if (fits(number(loss)) && !(skipStart && x === 0)) seeds.push({ label: curve.label, seed, x, y: number(loss) });
      }));
    }
  }
  const remarks = [];
  if (below) remarks.push(`${below} points at or below zero cannot stand on a logarithmic axis.`);
  const untimed = visible.length - timed.length;
  if (untimed) remarks.push(`${untimed} of the optimizers were not timed.`);
  const hidden = timed.filter((curve) => curve.seeds && curve.seeds.length < curve.seedCount - curve.failures);
  if (view.seeds === "1" && hidden.length) remarks.push(`Only the first ${hidden[0].seeds.length} of ${hidden[0].seedCount} seeds are drawn; means and bands are of all.`);
  at("curves-remark").textContent = remarks.join(" ");
  at("curves-title").textContent = `Learning curves on ${current.task}`;
  if (!rows.length) return none("curves-chart", "Choose an optimizer that has losses to draw.");
  const title = current.window === 1 ? "loss" : `loss (mean of the last ${current.window} minibatches)`;
  const room = roomFor(at("curves-chart"), timed);
  const chart = await draw("curves-chart", curvesSpec(timed, rows, seeds, { x: view.x, y, bands: view.bands === "1", title, xTitle: UNITS[view.x] }), room);
  if (room) nameLines("curves-chart", chart, timed, rows);
  chart.addEventListener("pointermove", (event) => {
    const left = event.clientX - at("curves-chart").querySelector("svg").getBoundingClientRect().left;
    moveTo(chart.scale("x").invert(left - chart.origin()[0] - chart.padding().left));
  });
  // The address holds what was chosen: a click keeps the place that the pointer is at, and leaving gives it up.
  chart.addEventListener("click", () => pointed !== null && change({ at: pointed }));
  at("curves-chart").onpointerleave = () => point(null);
  mark();
}

// Where the curves are read: a part, in hundredths, of the axis.
function range() {
  const timed = current.curves.filter((c) => chosen().has(c.label) && Number.isFinite(factor(c)));
  const ends = timed.map((c) => c.steps[c.steps.length - 1] * factor(c));
  const starts = timed.map((c) => (view.x === "seconds" ? c.steps[1] * factor(c) : 0));
  return [Math.min(...starts), Math.max(...ends)];
}
function position() {
  const [low, high] = range(), part = Number(pointed ?? view.at) / 100;
  const x = view.x === "seconds" ? low * (high / low) ** part : low + (high - low) * part;
  return view.x === "steps" ? Math.round(x) : x;
}
function moveTo(x) {
  const [low, high] = range();
  const part = view.x === "seconds" ? Math.log(x / low) / Math.log(high / low) : (x - low) / (high - low);
  const value = String(Math.min(100, Math.max(0, Math.round(part * 100))));
  if (value !== (pointed ?? view.at)) point(value);
}
function point(value) {
  pointed = value;
  at("at").value = pointed ?? view.at;
  mark();
  listValues();
}
function mark() {
  const x = position();
  const unit = { steps: "steps", gradients: "gradient evaluations" }[view.x];
  const text = Number.isFinite(x) ? (unit ? `${shown(x)} ${unit}` : time(x)) : "";
  at("at-text").textContent = text;
  at("at").setAttribute("aria-valuetext", text);
  if (Number.isFinite(x)) charts.get("curves-chart")?.view.signal("at", x).runAsync();
}

// Each curve's last point at or before a place on the axis.
function reading(curve, x) {
  const pace = factor(curve);
  let found = -1;
  while (found + 1 < curve.steps.length && curve.steps[found + 1] * pace <= x * (1 + 1e-9)) found += 1;
  return found < 0 ? [NaN, NaN, NaN] : [curve.middle[found], curve.low[found], curve.high[found]].map(number);
}

function listValues() {
  const visible = chosen(), x = position();
  const lines = current.curves.map((curve) => {
    const box = element("input", { type: "checkbox", value: curve.label });
    box.checked = visible.has(curve.label);
    const swatch = swatchOf(curve.style);
    const [middle, low, high] = box.checked ? reading(curve, x) : [NaN, NaN, NaN];
    const band = Number.isNaN(low) ? "—" : `${shown(low)} – ${shown(high)}`;
    return element("tr", { class: curve.learned ? "learned" : "" },
      element("th", { scope: "row" }, element("label", {}, box, swatch, curve.label)),
      element("td", { class: "number" }, shown(middle)), element("td", { class: "number" }, band),
      element("td", { class: "number" }, curve.final.shown));
  });
  const focused = document.activeElement?.closest?.("#values") ? document.activeElement.value : null;
  at("values").tBodies[0].replaceChildren(...lines);
  if (focused) at("values").querySelectorAll("input").forEach((box) => box.value === focused && box.focus());
}

async function drawHeldout(visible) {
  if (!at("heldout-chart")) return;
  const metrics = current.heldout.map((m) => m.metric);
  at("metric").replaceChildren(...metrics.map((metric) => element("option", { value: metric }, metric)));
  const found = current.heldout.find((m) => m.metric === view.metric) ?? current.heldout[0];
  at("heldout-remark").textContent = "";
  at("metric").parentElement.hidden = !found;
  if (!found) return none("heldout-chart", "No held-out curves were recorded on this task.");
  at("metric").value = found.metric;
  const curves = new Map(found.curves.map((c) => [`${c.run}\n${c.optimizer}`, c]));
  const rows = visible.filter((c) => Number.isFinite(factor(c))).flatMap((curve) => {
    const own = curves.get(`${curve.run}\n${curve.optimizer}`);
    return (own?.steps ?? []).map((step, i) => ({ label: curve.label, learned: curve.learned, x: step * factor(curve), y: number(own.middle[i]), low: number(own.low[i]), high: number(own.high[i]) }));
  });
  const y = scaleOf(rows.map((row) => row.low));
  const drawn = rows.filter((row) => [row.y, row.low, row.high].every(Number.isFinite) && (view.x !== "seconds" || row.x > 0));
  if (drawn.length < rows.length && view.x !== "seconds") at("heldout-remark").textContent = `${rows.length - drawn.length} points are not finite.`;
  if (!drawn.length) return none("heldout-chart", "Choose an optimizer that has held-out curves.");
  await draw("heldout-chart", heldoutSpec(visible, drawn, { x: view.x, y, bands: view.bands === "1", title: `held-out ${found.metric}`, xTitle: UNITS[view.x] }));
}

async function drawFinals(visible) {
  const sorted = [...visible].sort((a, b) => number(a.final.mean) - number(b.final.mean));
  const dots = sorted.flatMap((c) => c.final.dots.map((x, i) => ({ label: c.label, x: number(x), jitter: ((i * 0.618034) % 1) * 1.2 - 0.6 })));
  const means = sorted.filter((c) => finite(c.final.mean)).map((c) => ({ label: c.label, mean: c.final.mean, low: c.final.low, high: c.final.high }));
  const failed = sorted.filter((c) => !finite(c.final.mean));
  const some = sorted.filter((c) => c.final.dots.length < c.seedCount - c.failures);
  const remarks = failed.length ? [`No mean is drawn where a seed failed: ${failed.map((c) => `${c.label}`).join(", ")}.`] : [];
  if (some.length) remarks.push(`Only the first ${some[0].final.dots.length} of ${some[0].seedCount} seeds have a dot; means and intervals are of all.`);
  at("finals-remark").textContent = remarks.join(" ");
  if (!dots.length) return none("finals-chart", "Nothing to draw.");
  await draw("finals-chart", finalsSpec(sorted, dots, means, scaleOf(dots.map((d) => d.x))));
}

async function drawCosts(visible) {
  const points = visible.filter((c) => finite(c.final.mean) && finite(c.cost[view.cost])).map((c) => ({ label: c.label, x: number(c.cost[view.cost]), ...c.final, dots: 0 }));
  const left = visible.length - points.length;
  at("cost-remark").textContent = left ? `${left} of ${visible.length} optimizers have no finite loss or no such cost.` : "";
  if (!points.length) return none("cost-chart", "Nothing to draw.");
  const xs = points.map((p) => p.x), xType = scaleOf(xs);
  const chart = await draw("cost-chart", costSpec(visible, points, { cost: view.cost, title: at("cost").selectedOptions[0].textContent, xType, yType: scaleOf(points.map((p) => p.low)) }));
  nameMarks("cost-chart", chart, points);
}

async function drawLandscape(visible) {
  const found = new Map(visible.map((c) => [`${c.run}\n${c.optimizer}`, c]));
  const tried = current.landscapes.filter((l) => found.has(`${l.run}\n${l.optimizer}`));
  const all = tried.flatMap((l) => l.rates.map((x, i) => ({ label: found.get(`${l.run}\n${l.optimizer}`).label, x, y: number(l.means[i]), chosen: x === l.chosen })));
  const edges = tried.filter((l) => l.edge).map((l) => l.optimizer);
  at("landscape-remark").textContent = edges.length ? `The chosen rate lies at the edge of the grid, so a better one may lie beyond: ${edges.join(", ")}.` : "";
  const rows = all.filter((row) => Number.isFinite(row.y));
  if (!all.length) return none("landscape-chart", "None of the chosen optimizers was tuned.");
  await draw("landscape-chart", landscapeSpec(visible, rows, all.filter((row) => !Number.isFinite(row.y)), rows.filter((row) => row.chosen), scaleOf(rows.map((row) => row.y))));
}

async function drawProfiles(visible) {
  if (!at("profile-chart")) return;
  at("profile").value = view.profile;
  if (!at("profile").value) at("profile").value = USUAL.profile;
  const measure = at("profile").value.replace("all-", "");
  const found = new Map(visible.map((c) => [`${c.run}\n${c.optimizer}`, c.label]));
  const rows = (at("profile").value.startsWith("all-") ? (await part("profiles")) : current.profiles)
    .filter((p) => p.measure === measure && found.has(`${p.run}\n${p.optimizer}`))
    .flatMap((p) => p.taus.map((x, i) => ({ label: found.get(`${p.run}\n${p.optimizer}`), x, y: p.shares[i], low: p.low[i], high: p.high[i] })));
  if (!rows.length) return none("profile-chart", "None of the chosen optimizers has such a profile. It needs tuned Adam and a target loss, and a timing pass for seconds.");
  await draw("profile-chart", profilesSpec(visible, rows, `τ = ${measure} to the target ÷ tuned Adam's`));
}

const MOST_ROWS = 30, MOST_COLUMNS = 12;
const familyOf = (task) => task.split("[")[0];
async function drawHeat() {
  if (!at("heat-chart")) return;
  at("axis").value = view.axis;
  const heat = await part("heat");
  const of = (cell) => `${[cell.optimizer, ...(cell.run ? [cell.run] : [])].join(" · ")}\ntrained on ${cell.trained_on}`;
  const found = heat.filter((cell) => view.axis === "all" || cell.axis === view.axis || cell.axis === "none");
  const tasks = [...new Set(found.map((cell) => cell.task))];
  const families = [...new Set(tasks.map(familyOf))];
  const options = tasks.length > MOST_ROWS ? families : ["all", ...families];
  at("family").replaceChildren(...options.map((name) => element("option", { value: name }, name)));
  at("family").value = options.includes(view.family) ? view.family : options[0];
  const shown = tasks.filter((task) => at("family").value === "all" || familyOf(task) === at("family").value);
  const rows = new Set(shown.slice(0, MOST_ROWS));
  const columns = [...new Set(found.filter((cell) => rows.has(cell.task)).map(of))];
  const drawn = new Set(columns.slice(0, MOST_COLUMNS));
  const cells = found.filter((cell) => rows.has(cell.task) && drawn.has(of(cell))).map((cell) => ({ ...cell, column: of(cell), value: number(cell.typical_ratio) }));
  const left = [shown.length > MOST_ROWS ? `${shown.length - MOST_ROWS} more tasks` : "", columns.length > MOST_COLUMNS ? `${columns.length - MOST_COLUMNS} more optimizers` : ""].filter(Boolean);
  at("heat-remark").textContent = `${rows.size} of ${tasks.length} tasks.${left.length ? ` The table below has ${left.join(" and ")}.` : ""}`;
  if (!cells.length) return none("heat-chart", "Nothing to draw.");
  await draw("heat-chart", heatSpec(cells.map((cell) => ({ ...cell, value: Number.isNaN(cell.value) ? 1 : cell.value })), [...drawn]));
}

async function start() {
  window.l2obench = { turn: () => drawing };
  watchAddress();
  index = await part("index");
  at("task").append(...index.tasks.map((task) => element("option", { value: task }, task)));
  if (at("axis")) {
    const heat = await part("heat");
    const axes = [...new Set(heat.map((cell) => cell.axis))].filter((axis) => axis !== "none");
    at("axis").append(...["all", ...axes].map((axis) => element("option", { value: axis }, axis)));
    at("axis").addEventListener("change", () => { change({ axis: at("axis").value }); drawHeat(); });
    at("family").addEventListener("change", () => { change({ family: at("family").value }); drawHeat(); });
  }
  const form = at("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    const { name, type, value, checked } = event.target;
    change({ [name]: type === "checkbox" ? (checked ? "1" : "0") : name === "task" && value === index.tasks[0] ? "" : value });
    show();
  });
  at("profile")?.addEventListener("change", () => { change({ profile: at("profile").value }); show(); });
  at("metric")?.addEventListener("change", () => { change({ metric: at("metric").value }); show(); });
  at("cost").addEventListener("change", () => { change({ cost: at("cost").value }); show(); });
  at("at").addEventListener("input", () => { change({ at: at("at").value }); point(null); });
  at("values").addEventListener("change", (event) => {
    const now = chosen();
    now[event.target.checked ? "add" : "delete"](event.target.value);
    change({ show: JSON.stringify([...now]) });
    show();
  });
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => { change({ show: button.dataset.choose }); show(); });
  }
  listeners.push(show, drawHeat);
  dressForest();
  let width = document.documentElement.clientWidth, timer;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (width === document.documentElement.clientWidth) return;
      width = document.documentElement.clientWidth;
      show();
      drawHeat();
    }, 150);
  });
  dressTables();
  await show();
  drawHeat();
  goTo(section);
}
