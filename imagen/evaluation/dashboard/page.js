// The panels of a sweep, drawn from the JSON in #data. Whatever comes from there is put into the page as text, never as
// HTML. A run has one colour and one dash over all panels.
const { runs, sections, columns, more } = JSON.parse(document.getElementById("data").textContent);
const HEIGHT = 220;
const EDGE = { left: 56, right: 12, top: 10, bottom: 24 };
const on = runs.map(() => true);
const charts = [], toggles = runs.map(() => []), afterwards = [];
let smoothing = 0;

const named = (run) => el("bdi", {}, run.name);

// ---- numbers in words
const whole = (n) => n === null ? "–" : n.toLocaleString("en");
function number(value, unit, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return value;
  if (unit === "share") return `${Number((100 * value).toPrecision(digits - 1))} %`;
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(digits - 2).replace(/\.?0+e/, "e").replace("e+", "e");
  return size >= 1e4 ? Number(value.toPrecision(Math.max(digits, 5))).toLocaleString("en") : String(Number(value.toPrecision(digits)));
}
function labels(values, unit) { // as many digits as tell them apart
  for (let digits = 4; ; digits++) {
    const found = values.map((value) => number(value, unit, digits));
    if (digits > 9 || new Set(found).size === found.length) return found;
  }
}

// ---- ticks
function logTicks(low, high) { // of exponents of ten
  const found = [], every = Math.ceil((high - low) / 6) || 1, digits = high - low < 1.2 ? [1, 2, 3, 5, 7] : high - low < 3 ? [1, 2, 5] : [1];
  for (let power = Math.floor(low); power <= high; power += every)
    for (const digit of every > 1 ? [1] : digits) found.push(power + Math.log10(digit));
  const inside = found.filter((t) => t >= low - 1e-9 && t <= high + 1e-9).map((t) => 10 ** t);
  return inside.length > 1 ? inside : ticks(10 ** low, 10 ** high, 3).filter((t) => t > 0);
}

// ---- curves
function smoothed([steps, values]) { // exponential average, without the pull towards its start
  let sum = 0, weight = 0;
  return [steps, values.map((value) => {
    sum = smoothing * sum + (1 - smoothing) * value;
    weight = smoothing * weight + 1 - smoothing;
    return sum / weight;
  })];
}
const rawOf = (curve) => [curve[0], curve[1]];
const lineOf = (curve) => smoothing === 0 ? rawOf(curve) : smoothed(curve.length > 2 ? [curve[2], curve[3]] : rawOf(curve));
function nearest(steps, step) {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle; else high = middle;
  }
  return Math.abs(steps[low] - step) <= Math.abs(steps[high] - step) ? low : high;
}
function reach() { // the steps that all panels show
  let low = Infinity, high = -Infinity;
  runs.forEach((run, i) => {
    if (on[i]) for (const [steps] of Object.values(run.curves)) {
      low = Math.min(low, steps[0]);
      high = Math.max(high, steps[steps.length - 1]);
    }
  });
  return low === Infinity ? [0, 1] : low === high ? [low - 1, high + 1] : [low, high];
}

