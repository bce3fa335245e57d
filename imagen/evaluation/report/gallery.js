// ---- the gallery: pictures by category, side by side; those of a part of the whole are drawn, more as one comes near
const PAGE = 60, MANY = 4;
const systems = data.systems.map((_, i) => i), having = systems.filter((i) => of[i].size);
const state = { category: "", score: 0, system: having[0] ?? 0, order: "suite", search: "", both: false, on: new Set(shownFirst()) };
// the first few, and of prompts that none of these was asked for the first one that was
function shownFirst() {
  const first = having.slice(0, MANY), seen = new Set(first.flatMap((i) => [...of[i].keys()]));
  for (const i of having) if (![...of[i].keys()].some((pair) => seen.has(pair))) { first.push(i); for (const pair of of[i].keys()) seen.add(pair); }
  return first;
}
const visible = () => having.filter((i) => state.on.has(i));
const sideBySide = (own) => visible().includes(own) ? visible() : [own];
const valueOf = (pair, system, score) => of[system].get(pair)?.scores[score] ?? null;

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
function pairsShown() {
  const { category, search, both, order, score, system } = state, on = visible();
  let found = data.pairs.map((_, i) => i).filter((pair) => {
    const [prompt, of_category] = data.pairs[pair];
    if (category !== "" && of_category !== Number(category)) return false;
    if (search && !prompt.toLowerCase().includes(search.toLowerCase())) return false;
    return both ? on.every((i) => of[i].has(pair)) : on.some((i) => of[i].has(pair));
  });
  if (order === "suite") return found;
  const value = (pair) => valueOf(pair, system, score);
  found = found.filter((pair) => value(pair) !== null);
  if (!found.length) return found;
  const middle = order === "median" ? median(found.map(value)) : 0;
  const key = { highest: (pair) => -value(pair), lowest: value, median: (pair) => Math.abs(value(pair) - middle) }[order];
  return found.sort((a, b) => key(a) - key(b));
}
function scoresOf(system, pair) { // the one that is chosen, and two more
  const found = of[system].get(pair);
  if (!found) return [];
  const listed = [state.score, ...data.scores.keys()].filter((k, at, all) => all.indexOf(k) === at && data.scores[k]).slice(0, 3);
  return listed.map((k) => el("span", { class: k === state.score ? "chosen" : null }, `${data.scores[k][0]} ${number(found.scores[k])}`));
}
function card(pair, on) {
  const figures = on.map((i) => el("figure", {}, picture(i, pair),
    el("figcaption", {}, ...(having.length > 1 ? [el("b", {}, words(data.systems[i]))] : []), ...scoresOf(i, pair))));
  return el("article", {}, el("p", { class: "prompt", dir: "auto" }, promptOf(pair)), el("p", { class: "quiet" }, ...said(pair)), el("div", { class: "row" }, ...figures));
}

