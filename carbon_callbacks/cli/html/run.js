"use strict";
// One run that is opened, and two side by side.

const devicesOf = detail => detail.devices.map(([index, kwh, missing_s]) => {
  const [name, component, method, grade, note] = DATA.devices[index];
  return {name, component, method, grade, note, kwh, missing_s};
});
const range = (low, high) => low === undefined ? none() : rangeText(low, high, UNITS.energy);
const METERS = ["A", "B", "C"];
const qualityOf = shares => {
  const measured = METERS.reduce((sum, grade) => sum + (shares[grade] ?? 0), 0);
  return measured > 0.995 ? "measured" : measured < 0.005 ? "estimated" : `${percent(measured)} measured`;
};
const gradeText = shares => Object.entries(shares).sort(([, a], [, b]) => b - a)
  .map(([grade, share]) => `${grade} ${percent(share)}`).join(", ");

/** The run that was measured: a training's own details are those of its last part. */
function openRun(run) {
  const detail = detailOf(run), timeline = timelineOf(run);
  const training = run.training ?? (run.parts.length ? run : null);
  find("#run-name").textContent = `Run of ${localTime(run.time)}`;
  find("#run-place").replaceChildren(...[
    element("p", {class: "meta"}, run.projectName, " · ", run.status, run.id && [" · ", element("code", {}, run.id)]),
    figuresOf(run, detail),
    training && partsOf(training, run),
    detail && budgetsOf(run, detail),
    timeline && chartsOf(run, detail, timeline),
    !timeline && element("p", {class: "meta"}, withoutTimeline(run, detail)),
    detail && tablesOf(run, detail),
  ].filter(Boolean));
}

function withoutTimeline(run, detail) {
  if (detail || run.detail) return "No data over time: this run has no journal, or the page is limited to the newest timelines. The setting save_to_file writes journals.";
  if (run.time.endsWith("Z")) return "The details of this run were left out to keep the page small: write a page of its file alone to see them.";
  return "A row of a CSV file has no details: runs with receipts (carbon_runs/*.receipt.json) have.";
}

function figuresOf(run, detail) {
  const rangeOf = text => text && `95 %: ${text}`;
  const watts = run.kwh && run.duration_s ? `${power(run.kwh[0] * 3.6e6 / run.duration_s)} on average` : "";
  const unknown = run.kwh ? "" : "no meter gave a reading";
  return element("dl", {class: "figures"},
    tile("Energy", energyOf(run.kwh), rangeOf(energyRangeOf(run.kwh)) || unknown || "no interval in the file"),
    tile("Emissions", emissionsOf(run.kg), rangeOf(emissionsRangeOf(run.kg)) || unknown || "no interval in the file"),
    tile("Duration", duration(run.duration_s), watts),
    detail?.shares && tile("Data quality", qualityOf(detail.shares), `grades: ${gradeText(detail.shares)}`),
    detail?.net && tile("Above idle", energy(detail.net[0]), rangeOf(energyRangeOf(detail.net)), "without the idle power of the machine"),
    detail?.node && tile("Whole machine, estimated", energy(detail.node[0]), rangeOf(energyRangeOf(detail.node)),
      `beside the components’ ${energyOf(run.kwh)}, which it does not replace`));
}

function budgetsOf(run, detail) {
  if (!detail.budgets) return null;
  const whole = run.training ?? run;
  const [kwh, kg] = detail.budgets;
  return element("div", {class: "budgets"},
    kwh && whole.kwh && budgetBar("Energy budget", whole.kwh, kwh, energy, energyRangeOf(whole.kwh)),
    kg && whole.kg && budgetBar("Emissions budget", whole.kg, kg, emissions, emissionsRangeOf(whole.kg)));
}

