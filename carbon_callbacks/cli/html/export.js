"use strict";
// What the page can save: tables as CSV, charts as PNG, a sentence for a paper.

function save(blob, name) {
  const link = element("a", {href: URL.createObjectURL(blob), download: name, hidden: true});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A cell of a CSV file: text that a spreadsheet would take for a formula begins with an apostrophe. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const isFormula = /^[ "`‘“]*[=+\-@\u2212]/u.test(value.normalize("NFKC")) || /^[\t\r]/.test(value);
  const text = isFormula ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const CSV_COLUMNS = ["run_id", "project_name", "started_at", "status", "duration_s", "energy_kwh", "energy_low_kwh", "energy_high_kwh",
  "emissions_kg", "emissions_low_kg", "emissions_high_kg", "grades", "parts"];

/** The rows that are shown, in the order of the table, with figures in their documented units. */
function tableAsCsv(runs) {
  const three = figure => [0, 1, 2].map(i => figure?.[i]);
  const rows = runs.map(run => [run.id, run.projectName, run.time, run.status, run.duration_s, ...three(run.kwh), ...three(run.kg),
    run.grades, Math.max(1, run.parts.length), ...METRICS.map(name => run.metrics[name])]);
  return [[...CSV_COLUMNS, ...METRICS], ...rows].map(row => row.map(cell).join(",")).join("\n") + "\n";
}

const saveTable = runs => save(new Blob([tableAsCsv(runs)], {type: "text/csv"}), "carbon-report.csv");

const PICTURE_STYLES = ["fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin", "stroke-dasharray", "opacity", "fill-opacity",
  "font-family", "font-size", "font-weight", "text-anchor"];

/** A chart as a PNG at twice its size, in the colours of the page as it is now. */
async function savePicture(svg, title) {
  const copy = svg.cloneNode(true), width = svg.clientWidth, height = svg.clientHeight;
  const originals = svg.querySelectorAll("*"), copies = copy.querySelectorAll("*");
  originals.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const name of PICTURE_STYLES) copies[i].setAttribute(name, style.getPropertyValue(name));
  });
  copy.setAttribute("xmlns", SVG);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const margin = 16, scale = 2, head = 28;
  const canvas = element("canvas", {width: scale * (width + 2 * margin), height: scale * (height + head + 2 * margin)});
  const context = canvas.getContext("2d"), page = getComputedStyle(document.body);
  context.scale(scale, scale);
  context.fillStyle = page.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = page.color;
  context.font = `600 15px ${page.fontFamily}`;
  context.fillText(title, margin, margin + 14);
  context.drawImage(image, margin, margin + head, width, height);
  canvas.toBlob(blob => save(blob, `${title.replace(/[^A-Za-z0-9]+/g, "-").toLowerCase() || "chart"}.png`), "image/png");
}

/** A sentence for a paper about the runs of the chosen scope. */
function sentence() {
  const {kwh, kg, run} = energiesOfScope();
  if (!kwh) return "The energy is unknown: no meter gave a reading.";
  const counted = run ? [run] : RUNS.filter(one => one.counted > 0);
  const details = counted.map(one => detailOf(one)).filter(Boolean);
  const several = (values, most = 3) => { const all = [...new Set(values.filter(Boolean))]; return all.slice(0, most).join("; ") + (all.length > most ? " and others" : ""); };
  const machines = several(details.map(one => { const [cpu, , , gpus] = DATA.machines[one.machine]; return [cpu, gpus].filter(Boolean).join(" with "); }));
  const methods = several(details.flatMap(one => one.devices ?? []).map(([index]) => `${DATA.devices[index][1]}: ${DATA.devices[index][2]}`), 4);
  const grids = several(details.flatMap(one => one.grids ?? []).map(([index]) => { const [place, g, kind, , source, year] = DATA.grids[index];
    return `${place}, ${formatted(g)} g CO2e/kWh${kind === "live" ? ", live" : ""} (${source}${year ? `, ${year}` : ""})`; }), 2);
  const noun = counted.every(one => one.kind === "evaluation") ? "evaluation" : counted.some(one => one.kind === "evaluation") ? "run" : "training run";
  const count = run ? 1 : counted.length + DATA.total.unlisted;
  const what = run ? `The ${noun} of ${run.projectName}` : count === 1 ? `The ${noun}` : `The ${plural(count, noun)}`;
  const interval = text => text ? ` (95 % interval: ${text})` : "";
  return `${what} consumed ${energyOf(kwh)}${interval(energyRangeOf(kwh))} of electricity and caused ${emissionsOf(kg)}${interval(emissionsRangeOf(kg))}` +
    `${machines ? ` on ${machines}` : ""}, measured with carbon-callbacks ${find("#cite").dataset.version}${methods ? ` (${methods})` : ""}` +
    `${grids ? `, at the grid intensity of ${grids}` : ""}.`;
}

const updateSentence = () => { find("#sentence").textContent = sentence(); };
