// What the charts look like: Vega-Lite specifications. Colours are the page's own, so that dark mode and print follow.
const ink = "var(--ink)", quiet = "var(--quiet)", line = "var(--line)";
const CONFIG = {
  background: null,
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
  view: { stroke: null },
  axis: {
    labelColor: quiet, titleColor: ink, gridColor: line, domainColor: quiet, tickColor: quiet, labelFontSize: 12,
    titleFontSize: 12, titleFontWeight: "normal", labelLimit: 220, labelOverlap: true, tickCount: 6,
  },
};

// Lines at powers of ten only.
const whole = { test: "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6", value: line };
const DECADES = { gridColor: { condition: whole, value: "transparent" }, tickColor: { condition: whole, value: "transparent" } };

// On a logarithmic axis of two decades or more only powers of ten have a label, on a shorter one 2 and 5 too.
const mantissa = "datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9))";
const near = (values) => values.map((value) => `abs(${mantissa} - ${value}) < 1e-6`).join(" || ");
const logLabel = (scale, text) => `datum.value > 0 && (${near([1])} || (domain('${scale}')[1] < 99 * domain('${scale}')[0] && (${near([2, 5])}))) ? (${text}) : ''`;
// Small and large powers as such: 1e-6, not 0.000001.
const POWERS = "datum.value < 1e-3 || datum.value >= 1e5 ? replace(format(datum.value, '.0e'), '+', '') : format(datum.value, '.4~g')";

// A long name on two lines, the second with its parameters: what tells checkpoints apart comes last.
const bracket = "indexof(datum.label, '[')";
const LINES = `length(datum.label) > 22 && ${bracket} > 0 ? [slice(datum.label, 0, ${bracket}), slice(datum.label, ${bracket})] : datum.label`;

const colour = (style) => `var(${style.colour})`;
const quoted = (label) => ({ field: label, type: "nominal" });
const axis = (field, title, type, { channel = "y", text = POWERS, ...extra } = {}) => ({
  field, type: "quantitative", title, scale: { type, ...(type === "log" ? {} : { zero: false }), ...extra.scale },
  axis: { ...(type === "log" ? { labelExpr: logLabel(channel, text), ...DECADES } : text === POWERS ? { format: ".4~g" } : { labelExpr: text }), ...extra.axis },
});

// Seconds with the unit in which the number is 1 or more, as reports/figures/ticks.py writes them.
const TIME = [[3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]].reduceRight(
  (rest, [size, unit]) => `datum.value >= ${size * (1 - 1e-9)} ? format(datum.value / ${size}, '.3~g') + ' ${unit}' : ${rest}`,
  "datum.value > 0 ? format(datum.value / 1e-9, '.3~g') + ' ns' : '0 s'",
);
// Bytes by powers of 1,024.
const BYTES = [[1024 ** 3, "GiB"], [1024 ** 2, "MiB"], [1024, "KiB"]].reduceRight(
  (rest, [size, unit]) => `datum.value >= ${size} ? format(datum.value / ${size}, '.3~g') + ' ${unit}' : ${rest}`,
  "format(datum.value, '.3~g') + ' B'",
);

// About six of a curve's points have a marker, not at the same places as those of other curves.
function marked(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.label, [...(found.get(row.label) ?? []), row]);
  return [...found.values()].flatMap((points, place) => {
    const every = Math.max(1, Math.floor(points.length / 6));
    return points.filter((_, i) => i % every === Math.floor((every * (place % 5)) / 5));
  });
}
const markers = (style, across, up) => ({
  mark: { type: "point", size: 42, strokeWidth: 1.3, opacity: 1, aria: false },
  encoding: { x: across, y: up, shape: style.shape, stroke: style.colour, fill: style.inside },
});

