// ---- fronts: two metrics of the cells of a sweep, a line a threshold, a point a guidance weight
const HEIGHT = 340, EDGE = { left: 58, right: 26, top: 18, bottom: 42 };
const told = (value) => value === undefined || value === null ? "none" : number(value);
const brief = (text, most = 12) => text.length > most ? `${text.slice(0, most)}…` : text;
const less = (name) => data.lower.includes(name);
const plainly = (value) => value === undefined || value === null ? null : value;
const inOrder = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

function fronts() {
  const place = document.getElementById("fronts-here");
  if (!place) return;
  data.sweeps.forEach((sweep, s) => {
    if (!sweep.metrics.length) return;
    const find = (parts, other) => sweep.metrics.find((name) => name !== other && parts.some((part) => name.toLowerCase().includes(part)));
    let y = find(["fid", "fd_", "cmmd", "kid", "pixels"]) ?? sweep.metrics[0];
    let x = find(["clip", "scene", "recall", "psnr"], y) ?? sweep.metrics.find((name) => name !== y) ?? y;
    const area = svg("svg", { class: "chart", role: "img" }), legend = el("p", { class: "legend" }), figure = el("figure", { class: "front" }, area, legend);
    const options = sweep.metrics.map((name) => [name, name]);
    const draw = () => drawFront(sweep, x, y, area, legend, figure);
    place.append(...(data.sweeps.length > 1 ? [el("h3", { dir: "auto" }, sweep.name)] : []),
      el("div", { class: "controls" }, choice(`x-${s}`, "Across", options, (value) => { x = value; draw(); }, x), choice(`y-${s}`, "Up", options, (value) => { y = value; draw(); }, y)), figure);
    draw();
    onResize(draw);
  });
}
function linesOf(sweep, x, y) { // cells that differ in guidance alone make a line
  const by = sweep.keys[0], others = sweep.keys.slice(1), lines = new Map();
  for (const known of sweep.cells) {
    if (!known.values[x] || !known.values[y]) continue;
    const name = others.map((key) => `${key} ${told(known.cell[key])}`).join(", ") || `${by}`;
    if (!lines.has(name)) lines.set(name, []);
    lines.get(name).push({ at: plainly(known.cell[by]), x: known.values[x], y: known.values[y], note: known.note });
  }
  for (const points of lines.values()) points.sort((a, b) => inOrder(a.at, b.at));
  return [by, [...lines]];
}
function drawFront(sweep, x, y, area, legend, figure) {
  const width = Math.max(260, figure.clientWidth - 24), [by, lines] = linesOf(sweep, x, y), right = width - EDGE.right, floor = HEIGHT - EDGE.bottom;
  area.replaceChildren();
  const points = lines.flatMap(([, list]) => list);
  fill(area, { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-label": `${y} against ${x}, ${counted(lines.length, "line")}, ${counted(points.length, "point")} labelled by ${by}; the table of metrics has the numbers` }, []);
  const scale = (axis, low, high) => {
    const ends = points.flatMap((point) => point[axis].filter((value) => value !== null)), [least, most] = [Math.min(...ends), Math.max(...ends)];
    const slack = (most - least) * 0.07 || Math.abs(most) * 0.1 || 0.5;
    const [a, b] = [least - slack, most + slack];
    return [a, b, (value) => low + (high - low) * (value - a) / (b - a)];
  };
  if (!points.length) return void area.append(svg("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no cell has both"));
  const [x0, x1, toX] = scale("x", EDGE.left, right), [y0, y1, toY] = scale("y", floor, EDGE.top);
  for (const value of ticks(y0, y1, 5)) area.append(svg("path", { class: "grid", d: `M${EDGE.left} ${toY(value)}H${right}` }), svg("text", { x: EDGE.left - 6, y: toY(value) + 4, "text-anchor": "end" }, number(value)));
  for (const value of ticks(x0, x1, Math.max(3, Math.floor(width / 110)))) area.append(svg("path", { class: "grid", d: `M${toX(value)} ${EDGE.top}V${floor}` }), svg("text", { x: toX(value), y: floor + 16, "text-anchor": "middle" }, number(value)));
  const arrow = (name, low, high) => less(name) ? `${low} ${brief(name, 30)}, less is better` : `${brief(name, 30)} ${high}`;
  area.append(svg("text", { class: "name", x: right, y: HEIGHT - 6, "text-anchor": "end" }, arrow(x, "←", "→")), svg("text", { class: "name", x: 4, y: 11 }, arrow(y, "↓", "↑")));
  lines.forEach(([name, list], k) => {
    const colour = `c${k % COLOURS}`;
    area.append(svg("path", { class: `line ${colour}`, "stroke-dasharray": DASHES[k % DASHES.length], d: list.map((p, n) => `${n ? "L" : "M"}${toX(p.x[0]).toFixed(1)} ${toY(p.y[0]).toFixed(1)}`).join("") }));
    for (const p of list) {
      const [cx, cy] = [toX(p.x[0]), toY(p.y[0])];
      if (p.x[1] !== null) area.append(svg("path", { class: `bar ${colour}`, d: `M${toX(p.x[1])} ${cy}H${toX(p.x[2])}` }));
      if (p.y[1] !== null) area.append(svg("path", { class: `bar ${colour}`, d: `M${cx} ${toY(p.y[1])}V${toY(p.y[2])}` }));
      const interval = (v) => v[1] === null ? number(v[0]) : `${number(v[0])} (${number(v[1])} to ${number(v[2])})`;
      area.append(svg("circle", { class: `dot ${colour}${p.note ? " fewer" : ""}`, cx, cy, r: 4.5 }, svg("title", {}, `${name}, ${by} ${told(p.at)}: ${x} ${interval(p.x)}, ${y} ${interval(p.y)}${p.note ? `; ${p.note}` : ""}`)),
        svg("text", { class: "point", x: cx + 7, y: cy + (k % 2 ? 14 : -6) }, brief(told(p.at))));
    }
  });
  legend.replaceChildren(...lines.map(([name], k) => el("span", {}, swatch(k), words(name))), el("span", { class: "quiet" }, `The points say ${by}; bars are intervals of 95 %${points.some((p) => p.note) ? "; hollow: see what † is said of" : ""}.`));
}

// ---- grids: a row a prompt, a column a setting
function grids() {
  const place = document.getElementById("grids-here");
  if (!place) return;
  data.sweeps.forEach((sweep, s) => {
    const having = sweep.cells.filter((known) => of[known.system].size), ROWS = 8;
    if (having.length < 2) return;
    const part = el("div", { class: "part grid-part" }), fixed = el("span", { class: "fixed" }), more = el("button", { type: "button", onclick: () => { shown += ROWS; draw(); } }, "More prompts");
    let by = sweep.keys[0], category = "", shown = ROWS, held = {};
    const values = (key) => [...new Map(having.map((known) => [told(known.cell[key]), plainly(known.cell[key])])).values()].sort(inOrder);
    const columns = () => having.filter((known) => sweep.keys.every((key) => key === by || told(known.cell[key]) === held[key])).sort((a, b) => inOrder(plainly(a.cell[by]), plainly(b.cell[by])));
    const refit = () => { // what stays the same while `by` changes
      fixed.replaceChildren(...sweep.keys.filter((key) => key !== by).map((key) => {
        const options = values(key).map((value) => [told(value), told(value)]);
        if (!options.some(([value]) => value === held[key])) held[key] = options[0][0];
        return choice(`held-${s}-${sweep.keys.indexOf(key)}`, key, options, (value) => { held[key] = value; draw(); }, held[key]);
      }));
    };
    const draw = () => {
      const cells = columns(), all = data.pairs.map((_, i) => i).filter((pair) => (category === "" || data.pairs[pair][1] === Number(category)) && cells.some((known) => of[known.system].has(pair)));
      const head = el("tr", {}, el("th", { scope: "col" }, "prompt"), ...cells.map((known) => el("th", { scope: "col" }, words(`${by} ${told(known.cell[by])}`))));
      const rows = all.slice(0, shown).map((pair) => el("tr", {}, el("th", { scope: "row" }, el("span", { class: "brief", dir: "auto" }, promptOf(pair)), el("small", {}, ...said(pair))),
        ...cells.map((known) => el("td", {}, picture(known.system, pair), ...(data.scores.length && of[known.system].has(pair) ? [el("small", {}, `${data.scores[0][0]} ${number(valueOf(pair, known.system, 0))}`)] : [])))));
      const caption = `A row a prompt, a column a value of ${by}${sweep.keys.filter((key) => key !== by).map((key) => `, ${key} ${held[key]}`).join("")}`;
      part.replaceChildren(cells.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, el("table", { class: "pictures" }, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, ...rows)))
        : el("p", {}, "No cell has these settings."));
      more.hidden = shown >= all.length;
      settle(part);
    };
    place.append(...(data.sweeps.length > 1 ? [el("h3", { dir: "auto" }, sweep.name)] : []),
      el("div", { class: "controls" }, choice(`by-${s}`, "Columns", sweep.keys.map((key) => [key, key]), (value) => { by = value; refit(); draw(); }, by), fixed,
        choice(`grid-category-${s}`, "Category", [["", "all"], ...data.categories.map((name, i) => [i, name || "none"])], (value) => { category = value; shown = ROWS; draw(); }, "")), part, more);
    refit();
    draw();
  });
}

for (const part of [gallery, extremes, fronts, grids]) part();
