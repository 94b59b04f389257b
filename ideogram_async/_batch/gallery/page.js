// The page: its view is part of the address, as `#q=fox&state=withheld`, so that a reload or a sent link restores it.
const FOUND = { q: "", state: "", operation: "", price: "", group: "none", sort: "input", picked: "" };
const DEFAULTS = { ...FOUND, image: "", compare: "" };
const LABELS = { state: "State", operation: "Operation", price: "Price", group: "Group by", sort: "Sort by" };
const search = document.querySelector("#search");
const tools = document.querySelector(".tools");
const tray = document.querySelector(".tray");
const shown = document.querySelector("#shown");
const message = document.querySelector(".message");
const selects = new Map();
let view = {};
let writing = 0;
let shownWidth = 0;

function readView() {
  const params = new URLSearchParams(location.hash.slice(1));
  const read = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, params.get(name) ?? DEFAULTS[name]]));
  selects.forEach((select, name) => {
    if (![...select.options].some((option) => option.value === read[name])) read[name] = DEFAULTS[name];
  });
  return read;
}

function addressOf(wanted) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) if (value !== DEFAULTS[name]) params.set(name, value);
  return `#${params}`;
}

function writeAddress(method, state) {
  clearTimeout(writing);
  try {
    history[method](state, "", addressOf(view));
  } catch {
    // Browsers limit how often the address may change. The next change writes it.
  }
}

function setView(changes) {
  view = { ...view, ...changes };
  clearTimeout(writing);
  writing = setTimeout(() => writeAddress("replaceState", history.state), 150);
  if (list.getBoundingClientRect().top < 0) scrollTo(0, list.offsetTop - tools.offsetHeight - 16);
  show();
}

function show() {
  selects.forEach((select, name) => { select.value = view[name]; });
  if (search.value !== view.q) search.value = view.q;
  shownWidth = list.clientWidth;
  showGroups(group(findCards(view, picks), view.group));
  const [count, all] = [shownCards, cards].map((each) => each.length.toLocaleString("en"));
  shown.value = count === all ? `${all} shown` : `${count} of ${all}`;
  document.querySelector("main > .no-match").hidden = shownCards.length > 0 || !cards.length;
  showTray();
}

function showTray() {
  tray.hidden = !picks.size;
  document.querySelector("#picked").textContent = `${picks.size} picked`;
  tray.querySelector(".show").setAttribute("aria-pressed", Boolean(view.picked));
  tray.querySelector(".compare").disabled = picks.size < 2;
}

// Another width moves every card. The first visible one stays where it was.
function resize() {
  if (viewer.open || list.clientWidth === shownWidth) return;
  const first = spots[firstSpotBelow(-list.getBoundingClientRect().top)];
  const offset = first && list.getBoundingClientRect().top + first.top;
  show();
  const moved = first?.card && spots.find((spot) => spot.card === first.card);
  if (moved && scrollY > 0) scrollBy(0, list.getBoundingClientRect().top + moved.top - offset);
}

function showAll() {
  setView({ ...DEFAULTS, group: view.group, sort: view.sort });
}

// Opening adds an entry to the history, so that the back button closes the viewer. Stepping replaces that entry.
function openViewer(ids) {
  const isStep = viewer.open;
  if (!isStep) writeAddress("replaceState", history.state);
  view = { ...view, image: ids.length > 1 ? "" : ids[0], compare: ids.length > 1 ? ids.join(",") : "" };
  if (isStep) writeAddress("replaceState", history.state);
  else writeAddress("pushState", { isOpened: true });
  showViewer(ids);
}

function closeViewer() {
  if (history.state?.isOpened) {
    history.back();
  } else {
    view = { ...view, image: "", compare: "" };
    writeAddress("replaceState", null);
    hideViewer();
  }
}

function step(by) {
  if (steps().length > 1) openViewer(neighbor(by));
}

function showAddress() {
  const next = readView();
  const isChanged = Object.keys(FOUND).some((name) => view[name] !== next[name]);
  view = next;
  if (isChanged) show();
  const ids = view.compare ? view.compare.split(",").slice(0, 2) : view.image ? [view.image] : [];
  if (ids.length) showViewer(ids);
  else hideViewer();
}

function togglePick(id) {
  if (!cardsById.get(id)?.file) return;
  if (!picks.delete(id)) picks.add(id);
  savePicks();
  for (const element of elements.values()) if (element.dataset.id === id) markPicked(element);
  viewer.querySelectorAll("[data-pick]").forEach((button) => {
    button.setAttribute("aria-pressed", picks.has(button.dataset.pick));
  });
  if (view.picked && !picks.size) setView({ picked: "" });
  else showTray();
}

function compare() {
  if (picks.size < 2) tell("Pick at least two images to compare.");
  else openViewer(pickedCards().slice(0, 2).map((card) => card.id));
}

function showHelp() {
  document.querySelector("#help").showModal();
}

