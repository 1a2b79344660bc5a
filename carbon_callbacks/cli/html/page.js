"use strict";
// Puts the parts of the page together; the address after # is the run that is opened or the two compared.

let openedRun = null;

function go(isStart = false) {
  const [name, value = ""] = location.hash.slice(1).split("=");
  const ids = value.split(",").map(text => { try { return decodeURIComponent(text); } catch { return ""; } });
  const found = ids.map(id => BY_ID.get(id)).filter(Boolean);
  if (name === "compare" && found.length === 2) {
    compareRuns(found);
    find("#compare").hidden = false;
    return arrive("#compare", "#compare-name");
  }
  if (name !== "run" && !isStart) return;
  openedRun = found[0] ?? RUNS[0];
  openRun(openedRun);
  if (find("#scope")?.value === "run") {
    updateElsewhere();
    updateSentence();
  }
  if (name === "run" && found.length) arrive("#run", "#run-name");
}

function arrive(section, heading) {
  find(section).scrollIntoView({block: "start"});
  find(heading).focus({preventScroll: true});
}

function start() {
  if (find("#runs")) {
    startTable();
    if (DATA.by_time) find("#by-time").append(barsByTime(DATA.by_time));
    startMetrics();
  }
  startElsewhere();
  go(true);
  updateSentence();
  for (const place of document.querySelectorAll("[data-copies]")) {
    place.append(copyButton(() => find(place.dataset.copies).textContent));
  }
  for (const region of document.querySelectorAll("main .scroll[data-watched]")) watchScrolling(region, region.previousElementSibling);
  addEventListener("hashchange", () => go());
}

if (RUNS.length) start();
document.documentElement.dataset.drawn = RUNS.length;
