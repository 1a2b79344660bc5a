"use strict";
// Charts, drawn as SVG at the width that there is; colours come from the style sheet.

const TOP = 26, BOTTOM = 26, RIGHT = 10;

/** A figure with a heading, a legend, a drawing that follows its width, and a caption. */
function chart({title, description, legend = [], caption, height = 240, draw}) {
  const place = element("div", {class: "plot"});
  const tip = element("div", {class: "tip", hidden: true});
  let width = 0;
  const update = () => {
    const now = Math.floor(place.clientWidth);
    if (now < 40 || now === width) return;
    width = now;
    const svg = drawn("svg", {width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description});
    place.replaceChildren(svg, tip);
    draw(svg, width, height, tip);
  };
  new ResizeObserver(update).observe(place);
  const picture = element("button", {type: "button", class: "quiet", "aria-label": `Save “${title}” as PNG`,
    onclick: () => savePicture(place.querySelector("svg"), title)}, "PNG");
  return element("figure", {class: "chart"},
    element("div", {class: "chart-head"}, element("h3", {}, title), picture),
    legend.length > 0 && element("ul", {class: "legend"}, legend.map(([mark, text]) => element("li", {}, mark, text))),
    place, caption && element("figcaption", {}, caption));
}

/** Round steps from 0 up to a maximum. */
function ticksUpTo(max, count) {
  if (!(max > 0)) return [0];
  const raw = max / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(n => n * power).find(n => n >= raw * 0.999);
  return Array.from({length: Math.floor(max / step + 1e-9) + 1}, (_, i) => i * step);
}

const tickText = value => value ? String(Number(value.toPrecision(6))) : "0";

/** Draw the vertical axis of figures from 0, in a unit that suits them; return the scales. */
function verticalAxis(svg, width, height, max, units) {
  const [unit, size] = typeof units === "string" ? [units, 1] : unitOf(max, units);
  const ticks = ticksUpTo(max / size, height < 200 ? 3 : 4);
  const left = 12 + 7 * Math.max(...ticks.map(tick => tickText(tick).length));
  const foot = height - BOTTOM;
  const y = value => foot - (max ? value / (max * 1.04) : 0) * (foot - TOP);
  svg.append(drawn("text", {x: 0, y: 12, class: "axis"}, unit));
  for (const tick of ticks) {
    svg.append(drawn("line", {x1: left, x2: width - RIGHT, y1: y(tick * size), y2: y(tick * size), class: tick ? "grid" : "base"}),
      drawn("text", {x: left - 8, y: y(tick * size) + 4, class: "axis end"}, tickText(tick)));
  }
  return {left, right: width - RIGHT, foot, y, unit, size};
}

const TIME_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** Draw the horizontal axis of seconds since the start. */
function timeAxis(svg, {left, right, foot}, end_s) {
  const x = t_s => left + (right - left) * t_s / end_s;
  const least = end_s / Math.max(2, Math.floor((right - left) / 90));
  const step = TIME_STEPS.find(one => one >= least) ?? Math.ceil(least / 86400) * 86400;
  const [unit, size] = step < 60 ? ["s", 1] : step < 3600 ? ["min", 60] : ["h", 3600];
  for (let t = 0; t <= end_s * 1.0001; t += step) {
    const isLast = x(t) > right - 16;
    svg.append(drawn("text", {x: isLast ? right : x(t), y: foot + 18, class: `axis ${t ? (isLast ? "end" : "middle") : ""}`},
      `${tickText(t / size)} ${unit}`));
  }
  return x;
}

