// Unpacks what the page carries: JSON, deflated, as base64; each part once, when it is first asked for.
const parts = new Map();

function part(name) {
  if (!parts.has(name)) parts.set(name, unpack(document.getElementById(`data-${name}`).textContent));
  return parts.get(name);
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// JSON has no infinities: they travel as words.
const number = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value === null ? NaN : value);
const finite = (value) => Number.isFinite(number(value));

// As reports/formats.py writes numbers.
function shown(value) {
  const x = number(value);
  if (Number.isNaN(x)) return "—";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if ((Number.isInteger(x) && Math.abs(x) < 1e6) || (Math.abs(x) >= 1e3 && Math.abs(x) < 1e6)) {
    return Math.round(x).toLocaleString("en-US");
  }
  if (x !== 0 && (Math.abs(x) < 1e-4 || Math.abs(x) >= 1e6)) {
    return x.toExponential(3).replace(/\.?0+e/, "e").replace(/e([+-])(\d)$/, "e$10$2");
  }
  return String(Number(x.toPrecision(4)));
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
