"use strict";

// Jobs and their cards: what is searched, filtered, sorted and grouped. Nothing here touches the document.
const jobs = JSON.parse(document.querySelector("#data").textContent);
const jobsById = new Map(jobs.map((job) => [job.id, job]));
const cards = jobs.flatMap((job) => (job.images ?? [null]).map((image, index) => makeCard(job, image, index)));
const cardsById = new Map(cards.map((card) => [card.id, card]));
const jobsByFile = new Map(cards.filter((card) => card.file).map((card) => [card.file, card.job]));
const collator = new Intl.Collator("en", { numeric: true });
jobs.forEach((job, position) => { job.position = position; });
cards.forEach((card, position) => { card.position = position; });

// A job without images is one card, which states why.
function makeCard(job, image, index) {
  const own = image ?? job;
  const [width, height] = own.thumbnail ?? [1, 1];
  return {
    ...own,
    job,
    index,
    id: `${job.key}-${index}`,
    name: job.images?.length > 1 ? `${job.id} #${index}` : job.id,
    prompt: own.prompt ?? job.prompt ?? "",
    seed: own.seed ?? job.seed,
    thumbnail: own.thumbnail && `./thumbnails/${job.key}-${index}.webp`,
    ratio: Math.min(Math.max(width / height, 0.5), 3),
    isExtreme: width / height < 0.5 || width / height > 3,
  };
}

// The image itself: a file next to the page, or a link into the sink of the batch.
function imageOf(card) {
  return card.file ?? card.link;
}

function sourceOf(job) {
  const source = typeof job.source === "string" ? jobsByFile.get(job.source) : jobsById.get(job.source?.[0]);
  return source && source.position < job.position ? source : null;
}

function rootOf(job) {
  const source = sourceOf(job);
  return source ? rootOf(source) : job;
}

function textOf(card) {
  const { job } = card;
  const texts = [card.prompt, job.prompt, job.id, job.operation, card.state, card.seed, card.resolution, job.error];
  card.searched ??= [...texts, ...Object.values(job.settings ?? {}), ...Object.values(job.carried ?? {})]
    .filter((text) => text !== undefined).join("\n").toLowerCase();
  return card.searched;
}

// Each choice of the toolbar: the values of a card by which it filters, or the ways to order and group.
const FILTERS = {
  state: (card) => card.state,
  operation: (card) => card.job.operation,
  price: (card) => priceText(card.job.price),
};
const ORDERS = {
  input: null,
  newest: (a, b) => (b.modified ?? 0) - (a.modified ?? 0),
  price: (a, b) => (b.job.price ?? -1) - (a.job.price ?? -1),
  seed: (a, b) => (a.seed ?? Infinity) - (b.seed ?? Infinity) || 0,
  name: (a, b) => collator.compare(a.job.id, b.job.id),
};
const GROUPS = { none: null, job: (card) => card.job, chain: (card) => rootOf(card.job) };

function priceText(price) {
  return price === undefined ? "unknown price" : `${price} USD`;
}

function totalPrice(members) {
  const prices = [...new Set(members.map((card) => card.job))].map((job) => job.price);
  if (prices.includes(undefined)) return "unknown price";
  return `${Math.round(prices.reduce((sum, price) => sum + Number(price), 0) * 1e4) / 1e4} USD`;
}

function findCards(view, picks) {
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  const names = Object.keys(FILTERS).filter((name) => view[name]);
  const found = cards.filter((card) => (!view.picked || picks.has(card.id))
    && names.every((name) => FILTERS[name](card) === view[name])
    && words.every((word) => textOf(card).includes(word)));
  const order = ORDERS[view.sort];
  return order ? found.sort(order) : found;
}

// Groups are ordered by their first card. Within a group the input order shows a chain from its beginning. Single cards
// in a row are one group without a job, so that they fill rows.
function group(found, name) {
  const keyOf = GROUPS[name];
  if (!keyOf) return [{ cards: found }];
  const groups = new Map();
  for (const card of found) {
    const job = keyOf(card);
    if (!groups.has(job)) groups.set(job, { job, cards: [] });
    groups.get(job).cards.push(card);
  }
  const merged = [];
  for (const { job, cards: members } of groups.values()) {
    if (members.length > 1) merged.push({ job, cards: members.sort((a, b) => a.position - b.position) });
    else if (merged.length && !merged.at(-1).job) merged.at(-1).cards.push(...members);
    else merged.push({ job: null, cards: members });
  }
  return merged;
}
