// The grid: rows of pictures with one height. Only cards near the viewport are elements, so that thousands cost little.
const list = document.querySelector(".grid");
const CAPTION = 52;
const HEADING = 46;
let spots = []; // Cards and headings with their place, by row.
let shownCards = [];
let elements = new Map(); // The elements in the document, by index of their spot.
let current = 0; // The index among the shown cards that the keyboard is at.
let printing = false;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.append(document.createElementNS(svg.namespaceURI, "use"));
  svg.firstChild.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

function layOut(groups) {
  const width = list.clientWidth;
  const gap = width < 600 ? 10 : 16;
  const target = width < 600 ? 190 : Math.min(320, 200 + width / 25);
  let top = 0;
  let row = [];
  spots = [];
  const endRow = (height, isFull) => {
    let left = 0;
    for (const card of row) {
      const isLast = isFull && card === row.at(-1);
      const own = isLast ? width - left : Math.round(card.ratio * height);
      spots.push({ card, top, left, width: own, height: height + CAPTION });
      left += own + gap;
    }
    if (row.length) top += height + CAPTION + gap;
    row = [];
  };
  for (const each of groups) {
    if (each.job !== undefined) {
      spots.push({ group: each, top, left: 0, width, height: HEADING });
      top += HEADING;
    }
    let ratios = 0;
    for (const card of each.cards) {
      row.push(card);
      ratios += card.ratio;
      const height = (width - gap * (row.length - 1)) / ratios;
      if (height <= target) {
        endRow(Math.floor(height), true);
        ratios = 0;
      }
    }
    endRow(Math.floor(target), false);
  }
  list.style.height = `${top}px`;
}

function showGroups(groups) {
  const at = shownCards[current];
  shownCards = groups.flatMap((each) => each.cards);
  current = Math.max(0, shownCards.indexOf(at));
  layOut(groups);
  spots.filter((spot) => spot.card).forEach((spot, index) => { spot.index = index; });
  elements.clear();
  list.replaceChildren();
  render();
}

