// Pieces that the parts of a report share: numbers, pictures that are decoded when they come into view, the larger view, keys.
// Whatever comes out of #data is put into the page as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);

// ---- pieces of a page
const words = (text) => el("bdi", {}, ...broken(text, /(?<=[,=_/]|\.(?=[a-z]))/));
const choice = (id, label, options, change, selected) => {
  const box = el("select", { id, onchange: () => change(box.value) }, ...options.map(([value, text]) => el("option", { value, selected: String(value) === String(selected) }, text)));
  return el("label", {}, el("span", {}, label), box);
};

// ---- numbers in words
function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size >= 1e7 || (size < 1e-4 && size > 0)) return value.toExponential(2);
  return size >= 1e4 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
}
const counted = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

// ---- pictures: systems have different ones; `of` finds that of a pair
const of = data.pictures.map((list) => new Map(list.map(([pair, key, scores, thumb, width, height, stages]) =>
  [pair, { key, scores, thumb, width, height, stages: stages ?? [] }])));
const blocks = document.querySelectorAll("script.thumbs"), opened = new Map();
function address(thumb) {
  const block = Math.floor(thumb / data.block);
  if (!opened.has(block)) opened.set(block, blocks[block].textContent.split(" "));
  return `data:image/webp;base64,${opened.get(block)[thumb % data.block]}`;
}
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    watch.unobserve(target);
    target.src = address(Number(target.dataset.thumb));
  }
}, { rootMargin: "300px" });
function image(thumb, width, height, alt, now = false) {
  const node = el("img", { alt, width, height, "data-thumb": thumb, class: Math.max(width, height) <= 64 ? "pixels" : null, decoding: "async" });
  if (now) node.src = address(thumb); else watch.observe(node);
  return node;
}
const promptOf = (pair) => data.pairs[pair][0];
function said(pair) { // what is said of a pair beneath its prompt
  const [, category, seed] = data.pairs[pair], name = data.categories[category];
  return [...(name ? [words(name)] : []), seed === null ? "" : `${name ? " · " : ""}seed ${seed}`];
}
function picture(system, pair) { // a button that opens the larger view
  const found = of[system].get(pair);
  if (!found) return el("span", { class: "none" }, "not made");
  const inner = found.thumb === undefined ? el("span", { class: "none", role: "img", "aria-label": promptOf(pair) }, "no picture")
    : image(found.thumb, found.width, found.height, promptOf(pair));
  return el("button", { type: "button", class: "picture", tabindex: -1, "data-system": system, "data-pair": pair, onclick: (event) => enlarge(event.currentTarget) }, inner);
}

// ---- keys: one picture of each part can be reached by Tab, the others from there
const within = (part) => [...part.querySelectorAll("button.picture")];
function settle(part) { // after a part was drawn anew
  const all = within(part);
  if (all.length && !all.some((node) => node.tabIndex === 0)) all[0].tabIndex = 0;
}
function go(node) {
  for (const other of node.closest(".part").querySelectorAll('button.picture[tabindex="0"]')) other.tabIndex = -1;
  node.tabIndex = 0;
  node.focus({ preventScroll: true });
  node.scrollIntoView({ block: "nearest", inline: "nearest" });
}
function beside(node, step) { // the next picture, or the one before; more are drawn when there are more
  const part = node.closest(".part");
  let all = within(part), at = all.indexOf(node) + step;
  if (at >= all.length && part.grow?.()) all = within(part);
  return all[at];
}
function across(node, down) { // the nearest picture in the next line of pictures, or in the one before
  const box = node.getBoundingClientRect(), middle = box.left + box.width / 2;
  if (down) beside(within(node.closest(".part")).at(-1) === node ? node : within(node.closest(".part")).at(-1), 0);
  let best = null, least = Infinity;
  for (const other of within(node.closest(".part"))) {
    const there = other.getBoundingClientRect(), away = down ? there.top - box.bottom : box.top - there.bottom;
    if (away < -4) continue;
    const far = away * 4 + Math.abs(there.left + there.width / 2 - middle);
    if (other !== node && far < least) [best, least] = [other, far];
  }
  return best;
}
const STEPS = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || large.open) return;
  const { target, key } = event;
  if (target.matches("input, select, textarea")) return;
  if (!target.matches("button.picture")) { // j and k begin wherever one is
    const first = document.querySelector("#gallery button.picture");
    if ((key === "j" || key === "k") && first) { event.preventDefault(); go(document.querySelector('#gallery button.picture[tabindex="0"]') ?? first); }
    return;
  }
  const next = key in STEPS ? beside(target, STEPS[key]) : key === "ArrowDown" || key === "ArrowUp" ? across(target, key === "ArrowDown") : undefined;
  if (next === undefined && !(key in STEPS)) return;
  event.preventDefault();
  if (next) go(next);
});

// ---- the larger view: of one pair, all systems that are shown
const large = document.getElementById("large");
let from = null;
function enlarge(node) {
  from = node;
  const pair = Number(node.dataset.pair), own = Number(node.dataset.system);
  const listed = [...new Set([own, ...sideBySide(own)])].filter((i) => of[i].has(pair)).slice(0, 8).sort((a, b) => a - b);
  const turn = (step) => { const next = beside(from, step); if (next) enlarge(next); };
  const button = (text, does, key) => el("button", { type: "button", onclick: does, "aria-keyshortcuts": key }, text);
  const figures = listed.map((i) => {
    const found = of[i].get(pair);
    const stages = found.stages.map(([name, thumb, width, height]) => el("figure", { class: "stage" }, image(thumb, width, height, `${promptOf(pair)} (${name})`, true),
      el("figcaption", {}, words(name), ` ${width} × ${height}`)));
    return el("figure", { class: i === own && listed.length > 1 ? "own" : null }, found.thumb === undefined ? el("span", { class: "none" }, "no picture") : image(found.thumb, found.width, found.height, promptOf(pair), true),
      el("figcaption", {}, words(data.systems[i]), found.thumb === undefined ? "" : `: ${found.width} × ${found.height}`, el("br"), el("small", {}, `pictures/*.tar: ${found.key}.png`)), ...(stages.length ? [el("div", { class: "stages" }, ...stages)] : []));
  });
  const rows = data.scores.map(([name], k) => el("tr", {}, el("th", { scope: "row" }, words(name)), ...listed.map((i) => el("td", {}, number(of[i].get(pair).scores[k])))));
  const table = el("table", {}, el("caption", {}, "Scores"), el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "score"), ...listed.map((i) => el("th", { scope: "col" }, words(data.systems[i]))))), el("tbody", {}, ...rows));
  large.replaceChildren(
    el("div", { class: "head" }, el("h2", { id: "large-title", dir: "auto" }, promptOf(pair)), button("Close", () => large.close(), "Escape")),
    el("p", { class: "quiet" }, ...said(pair)),
    el("div", { class: "figures" }, ...figures),
    ...(rows.length ? [el("div", { class: "scroll" }, table)] : []),
    el("div", { class: "head" }, button("Previous", () => turn(-1), "k"), button("Next", () => turn(1), "j")));
  if (!large.open) large.showModal();
  large.scrollTop = 0;
}
large.addEventListener("keydown", (event) => {
  if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const next = beside(from, STEPS[event.key]);
  if (next) enlarge(next);
});
large.addEventListener("click", (event) => { if (event.target === large) large.close(); }); // beside it
large.addEventListener("close", () => { if (from?.isConnected) go(from); });