function palette(curves) {
  return {
    colour: { ...quoted("label"), legend: null, scale: { domain: curves.map((c) => c.label), range: curves.map((c) => colour(c.style)) } },
    dash: { ...quoted("label"), legend: null, scale: { domain: curves.map((c) => c.label), range: curves.map((c) => (c.style.dash.length ? c.style.dash : [1, 0])) } },
    shape: { ...quoted("label"), legend: null, scale: { domain: curves.map((c) => c.label), range: curves.map((c) => c.style.shape) } },
    // Markers of learned optimizers are filled, those of baselines open.
    inside: { ...quoted("label"), legend: null, scale: { domain: curves.map((c) => c.label), range: curves.map((c) => (c.style.learned ? colour(c.style) : "var(--surface)")) } },
  };
}

function curvesSpec(curves, rows, seeds, { x, y, bands, title, xTitle }) {
  const style = palette(curves);
  const across = axis("x", xTitle, x === "seconds" ? "log" : "linear", { channel: "x", text: x === "seconds" ? TIME : POWERS, scale: { nice: false } });
  const up = axis("y", title, y);
  const layers = [];
  if (bands) {
    layers.push({
      data: { values: rows }, mark: { type: "area", opacity: 0.15, aria: false },
      encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour },
    });
  }
  if (seeds.length) {
    layers.push({
      data: { values: seeds }, mark: { type: "line", strokeWidth: 0.8, opacity: 0.35, aria: false },
      encoding: { x: across, y: up, color: style.colour, detail: { field: "seed" } },
    });
  }
  const learned = new Set(curves.filter((c) => c.style.learned).map((c) => c.label));
  for (const thick of [false, true]) {
    const values = rows.filter((row) => learned.has(row.label) === thick);
    if (!values.length) continue;
    layers.push({
      data: { values }, mark: { type: "line", aria: false, strokeCap: "butt", strokeWidth: thick ? 3 : 1.6 },
      encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash },
    });
    layers.push({ data: { values: marked(values) }, ...markers(style, across, up) });
  }
  layers.push({
    data: { values: [{ here: true }] }, mark: { type: "rule", color: quiet, strokeDash: [3, 3], aria: false },
    encoding: { x: { datum: { expr: "at" }, type: "quantitative" } },
  });
  return { params: [{ name: "at", value: rows.length ? rows[rows.length - 1].x : 1 }], layer: layers, height: 340 };
}

function heldoutSpec(curves, rows, { x, y, bands, title, xTitle }) {
  const style = palette(curves);
  const across = axis("x", xTitle, x === "seconds" ? "log" : "linear", { channel: "x", text: x === "seconds" ? TIME : POWERS, scale: { nice: false } });
  const up = axis("y", title, y, { scale: { zero: false } });
  const band = { mark: { type: "area", opacity: 0.15, aria: false }, encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour } };
  const lines = { mark: { type: "line", strokeCap: "butt", aria: false }, encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash, strokeWidth: { condition: { test: "datum.learned", value: 3 }, value: 1.6 } } };
  return { data: { values: rows }, height: 300, layer: [...(bands ? [band] : []), lines, markers(style, across, up)] };
}

function finalsSpec(curves, dots, means, type) {
  const style = palette(curves);
  const row = {
    field: "label", type: "nominal", sort: curves.map((c) => c.label), title: null,
    axis: { grid: false, ticks: false, labelPadding: 8, labelLimit: 250, labelExpr: LINES, labelOverlap: false },
  };
  const across = axis("x", "final training loss", type, { channel: "x" });
  return {
    height: 34 * curves.length,
    layer: [
      { data: { values: dots }, mark: { type: "circle", size: 28, opacity: 0.45, aria: false }, encoding: { y: row, x: across, yOffset: { field: "jitter", type: "quantitative", scale: { domain: [-1, 1] } }, color: style.colour } },
      { data: { values: means }, mark: { type: "rule", strokeWidth: 3, aria: false }, encoding: { y: row, x: { ...across, field: "low" }, x2: { field: "high" }, color: style.colour } },
      { data: { values: means }, mark: { type: "point", filled: true, opacity: 1, size: 100, stroke: "var(--surface)", strokeWidth: 1, aria: false }, encoding: { y: row, x: { ...across, field: "mean" }, shape: style.shape, fill: style.colour } },
    ],
  };
}

