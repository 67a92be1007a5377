// What the charts look like: Vega-Lite specifications. Colours are the page's own, so that dark mode and print follow.
const DASHES = [[1, 0], [7, 3], [2, 2], [7, 3, 2, 3]];
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

// A long name on two lines, the second with its parameters: what tells checkpoints apart comes last.
const bracket = "indexof(datum.label, '[')";
const LINES = `length(datum.label) > 22 && ${bracket} > 0 ? [slice(datum.label, 0, ${bracket}), slice(datum.label, ${bracket})] : datum.label`;

// On one line, beside a point: a checkpoint's name without the word for it.
const SHORT = "replace(datum.label, regexp('\\\\[checkpoint=(.*)\\\\]$'), ' $1')";

const colour = (style) => `var(--${style.learned ? "learned" : "baseline"}-${style.colour})`;
const quoted = (label) => ({ field: label, type: "nominal" });
const axis = (field, title, type, extra = {}) => ({
  field, type: "quantitative", title, scale: { type, ...(type === "log" ? {} : { zero: false }), ...extra.scale },
  axis: { format: ".4~g", ...(type === "log" ? DECADES : {}), ...extra.axis },
});

function palette(curves) {
  return {
    colour: { ...quoted("label"), legend: null, scale: { domain: curves.map((c) => c.label), range: curves.map((c) => colour(c.style)) } },
    dash: { ...quoted("label"), legend: null, scale: { domain: curves.map((c) => c.label), range: curves.map((c) => DASHES[c.style.dash]) } },
  };
}

function curvesSpec(curves, rows, seeds, { x, y, bands, title, xTitle }) {
  const style = palette(curves);
  const across = axis("x", xTitle, x === "seconds" ? "log" : "linear", { scale: { nice: false }, axis: { format: x === "seconds" ? "~s" : ".4~g" } });
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
  }
  layers.push({
    data: { values: [{ here: true }] }, mark: { type: "rule", color: quiet, strokeDash: [3, 3], aria: false },
    encoding: { x: { datum: { expr: "at" }, type: "quantitative" } },
  });
  return { params: [{ name: "at", value: rows.length ? rows[rows.length - 1].x : 1 }], layer: layers, height: 340 };
}

function heldoutSpec(curves, rows, { x, y, bands, title, xTitle }) {
  const style = palette(curves);
  const across = axis("x", xTitle, x === "seconds" ? "log" : "linear", { scale: { nice: false }, axis: { format: x === "seconds" ? "~s" : ".4~g" } });
  const up = axis("y", title, y, { scale: { zero: false } });
  const band = { mark: { type: "area", opacity: 0.15, aria: false }, encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour } };
  const lines = { mark: { type: "line", point: { size: 26 }, strokeCap: "butt", aria: false }, encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash, strokeWidth: { condition: { test: "datum.learned", value: 3 }, value: 1.6 } } };
  return { data: { values: rows }, height: 300, layer: bands ? [band, lines] : [lines] };
}

function finalsSpec(curves, dots, means, type) {
  const style = palette(curves);
  const row = {
    field: "label", type: "nominal", sort: curves.map((c) => c.label), title: null,
    axis: { grid: false, ticks: false, labelPadding: 8, labelLimit: 250, labelExpr: LINES, labelOverlap: false },
  };
  const across = axis("x", "final training loss", type);
  return {
    height: 34 * curves.length,
    layer: [
      { data: { values: dots }, mark: { type: "circle", size: 28, opacity: 0.45, aria: false }, encoding: { y: row, x: across, yOffset: { field: "jitter", type: "quantitative", scale: { domain: [-1, 1] } }, color: style.colour } },
      { data: { values: means }, mark: { type: "rule", strokeWidth: 3, aria: false }, encoding: { y: row, x: { ...across, field: "low" }, x2: { field: "high" }, color: style.colour } },
      { data: { values: means }, mark: { type: "point", shape: "diamond", filled: true, opacity: 1, size: 110, stroke: "var(--surface)", strokeWidth: 1.5, aria: false }, encoding: { y: row, x: { ...across, field: "mean" }, color: style.colour } },
    ],
  };
}

