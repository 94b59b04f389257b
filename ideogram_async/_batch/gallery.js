"use strict";

// The page is complete without this script, which adds search, filter and keyboard navigation.
// The view is part of the address, as `#q=fox&state=withheld`, so that it can be bookmarked.
const cards = Array.from(document.querySelectorAll(".card"));
const tools = document.querySelector(".tools");
const search = document.querySelector("#search");
const shown = document.querySelector("#shown");
const buttons = new Map();
let texts = null;

function currentView() {
  const params = new URLSearchParams(location.hash.slice(1));
  const state = params.get("state") || "";
  return { q: params.get("q") || "", state: buttons.has(state) ? state : "" };
}

function setView(q, state) {
  const params = new URLSearchParams();
  if (q) params.set("q", q);
  if (state) params.set("state", state);
  history.replaceState(null, "", "#" + params);
  show();
}

function show() {
  const { q, state } = currentView();
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length && !texts) texts = cards.map((card) => card.textContent.toLowerCase());
  let count = 0;
  cards.forEach((card, index) => {
    const matches = (!state || card.dataset.state === state) && words.every((word) => texts[index].includes(word));
    if (card.hidden === matches) card.hidden = !matches;
    count += matches;
  });
  if (search.value !== q) search.value = q;
  buttons.forEach((button, name) => button.setAttribute("aria-pressed", name === state));
  const all = cards.length.toLocaleString("en");
  shown.value = count === cards.length ? all + " shown" : count.toLocaleString("en") + " of " + all;
  document.querySelector(".no-match").hidden = count > 0 || !cards.length;
}

function addButton(name, count) {
  const button = document.createElement("button");
  const small = document.createElement("small");
  button.type = "button";
  button.textContent = (name || "all").replaceAll("_", " ");
  small.textContent = count.toLocaleString("en");
  button.append(small);
  button.addEventListener("click", () => setView(search.value, name));
  document.querySelector(".states").append(button);
  buttons.set(name, button);
}

function addButtons() {
  const counts = new Map();
  cards.forEach((card) => counts.set(card.dataset.state, (counts.get(card.dataset.state) || 0) + 1));
  addButton("", cards.length);
  Array.from(counts).sort((a, b) => b[1] - a[1]).forEach(([name, count]) => addButton(name, count));
}

function neighbor(card, key) {
  const visible = cards.filter((card) => !card.hidden);
  const secondRow = visible.findIndex((card) => card.offsetTop > visible[0].offsetTop);
  const columns = secondRow < 0 ? visible.length : secondRow;
  const offset = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  return visible[visible.indexOf(card) + offset];
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const card = document.activeElement.closest(".card");
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape") {
    setView("", "");
  } else if (event.key.startsWith("Arrow") && card) {
    const next = neighbor(card, event.key);
    if (next) {
      event.preventDefault();
      next.querySelector("a, .picture").focus();
    }
  }
});

tools.addEventListener("submit", (event) => event.preventDefault());
search.addEventListener("input", () => setView(search.value, currentView().state));
addEventListener("hashchange", show);
document.querySelectorAll("p.picture").forEach((picture) => { picture.tabIndex = 0; });
addButtons();
tools.hidden = false;
show();
