// One task's rows of the tables on costs, tuning, failures and trials, below its charts.
const TASK_TABLES = {
  tasks: "Against the best baseline",
  failures: "Failures",
  tuning: "Tuning",
  costs: "Costs",
  trials_by_task: "Trials to match",
};

async function drawTask() {
  const task = index.tasks[Math.max(index.tasks.indexOf(view.task), 0)];
  const found = [];
  for (const [name, title] of Object.entries(TASK_TABLES)) {
    if (!document.getElementById(`data-table-${name}`)) continue;
    const { columns, cells } = await part(`table-${name}`);
    const of = columns.findIndex((column) => column.name === "task");
    const rows = cells[of].flatMap((text, row) => (text === task ? [row] : []));
    if (rows.length) found.push(taskTable(title, columns, cells, rows));
  }
  at("task-tables").replaceChildren(...found);
}

function taskTable(title, columns, cells, rows) {
  // A column that says nothing on this task, or names it again, is left out.
  const kept = columns.flatMap((column, place) => (column.name === "task" || rows.every((row) => cells[place][row] === "—") ? [] : [place]));
  const head = kept.map((place) => element("th", { scope: "col", class: columns[place].numeric ? "number" : "" }, columns[place].title));
  const lines = rows.map((row) => element("tr", {}, ...kept.map((place, first) => first
    ? element("td", { class: columns[place].numeric ? "number" : "" }, cells[place][row])
    : element("th", { scope: "row" }, cells[place][row]))));
  const table = element("table", {}, element("caption", { class: "hidden" }, title), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines));
  const scroll = element("div", { class: "scroll", role: "region", "aria-label": title, tabindex: "0" }, table);
  return element("details", { class: "task-table" }, element("summary", {}, `${title} (${rows.length} ${rows.length === 1 ? "row" : "rows"})`), scroll);
}
