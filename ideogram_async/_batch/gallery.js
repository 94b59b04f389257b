"use strict";

// The page is whole without this; here is the search, the filter, and moving about by keys.
// The wish stands in the address, as `#q=fox&state=withheld`, so that a view can be kept.
const cards = Array.from(document.querySelectorAll(".card"));
const tools = document.querySelector(".tools");
const search = document.querySelector("#search");
const shown = document.querySelector("#shown");
const buttons = new Map();
let texts = null;

function wish() {
  const told = new URLSearchParams(location.hash.slice(1));
  const state = told.get("state") || "";
  return { q: told.get("q") || "", state: buttons.has(state) ? state : "" };
}

function keep(q, state) {
  const told = new URLSearchParams();
  if (q) told.set("q", q);
  if (state) told.set("state", state);
  history.replaceState(null, "", "#" + told);
  show();
}

function show() {
  const { q, state } = wish();
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length && !texts) texts = cards.map((card) => card.textContent.toLowerCase());
  let count = 0;
  cards.forEach((card, at) => {
    const fits = (!state || card.dataset.state === state) && words.every((word) => texts[at].includes(word));
    if (card.hidden === fits) card.hidden = !fits;
    count += fits;
  });
  if (search.value !== q) search.value = q;
  buttons.forEach((button, name) => button.setAttribute("aria-pressed", name === state));
  const all = cards.length.toLocaleString("en");
  shown.value = count === cards.length ? all + " shown" : count.toLocaleString("en") + " of " + all;
  document.querySelector(".nothing").hidden = count > 0 || !cards.length;
}

function addButton(name, count) {
  const button = document.createElement("button");
  const small = document.createElement("small");
  button.type = "button";
  button.textContent = (name || "all").replaceAll("_", " ");
  small.textContent = count.toLocaleString("en");
  button.append(small);
  button.addEventListener("click", () => keep(search.value, name));
  document.querySelector(".states").append(button);
  buttons.set(name, button);
}

function addButtons() {
  const counts = new Map();
  cards.forEach((card) => counts.set(card.dataset.state, (counts.get(card.dataset.state) || 0) + 1));
  addButton("", cards.length);
  Array.from(counts).sort((a, b) => b[1] - a[1]).forEach(([name, count]) => addButton(name, count));
}

function step(from, key) {
  const seen = cards.filter((card) => !card.hidden);
  const across = seen.findIndex((card) => card.offsetTop > seen[0].offsetTop);
  const row = across < 0 ? seen.length : across;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[key];
  return seen[seen.indexOf(from) + by];
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const card = document.activeElement.closest(".card");
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape") {
    keep("", "");
  } else if (event.key.startsWith("Arrow") && card) {
    const next = step(card, event.key);
    if (next) {
      event.preventDefault();
      next.querySelector("a, .picture").focus();
    }
  }
});

tools.addEventListener("submit", (event) => event.preventDefault());
search.addEventListener("input", () => keep(search.value, wish().state));
addEventListener("hashchange", show);
document.querySelectorAll("p.picture").forEach((picture) => { picture.tabIndex = 0; });
addButtons();
tools.hidden = false;
show();
