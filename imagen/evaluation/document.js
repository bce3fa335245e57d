"use strict";
// What the scripts of pages share, which come after it in the same script: nodes, lines that differ, round numbers on an axis.
// Text becomes text nodes and attributes, never HTML. 7 colours (.c0 to .c6 of a page's style) and 5 dashes make 35 lines that differ.
const COLOURS = 7, DASHES = ["", "7 3", "2 3", "9 3 2 3", "14 4"];

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const broken = (text, ends) => String(text).split(ends).flatMap((part, n) => n ? [el("wbr"), part] : [part]); // a line may end where a part does
const swatch = (i) => svg("svg", { class: "swatch", width: 30, height: 10, "aria-hidden": "true" },
  svg("path", { class: `line c${i % COLOURS}`, "stroke-dasharray": DASHES[i % DASHES.length], d: "M1 5H29" }));

function ticks(low, high, count) { // round numbers between two ends
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= rough * 0.999), found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && found.length < 20; i++) found.push(Number((i * step).toPrecision(10)));
  return found;
}
function onResize(draw) { // of the width: a phone's bars that come and go change the height
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (width !== window.innerWidth) { width = window.innerWidth; draw(); } });
}