// ---- a chart
function chartOf(panel) {
  const area = svg("svg", { class: "chart", role: "img", tabindex: 0 }), tip = el("div", { class: "tip", hidden: true, "aria-live": "polite" });
  const chart = { panel, area, tip, seen: false, stale: true, drawn: [] };
  chart.figure = el("figure", {}, el("h3", { dir: "auto" }, panel.title), area, tip);
  for (const kind of ["pointermove", "pointerdown"]) area.addEventListener(kind, (event) => {
    const box = area.getBoundingClientRect();
    point(chart, event.clientX - box.left, event.clientY - box.top);
  });
  area.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") point(chart, null); }); // a finger hides what it points at
  area.addEventListener("blur", () => point(chart, null));
  area.addEventListener("keydown", (event) => byKey(chart, event));
  charts.push(chart);
  return chart;
}
function draw(chart) {
  const { panel, area } = chart, width = Math.max(200, chart.figure.clientWidth - 24);
  const lines = [];
  runs.forEach((run, i) => { if (on[i] && Object.hasOwn(run.curves, panel.key)) lines.push({ i, raw: rawOf(run.curves[panel.key]), line: lineOf(run.curves[panel.key]) }); });
  point(chart, null);
  chart.stale = false;
  chart.drawn = lines;
  chart.width = width;
  area.replaceChildren();
  fill(area, { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-label": `${panel.title} over steps, ${lines.length} runs; arrow keys read the values` }, []);
  if (!lines.length) return area.append(svg("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no run that is switched on has this"));
  let low = Infinity, high = -Infinity;
  for (const { line: [, values] } of lines) for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const log = panel.log && low > 0, to = log ? Math.log10 : Number;
  let [bottom, top] = [to(low), to(high)];
  const slack = (top - bottom) * 0.04 || Math.abs(top) * 0.1 || 0.5;
  [bottom, top] = [bottom - slack, top + slack];
  const [from, until] = chart.reach = reach(), right = width - EDGE.right, floor = HEIGHT - EDGE.bottom;
  chart.x = (step) => EDGE.left + (right - EDGE.left) * (step - from) / (until - from);
  chart.y = (value) => EDGE.top + (floor - EDGE.top) * (top - to(value)) / (top - bottom);
  const values = log ? logTicks(bottom, top) : ticks(bottom, top, 5), said = labels(values, panel.unit);
  values.forEach((value, k) => {
    const y = chart.y(value).toFixed(1);
    area.append(svg("path", { class: "grid", d: `M${EDGE.left} ${y}H${right}` }),
      svg("text", { x: EDGE.left - 6, y: Number(y) + 4, "text-anchor": "end" }, said[k]));
  });
  for (const step of ticks(from, until, Math.max(2, Math.floor(width / 110)))) {
    const x = chart.x(step);
    area.append(svg("text", { x: Math.min(x, right - 4), y: HEIGHT - 6, "text-anchor": x > right - 24 ? "end" : "middle" }, number(step)));
  }
  // a picture within the picture: what lies outside of it is cut
  const inner = svg("svg", { x: EDGE.left, y: 0, width: right - EDGE.left + 4, height: floor + 4, viewBox: `${EDGE.left} 0 ${right - EDGE.left + 4} ${floor + 4}` });
  const path = ([steps, values]) => steps.map((step, k) => log && values[k] <= 0 ? "" : `${k ? "L" : "M"}${chart.x(step).toFixed(1)} ${chart.y(values[k]).toFixed(1)}`).join("").replace(/^L/, "M");
  if (smoothing) for (const { i, raw } of lines) inner.append(svg("path", { class: `line raw c${i % COLOURS}`, d: path(raw) }));
  for (const { i, line } of lines) {
    const of = { class: `line c${i % COLOURS}`, "data-run": i };
    inner.append(line[0].length === 1
      ? svg("circle", { ...of, cx: chart.x(line[0][0]), cy: chart.y(line[1][0]), r: 3 })
      : svg("path", { ...of, d: path(line), "stroke-dasharray": DASHES[i % DASHES.length] }));
  }
  chart.marks = svg("g");
  area.append(inner, chart.marks);
}

// ---- reading values: the pointer, or arrow keys
function point(chart, x, y) {
  if (x === null || !chart.drawn.length) {
    chart.tip.hidden = true;
    chart.marks?.replaceChildren();
    chart.at = null;
    return mark(-1);
  }
  const near = chart.drawn.map(({ i, line: [steps, values] }) => {
    const [from, until] = chart.reach, step = from + (x - EDGE.left) / (chart.width - EDGE.right - EDGE.left) * (until - from);
    const k = nearest(steps, step);
    return { i, step: steps[k], value: values[k], x: chart.x(steps[k]), y: chart.y(values[k]) };
  });
  const far = (p) => Math.hypot((p.x - x) / 4, p.y - y); // across counts more than along
  near.sort((a, b) => far(a) - far(b));
  const [first] = near, listed = near.slice(0, 6).sort((a, b) => a.y - b.y);
  chart.at = first;
  chart.marks.replaceChildren(...listed.map((p) => svg("circle", { class: `dot c${p.i % COLOURS}`, cx: p.x, cy: p.y, r: p === first ? 5 : 3 })));
  chart.tip.replaceChildren(el("p", {}, `step ${whole(first.step)}`), ...listed.map((p) =>
    el("p", { class: p === first ? "first" : null }, swatch(p.i), named(runs[p.i]), el("b", {}, number(p.value, chart.panel.unit)))));
  if (near.length > 6) chart.tip.append(el("p", {}, `and ${near.length - 6} more`));
  chart.tip.hidden = false;
  const box = chart.figure.getBoundingClientRect(); // beneath the chart, where it hides no curve; above at the window's end
  chart.tip.classList.toggle("above", box.bottom + chart.tip.offsetHeight > window.innerHeight && box.top > chart.tip.offsetHeight);
  const free = chart.figure.clientWidth - chart.tip.offsetWidth - 8;
  chart.tip.style.left = `${Math.max(8, Math.min(free, first.x - chart.tip.offsetWidth / 2))}px`;
  mark(first.i);
}
function byKey(chart, event) {
  const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity, ArrowUp: 0, ArrowDown: 0 }[event.key];
  if (event.key === "Escape") return point(chart, null);
  if (move === undefined || !chart.drawn.length) return;
  event.preventDefault();
  const order = chart.drawn.map(({ i }) => i), turn = { ArrowUp: -1, ArrowDown: 1 }[event.key] ?? 0; // up and down: another run
  const place = chart.at ? (order.indexOf(chart.at.i) + turn + order.length) % order.length : 0;
  const [steps, values] = chart.drawn[place].line, k = chart.at ? nearest(steps, chart.at.step) : steps.length - 1;
  const next = Math.max(0, Math.min(steps.length - 1, k + (chart.at ? move : 0)));
  point(chart, chart.x(steps[next]), chart.y(values[next]));
}
function mark(i) { // one run among many
  for (const node of document.querySelectorAll(".marked")) node.classList.remove("marked");
  if (i >= 0) for (const node of document.querySelectorAll(`[data-run="${i}"]`)) {
    node.classList.add("marked");
    if (node instanceof SVGElement) node.parentNode.append(node); // over the others
  }
  document.body.classList.toggle("marking", i >= 0);
}

// ---- what changes, and who is told
function refresh() {
  for (const chart of charts) if (chart.seen) draw(chart); else chart.stale = true;
  for (const tell of afterwards) tell();
}
function turn(numbers, value) {
  for (const i of numbers) {
    on[i] = value;
    for (const box of toggles[i]) box.checked = value;
  }
  refresh();
}
function toggle(i) {
  const box = el("input", { type: "checkbox", checked: true, onchange: () => turn([i], box.checked) });
  toggles[i].push(box);
  return el("label", { class: "run", "data-run": i, onpointerenter: () => mark(i), onpointerleave: () => mark(-1) }, box, swatch(i), named(runs[i]));
}

// ---- the bar that stays at the top
function bar() {
  const shown = el("output"), all = runs.map((_, i) => i);
  const slider = el("input", { id: "smoothing", type: "range", min: 0, max: 0.99, step: 0.01, value: 0 });
  slider.addEventListener("input", () => { smoothing = Number(slider.value); shown.value = smoothing.toFixed(2); refresh(); });
  shown.value = "0.00";
  const summary = el("summary");
  afterwards.push(() => { summary.textContent = `${on.filter(Boolean).length} of ${runs.length} runs shown`; });
  const legend = el("details", {}, summary, el("div", { class: "legend" },
    el("button", { type: "button", onclick: () => turn(all, true) }, "all"), el("button", { type: "button", onclick: () => turn(all, false) }, "none"), ...all.map(toggle)));
  return el("div", { class: "bar" }, el("label", {}, "Smoothing ", slider, " ", shown), legend);
}

// ---- the table of runs
function tableOf() {
  const titles = ["run", "step", ...columns], body = el("tbody"), heads = [];
  const rows = runs.map((run, i) => ({
    values: [run.name, run.step, ...run.cells],
    node: el("tr", { "data-run": i }, el("td", {}, toggle(i)), el("td", {}, run.steps === null ? whole(run.step) : `${whole(run.step)} of ${whole(run.steps)}`),
      ...run.cells.map((cell) => el("td", {}, el("bdi", {}, number(cell))))),
  }));
  const empty = (value) => value === null || value === undefined;
  const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  const sort = (column, sign) => {
    rows.sort(({ values: { [column]: a } }, { values: { [column]: b } }) => empty(a) || empty(b) ? empty(a) - empty(b) : sign * order(a, b));
    heads.forEach((head, k) => head.setAttribute("aria-sort", k !== column ? "none" : sign > 0 ? "ascending" : "descending"));
    body.replaceChildren(...rows.map(({ node }) => node));
  };
  titles.forEach((title, k) => {
    const button = el("button", { type: "button", onclick: () => sort(k, heads[k].getAttribute("aria-sort") === "ascending" ? -1 : 1) }, ...broken(title, /(?<=[._])/));
    heads.push(el("th", { "aria-sort": "none", scope: "col" }, button));
  });
  body.append(...rows.map(({ node }) => node));
  const note = more.length ? [el("p", { class: "quiet" }, `Not in the table: ${more.join(", ")}`)] : [];
  return el("section", {}, el("h2", {}, "Runs"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of runs" },
    el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body)), ...note);
}

