"use strict";
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const themeColours = () => {
  const axis = {gridcolor: colour("--line"), linecolor: colour("--line"), color: colour("--text")};
  return {axis, text: colour("--text"), tile: colour("--tile")};
};
function withTheme(layout) {
  const {axis, text, tile} = themeColours();
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: text, size: 12, family: getComputedStyle(document.body).fontFamily},
    hoverlabel: {bgcolor: tile, bordercolor: axis.linecolor, font: {color: text}},
    xaxis: {...layout.xaxis, ...axis}, yaxis: {...layout.yaxis, ...axis},
  };
}
const plots = [...document.querySelectorAll(".plot")].map(place => {
  const figure = JSON.parse(place.querySelector("script").textContent);
  place.replaceChildren();
  Plotly.newPlot(place, figure.data, withTheme(figure.layout), {responsive: true, displayModeBar: false});
  return {place, figure};
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const {place, figure} of plots) Plotly.react(place, figure.data, withTheme(figure.layout));
});
document.documentElement.dataset.drawn = plots.length;
