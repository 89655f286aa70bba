// Builds elements from names and text, never from markup: what a model wrote cannot become markup of the page.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes "--..." set CSS properties, "on..." add listeners; children are nodes or text. */
function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG elements. */
function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Numbers as people read them, and a dash for a missing one. Traces write "inf", "-inf" and "nan" as text.

const NONE = "–";
const BEYOND = new Map([["inf", Infinity], ["-inf", -Infinity], ["nan", NaN]]);
const number = (value) => (typeof value === "number" ? value : (BEYOND.get(value) ?? null));
/** The number; null for NaN too. */
const known = (value) => (Number.isNaN(number(value)) ? null : number(value));
/** The number limited to [low, high], for drawing; anything but a number counts as 0. */
const within = (value, low, high) => Math.min(high, Math.max(low, number(value) || 0));
const minus = (text) => text.replace("-", "−").replace("Infinity", "∞");

function fixed(value, digits) {
  const found = known(value);
  return found === null ? NONE : minus(found.toFixed(digits));
}

function signed(value) {
  const found = known(value);
  return found === null ? NONE : (found > 0 ? "+" : "") + fixed(found, 2);
}

function percent(share) {
  const found = known(share);
  if (found === null) return NONE;
  if (found > 0 && found < 0.005) return "<1%";
  if (found < 1 && found > 0.995) return ">99%";
  return `${Math.round(found * 100)}%`;
}

function time(seconds) {
  const found = known(seconds);
  if (found === null) return NONE;
  if (found < 0.9995) return `${(found * 1e3).toFixed(found > 0 && found < 0.00995 ? 1 : 0)} ms`;
  return found < 99.5 ? `${found.toPrecision(3)} s` : `${Math.round(found)} s`;
}

const count = (value) => (number(value) === null ? NONE : value.toLocaleString("en"));
const many = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
const total = (values) => values.reduce((sum, value) => sum + (number(value) ?? 0), 0);

/** A button that copies what `text()` returns and says so for a moment. */
function copier(name, text, attributes = {}) {
  const button = h("button", { type: "button", class: "small", "aria-label": `Copy ${name}`, ...attributes }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text())) ? "Copied" : "Failed";
    $("said").textContent = button.textContent === "Copied" ? `${name} copied` : `${name} could not be copied`;
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

/** Whether a text could be copied; pages from plain HTTP on another machine have no clipboard, but may still copy a selection. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const had = document.activeElement;
    const field = h("textarea", { class: "hidden", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    had?.focus();
    return done;
  }
}
