"use strict";
// Figures and times as text, by the rules of carbon_core.formatting; a test compares both.

const UNITS = {
  energy: [["µWh", 1e-9], ["mWh", 1e-6], ["Wh", 1e-3], ["kWh", 1], ["MWh", 1e3]],
  emissions: [["mg CO2e", 1e-6], ["g CO2e", 1e-3], ["kg CO2e", 1], ["t CO2e", 1e3]],
  power: [["mW", 1e-3], ["W", 1], ["kW", 1e3], ["MW", 1e6]],
  duration: [["ms", 1e-3], ["s", 1]],
};
const PLAIN_UNITS = ["Wh", "g CO2e", "W", "s"];
const LEAST_IN_UNIT = 1e-3;

const isNumber = value => typeof value === "number" && Number.isFinite(value);
const rounded = (value, digits = 3) => Number(value.toExponential(digits - 1));

function decimals(value, digits = 3) {
  return Math.max(0, digits - 1 - Number(value.toExponential(digits - 1).split("e")[1]));
}

/** The nearest whole number, of two the even one, as in Python. */
function roundedEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + below % 2 : Math.round(value);
}

/** A number with so many decimals; exactly between two, the even one. */
function fixed(value, most) {
  const scaled = value * 10 ** most;
  const isBetween = Number.isInteger(value * 2 ** (most + 1)) && scaled % 1 === 0.5;
  return (isBetween ? roundedEven(scaled) / 10 ** most : value).toFixed(most);
}

const numberText = (value, digits = 3) => fixed(rounded(value, digits), decimals(value, digits));

/** A number with three significant digits, for a figure whose unit is fixed. */
function formatted(value) {
  if (!isNumber(value)) return "unknown";
  return value ? numberText(value) : "0";
}

/** The largest unit of which a figure has at least one when it is rounded, as [name, size]. */
function unitOf(value, units) {
  if (!value) return units.find(([name]) => PLAIN_UNITS.includes(name));
  const fits = units.filter(([, size]) => rounded(Math.abs(value) / size) >= 1);
  return fits.length ? fits[fits.length - 1] : units[0];
}

function inUnit(value, size) {
  if (value && Math.abs(value / size) < LEAST_IN_UNIT) {
    return value > 0 ? `less than ${LEAST_IN_UNIT}` : `more than -${LEAST_IN_UNIT}`;
  }
  return formatted(value / size);
}

function figureText(value, units) {
  if (!isNumber(value)) return "unknown";
  const [name, size] = unitOf(value, units);
  return `${inUnit(value, size)} ${name}`;
}

function endText(value, most) {
  if (!value) return "0";
  const needed = decimals(value, 2);
  if (Math.abs(value) < LEAST_IN_UNIT || needed <= most) {
    const text = fixed(rounded(value), most);
    return Number(text) ? text : "0";
  }
  const [whole, digits = ""] = numberText(value, 2).split(".");
  return `${whole}.${digits.slice(0, most)}${digits.slice(most).replace(/0+$/, "")}`.replace(/\.$/, "");
}

/** Both ends of a range with one unit, chosen by the larger one: "0.09 to 1.49 Wh". */
function rangeText(low, high, units) {
  if (!isNumber(low) || !isNumber(high)) return "unknown";
  const [name, size] = unitOf(Math.abs(high) >= Math.abs(low) ? high : low, units);
  const most = decimals(Math.max(low, high) / size);
  const [from, to] = [low, high].map(end => endText(end / size, most));
  return `${from === to ? from : `${from} to ${to}`} ${name}`;
}

const energy = kwh => figureText(kwh, UNITS.energy);
const emissions = kg => figureText(kg, UNITS.emissions);
const power = w => figureText(w, UNITS.power);

function duration(seconds) {
  if (!isNumber(seconds)) return "unknown";
  if (rounded(Math.abs(seconds)) < 60) return figureText(seconds, UNITS.duration);
  const sign = seconds < 0 ? "-" : "";
  const whole = roundedEven(Math.abs(seconds));
  const parts = (...pairs) => sign + pairs.filter(([n]) => n).map(([n, unit]) => `${n} ${unit}`).join(" ");
  if (whole < 3600) return parts([Math.floor(whole / 60), "min"], [whole % 60, "s"]);
  const minutes = roundedEven(whole / 60);
  if (minutes < 6000) return parts([Math.floor(minutes / 60), "h"], [minutes % 60, "min"]);
  return `${sign}${formatted(whole / 3600)} h`;
}

/** A figure [value, low, high] as text; one without an interval is [value], an unknown one null. */
const energyOf = figure => figure ? energy(figure[0]) : "unknown";
const emissionsOf = figure => figure ? emissions(figure[0]) : "unknown";
const energyRangeOf = figure => figure?.length === 3 ? rangeText(figure[1], figure[2], UNITS.energy) : "";
const emissionsRangeOf = figure => figure?.length === 3 ? rangeText(figure[1], figure[2], UNITS.emissions) : "";

const clock = new Intl.DateTimeFormat("en-CA", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
// Each language has abbreviations of its own zones only, such as EST or CET; of others, it has the offset.
const zones = ["en-US", "en-GB", "en-AU"].map(language => new Intl.DateTimeFormat(language, {hour: "numeric", timeZoneName: "short"}));
const zoneNames = new Map();

function zoneAt(instant) {
  const offset = instant.getTimezoneOffset();
  if (!zoneNames.has(offset)) {
    const names = zones.map(zone => zone.formatToParts(instant).find(({type}) => type === "timeZoneName").value);
    zoneNames.set(offset, (names.find(name => !/^GMT[+-]|^UTC[+-]/.test(name)) ?? names[0]).replace(/^GMT(?=[+-])/, "UTC"));
  }
  return zoneNames.get(offset);
}

/** An instant in the reader's time zone, which is named; a time without a zone stays as it is. */
function localTime(text) {
  const instant = text.endsWith("Z") ? new Date(text) : null;
  if (!instant || Number.isNaN(instant.getTime())) return text.slice(0, 16).replace("T", " ") || "unknown";
  const part = Object.fromEntries(clock.formatToParts(instant).map(({type, value}) => [type, value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute} ${zoneAt(instant)}`;
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const percent = share => `${(100 * share).toFixed(share > 0 && share < 0.095 ? 1 : 0)} %`;
