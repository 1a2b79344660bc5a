"use strict";
// The table of runs: sorted, filtered and shown in parts, so that 10,000 runs are as quick as ten.

const PAGE_ROWS = 25;
const COLUMNS = [
  {name: "Compare", render: run => compareBox(run)},
  {name: "Started", key: run => run.when || run.time, text: run => localTime(run.time), render: run => startedCell(run)},
  {name: "Project", key: run => run.projectName.toLowerCase(), text: run => run.projectName,
    render: run => [run.colour !== null && DATA.projects.length > 1 && swatch(run.colour), run.projectName]},
  {name: "Status", key: run => run.status, text: run => run.status, render: run => statusCell(run)},
  {name: "Duration", numeric: true, key: run => run.duration_s, render: run => duration(run.duration_s)},
  {name: "Energy", numeric: true, key: run => run.kwh?.[0] ?? -1, render: run => inRun(run, energyOf(run.kwh))},
  {name: "95 % of energy", numeric: true, key: run => run.kwh?.length === 3 ? run.kwh[2] / run.kwh[0] : Infinity,
    render: run => energyRangeOf(run.kwh) || none()},
  {name: "Emissions", numeric: true, key: run => run.kg?.[0] ?? -1, render: run => inRun(run, emissionsOf(run.kg))},
  {name: "Grade", key: run => run.grades || "~", render: run => run.grades || none()},
];
const view = {sorted: 1, descending: true, text: "", project: "", status: "", page: 0, open: new Set(), compared: [], metric: ""};
let shown = RUNS;

/** Figures of a run that another run includes are in parentheses. */
const inRun = (run, text) => run.counted < 1 ? `(${text})` : text;
const none = () => element("span", {class: "none"}, element("span", {"aria-hidden": "true"}, "–"), element("span", {class: "hidden"}, "none"));
const metricColumn = () => view.metric && {name: view.metric, numeric: true, key: run => run.metrics[view.metric] ?? -Infinity,
  render: run => view.metric in run.metrics ? formatted(run.metrics[view.metric]) : none()};
const columns = () => [...COLUMNS, metricColumn()].filter(Boolean);

function statusCell(run) {
  const kind = {completed: "good", running: "good", failed: "bad", interrupted: "warn", missing: "warn"}[run.status] ?? "plain";
  return element("span", {class: `status ${kind}`}, run.status);
}

function startedCell(run) {
  if (run.isMissing) return localTime(run.time);
  const link = element("a", {href: `#run=${encodeURIComponent(run.id)}`}, localTime(run.time));
  if (!run.parts.length) return link;
  const isOpen = view.open.has(run.id);
  return [link, element("button", {type: "button", class: "parts", "aria-expanded": String(isOpen),
    onclick: event => { event.stopPropagation(); isOpen ? view.open.delete(run.id) : view.open.add(run.id); updateTable(); focusOn(`[data-parts="${CSS.escape(run.id)}"]`); },
    "data-parts": run.id}, plural(run.parts.length, "part"))];
}

function compareBox(run) {
  if (!run.id || run.isMissing) return null;
  return element("input", {type: "checkbox", "aria-label": `Compare the run of ${localTime(run.time)}`, checked: view.compared.includes(run.id),
    onchange: event => choose(run.id, event.target.checked)});
}

/** Choose a run to compare; the first of three is dropped. */
function choose(id, isChosen) {
  view.compared = view.compared.filter(one => one !== id);
  if (isChosen) view.compared = [...view.compared, id].slice(-2);
  for (const box of document.querySelectorAll("#runs tbody input")) {
    box.checked = view.compared.includes(box.closest("tr").dataset.id);
  }
  updateCompareButton();
}

function updateCompareButton() {
  const button = find("#compare-button"), count = view.compared.length;
  button.disabled = count < 2;
  button.textContent = count < 2 ? `Compare two runs (${count} chosen)` : "Compare the two runs";
}

function rowOf(run, isPart = false) {
  const cells = columns().map(column => element(column.name === "Started" ? "th" : "td",
    {class: column.numeric ? "n" : column.name === "Compare" ? "box" : null, scope: column.name === "Started" ? "row" : null},
    column.render(run)));
  cells[2].classList.add("name");
  return element("tr", {class: isPart ? "part" : "run", "data-id": run.id,
    onclick: event => { if (!run.isMissing && !event.target.closest("a, button, input")) location.hash = `#run=${encodeURIComponent(run.id)}`; }}, cells);
}