function costSpec(curves, points, { title, xType, yType }) {
  const style = palette(curves);
  const across = axis("x", title, xType, { axis: { format: "~s" } });
  const up = axis("mean", "mean final loss", yType);
  const layers = [
    { mark: { type: "rule", strokeWidth: 2, opacity: 0.6, aria: false }, encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour } },
    { mark: { type: "point", filled: true, size: 110, opacity: 1, aria: false }, encoding: { x: across, y: up, color: style.colour } },
  ];
  if (points.length <= 12) {
    layers.push({ mark: { type: "text", align: { expr: "datum.right ? 'right' : 'left'" }, dx: { expr: "datum.right ? -9 : 9" }, dy: -7, fontSize: 12, limit: 250, aria: false, color: ink, text: { expr: SHORT } }, encoding: { x: across, y: up } });
  }
  return { data: { values: points }, layer: layers, height: 300 };
}

function landscapeSpec(curves, rows, failed, chosen, type) {
  const style = palette(curves);
  const across = axis("x", "learning rate", "log", { axis: { format: "~e" } });
  const up = axis("y", "mean final loss", type);
  return {
    height: 300,
    layer: [
      { data: { values: rows }, mark: { type: "line", point: { size: 22 }, aria: false }, encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash } },
      { data: { values: failed }, mark: { type: "text", text: "×", fontSize: 15, aria: false }, encoding: { x: across, y: { value: 6 }, color: style.colour } },
      { data: { values: chosen }, mark: { type: "point", size: 190, strokeWidth: 2.5, opacity: 1, aria: false }, encoding: { x: across, y: up, color: style.colour } },
    ].filter((layer) => layer.data.values.length),
  };
}

function profilesSpec(curves, rows, title) {
  const style = palette(curves);
  const across = axis("x", title, "log", { scale: { base: 2, domain: [1 / 32, 32] }, axis: { format: ".3~g", gridColor: line, tickColor: line } });
  const up = axis("y", "functions solved within τ", "linear", { scale: { domain: [0, 1] }, axis: { format: ".0%" } });
  return {
    data: { values: rows }, height: 300,
    layer: [
      { mark: { type: "area", opacity: 0.13, aria: false }, encoding: { x: across, y: { ...up, field: "low" }, y2: { field: "high" }, color: style.colour } },
      { mark: { type: "line", aria: false }, encoding: { x: across, y: up, color: style.colour, strokeDash: style.dash } },
    ],
  };
}

const HEAT = [0.5, 0.8, 0.95, 1.05, 1.25, 2];
function heatSpec(cells) {
  const categories = (field, title, extra) => ({ field, type: "nominal", sort: null, title, axis: { grid: false, domain: false, ticks: false, labelLimit: 330, ...extra } });
  const x = categories("task", "tested on", { orient: "top", labelAngle: -25, labelOverlap: false });
  const y = categories("row", null, { labelOverlap: false });
  return {
    data: { values: cells }, padding: { left: 5, top: 5, bottom: 5, right: 70 }, height: 46 * new Set(cells.map((cell) => cell.row)).size,
    layer: [
      { mark: { type: "rect", strokeWidth: 2, cornerRadius: 4, aria: false }, encoding: { x, y, stroke: { condition: { test: "datum.families === 'trained on'", value: ink }, value: "var(--surface)" }, color: { field: "value", type: "quantitative", legend: null, scale: { type: "threshold", domain: HEAT, range: HEAT.concat(0).map((_, i) => `var(--heat-${i})`) } } } },
      { mark: { type: "text", fontSize: 13, fontWeight: 600, color: ink, aria: false }, encoding: { x, y, text: { field: "shown" } } },
    ],
  };
}
