// Picked images, kept by the browser for this folder, and the jobs file that is made of them.
const PICKS_KEY = `ideogram_async picks ${location.pathname}`;
const picks = new Set(loadPicks().filter((id) => cardsById.get(id)?.file));

function loadPicks() {
  try {
    const ids = JSON.parse(localStorage.getItem(PICKS_KEY));
    return Array.isArray(ids) ? ids : [];
  } catch {
    return [];
  }
}

// Without storage, as in a private window, picks last until the page is closed.
function savePicks() {
  try {
    localStorage.setItem(PICKS_KEY, JSON.stringify([...picks]));
  } catch {
    // Storage is disabled or full.
  }
}

function pickedCards() {
  return [...picks].map((id) => cardsById.get(id)).sort((a, b) => a.position - b.position);
}

// The folder of a downloaded file is not known, so paths are absolute. A page from a server has no path of a file.
function pathOf(file) {
  const url = new URL(file, location.href);
  try {
    return decodeURIComponent(url.protocol === "file:" ? url.pathname : file.slice(2));
  } catch {
    return decodeURIComponent(file.slice(2));
  }
}

// Another prompt makes another job, so the same picks can be remixed again in the same folder.
function jobLine(card, operation, prompt) {
  const words = operation === "remix" ? prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [] : [];
  const id = [card.job.id, card.index, operation, ...words.slice(0, 8)].join("-");
  const job = { operation, id, image: pathOf(card.file) };
  return JSON.stringify(operation === "remix" ? { ...job, prompt: prompt || card.prompt } : job);
}

function saveJobs(operation, prompt) {
  const chosen = pickedCards();
  const unnamed = chosen.filter((card) => operation === "remix" && !(prompt || card.prompt)).length;
  if (unnamed) return `${unnamed} of the picks ${unnamed === 1 ? "has" : "have"} no prompt. Type one for the remixes.`;

  const name = `${document.title}-${operation}.jsonl`.replace(/[^\p{L}\p{N}._-]+/gu, "-");
  const lines = chosen.map((card) => `${jobLine(card, operation, prompt)}\n`);
  const url = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  const where = location.protocol === "file:" ? "" : " Put it into the folder of the images.";
  return `Saved ${name}.${where} To check it: ideogram-async batch plan ${name}`;
}