// ---- previews: one run with its words, or all runs at one step
function previews() {
  const having = runs.map((_, i) => i).filter((i) => runs[i].previews.length);
  if (!having.length) return [];
  const steps = [...new Set(having.flatMap((i) => runs[i].previews.map(([step]) => step)))].sort((a, b) => a - b);
  const slider = el("input", { id: "step", type: "range", min: 0, max: steps.length - 1, step: 1, value: steps.length - 1 }), said = el("output"), view = el("div", { class: "view" });
  const choice = el("select", { id: "which" }, el("option", { value: "all" }, "all runs"), ...having.map((i) => el("option", { value: i }, runs[i].name)));
  const cards = new Map();
  const card = (i) => {
    const image = el("img", { loading: "lazy" }), caption = el("figcaption");
    const open = el("button", { type: "button", title: "this run alone", onclick: () => { choice.value = i; show(); choice.focus(); } }, image);
    const known = { image, caption, node: el("figure", { class: "preview" }, open, caption) };
    cards.set(i, known);
    return known;
  };
  const put = (i) => { // the picture of this step, or the last one before it
    const { image, caption, node } = cards.get(i) ?? card(i), step = steps[slider.value], run = runs[i];
    const found = run.previews.filter(([at]) => at <= step).pop();
    caption.replaceChildren(swatch(i), " ", named(run), found ? `: step ${whole(found[0])}` : ": none so early");
    image.hidden = !found;
    if (found && image.getAttribute("src") !== found[1])
      fill(image, { src: found[1], width: found[2], height: found[3], alt: `${run.name}, step ${found[0]}` }, []);
    return [node, found];
  };
  const words = (run, found) => {
    const { rows, columns: heads } = found ? run.sheets[found[4]] : { rows: [], columns: [] };
    const list = (title, kind, texts) => texts.length ? [el("h3", {}, title), el(kind, {}, ...texts.map((text) => el("li", { dir: "auto" }, text)))] : [];
    return el("div", { class: "words" }, ...list("Rows", "ol", rows), ...list("Columns", "ol", heads));
  };
  const show = () => {
    const one = choice.value !== "all", i = Number(choice.value);
    said.value = `step ${whole(steps[slider.value])}`;
    slider.setAttribute("aria-valuetext", said.value);
    view.className = one ? "view one" : "view all";
    if (one) {
      const [node, found] = put(i);
      view.replaceChildren(node, words(runs[i], found));
    } else view.replaceChildren(...having.filter((k) => on[k]).map((k) => put(k)[0]));
  };
  slider.addEventListener("input", show);
  choice.addEventListener("change", show);
  afterwards.push(show);
  return [el("section", {}, el("h2", {}, "Previews"), el("div", { class: "controls" },
    el("label", {}, "Show ", choice), el("label", {}, "Step ", slider), said), view)];
}

// ---- the page
const page = document.getElementById("page");
page.append(tableOf(), bar(), ...sections.map(({ title, panels }) =>
  el("section", {}, el("h2", { dir: "auto" }, title), el("div", { class: "charts" }, ...panels.map((panel) => chartOf(panel).figure)))), ...previews());
const watched = new Map(charts.map((chart) => [chart.figure, chart]));
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const chart = watched.get(target);
    chart.seen = isIntersecting;
    if (chart.seen && chart.stale) draw(chart);
  }
}, { rootMargin: "300px" });
for (const chart of charts) watch.observe(chart.figure);
onResize(refresh);
refresh();
