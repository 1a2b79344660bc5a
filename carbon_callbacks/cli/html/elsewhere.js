"use strict";
// The same energy in another country or at another hour.

const COUNTRIES = DATA.countries.rows.map(([code, name, g, sigma, year]) => ({code, name, g, sigma, year}));

/** Emissions of an energy at an intensity; both errors are combined in the logarithm. */
function emissionsAt([value, low = value, high = value], g, sigma) {
  const kg = value * g / 1000;
  const grid = 1.96 * sigma;
  const half = end => Math.hypot(Math.log(end), grid);
  return [kg, low > 0 ? kg / Math.exp(half(value / low)) : 0, kg * Math.exp(half(high / value))];
}

/** What the section is about: all runs, or the one that is opened. */
function energiesOfScope() {
  const run = find("#scope")?.value === "run" ? openedRun : null;
  if (run) return {kwh: run.kwh, kg: run.kg, run};
  return {kwh: sumOfAll("kwh"), kg: sumOfAll("kg"), run};
}

function updateElsewhere() {
  const {kwh, kg, run} = energiesOfScope();
  const place = find("#countries-place");
  if (!kwh || !kwh[0]) return place.replaceChildren(element("p", {class: "meta"}, "No energy is known."));
  const here = kg[0] / kwh[0] * 1000;
  const picked = COUNTRIES.find(one => one.code === find("#country").value) ?? COUNTRIES[0];
  const there = emissionsAt(kwh, picked.g, picked.sigma);
  const factor = there[0] / kg[0];
  const compared = Math.abs(factor - 1) < 0.02 ? "as much as" : factor < 1 ? `${percent(1 - factor)} less than` : `${formatted(factor)} times`;
  const values = COUNTRIES.map(one => kwh[0] * one.g / 1000);
  const nearest = COUNTRIES.reduce((best, one, i) => Math.abs(one.g - here) < Math.abs(COUNTRIES[best].g - here) ? i : best, 0);
  const at = COUNTRIES.indexOf(picked);
  place.replaceChildren(
    element("p", {class: "answer"}, element("strong", {}, `${picked.name}: ${emissions(there[0])}`),
      ` (95 %: ${emissionsRangeOf(there)}), ${compared} the ${emissions(kg[0])} of ${run || RUNS.length === 1 ? "this run" : "these runs"} (${formatted(here)} g CO2e/kWh).`),
    rankedBars({
      title: `Emissions in ${COUNTRIES.length} countries`, units: UNITS.emissions, values,
      description: `Emissions of the same energy, from ${emissions(values[0])} in ${COUNTRIES[0].name} to ${emissions(values[values.length - 1])} in ${COUNTRIES[COUNTRIES.length - 1].name}; ${emissions(kg[0])} here.`,
      caption: `Annual averages, cleanest first (${DATA.countries.source}, ${DATA.countries.licence}). Green: ${picked.name}. Orange: the intensity of these runs.`,
      names: COUNTRIES.map(one => one.name), named: [at, COUNTRIES.length - 1, 0],
      classOf: i => i === at ? "picked" : i === nearest ? "here" : "bar soft",
    }));
}

function updateHours() {
  const found = DATA.hours[0];
  const place = find("#hours-place");
  if (!found) {
    place.replaceChildren(element("p", {class: "meta"}, "When it would have been cleaner is known from live data only, and at least two hours of it: ",
      element("code", {}, "electricitymaps_api_token"), " or another live source enables them (", element("code", {}, "carbon-callbacks config show"), " lists the settings)."));
    return;
  }
  const values = found.hours.map(([, g]) => g), names = found.hours.map(([hour]) => `${String(hour).padStart(2, "0")}:00`);
  const best = values.indexOf(Math.min(...values)), worst = values.indexOf(Math.max(...values));
  const mean = values.reduce((sum, g) => sum + g, 0) / values.length;
  place.replaceChildren(
    element("p", {class: "answer"}, element("strong", {}, `Cleanest at ${names[best]} UTC: ${formatted(values[best])} g CO2e/kWh`),
      `, ${percent(1 - values[best] / mean)} below the mean of ${formatted(mean)}; worst at ${names[worst]} UTC: ${formatted(values[worst])}.`),
    rankedBars({
      title: "Grid intensity by hour of the day (UTC)", units: "g CO2e/kWh", values, names, height: 200,
      description: `Mean grid intensity by hour of the day in ${found.place}, lowest at ${names[best]} UTC, highest at ${names[worst]} UTC.`,
      caption: `${found.place}: means over ${plural(found.count, "hour")} in which runs took place.`,
      named: values.length > 12 ? [0, 6, 12, 18].filter(i => i < values.length) : values.map((_, i) => i), classOf: i => i === best ? "picked" : "bar soft",
    }));
}

function startElsewhere() {
  const select = find("#country");
  const byName = [...COUNTRIES].sort((a, b) => a.name.localeCompare(b.name, "en"));
  select.append(...byName.map(({code, name, g}) => element("option", {value: code}, `${name} (${formatted(g)} g/kWh)`)));
  select.value = COUNTRIES.find(one => one.code === "SWE")?.code ?? COUNTRIES[0].code;
  select.addEventListener("change", updateElsewhere);
  find("#scope")?.addEventListener("change", () => { updateElsewhere(); updateSentence(); });
  updateElsewhere();
  updateHours();
}
