"use strict";
// Keys, sliders, attention, the next item's pictures fetched ahead, answers sent without leaving the page. Without it forms work.
const find = (what, where = document) => where.querySelector(what), all = (what, where = document) => [...where.querySelectorAll(what)];
let held = [], since = 0, spent = 0, busy = false, active = 0;

const now = () => performance.now();
const stop = () => { if (since) { spent += now() - since; since = 0; } };
const go = () => { if (!since && !document.hidden) since = now(); };
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : go()));

const answers = () => find("form.answer");
const questions = () => all("fieldset.question");
const inputs = (question) => all("input[type=number], .options", question);
const given = (field) => (field.matches(".options") ? Boolean(find(":checked", field)) : field.value !== "" && field.checkValidity());
const open = (question) => inputs(question).find((field) => !given(field));

function activate(place) {
  const every = questions();
  if (!every.length) return;
  active = Math.max(0, Math.min(place, every.length - 1));
  every.forEach((question, i) => question.classList.toggle("active", i === active));
  const keys = find(".keys");
  const told = {
    choice: [["1", "A"], ["2", "no difference"], ["3", "B"]],
    levels: [["1", "no"], ["2", "somewhat"], ["3", "yes"]],
    scale: [["0", ""], ["9", "…"], ["X", "10"], ["← →", "finer"]],
    best: [["1", "first"], ["2", "second …"]],
  }[every[active].dataset.kind];
  keys.replaceChildren();
  for (const [key, means] of [...told, ["Tab", "next question"], ["Enter", "next"], ["U", "undo"]]) {
    const shown = document.createElement("kbd");
    shown.textContent = key;
    keys.append(shown, ` ${means}  `);
  }
  keys.hidden = false;
}
function onward() { // to the first question that is open, after the active one if there is one
  const every = questions(), later = every.findIndex((question, i) => i >= active && open(question));
  const place = later >= 0 ? later : every.findIndex(open);
  if (place >= 0) {
    activate(place);
    every[place].scrollIntoView({ block: "nearest" });
  } else find("button.next").focus({ preventScroll: true });
}
function slider(number) {
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: 10, step: 0.1, value: 5, className: "untouched" });
  range.setAttribute("aria-label", number.getAttribute("aria-label"));
  const touched = () => { number.value = Number(range.value).toFixed(1); range.classList.remove("untouched"); };
  range.addEventListener("input", touched);
  range.addEventListener("pointerup", touched); // the middle, which is no change, can be meant too
  number.addEventListener("input", () => { if (number.value !== "") range.value = number.value; range.classList.toggle("untouched", number.value === ""); });
  number.before(range);
}
function set(number, value) {
  number.value = Math.max(0, Math.min(10, value)).toFixed(1);
  number.dispatchEvent(new Event("input", { bubbles: true }));
}

function begin() {
  const main = find("main");
  spent = 0; since = 0; go();
  held = (main.dataset.next || "").split(" ").filter(Boolean).map((name) => {
    const image = new Image();
    image.src = `/picture/${name}`;
    image.decode().catch(() => {});
    return image;
  });
  all("input[type=number]", main).forEach(slider);
  active = 0;
  if (answers()) activate(0);
  document.title = find("progress") ? find(".bar span").textContent : "Rating";
  Promise.all(all(".sets img").map((image) => image.decode().catch(() => {}))).then(() => { main.dataset.ready = "1"; });
}
async function send(form) {
  if (busy) return; // a double click
  if (form === answers()) {
    stop();
    find("[name=seconds]", form).value = (spent / 1000).toFixed(2);
  }
  busy = true;
  const body = new URLSearchParams(new FormData(form)); // with its key, by which the same answer counts once however often it is sent
  for (let wait = 500; ; wait = Math.min(8000, wait * 2)) {
    try {
      const reply = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
      if (reply.status === 429 || reply.status >= 500) throw new Error(String(reply.status));
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      find("main").replaceWith(document.adoptNode(find("main", page)));
      busy = false;
      window.scrollTo(0, 0);
      begin();
      return;
    } catch {
      const notice = find(".notice");
      if (notice) notice.textContent = "The server does not answer; this is sent again until it does.";
      await new Promise((later) => setTimeout(later, wait));
    }
  }
}
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".answer, .undo, .rest")) return;
  event.preventDefault();
  send(event.target);
});
document.addEventListener("change", (event) => {
  if (event.target.matches("input[type=radio]")) {
    active = questions().indexOf(event.target.closest("fieldset"));
    onward();
  }
});
document.addEventListener("focusin", (event) => {
  const question = event.target.closest("fieldset.question");
  if (question) activate(questions().indexOf(question));
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.zoom");
  if (!link) return;
  event.preventDefault();
  const dialog = document.createElement("dialog"), image = new Image();
  image.src = link.href;
  image.alt = find("img", link).alt;
  dialog.append(image);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || busy || find("dialog")) return;
  const typing = event.target.matches("input[type=number], select");
  const key = event.key;
  if ((key === "u" || key === "U" || key === "Backspace") && !typing) {
    const undo = find("form.undo");
    if (undo) { event.preventDefault(); send(undo); }
    return;
  }
  if (key === "Enter" && !event.target.matches("button, select, a")) {
    const form = answers() || find("form.rest");
    if (!form) return;
    event.preventDefault();
    if (form.reportValidity()) send(form); else onward();
    return;
  }
  const question = questions()[active];
  if (!question || typing) return;
  const field = (question.contains(event.target) && event.target.closest(".options")) || open(question) || inputs(question).at(-1);
  if (question.dataset.kind === "scale") {
    const number = event.target.matches("input[type=range]") ? event.target.nextElementSibling : field;
    const arrow = { ArrowLeft: -0.1, ArrowRight: 0.1 }[key];
    if (/^[0-9]$/.test(key) || /^x$/i.test(key)) {
      set(number, /x/i.test(key) ? 10 : Number(key));
      onward();
    } else if (arrow && inputs(question).at(-1).value !== "" && !event.target.matches("input[type=range]")) set(inputs(question).at(-1), Number(inputs(question).at(-1).value) + arrow);
    else return;
    event.preventDefault();
    return;
  }
  const options = all("input", field), place = { ArrowLeft: 0, ArrowDown: 1, ArrowRight: 2 }[key] ?? Number(key) - 1;
  const arrows = key.startsWith("Arrow") && (question.dataset.kind === "best" || event.target.matches("input[type=radio]"));
  if (!options[place] || arrows) return;
  event.preventDefault();
  options[place].checked = true;
  options[place].dispatchEvent(new Event("change", { bubbles: true }));
});
begin();
