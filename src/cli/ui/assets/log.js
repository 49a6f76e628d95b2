// The log: lines come as data, and are written as text alone. Only blocks of lines near what is seen are in the page.

import { PLAIN, ending, plain, write } from "./colours.js";

/** How many lines a block has. */
const BLOCK = 100;
/** How many lines are kept. Of a longer log the first ones are left out here; the file has them. */
const MOST = 300_000;
/** How far from the end still counts as the end, in pixels. */
const NEAR = 4;

/** Makes a log of an element. */
export function showLog(place) {
  const byId = (id) => document.getElementById(id);
  const [search, found, stderr, wrap, follow, state] =
    ["log-search", "log-found", "log-stderr", "log-wrap", "log-follow", "log-state"].map(byId);
  const decoder = new TextDecoder();

  let lines = []; // {number, text, error, begins: state of the colours}
  let count = 0; // of all lines that there were, also those that are left out
  let open = null; // the line that goes on
  let colours = PLAIN;
  let last = 0; // the last frame
  let lineFrame = 0; // the frame that the last line begins with
  let blocks = []; // {element, lines, filled}
  let hits = [];
  let hit = -1;
  let source = null;
  let address = null;
  let key = null;
  let ended = false;
  let complete = false;
  let moved = false; // whether the log itself scrolled, and not the reader

  const height = () => parseFloat(getComputedStyle(place).lineHeight) || 20;
  const wanted = (line) => !stderr.checked || line.error;
  const needle = () => search.value.toLowerCase();

  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const block = blocks.find((of) => of.element === entry.target);
        if (!block) continue;
        if (entry.isIntersecting) fill(block);
        else if (block.filled) empty(block);
      }
    },
    { root: place, rootMargin: "1500px 0px" },
  );

  function fill(block) {
    block.filled = true;
    block.element.style.height = "";
    block.element.replaceChildren(...block.lines.map(element));
  }

  function empty(block) {
    // What it had is what it has again.
    block.element.style.height = `${block.element.getBoundingClientRect().height}px`;
    block.element.replaceChildren();
    block.filled = false;
  }

  function element(line) {
    const row = document.createElement("div");
    row.className = "line";
    if (line.note) row.classList.add("note");
    if (line.error) row.classList.add("error");
    if (location.hash === `#L${line.number}`) row.classList.add("target");
    if (hits[hit] === line.number) row.classList.add("hit");
    if (line.number) {
      const link = document.createElement("a");
      link.href = `#L${line.number}`;
      link.textContent = line.number;
      link.setAttribute("aria-label", `Line ${line.number}${line.error ? ", standard error" : ""}`);
      link.title = line.time ?? "";
      row.append(link);
    } else row.append(document.createElement("span"));
    const text = document.createElement("code");
    write(text, line.text, line.begins, needle());
    row.append(text);
    return row;
  }

  function put(line) {
    let block = blocks[blocks.length - 1];
    if (!block || block.lines.length >= BLOCK) {
      block = { element: document.createElement("div"), lines: [], filled: true };
      block.element.className = "block";
      blocks.push(block);
      place.append(block.element);
      near.observe(block.element);
      // Blocks that come far from what is seen begin empty.
      if (blocks.length > 30) block.filled = false;
    }
    block.lines.push(line);
    if (block.filled) block.element.append(element(line));
    else block.element.style.height = `${block.lines.length * height()}px`;
  }

  /** Writes a line again that has got longer. */
  function rewrite(line) {
    const block = blocks[blocks.length - 1];
    if (block?.filled && block.lines[block.lines.length - 1] === line) {
      block.element.lastElementChild?.replaceWith(element(line));
    }
  }

  function trim() {
    if (lines.length <= MOST + BLOCK) return;
    lines.splice(0, lines.length - MOST);
    const first = lines[0].number ?? 0;
    while (blocks.length > 1 && (blocks[0].lines[blocks[0].lines.length - 1].number ?? 0) < first) {
      const block = blocks.shift();
      near.unobserve(block.element);
      block.element.remove();
    }
  }

  function add(line) {
    lines.push(line);
    if (wanted(line)) put(line);
    if (needle() && wanted(line) && plain(line.text).toLowerCase().includes(needle())) hits.push(line.number);
  }

  function note(words) {
    open = null;
    add({ number: null, text: `[longshore: ${words}]`, error: false, note: true, begins: PLAIN });
  }

  function take(piece) {
    if (piece.note !== undefined) return note(piece.note);
    if (piece.missing) {
      if (piece.missing.last <= last) return;
      last = piece.missing.last;
      return note(`frames ${piece.missing.first} to ${piece.missing.last} of the log are missing here`);
    }
    // It came before the connection broke.
    if (piece.frame <= last) return;
    last = piece.frame;
    const text =
      piece.text ?? decoder.decode(Uint8Array.from(atob(piece.base64 ?? ""), (letter) => letter.charCodeAt(0)));
    if (open) {
      open.text += text;
      rewrite(open);
    } else {
      count += 1;
      lineFrame = piece.frame;
      open = { number: count, text, error: piece.stream === "stderr", time: piece.time, begins: colours };
      add(open);
    }
    if (!piece.continued) {
      colours = ending(open.text, open.begins);
      open = null;
    }
  }

  function bottom() {
    const end = place.scrollHeight - place.clientHeight;
    if (!follow.checked || Math.abs(place.scrollTop - end) < 1) return;
    moved = true;
    place.scrollTop = end;
  }

  function received(event) {
    for (const text of event.data.split("\n")) if (text) take(JSON.parse(text));
    trim();
    if (follow.checked) requestAnimationFrame(bottom);
    found.textContent = words();
    toHash(false);
  }

  function words() {
    if (!needle()) return "";
    if (!hits.length) return "nothing found";
    return `${hit + 1 || "–"} of ${hits.length}`;
  }

  /** Builds all blocks again, after another filter or search. */
  function rebuild() {
    near.disconnect();
    place.replaceChildren();
    blocks = [];
    hits = [];
    hit = -1;
    const wantedText = needle();
    for (const line of lines) {
      if (!wanted(line)) continue;
      put(line);
      if (wantedText && plain(line.text).toLowerCase().includes(wantedText)) hits.push(line.number);
    }
    found.textContent = words();
    if (follow.checked) requestAnimationFrame(bottom);
  }

  /** Brings a line into sight. */
  function show(number, mark) {
    const block = blocks.find((of) => {
      const numbers = of.lines.map((line) => line.number);
      return numbers.includes(number);
    });
    if (!block) return false;
    follow.checked = false;
    moved = true;
    fill(block);
    const row = block.element.children[block.lines.findIndex((line) => line.number === number)];
    for (const other of place.querySelectorAll(`.${mark}`)) other.classList.remove(mark);
    row.classList.add(mark);
    row.scrollIntoView({ block: "center" });
    return true;
  }

  let shown = null;

  /** Shows the line that the address names, once it is there. */
  function toHash(afresh) {
    const number = Number(/^#L(\d+)$/.exec(location.hash)?.[1]);
    if (!number || (!afresh && shown === location.hash)) return;
    if (show(number, "target")) shown = location.hash;
  }

  function step(by) {
    if (!hits.length) return;
    hit = hit < 0 ? (by > 0 ? 0 : hits.length - 1) : (hit + by + hits.length) % hits.length;
    show(hits[hit], "hit");
    found.textContent = words();
  }

  function connect() {
    source?.close();
    source = null;
    if (ended || document.hidden || !address) return;
    const from = lineFrame > 1 ? `&from=${lineFrame}` : "";
    source = new EventSource(address + from);
    state.textContent = lines.length ? "" : "Reading the log.";
    source.addEventListener("lines", (event) => {
      state.textContent = "";
      received(event);
    });
    source.addEventListener("end", (event) => {
      source.close();
      source = null;
      const { words, whole } = JSON.parse(event.data);
      ended = true;
      complete = whole && !words;
      const rest = whole ? (lines.length ? "The log ends here." : "There is no line.") : "";
      state.textContent = [words, words ? "" : rest].filter(Boolean).join(" ");
    });
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) state.textContent = "The log cannot be read: load the page again.";
    });
  }

  let typed = null;
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => {
      rebuild();
      if (needle()) step(1);
    }, 200);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      step(event.shiftKey ? -1 : 1);
    }
  });
  byId("log-before").addEventListener("click", () => step(-1));
  byId("log-after").addEventListener("click", () => step(1));
  stderr.addEventListener("change", rebuild);
  wrap.addEventListener("change", () => {
    place.classList.toggle("unwrapped", !wrap.checked);
    rebuild();
  });
  follow.addEventListener("change", () => follow.checked && bottom());
  window.addEventListener("hashchange", () => toHash(true));
  // While lines come quickly, only these say that it is the reader who scrolls.
  place.addEventListener("wheel", (event) => event.deltaY < 0 && (follow.checked = false), { passive: true });
  place.addEventListener("touchmove", () => (follow.checked = false), { passive: true });
  place.addEventListener("keydown", (event) => {
    if (["ArrowUp", "PageUp", "Home"].includes(event.key)) follow.checked = false;
  });
  let before = 0;
  place.addEventListener("scroll", () => {
    const end = place.scrollHeight - place.scrollTop - place.clientHeight < NEAR;
    // Scrolling up stops following, and the end begins it again.
    if (!moved && place.scrollTop < before && !end) follow.checked = false;
    else if (!moved && end) follow.checked = true;
    moved = false;
    before = place.scrollTop;
  });
  if (location.hash.startsWith("#L")) follow.checked = false;

  return {
    /** Reads a log from this address. Another key is another state of it, or another log. */
    read(from, of) {
      if (of === key) return;
      const parts = (text) => (text ?? "").split("/").slice(0, 3).join("/");
      if (key === null || parts(of) !== parts(key)) {
        lines = [];
        [count, open, colours, last, lineFrame] = [0, null, PLAIN, 0, 0];
        rebuild();
      } else if (source || complete) {
        // This log is followed to its end, or was.
        key = of;
        return;
      }
      [address, key, ended, complete] = [from, of, false, false];
      connect();
    },
    /** Whether the page can be seen. */
    seen(visible) {
      if (visible) connect();
      else {
        source?.close();
        source = null;
      }
    },
  };
}
