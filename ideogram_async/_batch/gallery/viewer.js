// The viewer: one image with its metadata, or two side by side with the same zoom.
const viewer = document.querySelector("#viewer");
const stage = viewer.querySelector(".stage");
const aside = viewer.querySelector("aside");
const zoom = { scale: 1, x: 0, y: 0 };
let opened = []; // The cards on the stage.
let compared = []; // The picks through which the second image of a comparison steps.

function showViewer(ids) {
  const found = ids.map((id) => cardsById.get(id)).filter(Boolean);
  if (!found.length) return hideViewer();
  if (found.length > 1 && opened.length < 2) compared = pickedCards();
  opened = found;
  setZoom(1);
  stage.replaceChildren(...opened.map(makeFigure));
  viewer.classList.toggle("comparing", opened.length > 1);
  viewer.setAttribute("aria-label", opened.map((card) => card.name).join(" and "));
  aside.replaceChildren(...(opened.length > 1 ? [] : makeDetails(opened[0])));
  viewer.querySelectorAll(".previous, .next").forEach((button) => { button.hidden = steps().length < 2; });
  if (!viewer.open) viewer.showModal();
  [-1, 1].map((step) => steps().at((position() + step) % steps().length)).forEach((card) => {
    if (card && imageOf(card)) new Image().src = imageOf(card);
  });
}

function hideViewer() {
  const index = shownCards.indexOf(opened[0]);
  opened = [];
  if (viewer.open) viewer.close();
  resize();
  stage.replaceChildren();
  if (index >= 0) focusCard(index);
}

function steps() {
  return opened.length > 1 ? compared.filter((card) => card !== opened[0]) : shownCards;
}

function position() {
  return steps().indexOf(opened.at(-1));
}

function neighbor(step) {
  const all = steps();
  const next = all[(position() + step + all.length) % all.length];
  return [...opened.slice(0, -1), next].map((card) => card.id);
}

function makeFigure(card) {
  const figure = make("figure");
  if (imageOf(card)) {
    const image = make("img", { src: imageOf(card), alt: card.prompt || card.name, draggable: false });
    const reason = card.file ? "This file cannot be shown as an image." : "The link has expired or cannot be reached.";
    image.onerror = () => image.replaceWith(make("p", { textContent: reason }));
    figure.append(image);
  } else {
    figure.dataset.state = card.state;
    figure.append(make("p", {}, ...makePicture(card)));
  }
  if (opened.length > 1) {
    const facts = [card.name, card.seed !== undefined && `seed ${card.seed}`, card.resolution, priceOf(card)];
    const text = make("span", { textContent: facts.filter(Boolean).join(" · ") });
    figure.append(make("figcaption", {}, text, makePickButton(card)));
  }
  return figure;
}

function makePickButton(card) {
  const button = make("button", { type: "button", className: "pick" }, icon("check"), "Pick");
  button.dataset.pick = card.id;
  button.setAttribute("aria-pressed", picks.has(card.id));
  return button;
}

function makeDetails(card) {
  const actions = make("div", { className: "actions" });
  if (card.file) actions.append(makePickButton(card));
  if (card.prompt) actions.append(make("button", { type: "button", className: "copy" }, icon("copy"), "Copy prompt"));
  if (imageOf(card)) actions.append(make("a", { href: imageOf(card), target: "_blank", textContent: "Open file" }));
  return [
    make("p", { className: "prompt", dir: "auto", textContent: card.prompt || "No prompt" }),
    actions,
    ...(card.file || card.uri ? [] : makeCommand(card)),
    make("dl", {}, ...factsOf(card).map(makeFact)),
  ];
}

function factsOf(card) {
  const { job } = card;
  const source = sourceOf(job);
  const original = job.prompt !== undefined && job.prompt !== card.prompt && job.prompt;
  return [
    ["State", FILTERS.state(card)],
    ["Price", priceOf(card)],
    ["Job", job.images?.length > 1 ? `${job.id}, image ${card.index} of ${job.images.length}` : job.id],
    ["Operation", job.operation],
    ["Made from", source && source.id],
    ["Seed", card.seed],
    ["Size", card.resolution],
    ["File", card.file && decodeURIComponent(card.file.slice(2))],
    ["Object", card.uri],
    ["Bytes", card.bytes?.toLocaleString("en")],
    ["Stored", card.modified && new Date(card.modified * 1000).toLocaleString()],
    ["Prompt sent", original],
    ["Error", job.error],
    ...Object.entries(job.settings ?? {}).map(([name, value]) => [labelOf(name), value]),
    ...Object.entries(job.carried ?? {}),
    ["Sidecar", card.sidecar && make("a", { href: card.sidecar, target: "_blank", textContent: "JSON" })],
  ].filter(([, value]) => value || value === 0);
}

function labelOf(name) {
  return name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
}

function makeFact([name, value]) {
  return make("div", {}, make("dt", { textContent: name }), make("dd", { dir: "auto" }, value));
}

// The command with which the state of a job changes. An id that a shell would change is replaced by the key.
function makeCommand(card) {
  const { id, key } = card.job;
  const folder = `'${pathOf("./").replaceAll("'", "'\\''")}'`;
  const command = {
    ambiguous: `batch resolve ${folder} ${/^[\w.]+[\w.-]*$/.test(id) ? id : key} lost`,
    linked: `batch collect ${folder}`,
    answered: `batch collect ${folder}`,
    stored: `batch collect ${folder}`,
  }[card.state];
  return command ? [make("pre", { textContent: `ideogram-async ${command}` })] : [];
}

function setZoom(scale, x = 0, y = 0) {
  Object.assign(zoom, scale > 1 ? { scale: Math.min(scale, 16), x, y } : { scale: 1, x: 0, y: 0 });
  stage.classList.toggle("zoomed", zoom.scale > 1);
  stage.style.setProperty("--zoom", `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`);
}

// Zoom so that the point of the image under the pointer stays there.
function zoomAt(factor, clientX, clientY, figure) {
  const box = (figure ?? stage.firstElementChild).getBoundingClientRect();
  const [x, y] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  const scale = Math.min(Math.max(zoom.scale * factor, 1), 16);
  const ratio = scale / zoom.scale;
  setZoom(scale, x - (x - zoom.x) * ratio, y - (y - zoom.y) * ratio);
}

function zoomCenter(factor) {
  const box = stage.firstElementChild.getBoundingClientRect();
  zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomAt(Math.exp(-event.deltaY / 400), event.clientX, event.clientY, event.target.closest("figure"));
}, { passive: false });
stage.addEventListener("dblclick", (event) => {
  const factor = zoom.scale > 1 ? 1 / zoom.scale : 3;
  zoomAt(factor, event.clientX, event.clientY, event.target.closest("figure"));
});

// A drag moves a zoomed image; otherwise a swipe shows the next one.
let drag = null;
stage.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button) return;
  drag = { x: event.clientX, y: event.clientY, left: zoom.x, top: zoom.y };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (drag && event.isPrimary && zoom.scale > 1) {
    setZoom(zoom.scale, drag.left + event.clientX - drag.x, drag.top + event.clientY - drag.y);
  }
});
stage.addEventListener("pointerup", (event) => {
  const moved = drag && event.isPrimary ? event.clientX - drag.x : 0;
  drag = null;
  if (zoom.scale === 1 && Math.abs(moved) > 50 && visualViewport.scale === 1) step(moved < 0 ? 1 : -1);
});
stage.addEventListener("pointercancel", () => { drag = null; });
