// Names of lines at their right ends, one below the other, where a chart is wide enough. Elsewhere its table is the key.
const ROOM = 150, GAP = 14, MOST_NAMES = 14, WIDE = 480;
const roomFor = (place, labels) => (place.clientWidth >= WIDE && labels.length <= MOST_NAMES ? ROOM : 0);

// Moves places apart as little as possible, in the sum of squares, so that none is nearer to the next than a gap.
function spreadApart(wanted, gap, high) {
  const blocks = [];
  wanted.forEach((place, i) => {
    blocks.push({ sum: place - i * gap, count: 1 });
    while (blocks.length > 1 && blocks.at(-2).sum / blocks.at(-2).count > blocks.at(-1).sum / blocks.at(-1).count) {
      const last = blocks.pop();
      blocks.at(-1).sum += last.sum;
      blocks.at(-1).count += last.count;
    }
  });
  const risen = blocks.flatMap(({ sum, count }) => Array(count).fill(sum / count));
  const most = Math.max(0, high - gap * (wanted.length - 1));
  return risen.map((place, i) => Math.min(Math.max(place, 0), most) + i * gap);
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function nameLines(id, view, curves, rows) {
  const width = view.width(), height = view.height();
  const x = view.scale("x"), y = view.scale("y");
  const last = new Map();
  for (const row of rows) if (!(last.get(row.label)?.x > row.x)) last.set(row.label, row);
  const ends = curves.filter((curve) => last.has(curve.label)).map((curve) => ({ curve, from: y(last.get(curve.label).y), end: x(last.get(curve.label).x) }));
  ends.sort((a, b) => a.from - b.from);
  const group = drawn("g", { class: "names" });
  spreadApart(ends.map((end) => end.from), GAP, height).forEach((to, i) => {
    const { curve, from, end } = ends[i];
    group.append(drawn("path", { d: `M${end},${from}L${width + 4},${from}L${width + 14},${to}`, fill: "none", stroke: colour(curve.style), "stroke-opacity": 0.6, "stroke-dasharray": end < width - 1 ? "1 3" : "none" }));
    const text = drawn("text", { x: width + 17, y: to, fill: colour(curve.style), "font-size": 11.5, "dominant-baseline": "central", "font-weight": curve.learned ? 600 : 400 });
    text.textContent = short(curve.label);
    group.append(text);
  });
  at(id).querySelector("svg > g").append(group);
}

// What tells checkpoints apart, without the word for it; a name that is still too long is in the table as a whole.
function short(label) {
  const text = label.replace(/\[checkpoint=(.*)\]/, " $1");
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}

// A piece of a curve with its marker, for the table that is the charts' key.
function swatchOf(style) {
  return drawn("svg", { class: "swatch", viewBox: "0 0 34 12", width: 34, height: 12, "aria-hidden": "true", stroke: colour(style) },
    drawn("path", { d: "M1,6H33", "stroke-width": style.learned ? 3 : 1.6, "stroke-dasharray": style.dash.join(" ") || "none" }),
    drawn("path", { d: style.shape, transform: "translate(17,6) scale(3.6)", "stroke-width": 0.36, fill: style.learned ? colour(style) : "var(--surface)" }));
}

// As the axes write a time.
function time(seconds) {
  const [size, unit] = [[3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]].find(([each]) => seconds >= each * (1 - 1e-9)) ?? [1, "s"];
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

// Names beside single marks, where there is room for one that covers neither a mark nor another name.
function nameMarks(id, view, points) {
  const width = view.width(), height = view.height();
  const x = view.scale("x"), y = view.scale("y");
  const group = drawn("g", { class: "names" });
  at(id).querySelector("svg > g").append(group);
  const places = points.map((point) => ({ point, x: x(point.x), y: y(point.mean) }));
  const taken = places.map((mark) => ({ left: mark.x - 6, right: mark.x + 6, top: mark.y - 6, bottom: mark.y + 6 }));
  for (const mark of places) {
    const text = drawn("text", { fill: "var(--ink)", "font-size": 12, "dominant-baseline": "central" });
    text.textContent = short(mark.point.label);
    group.append(text);
    const size = text.getComputedTextLength();
    const free = [[9, 0], [-9 - size, 0], [9, -12], [9, 12], [-9 - size, -12], [-9 - size, 12], [-size / 2, -15], [-size / 2, 15]]
      .map(([dx, dy]) => ({ left: mark.x + dx, right: mark.x + dx + size, top: mark.y + dy - 7, bottom: mark.y + dy + 7 }))
      .find((box) => box.left >= 0 && box.right <= width && box.top >= -8 && box.bottom <= height + 8 &&
        taken.every((other) => box.right < other.left || box.left > other.right || box.bottom < other.top || box.top > other.bottom));
    if (!free) {
      text.remove();
      continue;
    }
    text.setAttribute("x", free.left);
    text.setAttribute("y", (free.top + free.bottom) / 2);
    taken.push(free);
  }
}