const COSTS = { run: TIME, update: TIME, memory: BYTES, tuning: "format(datum.value, ',.4~r')" };
function costSpec(curves, points, { cost, title, xType, yType }) {
  const style = palette(curves);
  const across = axis("x", title, xType, { channel: "x", text: COSTS[cost] });
  const up = axis("mean", "mean final loss", yType);
  const layers = [
    { mark: { type: "rule", strokeWidth: 2, opacity: 0.6, aria: false }, encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour } },
    { mark: { type: "point", size: 90, strokeWidth: 1.6, opacity: 1, aria: false }, encoding: { x: across, y: up, shape: style.shape, stroke: style.colour, fill: style.inside } },
  ];
  return { data: { values: points }, layer: layers, height: 300 };
}

function landscapeSpec(curves, rows, failed, chosen, type) {
  const style = palette(curves);
  const across = axis("x", "learning rate", "log", { channel: "x" });
  const up = axis("y", "mean final loss", type);
  return {
    height: 300,
    layer: [
      { data: { values: rows }, mark: { type: "line", aria: false }, encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash } },
      { data: { values: rows }, ...markers(style, across, up) },
      { data: { values: failed }, mark: { type: "text", text: "×", fontSize: 15, aria: false }, encoding: { x: across, y: { value: 6 }, color: style.colour } },
      { data: { values: chosen }, mark: { type: "point", size: 190, strokeWidth: 2.5, opacity: 1, aria: false }, encoding: { x: across, y: up, color: style.colour } },
    ].filter((layer) => layer.data.values.length),
  };
}

function profilesSpec(curves, rows, title) {
  const style = palette(curves);
  const across = axis("x", title, "log", { scale: { base: 2, domain: [1 / 32, 32] }, axis: { labelExpr: "datum.value < 1 ? '1/' + format(1 / datum.value, 'd') : format(datum.value, 'd')", gridColor: line, tickColor: line } });
  const up = axis("y", "functions solved within τ", "linear", { scale: { domain: [0, 1] }, axis: { format: ".0%" } });
  return {
    data: { values: rows }, height: 300,
    layer: [
      { mark: { type: "area", opacity: 0.13, aria: false }, encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour } },
      { mark: { type: "line", aria: false }, encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash } },
      { data: { values: marked(rows) }, ...markers(style, across, up) },
    ],
  };
}

const HEAT = [0.5, 0.8, 0.95, 1.05, 1.25, 2];
function heatSpec(cells, columns) {
  const categories = (field, title, extra) => ({ field, type: "nominal", sort: null, title, axis: { grid: false, domain: false, ticks: false, labelOverlap: false, ...extra } });
  const x = categories("column", null, { orient: "top", labelAngle: columns.length > 3 ? -20 : 0, labelLimit: 260, labelAlign: columns.length > 3 ? "left" : "center", labelExpr: "split(datum.label, '\\n')" });
  const y = categories("task", null, { labelLimit: 300 });
  return {
    data: { values: cells }, padding: { left: 5, top: 5, bottom: 5, right: columns.length > 3 ? 90 : 10 }, height: 30 * new Set(cells.map((cell) => cell.task)).size,
    layer: [
      { mark: { type: "rect", strokeWidth: 2, cornerRadius: 4, aria: false }, encoding: { x, y, stroke: { condition: { test: "datum.families === 'trained on'", value: ink }, value: "var(--surface)" }, color: { field: "value", type: "quantitative", legend: null, scale: { type: "threshold", domain: HEAT, range: HEAT.concat(0).map((_, i) => `var(--heat-${i})`) } } } },
      { mark: { type: "text", fontSize: 13, fontWeight: 600, color: ink, aria: false }, encoding: { x, y, text: { field: "shown" } } },
    ],
  };
}