/** What the search looks at, made when it is first needed. */
const searchedOf = run => run.searched ??= [run.projectName, run.id, run.status, localTime(run.time), run.grades,
  ...run.parts.map(part => part.id)].join(" ").toLowerCase();

function filtered() {
  const words = view.text.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = run => (!view.project || run.projectName === view.project) && (!view.status || run.status === view.status) &&
    words.every(text => searchedOf(run).includes(text));
  const {key} = columns()[view.sorted] ?? COLUMNS[1];
  const sign = view.descending ? -1 : 1;
  const compare = (a, b) => a < b ? -sign : a > b ? sign : 0;
  return RUNS.filter(matches).map(run => [key(run), run]).sort(([a], [b]) => compare(a, b)).map(([, run]) => run);
}

function updateTable() {
  shown = filtered();
  const pages = Math.max(1, Math.ceil(shown.length / PAGE_ROWS));
  view.page = Math.min(view.page, pages - 1);
  const from = view.page * PAGE_ROWS;
  const rows = shown.slice(from, from + PAGE_ROWS);
  find("#runs thead").replaceChildren(headOf());
  find("#runs tbody").replaceChildren(...rows.flatMap(run => [rowOf(run),
    ...(view.open.has(run.id) ? run.parts.map(part => rowOf(part, true)) : [])]));
  const sum = name => shown.length === RUNS.length && !DATA.total.unlisted ? sumOfAll(name) : sumOf(shown, name);
  const kwh = sum("kwh"), kg = sum("kg"), within = shown.filter(run => run.counted < 1).length;
  const unknown = shown.filter(run => !run.kwh).length;
  const range = energyRangeOf(kwh);
  find("#shown").textContent = shown.length === 0 ? "No run matches: change the search." :
    `${(from + 1).toLocaleString("en")} to ${(from + rows.length).toLocaleString("en")} of ${plural(shown.length, "row")}. Sum: ${energyOf(kwh)}` +
    `${range && ` (95 %: ${range})`}, ${emissionsOf(kg)}${unknown ? `; ${unknown} of unknown energy not included` : ""}` +
    `${within ? `; ${within} within other runs counted there` : ""}.`;
  find("#earlier").disabled = view.page === 0;
  find("#later").disabled = view.page >= pages - 1;
  for (const id of ["#earlier", "#later", "#pages"]) find(id).hidden = pages === 1;
  find("#pages").textContent = `Page ${view.page + 1} of ${pages}`;
  updateCompareButton();
}

function headOf() {
  return element("tr", {}, columns().map(({name, key, numeric}, i) => {
    const order = view.sorted === i ? (view.descending ? "descending" : "ascending") : key ? "none" : null;
    return element("th", {scope: "col", class: numeric ? "n" : null, "aria-sort": order}, key
      ? element("button", {type: "button", class: "sort", onclick: () => sortBy(i)}, name, element("span", {class: "arrow", "aria-hidden": "true"}))
      : element("span", {class: "hidden"}, name));
  }));
}

function sortBy(i) {
  const isText = ["Project", "Status", "Grade"].includes(columns()[i].name);
  view.descending = view.sorted === i ? !view.descending : !isText;
  view.sorted = i;
  view.page = 0;
  updateTable();
  focusOn(`#runs thead th:nth-child(${i + 1}) button`);
}

const focusOn = selector => find(selector)?.focus();

function startTable() {
  const change = (name, value) => { view[name] = value; view.page = 0; updateTable(); };
  const choices = (select, values) => select.append(...values.map(value => element("option", {value}, value)));
  choices(find("#by-project"), DATA.projects);
  choices(find("#by-status"), [...new Set(RUNS.map(run => run.status))].sort());
  find("#search").addEventListener("input", event => change("text", event.target.value));
  find("#by-project").addEventListener("change", event => change("project", event.target.value));
  find("#by-status").addEventListener("change", event => change("status", event.target.value));
  find("#earlier").addEventListener("click", () => { view.page--; updateTable(); });
  find("#later").addEventListener("click", () => { view.page++; updateTable(); });
  find("#compare-button").addEventListener("click", () => { location.hash = `#compare=${view.compared.map(encodeURIComponent).join(",")}`; });
  find("#csv-button").addEventListener("click", () => saveTable(shown));
  watchScrolling(find("#runs .scroll"), find("#runs .cue"));
  updateTable();
}