async function copyPrompt(card) {
  if (card?.prompt) tell((await copy(card.prompt)) ? "Prompt copied." : "The browser does not allow copying.");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Some browsers forbid this to local files, and still copy a selection.
    const focused = document.activeElement;
    const area = make("textarea", { value: text, className: "copied" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    focused.focus({ preventScroll: true });
    return isCopied;
  }
}

function tell(text) {
  clearTimeout(message.timeout);
  message.textContent = text;
  message.togglePopover(false);
  message.togglePopover(true);
  message.timeout = setTimeout(() => message.togglePopover(false), 2500 + 60 * text.length);
}

// A choice with one value is not shown.
function addChoice(name, options) {
  const items = options.map(([value, text]) => make("option", { value, textContent: text }));
  const choice = make("select", { name }, ...items);
  choice.addEventListener("change", () => setView({ [name]: choice.value }));
  selects.set(name, choice);
  const label = make("label", { className: "choice" }, make("span", { textContent: LABELS[name] }), choice);
  label.hidden = options.length < 3;
  document.querySelector(".choices").append(label);
}

function addChoices() {
  for (const [name, valueOf] of Object.entries(FILTERS)) {
    const counts = new Map();
    cards.forEach((card) => counts.set(valueOf(card), (counts.get(valueOf(card)) ?? 0) + 1));
    const values = [...counts].sort((a, b) => (name === "price" ? collator.compare(a[0], b[0]) : b[1] - a[1]));
    const options = values.map(([value, count]) => [value, `${value} (${count.toLocaleString("en")})`]);
    addChoice(name, [["", "any"], ...options]);
  }
  addChoice("group", Object.keys(GROUPS).map((name) => [name, name]));
  addChoice("sort", Object.keys(ORDERS).map((name) => [name, name]));
}

function cardAt(target) {
  return cardsById.get(target.closest?.(".card")?.dataset.id);
}

function move(key) {
  const last = shownCards.length - 1;
  const next = {
    ArrowLeft: current - 1,
    ArrowRight: current + 1,
    ArrowUp: verticalNeighbor(current, -1),
    ArrowDown: verticalNeighbor(current, 1),
    Home: 0,
    End: last,
  }[key];
  focusCard(Math.min(Math.max(next, 0), last));
}

function pressInViewer(key) {
  const actions = {
    Escape: closeViewer,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    "?": showHelp,
    p: () => togglePick(opened.at(-1).id),
    " ": () => togglePick(opened.at(-1).id),
    c: () => copyPrompt(opened.at(-1)),
    "+": () => zoomCenter(1.5),
    "=": () => zoomCenter(1.5),
    "-": () => zoomCenter(1 / 1.5),
    0: () => setZoom(1),
  };
  return actions[key];
}

function pressInGrid(key, card) {
  const actions = {
    "/": () => search.focus(),
    "?": showHelp,
    Escape: showAll,
    v: compare,
    p: card && (() => togglePick(card.id)),
    " ": card && (() => togglePick(card.id)),
    c: card && (() => copyPrompt(card)),
  };
  if (card && /^(Arrow|Home$|End$)/.test(key)) return () => move(key);
  if (key.startsWith("Arrow") && shownCards.length) return () => focusCard(current);
  return actions[key];
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("#help").open) return;
  if (target.matches("input, select, textarea") && key !== "Escape") return;
  if (key === " " && target.matches("button, pre")) return;
  const action = viewer.open ? pressInViewer(key) : pressInGrid(key, cardAt(target));
  if (action) {
    event.preventDefault();
    action();
  }
});

list.addEventListener("click", (event) => {
  const card = cardAt(event.target);
  if (!card) return;
  setCurrent(shownCards.indexOf(card));
  if (event.target.closest(".pick")) togglePick(card.id);
  else if (event.target.closest(".copy")) copyPrompt(card);
  else if (event.target.closest("a") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    openViewer([card.id]);
  }
});
viewer.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.pick) togglePick(button.dataset.pick);
  else if (button?.matches(".copy")) copyPrompt(opened[0]);
  else if (button?.matches(".close")) closeViewer();
  else if (button?.matches(".previous, .next")) step(button.matches(".next") ? 1 : -1);
});
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  closeViewer();
});
tray.querySelector(".show").addEventListener("click", () => setView({ picked: view.picked ? "" : "1" }));
tray.querySelector(".compare").addEventListener("click", compare);
tray.querySelector(".clear").addEventListener("click", () => {
  picks.clear();
  savePicks();
  setView({ picked: "" });
});
tray.querySelector("select").addEventListener("change", (event) => {
  document.querySelector("#remix-prompt").hidden = event.target.value !== "remix";
});
tray.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  tell(saveJobs(tray.querySelector("select").value, document.querySelector("#remix-prompt").value.trim()));
});
tools.addEventListener("submit", (event) => event.preventDefault());
search.addEventListener("input", () => setView({ q: search.value }));
document.querySelector(".reset").addEventListener("click", showAll);
document.querySelector(".help").addEventListener("click", showHelp);
addEventListener("popstate", showAddress);
addEventListener("scroll", render, { passive: true });
addEventListener("beforeprint", () => { printing = true; render(); });
addEventListener("afterprint", () => { printing = false; render(); });
viewer.addEventListener("close", () => { if (opened.length) closeViewer(); });
addChoices();
tools.hidden = false;
view = { ...DEFAULTS, q: null };
showAddress();
new ResizeObserver(resize).observe(list);
