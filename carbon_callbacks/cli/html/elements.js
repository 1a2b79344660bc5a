"use strict";
// Elements of the page. Text of others becomes text nodes and attributes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);
const find = selector => document.querySelector(selector);

/** A large figure with its name, its interval and a remark. */
function tile(name, value, ...rest) {
  return element("div", {}, element("dt", {}, name),
    element("dd", {}, element("strong", {}, value), rest.filter(Boolean).map(text => element("small", {}, text))));
}

/** A table in a region that scrolls sideways where it does not fit, and says so. */
function tableOf(caption, columns, rows) {
  const head = columns.map(([name, isNumeric]) => element("th", {scope: "col", class: isNumeric ? "n" : null}, name));
  const body = rows.map(cells => element("tr", {}, cells.map((cell, i) => i
    ? element("td", {class: columns[i][1] ? "n" : null}, cell)
    : element("th", {scope: "row"}, cell))));
  const table = element("table", {class: columns.length < 5 ? "narrow" : null}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, body));
  return element("div", {}, element("h3", {}, caption), scrolling(table, caption));
}

function scrolling(table, name) {
  const region = element("div", {class: "scroll", role: "region", "aria-label": name, tabindex: 0}, table);
  const cue = element("p", {class: "cue", "aria-hidden": "true"}, "Scroll sideways for more columns →");
  watchScrolling(region, cue);
  return element("div", {class: "scrolling"}, cue, region);
}

/** Show the cue and fade the edge while there are columns to the right. */
function watchScrolling(region, cue) {
  const update = () => {
    const more = region.scrollWidth - region.clientWidth - region.scrollLeft > 2;
    region.parentElement?.classList.toggle("more", more);
    cue.hidden = region.scrollWidth - region.clientWidth <= 2;
  };
  region.addEventListener("scroll", update, {passive: true});
  new ResizeObserver(update).observe(region);
}

/** A swatch in one of the colours of the page. */
const swatch = index => drawn("svg", {class: "swatch", width: 10, height: 10, "aria-hidden": "true"},
  drawn("rect", {width: 10, height: 10, rx: 2, class: `c${index}`}));

/** A bar that shows a share of 1, beside its text. */
function shareBar(share) {
  const width = Math.max(0, Math.min(1, share)) * 60;
  return element("span", {class: "share"}, drawn("svg", {width: 60, height: 8, "aria-hidden": "true"},
    drawn("rect", {width: 60, height: 8, rx: 2, class: "track"}),
    drawn("rect", {width, height: 8, rx: 2, class: "bar"})), percent(share));
}

/** How much of a budget is used, with the interval of what is used. */
function budgetBar(name, used, limit, text, range) {
  const share = used[0] / limit;
  const reach = Math.max(1, share, (used[2] ?? 0) / limit) * 1.02;
  const at = value => `${(100 * value / (limit * reach)).toFixed(2)}%`;
  const bar = drawn("svg", {class: "budget", width: "100%", height: 14, role: "img",
    "aria-label": `${name}: ${percent(share)} used`},
    drawn("rect", {width: at(limit), height: 10, y: 2, rx: 2, class: "track"}),
    drawn("rect", {width: at(Math.min(used[0], limit)), height: 10, y: 2, rx: 2, class: share > 1 ? "over" : "bar"}),
    share > 1 && drawn("rect", {x: at(limit), width: at(used[0] - limit), height: 10, y: 2, class: "over strong"}),
    used.length === 3 && drawn("line", {x1: at(used[1]), x2: at(used[2]), y1: 7, y2: 7, class: "whisker"}));
  return element("div", {class: "budget-row"},
    element("p", {}, element("strong", {}, `${percent(share)} `), `of the ${name.toLowerCase()}: ${text(used[0])} of ${text(limit)}`,
      range && element("small", {}, ` (95 %: ${range})`)), bar);
}

function copyButton(textOf) {
  const button = element("button", {type: "button", class: "quiet", onclick: async () => {
    await copyText(textOf());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }}, "Copy");
  return button;
}

/** Pages that are files have no clipboard interface in some browsers: select the text and copy it. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", {class: "hidden", readonly: true}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