function firstSpotBelow(y) {
  let [low, high] = [0, spots.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spots[middle].top + spots[middle].height < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

function render() {
  const top = -list.getBoundingClientRect().top;
  const margin = innerHeight;
  const wanted = [];
  const begin = printing ? 0 : firstSpotBelow(top - margin);
  const end = printing ? Infinity : top + innerHeight + margin;
  for (let index = begin; index < spots.length && spots[index].top < end; index++) wanted.push(index);
  // An element that has the focus stays.
  const focused = [...elements].find(([, element]) => element.contains(document.activeElement))?.[0];
  if (focused !== undefined && !wanted.includes(focused)) wanted.push(focused);
  wanted.sort((a, b) => a - b);
  const kept = new Set(wanted);
  for (const [index, element] of elements) {
    if (!kept.has(index)) {
      element.remove();
      elements.delete(index);
    }
  }
  let cursor = list.firstElementChild;
  for (const index of wanted) {
    if (elements.has(index)) {
      cursor = elements.get(index).nextElementSibling;
    } else {
      const element = place(spots[index]);
      elements.set(index, element);
      list.insertBefore(element, cursor);
    }
  }
}

function place(spot) {
  const element = spot.card ? makeCardElement(spot.card, spot.index) : makeHeading(spot.group);
  element.style.cssText = `left:${spot.left}px;top:${spot.top}px;width:${spot.width}px;height:${spot.height}px`;
  return element;
}

function makeHeading({ job, cards: members }) {
  const title = job ? job.id : members.length === 1 ? "single image" : "single images";
  const note = `${members.length.toLocaleString("en")}${job ? " images" : ""} · ${totalPrice(members)}`;
  const heading = make("h2", { dir: "auto", textContent: title });
  return make("li", { className: "heading" }, heading, make("span", { textContent: note }));
}

function makeCardElement(card, index) {
  const element = make("li", { className: "card" });
  element.dataset.state = card.state;
  element.dataset.id = card.id;
  element.setAttribute("aria-setsize", shownCards.length);
  element.setAttribute("aria-posinset", index + 1);
  const link = make("a", { className: "picture", href: imageOf(card) ?? `#image=${card.id}` }, ...makePicture(card));
  link.setAttribute("aria-label", imageOf(card) ? `Open ${card.name}: ${card.prompt}` : `${card.name}: ${card.state}`);
  link.tabIndex = index === current ? 0 : -1;
  element.append(link);
  if (card.file) element.append(makeButton("pick", "check", "Pick", "p", card, index));
  if (card.prompt) element.append(makeButton("copy", "copy", "Copy prompt of", "c", card, index));
  const source = sourceOf(card.job);
  const caption = card.prompt || card.job.operation + (source ? ` of ${source.id}` : "");
  const facts = [card.name, imageOf(card) && priceOf(card), card.seed];
  element.append(
    make("p", { className: "caption", dir: "auto", textContent: caption, title: card.prompt }),
    make("p", { className: "facts", textContent: facts.filter((fact) => fact !== undefined).join(" · ") }),
  );
  markPicked(element);
  return element;
}

function priceOf(card) {
  const count = card.job.images?.length ?? 1;
  return priceText(card.job.price) + (count > 1 ? ` for ${count}` : "");
}

function makePicture(card) {
  if (card.thumbnail) {
    return [make("img", { src: card.thumbnail, alt: "", className: card.isExtreme ? "whole" : "", decoding: "async" })];
  }
  if (imageOf(card)) return [make("span", { textContent: "No preview. Open the image itself." })];
  return [
    make("strong", { textContent: FILTERS.state(card) }),
    make("span", { className: "price", textContent: priceOf(card) }),
    make("span", { textContent: card.text }),
    card.error && make("span", { className: "reason", dir: "auto", textContent: card.error }),
  ];
}

function makeButton(name, symbol, label, key, card, index) {
  const properties = { className: name, type: "button", title: `${label} ${card.name} (${key})` };
  const button = make("button", { ...properties, ariaLabel: `${label} ${card.name}` }, icon(symbol));
  button.tabIndex = index === current ? 0 : -1;
  return button;
}

function markPicked(element) {
  const isPicked = picks.has(element.dataset.id);
  element.classList.toggle("picked", isPicked);
  element.querySelector(".pick")?.setAttribute("aria-pressed", isPicked);
}

function setCurrent(index) {
  for (const [spot, element] of elements) {
    if (!spots[spot].card) continue;
    const isCurrent = spots[spot].index === index;
    element.querySelectorAll("a, button").forEach((child) => { child.tabIndex = isCurrent ? 0 : -1; });
  }
  current = index;
}

// Scroll to a card, which becomes an element thereby, and focus it.
function focusCard(index) {
  const at = spots.findIndex((spot) => spot.card && spot.index === index);
  if (at < 0) return;
  const top = list.getBoundingClientRect().top + spots[at].top;
  const [above, below] = [84, document.querySelector(".tray").offsetHeight + 24];
  if (top < above) scrollBy(0, top - above);
  else if (top + spots[at].height > innerHeight - below) scrollBy(0, top + spots[at].height - innerHeight + below);
  render();
  setCurrent(index);
  elements.get(at).querySelector("a").focus({ preventScroll: true });
}

// Return the card in the next row whose middle is nearest.
function verticalNeighbor(index, step) {
  let at = spots.findIndex((spot) => spot.card && spot.index === index);
  const from = spots[at];
  const isOutside = (spot) => spot && (!spot.card || spot.top === from.top);
  while (isOutside(spots[at])) at += step;
  if (!spots[at]) return index;
  const row = spots.filter((spot) => spot.card && spot.top === spots[at].top);
  const distance = (spot) => Math.abs(spot.left + spot.width / 2 - from.left - from.width / 2);
  return row.reduce((best, spot) => (distance(spot) < distance(best) ? spot : best)).index;
}