function partsOf(training, run) {
  const rows = training.parts.map(part => [
    part.isMissing ? localTime(part.time) : part === run || part.id === run.id ? element("strong", {}, localTime(part.time), " (shown)")
      : element("a", {href: `#run=${encodeURIComponent(part.id)}`}, localTime(part.time)),
    statusCell(part), duration(part.duration_s), energyOf(part.kwh), energyRangeOf(part.kwh) || none(), emissionsOf(part.kg)]);
  const note = element("p", {class: "meta"}, `The whole training, ${plural(training.parts.length, "part")}: ${energyOf(training.kwh)}` +
    ` (95 %: ${energyRangeOf(training.kwh)}), ${emissionsOf(training.kg)} (95 %: ${emissionsRangeOf(training.kg)}).`);
  return element("div", {}, tableOf("Parts of the training", [["started"], ["status"], ["duration", true], ["energy", true],
    ["95 %", true], ["emissions", true]], rows), note);
}

function chartsOf(run, detail, timeline) {
  const {kwh, kg} = cumulative(timeline);
  const values = timeline.grid.map(([, value]) => value);
  const isConstant = new Set(values.map(formatted)).size < 2;
  return element("div", {}, powerOverTime(timeline, devicesOf(detail)),
    element("div", {class: "pair"},
      growth("Energy so far", kwh, timeline, run.kwh, UNITS.energy, energy),
      growth("Emissions so far", kg, timeline, run.kg, UNITS.emissions, emissions)),
    !isConstant && intensityOverTime(timeline));
}

function intensityOverTime({step_s, watts, grid}) {
  const end_s = step_s * watts[0].length;
  const values = grid.map(([, value]) => value);
  return chart({
    title: "Grid intensity over time", height: 180,
    description: `Grid intensity, ${formatted(Math.min(...values))} to ${formatted(Math.max(...values))} g CO2e/kWh.`,
    draw(svg, width, height, tip) {
      const axis = verticalAxis(svg, width, height, Math.max(...values), "g CO2e/kWh");
      const x = timeAxis(svg, axis, end_s);
      const edges = [...grid.map(([t_s]) => t_s), end_s];
      svg.append(drawn("path", {class: "curve", d: stepped(values, i => x(edges[i]), axis.y)}));
      hover(svg, tip, axis, px => {
        const t_s = (px - axis.left) / (axis.right - axis.left) * end_s;
        const i = Math.max(0, edges.findLastIndex(edge => edge <= t_s));
        return {x: px, lines: [duration(t_s), `${formatted(values[Math.min(i, values.length - 1)])} g CO2e/kWh`]};
      });
    },
  });
}

function tablesOf(run, detail) {
  const total = run.kwh?.[0] ?? 0;
  const share = kwh => kwh === null || !total ? none() : shareBar(kwh / total);
  const phases = (detail.phases ?? []).map(([name, count, seconds, kwh, low, high]) => [word(name), count.toLocaleString("en"),
    duration(seconds), energy(kwh), range(low, high), share(kwh), kwh !== null && seconds ? power(kwh * 3.6e6 / seconds) : none()]);
  const components = (detail.components ?? []).map(([name, kwh, low, high]) => [word(name), energy(kwh), range(low, high), share(kwh)]);
  const tasks = (detail.tasks ?? []).map(([name, seconds, kwh, low, high]) => [word(name), duration(seconds), energy(kwh), range(low, high)]);
  const devices = devicesOf({devices: detail.devices ?? []}).map(one => [[one.name, one.note && element("small", {}, ` ${one.note}`)],
    one.component, one.method, one.grade, energy(one.kwh), one.missing_s ? duration(one.missing_s) : none()]);
  const grids = (detail.grids ?? []).map(([index, kwh]) => {
    const [place, g, kind, scope, source, year, licence, note] = DATA.grids[index];
    return [[place, note && element("small", {}, ` ${note}`)], formatted(g), kind, scope || "not stated", source, year || none(), licence || none(), energy(kwh)];
  });
  const metrics = Object.entries(run.metrics).map(([name, value]) => [name, formatted(value)]);
  const numeric = (...names) => names.map(name => [name, true]);
  return element("div", {class: "tables"},
    phases.length > 0 && tableOf("Phases", [["phase"], ...numeric("count", "duration", "energy", "95 %", "share", "power")], phases),
    components.length > 0 && tableOf("Components", [["component"], ...numeric("energy", "95 %", "share")], components),
    tasks.length > 0 && tableOf("Tasks", [["task"], ...numeric("duration", "energy", "95 %")], tasks),
    devices.length > 0 && tableOf("Devices and methods", [["device"], ["component"], ["method"], ["grade"], ...numeric("energy", "not read for")], devices),
    grids.length > 0 && tableOf("Grid intensity", [["place"], ["g CO2e/kWh", true], ["kind"], ["scope"], ["source"], ["year", true], ["licence"], ["energy", true]], grids),
    metrics.length > 0 && tableOf("Logged metrics", [["metric"], ["last value", true]], metrics),
    refusedOf(detail), element("p", {class: "meta"}, machineText(detail)));
}

