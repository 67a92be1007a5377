// Tables: sorted by a click on a heading, filtered by words, handed out as CSV. Their rows come from the packed part.

function dressTables() {
  for (const place of document.querySelectorAll("[data-table]")) dressTable(place.dataset.table, place);
}

function dressTable(name, place) {
  const head = place.querySelector("thead tr");
  const caption = place.querySelector("caption").textContent;
  const count = element("span", { class: "quiet", role: "status" });
  const filter = element("input", { type: "search", placeholder: "words in a row", id: `filter-${name}` });
  const label = element("label", { for: `filter-${name}` }, "Filter ", element("span", { class: "hidden" }, caption));
  const csv = element("button", { type: "button" }, "Download CSV");
  csv.setAttribute("aria-label", `Download as CSV: ${caption}`);
  place.prepend(element("p", { class: "tools" }, label, filter, count, csv));
  const heads = [...head.children];
  heads.forEach((cell, column) => {
    const button = element("button", { type: "button", class: "sort" }, cell.textContent);
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const [by, down] = order(name);
      change({ [`sort-${name}`]: `${by === column && !down ? "-" : ""}${column}` });
      fill(name, place, heads, count, filter);
    });
  });
  filter.addEventListener("input", () => {
    change({ [`filter-${name}`]: filter.value });
    fill(name, place, heads, count, filter);
  });
  csv.addEventListener("click", async () => {
    const table = await part(`table-${name}`);
    // No field of the CSV holds a line break, so that a line is a row.
    const [heading, ...lines] = table.csv.split("\n");
    const text = [heading, ...selected(name, table, filter.value).map((row) => lines[row]), ""].join("\n");
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    element("a", { href: url, download: `${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  const refresh = () => {
    filter.value = view[`filter-${name}`] ?? "";
    fill(name, place, heads, count, filter);
  };
  listeners.push(refresh);
  // On paper a table is whole. Its part was unpacked when the page began, so that its rows are there before the print.
  window.addEventListener("beforeprint", () => { if (place.querySelector(".more")) fill(name, place, heads, count, filter, Infinity); });
  window.addEventListener("afterprint", refresh);
  if (view[`sort-${name}`] || view[`filter-${name}`] || place.querySelector(".more")) refresh();
}

function taskLink(task) {
  return element("a", { href: `#explore?task=${encodeURIComponent(task)}` }, task);
}

function order(name) {
  const text = view[`sort-${name}`] ?? "";
  return text === "" ? [-1, false] : [Math.abs(parseInt(text, 10)), text.startsWith("-")];
}

// The rows that have all words of the filter, in the chosen order.
function selected(name, { cells, ranks, learned }, text) {
  const [by, down] = order(name);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = learned.map((_, row) => row).filter((row) => {
    const line = words.length ? cells.map((column) => column[row]).join("\n").toLowerCase() : "";
    return words.every((word) => line.includes(word));
  });
  if (ranks[by]) rows.sort((a, b) => (down ? ranks[by][b] - ranks[by][a] : ranks[by][a] - ranks[by][b]));
  return rows;
}

async function fill(name, place, heads, count, filter, limit = Number(place.dataset.rows)) {
  const table = await part(`table-${name}`);
  const { columns, cells, learned } = table;
  const [by, down] = order(name);
  const rows = selected(name, table, filter.value);
  heads.forEach((cell, column) => {
    if (column === by) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const body = document.createDocumentFragment();
  for (const row of rows.slice(0, limit)) {
    const line = element("tr", { class: learned[row] ? "learned" : "" });
    columns.forEach((column, place) => {
      const cell = place ? element("td") : element("th", { scope: "row" });
      if (column.numeric) cell.className = "number";
      const text = cells[place][row];
      cell.append(column.name === "task" && document.getElementById("explore") ? taskLink(text) : text);
      line.append(cell);
    });
    body.append(line);
  }
  place.querySelector("tbody").replaceChildren(body);
  count.textContent = rows.length < learned.length ? `${rows.length} of ${learned.length} rows` : "";
  let more = place.querySelector(".more");
  if (more) more.remove();
  if (rows.length > limit) {
    more = element("button", { type: "button" }, `Show all ${rows.length} rows`);
    more.addEventListener("click", () => fill(name, place, heads, count, filter, Infinity));
    place.append(element("p", { class: "more" }, more));
  }
}
