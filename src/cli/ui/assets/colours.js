// The text of a log as elements. Colours (SGR) become classes. All other sequences of a terminal are left out, and
// characters that would show text in another order are shown as escapes.

const SEQUENCE = /\u001b\[([0-9;:]*)m|\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[@-Z\\-_]?/g;
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** No colour. */
export const PLAIN = Object.freeze({ front: null, back: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false });

/** A text without what acts on its reader. A carriage return begins a new line, as the plugin has it on a terminal. */
export function visible(text) {
  return text
    .replace(/\r+$/, "")
    .replace(/\r/g, "\n")
    .replace(ACTING, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** The text alone, to search in. */
export function plain(text) {
  return text.includes("\u001b") || /[\r\u0000-\u0008]/.test(text) ? visible(text.replace(SEQUENCE, "")) : text;
}

/** One of 16 colours that is like one of 256 or of all. */
function nearest(red, green, blue) {
  const bits = (red > 127 ? 1 : 0) + (green > 127 ? 2 : 0) + (blue > 127 ? 4 : 0);
  return bits || (red + green + blue > 96 ? 8 : 0);
}

function of256(number) {
  if (number < 16) return number;
  if (number > 231) return number > 243 ? 7 : 8;
  const part = (unit) => (Math.floor((number - 16) / unit) % 6) * 51;
  return nearest(part(36), part(6), part(1));
}

/** The state after a sequence. */
function after(state, codes) {
  const next = { ...state };
  const numbers = codes.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at];
    if (code === 0) Object.assign(next, PLAIN);
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.inverse = false;
    else if (code === 29) next.strike = false;
    else if (code >= 30 && code <= 37) next.front = code - 30;
    else if (code === 39) next.front = null;
    else if (code >= 40 && code <= 47) next.back = code - 40;
    else if (code === 49) next.back = null;
    else if (code >= 90 && code <= 97) next.front = code - 82;
    else if (code >= 100 && code <= 107) next.back = code - 92;
    else if (code === 38 || code === 48) {
      const which = code === 38 ? "front" : "back";
      if (numbers[at + 1] === 5) {
        next[which] = of256(numbers[at + 2] ?? 0);
        at += 2;
      } else if (numbers[at + 1] === 2) {
        next[which] = nearest(...[2, 3, 4].map((place) => numbers[at + place] ?? 0));
        at += 4;
      }
    }
  }
  return next;
}

/** The state at the end of a text that begins in this state. */
export function ending(text, state) {
  if (!text.includes("\u001b")) return state;
  let now = state;
  for (const found of text.matchAll(SEQUENCE)) {
    if (found[1] !== undefined) now = after(now, found[1]);
  }
  return now;
}

function classes(state) {
  const names = [];
  // A colour in front of a background of another theme could not be read.
  if (state.back !== null) names.push(`back-${state.back}`);
  if (state.front !== null && state.back === null) names.push(`front-${state.front}`);
  for (const name of ["bold", "dim", "italic", "underline", "strike", "inverse"]) {
    if (state[name]) names.push(name);
  }
  return names.join(" ");
}

/** Appends a text to an element, with its colours, and with each occurrence of what is searched marked. */
export function write(element, text, state, search) {
  let now = state;
  let from = 0;
  const add = (part) => {
    if (!part) return;
    const place = classes(now) ? document.createElement("span") : null;
    if (place) place.className = classes(now);
    marked(place ?? element, visible(part), search);
    if (place) element.append(place);
  };
  for (const found of text.matchAll(SEQUENCE)) {
    add(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[1] !== undefined) now = after(now, found[1]);
  }
  add(text.slice(from));
}

function marked(element, text, search) {
  const low = search ? text.toLowerCase() : "";
  // Some letters have more or fewer small letters than one.
  if (!search || low.length !== text.length) {
    element.append(text);
    return;
  }
  let from = 0;
  for (let at = low.indexOf(search); at >= 0; at = low.indexOf(search, from)) {
    element.append(text.slice(from, at));
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + search.length);
    element.append(mark);
    from = at + search.length;
  }
  element.append(text.slice(from));
}