function gallery() {
  const place = document.getElementById("gallery");
  if (!place) return;
  const status = el("p", { role: "status", "aria-live": "polite", class: "status" }), cards = el("div", { class: "cards part" });
  const more = el("button", { type: "button", onclick: () => grow() }, "Show more");
  let list = [], drawn = 0, last = null;
  const grow = () => {
    if (drawn >= list.length) return false;
    const on = visible(), part = list.slice(drawn, drawn + PAGE), nodes = [];
    for (const pair of part) {
      const category = data.pairs[pair][1];
      if (state.order === "suite" && category !== last && data.categories[category]) nodes.push(el("h3", { dir: "auto" }, data.categories[category]));
      last = category;
      nodes.push(card(pair, on));
    }
    cards.append(...nodes);
    drawn += part.length;
    more.hidden = drawn >= list.length;
    more.textContent = `Show more (${drawn.toLocaleString("en")} of ${list.length.toLocaleString("en")} are drawn)`;
    settle(cards);
    if (!more.hidden) { near.unobserve(more); near.observe(more); } // told again, when it is still near
    return true;
  };
  const near = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) grow(); }, { rootMargin: "800px" });
  cards.grow = grow;
  const draw = () => {
    list = pairsShown();
    [drawn, last] = [0, null];
    cards.replaceChildren();
    cards.className = visible().length > 1 ? "cards part side" : "cards part";
    more.hidden = true;
    grow();
    const category = state.category === "" ? "all categories" : data.categories[state.category] || "no category";
    const order = state.order === "suite" ? "" : `, ${state.order === "median" ? "nearest the median" : state.order} ${data.scores[state.score][0]} of ${data.systems[state.system]} first`;
    status.textContent = list.length ? `${counted(list.length, "prompt")} (each with its seed), ${category}${order}` : "Nothing fits: choose another category, or clear the search.";
  };
  const set = (key, as = String) => (value) => { state[key] = as(value); draw(); };
  const counts = data.categories.map((_, c) => data.pairs.filter((pair) => pair[1] === c).length);
  const controls = [choice("category", "Category", [["", "all"], ...data.categories.map((name, i) => [i, `${name || "none"} (${counts[i]})`])], set("category"), "")];
  if (data.scores.length) {
    controls.push(choice("score", "Score", data.scores.map(([name], i) => [i, name]), set("score", Number), 0));
    controls.push(choice("order", "Order", [["suite", "as in the suite"], ["highest", "highest first"], ["lowest", "lowest first"], ["median", "nearest the median"]], set("order"), "suite"));
    if (having.length > 1) controls.push(choice("ordering", "Ordered by", having.map((i) => [i, data.systems[i]]), set("system", Number), state.system));
  }
  const search = el("input", { type: "search", id: "search", oninput: () => set("search")(search.value) });
  controls.push(el("label", {}, el("span", {}, "Prompt has"), search));
  const boxes = having.length < 2 ? [] : [el("fieldset", {}, el("legend", {}, "Side by side"), ...having.map((i) => {
    const box = el("input", { type: "checkbox", checked: state.on.has(i), onchange: () => { state.on[box.checked ? "add" : "delete"](i); draw(); } });
    return el("label", {}, box, words(data.systems[i]));
  }), (() => {
    const box = el("input", { type: "checkbox", id: "both", onchange: () => set("both", Boolean)(box.checked) });
    return el("label", {}, box, "only what all of these have");
  })())];
  place.append(el("div", { class: "controls" }, ...controls), ...boxes, status, cards, more);
  draw();
}

// ---- best, middle and worst by a score: of each system
function extremes() {
  const place = document.getElementById("extremes-here");
  if (!place) return;
  const part = el("div", { class: "part" }), MOST = 4;
  let score = 0;
  const strip = (title, system, pairs) => el("div", { class: "strip" }, el("h4", {}, title), el("div", { class: "row" }, ...pairs.map((pair) =>
    el("figure", {}, picture(system, pair), el("figcaption", {}, el("span", { class: "chosen" }, number(valueOf(pair, system, score))), el("span", { class: "brief", dir: "auto" }, promptOf(pair)))))));
  const draw = () => {
    const [name, lower] = data.scores[score];
    part.replaceChildren(...having.slice(0, 6).map((system) => {
      const found = [...of[system].keys()].filter((pair) => valueOf(pair, system, score) !== null)
        .sort((a, b) => valueOf(b, system, score) - valueOf(a, system, score));
      if (!found.length) return el("p", {}, words(data.systems[system]), `: no ${name}`);
      const head = having.length > 1 ? [el("h3", { dir: "auto" }, data.systems[system])] : [], value = (pair) => valueOf(pair, system, score);
      if (found.length > 1 && value(found[0]) === value(found.at(-1)))
        return el("div", { class: "system" }, ...head, el("p", {}, `All ${counted(found.length, "picture")} on this page have ${number(value(found[0]))}: none is better or worse.`));
      const count = Math.max(1, Math.min(MOST, Math.floor(found.length / 3))), middle = Math.max(0, (found.length - count) >> 1);
      const ends = [found.slice(0, count), found.slice(-count).reverse()];
      const [best, worst] = lower ? ends.reverse() : ends;
      const tied = (pairs) => { // of many that score alike these are some
        const [first] = pairs.map(value), alike = (list) => list.filter((pair) => value(pair) === first).length;
        return alike(pairs) === pairs.length && alike(found) > pairs.length ? `: ${pairs.length} of ${alike(found)} on this page with ${number(first)}` : "";
      };
      const titled = (title, pairs) => strip(title + tied(pairs), system, pairs);
      return el("div", { class: "system" }, ...head, el("div", { class: "strips" }, titled(`Best (${lower ? "lowest" : "highest"})`, best),
        titled("In the middle", found.slice(middle, middle + count)), titled(`Worst (${lower ? "highest" : "lowest"})`, worst)));
    }));
    if (having.length > 6) part.append(el("p", { class: "quiet" }, `Of ${having.length} systems the first 6.`));
    settle(part);
  };
  const choose = (value) => { score = Number(value); draw(); };
  place.append(el("div", { class: "controls" }, choice("extreme-score", "Score", data.scores.map(([name], i) => [i, name]), choose, 0)), part);
  draw();
}
