"use strict";
// A logged metric beside the energy, with the Pareto front: no other run is better in both.

const LESS_IS_BETTER = /loss|error|perplexity|(^|[_/.])(mse|mae|rmse|wer|cer|fid|ppl|bpc|nll)($|[_/.])/i;

function frontOf(points, lessIsBetter) {
  const sign = lessIsBetter ? 1 : -1;
  const front = [];
  let best = Infinity;
  for (const point of [...points].sort((a, b) => a.x - b.x || sign * (a.y - b.y))) {
    if (sign * point.y < best) {
      best = sign * point.y;
      front.push(point);
    }
  }
  return front;
}

function updateMetrics() {
  const name = find("#metric").value, lessIsBetter = find("#less").checked;
  const points = RUNS.filter(run => run.kwh?.[0] > 0 && name in run.metrics && run.kind !== "evaluation").map(run => ({run, x: run.kwh[0], y: run.metrics[name]}));
  if (!points.length) {
    return find("#metric-place").replaceChildren(element("p", {class: "meta"}, `No training of known energy has ${name}; evaluations are not shown.`));
  }
  const front = frontOf(points, lessIsBetter);
  const isOnFront = new Set(front);
  const rows = front.slice(0, 12).map(({run, x, y}) => [element("a", {href: `#run=${encodeURIComponent(run.id)}`}, localTime(run.time)),
    run.projectName, formatted(y), energy(x)]);
  find("#metric-place").replaceChildren(scatter(name, points, front, isOnFront, lessIsBetter),
    tableOf(`On the front (${front.length})`, [["started"], ["project"], [name, true], ["energy", true]], rows));
}

function logTicks(min, max) {
  const found = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power++) {
    for (const n of [1, 2, 5]) if (n * 10 ** power >= min && n * 10 ** power <= max) found.push(n * 10 ** power);
  }
  return found;
}

function scatter(name, points, front, isOnFront, lessIsBetter) {
  const xs = points.map(({x}) => x), ys = points.map(({y}) => y);
  const [x0, x1, y0, y1] = [Math.min(...xs) / 1.15, Math.max(...xs) * 1.15, Math.min(...ys), Math.max(...ys)];
  const pad = (y1 - y0 || Math.abs(y1) || 1) * 0.06;
  const byColour = new Map();
  for (const {run} of points) byColour.set(run.colour, colourName(run.colour));
  return chart({
    title: `${name} beside energy`, height: 340,
    description: `${plural(points.length, "run")}: ${name} from ${formatted(y0)} to ${formatted(y1)}, energy from ${energy(Math.min(...xs))} to ${energy(Math.max(...xs))}. ${front.length} are on the Pareto front.`,
    legend: [...[...byColour].sort(([a], [b]) => a - b).map(([colour, project]) => [swatch(colour), project]),
      [drawn("svg", {class: "swatch", width: 18, height: 10, "aria-hidden": "true"}, drawn("path", {d: "M0 5h18", class: "front"})), "Pareto front"]],
    caption: `The front: no run with less energy has a ${lessIsBetter ? "lower" : "higher"} ${name}. The energy axis is logarithmic.`,
    draw(svg, width, height, tip) {
      const size = unitOf(x1, UNITS.energy);
      const span = y1 - y0 + 2 * pad;
      const step = [1, 2, 2.5, 5, 10].map(n => n * 10 ** Math.floor(Math.log10(span / 5))).find(n => n >= span / 5.001);
      const ticks = [];
      for (let tick = Math.ceil((y0 - pad) / step) * step; tick <= y1 + pad; tick += step) ticks.push(tick);
      const left = 14 + 7 * Math.max(...ticks.map(tick => tickText(tick).length)), right = width - RIGHT, foot = height - BOTTOM - 16;
      const x = value => left + (right - left) * Math.log(value / x0) / Math.log(x1 / x0);
      const y = value => foot - (value - y0 + pad) / span * (foot - TOP);
      svg.append(drawn("text", {x: 0, y: 12, class: "axis"}, name), drawn("text", {x: right, y: height - 4, class: "axis end"}, `energy (${size[0]})`));
      for (const tick of ticks) svg.append(drawn("line", {x1: left, x2: right, y1: y(tick), y2: y(tick), class: "grid"}), drawn("text", {x: left - 8, y: y(tick) + 4, class: "axis end"}, tickText(tick)));
      svg.append(drawn("line", {x1: left, x2: right, y1: foot, y2: foot, class: "base"}));
      let free = -Infinity;
      for (const tick of logTicks(x0 / size[1], x1 / size[1])) {
        const at = x(tick * size[1]), w = tickText(tick).length * 7;
        if (at - w / 2 < free || at + w / 2 > right + 8) continue;
        free = at + w / 2 + 14;
        svg.append(drawn("text", {x: at, y: foot + 18, class: "axis middle"}, tickText(tick)));
      }
      for (const colour of byColour.keys()) {
        const d = points.filter(({run}) => run.colour === colour).map(point => `M${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}h.01`).join("");
        svg.append(drawn("path", {class: `dots s${colour}`, d}));
      }
      const edge = front.flatMap((point, i) => [...(i ? [[x(point.x), y(front[i - 1].y)]] : []), [x(point.x), y(point.y)]]);
      if (edge.length) svg.append(drawn("path", {class: "front", d: line([...edge, [right, edge[edge.length - 1][1]]])}));
      front.forEach(point => svg.append(drawn("circle", {class: "on-front", cx: x(point.x), cy: y(point.y), r: 5})));
      const near = (px, py) => points.reduce((best, point) => {
        const far = Math.hypot(x(point.x) - px, y(point.y) - py);
        return far < best[0] ? [far, point] : best;
      }, [24, null])[1];
      hover(svg, tip, {left, right, foot}, (px, py) => {
        const point = near(px, py);
        return point && {x: x(point.x), lines: [`${name}: ${formatted(point.y)}, ${energy(point.x)}`, point.run.projectName,
          localTime(point.run.time), ...(isOnFront.has(point) ? ["On the Pareto front"] : [])]};
      });
      svg.addEventListener("click", event => {
        const box = svg.getBoundingClientRect();
        const point = near(event.clientX - box.left, event.clientY - box.top);
        if (point) location.hash = `#run=${encodeURIComponent(point.run.id)}`;
      });
    },
  });
}

function startMetrics() {
  if (!find("#metric") || !METRICS.length) return;
  find("#metric-controls").hidden = false;
  const select = find("#metric");
  select.append(...METRICS.map(name => element("option", {value: name}, name)));
  const usual = name => RUNS.reduce((count, run) => count + (name in run.metrics), 0) + (/acc|f1|bleu|score/i.test(name) ? RUNS.length : 0);
  select.value = METRICS.reduce((best, name) => usual(name) > usual(best) ? name : best, METRICS[0]);
  const change = () => { view.metric = select.value; updateTable(); updateMetrics(); };
  select.addEventListener("change", () => { find("#less").checked = LESS_IS_BETTER.test(select.value); change(); });
  find("#less").checked = LESS_IS_BETTER.test(select.value);
  find("#less").addEventListener("change", updateMetrics);
  change();
}
