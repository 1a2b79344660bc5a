"use strict";
// The data of the page: rows become objects; indexes of shared tables become what they stand for.

const DATA = JSON.parse(find("#data").textContent);
const word = index => DATA.words[index];

function runOf(cells) {
  const run = Object.fromEntries(DATA.fields.map((name, i) => [name, cells[i]]));
  run.status = word(run.status) || "-";
  run.kind = word(run.kind);
  run.grades = word(run.grades);
  run.isMissing = run.project === null;
  run.projectName = run.isMissing ? "" : DATA.projects[run.project];
  run.colour = run.isMissing ? null : DATA.colours[run.project];
  run.when = Date.parse(run.time) || 0;
  run.parts = (run.parts || []).map(part => Object.assign(runOf(part), {training: run}));
  run.metrics = metricsOf(run);
  return run;
}

const detailOf = run => run.detail ? DATA.details[run.detail - 1] : null;
const timelineOf = run => DATA.timelines[run.detail] ?? null;

function metricsOf(run) {
  const own = run.detail || !run.parts.length ? run : run.parts.findLast(part => part.detail) ?? run;
  const found = detailOf(own)?.metrics ?? {};
  return Object.fromEntries(Object.entries(found).map(([index, value]) => [word(index), value]));
}

// One for each training, newest first; a training of several runs has them as its parts.
const RUNS = DATA.rows.map(runOf);
const BY_ID = new Map();
for (const run of RUNS) {
  for (const part of run.parts) if (!part.isMissing) BY_ID.set(part.id, part);
  if (!BY_ID.has(run.id)) BY_ID.set(run.id, run);
}
const METRICS = [...new Set(RUNS.flatMap(run => Object.keys(run.metrics)))].sort();

/** Sum of a figure of runs, without what other runs include; the bounds are added, because errors of the same meters are correlated. */
function sumOf(runs, name) {
  const known = runs.filter(run => run[name] && run.counted > 0);
  if (!known.length) return null;
  const sums = [0, 0, 0];
  let hasInterval = false;
  for (const {[name]: [value, low = value, high = value], counted} of known) {
    sums[0] += value * counted;
    sums[1] += low * counted;
    sums[2] += high * counted;
    hasInterval ||= high !== value;
  }
  return hasInterval ? sums : sums.slice(0, 1);
}

/** Sum of all runs, listed or not. Its bounds are those of the total, of whose errors some are independent, if no row includes a run without a file. */
function sumOfAll(name) {
  const sum = sumOf(RUNS, name), total = DATA.total[name];
  return sum && total && total[0] < sum[0] * 0.9999 ? sum : total ?? sum;
}

/** Mean power of all devices in each step of a timeline. */
function totalWatts(timeline) {
  return timeline.watts[0].map((_, i) => timeline.watts.reduce((sum, device) => sum + device[i], 0));
}

/** Running totals at the end of each step: kWh, and kg CO2e at the intensity of its hour. */
function cumulative(timeline) {
  const kwh = [0], kg = [0];
  let hour = 0;
  totalWatts(timeline).forEach((watts, i) => {
    const middle = (i + 0.5) * timeline.step_s;
    while (hour + 1 < timeline.grid.length && timeline.grid[hour + 1][0] <= middle) hour++;
    const step = watts * timeline.step_s / 3.6e6;
    kwh.push(kwh[i] + step);
    kg.push(kg[i] + step * (timeline.grid[hour]?.[1] ?? 0) / 1000);
  });
  return {kwh, kg};
}
