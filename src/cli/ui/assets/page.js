// What happens on a page by itself: it is kept up to date by the server's events, and its ages by the clock.

import { showLog } from "./log.js";

/** A duration in kubectl's words. */
function short(seconds) {
  const two = (large, first, small, second) => (small ? `${large}${first}${small}${second}` : `${large}${first}`);
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
  if (seconds < 120) return `${Math.max(0, Math.floor(seconds))}s`;
  if (seconds < 600) return two(minutes, "m", Math.floor(seconds % 60), "s");
  if (seconds < 10800) return `${minutes}m`;
  if (seconds < 28800) return two(hours, "h", minutes % 60, "m");
  if (seconds < 172800) return `${hours}h`;
  if (seconds < 691200) return two(days, "d", hours % 24, "h");
  if (seconds < 63072000) return `${days}d`;
  return `${Math.floor(days / 365)}y`;
}

function age() {
  for (const time of document.querySelectorAll("time[data-age]")) {
    const words = short((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== words) time.textContent = words;
  }
}

/** The markup of a whole page or of rows. The server has escaped all texts in it. No script in it runs. */
function parse(markup) {
  return new DOMParser().parseFromString(markup, "text/html");
}

/** Puts an element in the place of the one with its id. What was open stays open, and the focus where it was. */
function replace(before, after) {
  const open = [...before.querySelectorAll("details")].map((details) => details.open);
  [...after.querySelectorAll("details")].forEach((details, at) => (details.open = open[at] ?? details.open));
  const focused = before.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...before.querySelectorAll("a, button, summary, select, [tabindex]")].indexOf(focused);
  const scrolled = [...before.querySelectorAll(".wide")].map((wide) => wide.scrollLeft);
  before.replaceWith(document.adoptNode(after));
  [...after.querySelectorAll(".wide")].forEach((wide, at) => (wide.scrollLeft = scrolled[at] ?? 0));
  if (focused) after.querySelectorAll("a, button, summary, select, [tabindex]")[place]?.focus({ preventScroll: true });
}

let reading = null;
let again = false;

/** Reads the page again, once at a time, and replaces what is kept up to date. */
async function refresh() {
  if (reading) {
    again = true;
    return reading;
  }
  reading = (async () => {
    const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
    if (!answer.ok && answer.status !== 404) throw new Error(`HTTP ${answer.status}`);
    const page = parse(await answer.text());
    if (!answer.ok) {
      say(page.querySelector("main p")?.textContent ?? "this is gone");
      return;
    }
    for (const before of document.querySelectorAll("[data-live], [data-refresh]")) {
      const after = page.getElementById(before.id);
      if (after) replace(before, after);
    }
    age();
    followLog();
  })();
  try {
    await reading;
  } catch (error) {
    say(`The page could not be read again (${error.message}). Is the program still running?`);
  } finally {
    reading = null;
  }
  if (again) {
    again = false;
    return refresh();
  }
}

/** Says something at the page's end, or nothing any more. */
function say(words) {
  let place = document.getElementById("said");
  if (!place) {
    place = document.createElement("p");
    place.id = "said";
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  place.textContent = words;
  place.hidden = !words;
}

/** Puts changed rows into the list, each at the place that its activity has. */
function rows(event) {
  const list = document.getElementById("list");
  const body = document.getElementById("rows");
  const { count, rows: changed } = JSON.parse(event.data);
  const old = (key) => body && [...body.rows].find((row) => row.dataset.key === key);
  const active = (row) => Number(row.dataset.active ?? 0);
  // The first row of all makes the table, and so does the last one its end.
  if (!body || (count === 0) !== (body.rows.length === 0)) return refresh();
  const most = Number(list.dataset.most);
  for (const { key, row: markup } of changed) {
    const before = old(key);
    const focused = before?.contains(document.activeElement);
    const first = "first" in list.dataset;
    if (markup === null) {
      before?.remove();
      continue;
    }
    if (!before && !first) continue;
    const row = document.adoptNode(parse(`<table><tbody>${markup}</tbody></table>`).querySelector("tr"));
    before?.remove();
    const next = [...body.rows].find((other) => active(other) < active(row));
    body.insertBefore(row, next ?? null);
    row.classList.add("changed");
    if (focused) row.querySelector("a")?.focus({ preventScroll: true });
    while (body.rows.length > most) body.rows[body.rows.length - 1].remove();
  }
  document.getElementById("count").textContent = count;
}

let source = null;

/** Listens while the page can be seen: a browser has few connections for one server. */
function listen() {
  source?.close();
  source = null;
  const live = document.querySelector("[data-live]");
  if (document.hidden || !live) return;
  source = new EventSource(live.dataset.live);
  source.addEventListener("all", refresh);
  source.addEventListener("rows", rows);
  source.addEventListener("open", () => say(""));
  source.addEventListener("error", () => say("The connection to the program broke. Trying again."));
}

let log = null;

/** Shows the log, or another one if there is another one. */
function followLog() {
  const place = document.getElementById("log");
  if (!place) return;
  const chosen = new URLSearchParams(location.search).has("run");
  const key = chosen ? "chosen" : (document.getElementById("now")?.dataset.logKey ?? "");
  const title = document.getElementById("log-title");
  const number = key.split("/")[0];
  if (!chosen && number && !title.textContent.startsWith(`Log of run ${number}`)) {
    location.reload();
    return;
  }
  log ??= showLog(place);
  log.read(place.dataset.log, key);
}

document.addEventListener("visibilitychange", () => {
  listen();
  log?.seen(!document.hidden);
});
document.addEventListener("keydown", (event) => {
  const field = document.getElementById("text") ?? document.getElementById("log-search");
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
  }
});
document.querySelector(".filters select")?.form?.addEventListener("change", (event) => {
  if (event.target.matches("[role=search] select")) event.target.form.requestSubmit();
});

age();
setInterval(age, 1000);
listen();
followLog();