function refusedOf(detail) {
  const rows = (detail.refused ?? []).map(index => DATA.refusals[index]);
  return rows.length > 0 && element("details", {}, element("summary", {}, `Meters that are not used (${rows.length})`),
    element("ul", {}, rows.map(([component, meter, reason, remedy]) => element("li", {}, `${component}, ${meter}: ${reason}${remedy ? `; ${remedy}` : ""}`))));
}

function machineText(detail) {
  const [cpu, threads, memory, gpus, os, python] = DATA.machines[detail.machine] ?? [];
  const parts = [cpu && `${cpu}${threads ? ` (${plural(threads, "thread")})` : ""}`, memory && `${memory} GiB of memory`, gpus, os,
    python && `Python ${python}`, detail.pue ? `PUE ${detail.pue}` : "PUE 1"].filter(Boolean);
  const unmetered = word(detail.not_metered) ?? "";
  return `${parts.join(" · ")}.${unmetered ? ` ${unmetered[0].toUpperCase()}${unmetered.slice(1)}.` : ""}`;
}

// --- two runs side by side ----------------------------------------------------------------------

function compareRuns([a, b]) {
  const details = [a, b].map(detailOf);
  const timelines = [a, b].map(timelineOf);
  const names = [`A: ${a.projectName}, ${localTime(a.time)}`, `B: ${b.projectName}, ${localTime(b.time)}`];
  const ratio = (x, y) => isNumber(x) && isNumber(y) && x > 0 ? Math.abs(y / x - 1) < 5e-4 ? "0 %" : `${y > x ? "+" : "−"}${percent(Math.abs(y / x - 1))}` : none();
  const row = (name, text, value, rangeOf = () => "") => [name, ...[a, b].map(run => [text(value(run)), rangeOf(run) && element("small", {}, ` ${rangeOf(run)}`)]), ratio(value(a), value(b))];
  const first = figure => figure?.[0] ?? null;
  const metrics = [...new Set([...Object.keys(a.metrics), ...Object.keys(b.metrics)])];
  const phaseEnergy = i => new Map((details[i]?.phases ?? []).map(([name, , , kwh]) => [word(name), kwh]));
  const phases = [0, 1].map(phaseEnergy);
  const rows = [
    row("Energy", energy, run => first(run.kwh), run => energyRangeOf(run.kwh)),
    row("Emissions", emissions, run => first(run.kg), run => emissionsRangeOf(run.kg)),
    row("Duration", duration, run => run.duration_s),
    row("Average power", power, run => run.kwh && run.duration_s ? run.kwh[0] * 3.6e6 / run.duration_s : null),
    ["Grade", a.grades || none(), b.grades || none(), none()],
    ["Status", a.status, b.status, none()],
    ...metrics.map(name => row(name, formatted, run => run.metrics[name] ?? null)),
    ...[...new Set([...phases[0].keys(), ...phases[1].keys()])].slice(0, 20).map(name =>
      [`Phase ${name}`, energy(phases[0].get(name)), energy(phases[1].get(name)), ratio(phases[0].get(name), phases[1].get(name))]),
  ];
  find("#compare-place").replaceChildren(...[
    tableOf("Two runs", [["figure"], [names[0], true], [names[1], true], ["B relative to A", true]], rows),
    timelines.every(Boolean) && powersCompared(...timelines, names),
    element("p", {class: "meta"}, "A difference within the intervals may be chance. The command ", element("code", {}, "carbon-callbacks compare"),
      " gives the interval of the ratio: errors that both runs share cancel in it."),
  ].filter(Boolean));
}