/** Show a remark beside the pointer: `at` gets its place and returns the lines and the x of a mark. */
function hover(svg, tip, {left, right, foot}, at) {
  const mark = drawn("line", {y1: TOP, y2: foot, class: "mark", visibility: "hidden"});
  const hide = () => { tip.hidden = true; mark.setAttribute("visibility", "hidden"); };
  svg.append(mark);
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const px = event.clientX - box.left, py = event.clientY - box.top;
    const found = px < left - 6 || px > right + 6 ? null : at(px, py);
    if (!found) return hide();
    tip.replaceChildren(...found.lines.map((line, i) => element(i ? "div" : "strong", {}, line)));
    tip.hidden = false;
    const width = tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(found.x + 12, box.width - width - 4))}px`;
    if (found.x + 12 + width > box.width) tip.style.left = `${Math.max(0, found.x - width - 12)}px`;
    tip.style.top = `${TOP}px`;
    mark.setAttribute("x1", found.x);
    mark.setAttribute("x2", found.x);
    mark.setAttribute("visibility", "visible");
  });
}

const line = points => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** A line through each step's own value, level within the step. */
const stepped = (values, x, y) => line(values.flatMap((value, i) => [[x(i), y(value)], [x(i + 1), y(value)]]));

// --- energy by day, week, month or year ---------------------------------------------------------

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function periodText(start, unit) {
  const [year, month, day] = start.split("-");
  if (unit === "year") return year;
  return unit === "month" ? `${MONTHS[month - 1]} ${year}` : `${Number(day)} ${MONTHS[month - 1]}`;
}

/** The project that has a colour, or the name of those that share the last one. */
const colourName = index => DATA.others && index === Math.max(...DATA.colours) ? DATA.others : DATA.projects[index];

function barsByTime({unit, starts, series}) {
  const totals = starts.map((_, i) => series.reduce((sum, [, kwh]) => sum + kwh[i], 0));
  const peak = totals.indexOf(Math.max(...totals));
  return chart({
    title: `Energy by ${unit}`,
    description: `Energy by ${unit} and project, from ${starts[0]} to ${starts[starts.length - 1]}. ` +
      `The most: ${energy(totals[peak])} in the ${unit} of ${starts[peak]}.`,
    legend: series.length > 1 ? series.map(([index]) => [swatch(index), colourName(index)]) : [],
    caption: unit === "week" ? "Weeks begin on Monday; days are those of UTC." : "Days are those of UTC.",
    draw(svg, width, height, tip) {
      const axis = verticalAxis(svg, width, height, Math.max(...totals), UNITS.energy);
      const slot = (axis.right - axis.left) / starts.length;
      const bar = Math.min(slot * 0.8, 48);
      const x = i => axis.left + slot * (i + 0.5);
      const below = totals.map(() => 0);
      for (const [index, kwh] of series) {
        kwh.forEach((value, i) => {
          if (!value) return;
          const y1 = axis.y(below[i]), y2 = axis.y(below[i] += value);
          svg.append(drawn("rect", {x: (x(i) - bar / 2).toFixed(2), y: y2.toFixed(2), width: bar.toFixed(2),
            height: Math.max(0.5, y1 - y2 - (y1 - y2 > 4 ? 1 : 0)).toFixed(2), class: `c${index}`}));
        });
      }
      const every = Math.ceil(starts.length * 72 / (axis.right - axis.left));
      starts.forEach((start, i) => {
        if (i % every) return;
        const at = i === 0 ? x(i) - bar / 2 : x(i);
        if (at + 30 > width && i) return;
        svg.append(drawn("text", {x: at, y: axis.foot + 18, class: `axis ${i ? "middle" : ""}`}, periodText(start, unit)));
      });
      hover(svg, tip, axis, px => {
        const i = Math.max(0, Math.min(starts.length - 1, Math.floor((px - axis.left) / slot)));
        const own = series.filter(([, kwh]) => kwh[i]).map(([index, kwh]) => `${colourName(index)}: ${energy(kwh[i])}`);
        const name = unit === "week" ? `Week of ${periodText(starts[i], unit)}` : periodText(starts[i], unit);
        return {x: x(i), lines: [`${name}: ${energy(totals[i])}`, ...own.slice(0, 12)]};
      });
    },
  });
}

// --- one run over time --------------------------------------------------------------------------

const PHASE_HEIGHT = 22;

function powerOverTime(timeline, devices) {
  const {step_s, watts} = timeline;
  const end_s = step_s * watts[0].length;
  const total = totalWatts(timeline);
  const mean = powers => powers.reduce((sum, w) => sum + w, 0) / powers.length;
  const names = watts.map((_, i) => devices[i]?.name ?? `device ${i + 1}`);
  const missing = timeline.missing.length > 0;
  return chart({
    title: "Power over time", height: 290 + (missing ? 10 : 0),
    description: `Power of ${plural(watts.length, "device")}, on average ${power(mean(total))}, at most ${power(Math.max(...total))}. ` +
      names.map((name, i) => `${name}: ${power(mean(watts[i]))}`).join("; ") + ".",
    legend: [...names.map((name, i) => [swatch(i % 12), `${name}, ${power(mean(watts[i]))} on average`]),
      ...(missing ? [[drawn("svg", {class: "swatch", width: 14, height: 6, "aria-hidden": "true"},
        drawn("rect", {width: 14, height: 6, class: "missing"})), "Red: not read, extrapolated"]] : [])],
    caption: timeline.windows.length > 0 && `${windowsText(timeline.windows)} Power includes PUE.`,
    draw(svg, width, height, tip) {
      const strip = timeline.phases.length > 0 || timeline.windows.length > 0;
      const below = (strip ? PHASE_HEIGHT + 14 : 0) + (missing ? 10 : 0);
      const axis = verticalAxis(svg, width, height - below, Math.max(...total), UNITS.power);
      const x = timeAxis(svg, axis, end_s);
      const under = total.map(() => 0);
      watts.forEach((powers, device) => {
        const low = [...under];
        powers.forEach((w, i) => { under[i] += w; });
        const back = low.flatMap((w, i) => [[x((i + 1) * step_s), axis.y(w)], [x(i * step_s), axis.y(w)]].reverse()).reverse();
        svg.append(drawn("path", {class: `c${device % 12} area`,
          d: `${stepped(under, i => x(i * step_s), axis.y)}L${line(back).slice(1)}Z`}));
      });
      svg.append(drawn("path", {class: "total", d: stepped(total, i => x(i * step_s), axis.y)}));
      let top = axis.foot + 28;
      if (missing) {
        timeline.missing.forEach(([begin, end]) => svg.append(drawn("rect", {class: "missing", x: x(begin), y: top - 2,
          width: Math.max(1, x(end) - x(begin)), height: 6})));
        top += 10;
      }
      drawPhases(svg, timeline, x, top);
      hover(svg, tip, axis, px => {
        const i = Math.max(0, Math.min(total.length - 1, Math.floor((px - axis.left) / (axis.right - axis.left) * total.length)));
        const t_s = (i + 0.5) * step_s;
        const phase = timeline.phases.find(([, begin, end]) => begin <= t_s && t_s < end);
        return {x: x(t_s), lines: [`${duration(t_s)}: ${power(total[i])}`,
          ...names.slice(0, 10).map((name, device) => `${name}: ${power(watts[device][i])}`), phase && `Phase: ${word(phase[0])}`].filter(Boolean)};
      });
    },
  });
}

/** A strip of the phases below the chart, with their names where there is room, and the ends of epochs. */
function drawPhases(svg, timeline, x, top) {
  const names = [...new Set(timeline.phases.map(([name]) => name))];
  for (const [name, begin, end] of timeline.phases) {
    const width = x(end) - x(begin), text = word(name);
    svg.append(drawn("rect", {x: x(begin), y: top, width: Math.max(0.5, width - 1), height: PHASE_HEIGHT, rx: 2,
      class: `phase p${names.indexOf(name) % 4}`}, drawn("title", {}, `${text}: ${duration(end - begin)}`)));
    if (width > text.length * 7 + 10) svg.append(drawn("text", {x: x(begin) + 6, y: top + 15, class: "phase-name"}, text));
  }
  const marks = timeline.windows.length < 60 ? timeline.windows : [];
  for (const [name, , end] of marks) {
    svg.append(drawn("line", {x1: x(end), x2: x(end), y1: top - 4, y2: top + PHASE_HEIGHT + 4, class: "window"},
      drawn("title", {}, word(name))));
  }
}

function windowsText(windows) {
  const counts = {};
  for (const [name] of windows) counts[word(name)] = (counts[word(name)] ?? 0) + 1;
  const kinds = Object.entries(counts).slice(0, 4).map(([name, count]) => `${count} x ${name}`);
  return windows.length < 60 ? `Marks below: ends of ${kinds.join(", ")}.` : `${kinds.join(", ")} (not marked).`;
}

/** A figure that grows over the run; the band scales the interval of its total. */
function growth(title, values, timeline, total, units, text) {
  const end_s = timeline.step_s * (values.length - 1);
  const last = values[values.length - 1] || 1;
  const [low, high] = total.length === 3 ? [total[1] / total[0] || 1, total[2] / total[0] || 1] : [1, 1];
  const range = total.length === 3 ? `, 95 % interval ${rangeText(total[1], total[2], units)}` : "";
  return chart({
    title, height: 200,
    description: `${title}, in total ${text(total[0])}${range}.`,
    caption: total.length === 3 ? "Band: the 95 % interval of the total, in proportion." : null,
    draw(svg, width, height, tip) {
      const axis = verticalAxis(svg, width, height, last * high, units);
      const x = timeAxis(svg, axis, end_s);
      const points = factor => values.map((value, i) => [x(i * timeline.step_s), axis.y(value * factor)]);
      if (high > low) svg.append(drawn("path", {class: "band", d: `${line(points(high))}L${line(points(low).reverse()).slice(1)}Z`}));
      svg.append(drawn("path", {class: "curve", d: line(points(1))}));
      hover(svg, tip, axis, px => {
        const i = Math.max(0, Math.min(values.length - 1, Math.round((px - axis.left) / (axis.right - axis.left) * (values.length - 1))));
        const ends = high > low ? [`95 %: ${rangeText(values[i] * low, values[i] * high, units)}`] : [];
        return {x: x(i * timeline.step_s), lines: [`${duration(i * timeline.step_s)}: ${text(values[i])}`, ...ends]};
      });
    },
  });
}

/** Total power of two runs since their starts. */
function powersCompared(first, second, names) {
  const both = [first, second].map(timeline => ({...timeline, total: totalWatts(timeline)}));
  const end_s = Math.max(...both.map(one => one.step_s * one.total.length));
  return chart({
    title: "Power of both runs",
    description: `Power of ${names.join(" and ")} since their starts.`,
    legend: names.map((name, i) => [swatch(i), name]),
    draw(svg, width, height, tip) {
      const axis = verticalAxis(svg, width, height, Math.max(...both.flatMap(one => one.total)), UNITS.power);
      const x = timeAxis(svg, axis, end_s);
      both.forEach(({step_s, total}, i) => svg.append(drawn("path", {class: `line s${i}`, d: stepped(total, k => x(k * step_s), axis.y)})));
      hover(svg, tip, axis, px => {
        const t_s = (px - axis.left) / (axis.right - axis.left) * end_s;
        const lines = both.map(({step_s, total}, i) => `${names[i]}: ${power(total[Math.floor(t_s / step_s)]).replace("unknown", "over")}`);
        return {x: px, lines: [duration(t_s), ...lines]};
      });
    },
  });
}

/** Values in the order of a scale, as bars of equal width; some are named. */
function rankedBars({title, description, caption, values, names, named, units, height = 220, classOf}) {
  return chart({
    title, description, caption, height,
    draw(svg, width, height, tip) {
      const axis = verticalAxis(svg, width, height, Math.max(...values), units);
      const slot = (axis.right - axis.left) / values.length;
      values.forEach((value, i) => svg.append(drawn("rect", {x: (axis.left + slot * i).toFixed(2), width: Math.max(0.6, slot * 0.82).toFixed(2),
        y: Math.min(axis.y(value), axis.foot - 1).toFixed(2), height: Math.max(1, axis.foot - axis.y(value)).toFixed(2), class: classOf(i)})));
      const taken = [];
      for (const i of named) {  // the first ones have the room
        const x = axis.left + slot * (i + 0.5), w = names[i].length * 7;
        const from = Math.max(axis.left, Math.min(x - w / 2, axis.right - w));
        if (taken.some(([begin, end]) => from < end && begin < from + w)) continue;
        taken.push([from - 10, from + w + 10]);
        svg.append(drawn("text", {x: from, y: axis.foot + 18, class: "axis strong"}, names[i]));
      }
      const text = value => Array.isArray(units) ? figureText(value, units) : `${formatted(value)} ${units}`;
      hover(svg, tip, axis, px => {
        const i = Math.max(0, Math.min(values.length - 1, Math.floor((px - axis.left) / slot)));
        return {x: axis.left + slot * (i + 0.5), lines: [names[i], text(values[i])]};
      });
    },
  });
}
