// The nodes of the networks under one slider over the rounds, and the charts. All is drawn from the JSON in the page;
// `state` is what the user has chosen, `update` shows it.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const experiments = data.experiments;
const explored = experiments.filter((experiment) => experiment.layers);
const rounds = [...new Set(experiments.flatMap((experiment) => experiment.rounds))].sort((a, b) => a - b);
const state = { place: rounds.length - 1, layer: 0, view: "mask", sort: "C_in", order: -1, node: null };
let buffer;

const VIEWS = { mask: "masks", weights: "weights", cavity: "cavity scores" };
const WORDS = {
  mask: "A tile is what a node looks at: a pixel shines in the colours of the channels by which it is connected, and is black where all its weights are pruned.",
  weights: "Weights at the end of the round, each node's from minus to plus its largest size; grey where they are pruned.",
  cavity: "Cavity scores where the round starts, summed over the channels. Orange: without the weight the preactivation is more Gaussian; blue: less.",
};
const QUANTITIES = { C_in: "connections C_in", width: "RF width", kurtosis: "kurtosis", node: "number" };
const SECONDS_A_ROUND = 0.8;

// --- values --------------------------------------------------------------------------------------------------------

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// The last axis of a packed array at the given places of the axes before.
function row(packed, ...places) {
  const { at, shape, type } = packed;
  const length = shape[shape.length - 1];
  const start = places.reduce((sum, place, axis) => sum * shape[axis] + place, 0) * length;
  const kind = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array }[type];
  return new kind(buffer, at + start * kind.BYTES_PER_ELEMENT, length);
}

const layerOf = (experiment) => experiment.layers[Math.min(state.layer, experiment.layers.length - 1)];

// Of the round that is shown, or of the last one before it, among those whose nodes are here: other seeds may have more.
const placeIn = (experiment, round = rounds[state.place]) =>
  Math.max(0, experiment.node_rounds.findLastIndex((number) => number <= round));

function measured(layer, place, index) {
  const at = (name) => (layer[name] ? layer[name][place][index] : null);
  const kurtosis = at("kurtosis") ?? at("kurtosis_trained");
  return { C_in: at("C_in"), width: at("sigma_x"), kurtosis, node: layer.nodes[index] };
}

// Indices of the nodes to show, in their order.
function chosenNodes(experiment) {
  const layer = layerOf(experiment);
  const last = experiment.node_rounds.length - 1;
  const value = (index) => measured(layer, last, index)[state.sort];
  const [least, most] = ["least", "most"].map((id) => $(id).valueAsNumber);
  const inside = (index) => (isNaN(least) || (value(index) ?? -Infinity) >= least) && (isNaN(most) || (value(index) ?? Infinity) <= most);
  const by = (a, b) => (value(a) === null) - (value(b) === null) || state.order * (value(a) - value(b)) || a - b;
  return layer.nodes.map((_, index) => index).filter(inside).sort(by);
}

const number = (value, digits = 3) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(digits))).replace("-", "−"));

// --- pictures ------------------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

// colour(pixel) gives [red, green, blue], 0 to 255.
function paint(canvas, height, width, colour) {
  Object.assign(canvas, { height, width });
  const image = new ImageData(width, height);
  image.data.fill(255);
  for (let pixel = 0; pixel < height * width; pixel++) image.data.set(colour(pixel), 4 * pixel);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function paintNode(canvas, experiment, layer, place, index, view) {
  const [count, height, width] = experiment.shape;
  const values = row(layer[view === "cavity" ? "cavity" : "weights"], place, index);
  const channels = (pixel) => Array.from({ length: count }, (_, channel) => values[channel * height * width + pixel]);
  // Red, green and blue, or the mean of other channels.
  const shades = (pixel, shade) => {
    const all = channels(pixel).map(shade);
    return count === 3 ? all : Array(3).fill(all.reduce((a, b) => a + b) / count);
  };
  const colour = {
    mask: (pixel) => shades(pixel, (value) => (value ? 255 : 0)),
    weights: (pixel) => shades(pixel, (value) => 128 + 18 * value),
    cavity: (pixel) => {
      const sum = channels(pixel).reduce((a, b) => a + b) / (3 * count);
      const [size, hue] = [Math.min(1, Math.abs(sum)), sum < 0 ? [255, 150, 50] : [80, 180, 255]];
      return hue.map((part) => 24 + size * (part - 24));
    },
  }[view];
  paint(canvas, height, width, colour);
}

const RAMP = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];
function ramp(share) {
  const [step, part] = [Math.min(3, Math.floor(4 * share)), 4 * share - Math.min(3, Math.floor(4 * share))];
  return RAMP[step].map((low, channel) => low + part * (RAMP[step + 1][channel] - low));
}

function paintMap(canvas, counts) {
  const size = Math.sqrt(counts.length);
  const largest = Math.max(1, ...counts);
  paint(canvas, size, size, (pixel) => ramp(counts[pixel] / largest));
}

// Pairs of a node's inputs of one colour by their displacement, without d = 0; [2S-1, 2S-1] as S_sc in the page.
function pairs(weights, [, height, width]) {
  const size = Math.max(height, width);
  const wide = 2 * size - 1;
  const counts = new Float32Array(wide * wide);
  for (let start = 0; start < weights.length; start += height * width) {
    const kept = [];
    for (let pixel = 0; pixel < height * width; pixel++) if (weights[start + pixel]) kept.push(Math.floor(pixel / width) * wide + (pixel % width));
    for (const a of kept) for (const b of kept) counts[a - b + (size - 1) * (wide + 1)]++;
  }
  counts[(size - 1) * (wide + 1)] = 0;
  return counts;
}

function paintField(canvas, experiment, layer, place, index) {
  const small = document.createElement("canvas");
  paintMap(small, pairs(row(layer.weights, place, index), experiment.shape));
  const zoom = Math.ceil(260 / small.width);
  canvas.width = canvas.height = zoom * small.width;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  const [x, y] = ["sigma_x", "sigma_y"].map((name) => layer[name][place][index]);
  if (x === null) return;
  pen.strokeStyle = "#7cf";
  pen.lineWidth = 2;
  pen.beginPath();
  pen.ellipse(canvas.width / 2, canvas.height / 2, zoom * x, zoom * y, 0, 0, 2 * Math.PI);
  pen.stroke();
}

// --- plates: all nodes of a layer ----------------------------------------------------------------------------------

function buildPlates() {
  $("plates").replaceChildren(...explored.map((experiment) => {
    const layer = layerOf(experiment);
    const plate = make("div", { className: "plate" });
    plate.setAttribute("role", "group");
    plate.setAttribute("aria-label", "nodes; arrow keys go from one to the next");
    for (const index of chosenNodes(experiment)) {
      const tile = make("button", { type: "button", tabIndex: -1 }, make("canvas"));
      tile.dataset.index = index;
      tile.dataset.node = layer.nodes[index];
      tile.addEventListener("click", () => choose(layer.nodes[index]));
      plate.append(tile);
    }
    if (plate.firstChild) plate.firstChild.tabIndex = 0;
    plate.addEventListener("keydown", walk);
    const maps = make("div", { className: "pictures" }, ...mapsOf(experiment).map(([name]) => figure(name)));
    return make("section", { className: "run" }, make("h3"), make("div", { className: "side" }, plate, maps));
  }));
  const [layer] = explored.map(layerOf);
  const count = $("plates").querySelector(".plate").children.length;
  const most = layer.nodes.length < layer.of ? ` most connected of ${layer.of}` : "";
  $("count").textContent = `${count} of the ${layer.nodes.length}${most} nodes`;
}

function figure(name, words = "") {
  const picture = make("figure", {}, make("canvas"), make("figcaption", { textContent: words }));
  picture.dataset.name = name;
  return picture;
}

// Arrow keys, Home and End within a plate.
function walk(event) {
  const tiles = [...event.currentTarget.children];
  const here = tiles.indexOf(document.activeElement);
  const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -here, End: tiles.length - 1 - here };
  const next = tiles[here + steps[event.key]];
  if (!(event.key in steps)) return;
  event.preventDefault();
  if (!next) return;
  tiles.forEach((tile) => { tile.tabIndex = tile === next ? 0 : -1; });
  next.focus();
  choose(Number(next.dataset.node));
}

function showPlates() {
  explored.forEach((experiment, which) => {
    const [layer, place, section] = [layerOf(experiment), placeIn(experiment), $("plates").children[which]];
    $("explained").textContent = WORDS[usable(layer)];
    section.querySelector("h3").textContent = [...(explored.length > 1 ? [experiment.name] : []), where(experiment)].join(": ");
    for (const tile of section.querySelectorAll(".plate button")) {
      const values = measured(layer, place, Number(tile.dataset.index));
      paintNode(tile.firstChild, experiment, layer, place, Number(tile.dataset.index), usable(layer));
      tile.title = `node ${values.node}: C_in ${values.C_in}, RF width ${number(values.width)}, kurtosis ${number(values.kurtosis)}`;
      tile.setAttribute("aria-label", tile.title);
      tile.setAttribute("aria-pressed", values.node === state.node);
    }
    for (const [name, kind] of mapsOf(experiment)) {
      const picture = section.querySelector(`[data-name=${name}]`);
      const size = layer[name].shape[1];
      paintMap(picture.firstChild, Array.from({ length: size }, (_, y) => [...row(layer[name], place, y)]).flat());
      picture.lastChild.textContent = `${name}, pairs of ${kind}: up to ${layer[`${name}_max`][place].toLocaleString("en")}`;
    }
  });
}

// Grey images have no pairs of different colours.
const mapsOf = (experiment) => [["S_sc", "one colour"], ["S_dc", "different colours"]].slice(0, experiment.shape[0]);
const usable = (layer) => (state.view === "cavity" && !layer.cavity ? "mask" : state.view);
const where = (experiment) => {
  const round = experiment.node_rounds[placeIn(experiment)];
  return `round ${round}, u = ${number(experiment.u[experiment.rounds.indexOf(round)])} %`;
};

// --- one node ------------------------------------------------------------------------------------------------------

const NODE_CHARTS = {
  preactivations: { title: "Preactivations", x: "(λ − mean) / s.d.", y: "density", plain: true },
  C_in: { title: "Connections", y: "C_in", log: true },
  width: { title: "Width of the receptive field", y: "σ [pixels]" },
  kurtosis: { title: "Kurtosis", y: "kurtosis", reference: [3, "Gaussian"] },
};

function buildNodes() {
  $("nodes").replaceChildren(...explored.map((experiment) => {
    const pictures = ["mask", "weights", "cavity", "field"].map((name) => figure(name));
    const charts = Object.keys(NODE_CHARTS).map((name) => {
      const element = card(NODE_CHARTS[name].title);
      element.dataset.name = name;
      return element;
    });
    return make("section", { className: "run" }, make("h4", { textContent: explored.length > 1 ? experiment.name : "" }),
      make("p", { className: "facts" }), make("div", { className: "pictures" }, ...pictures),
      make("div", { className: "images" }), make("div", { className: "strip" }), make("div", { className: "charts" }, ...charts));
  }));
}

async function showNode(anew) {
  $("chosen").textContent = `Node ${state.node} of layer ${state.layer + 1}`;
  for (const [which, experiment] of explored.entries()) {
    const [layer, place, section] = [layerOf(experiment), placeIn(experiment), $("nodes").children[which]];
    const index = layer.nodes.indexOf(state.node);
    section.hidden = index < 0;
    if (index < 0) continue;
    const at = (name) => (layer[name] ? layer[name][place][index] : null);
    section.querySelector(".facts").textContent = [
      where(experiment),
      `C_in ${at("C_in")}` + (state.layer ? `, from ${at("inputs")} inputs` : ""),
      `RF ${number(at("sigma_x"))} × ${number(at("sigma_y"))} px, R² ${number(at("r_squared"), 2)}` + (at("sigma_x") === null || at("converged") ? "" : ", at its bound"),
      ...(layer.kurtosis ? [`kurtosis ${number(at("kurtosis"))} where the round starts`] : []),
      ...(layer.kurtosis_trained ? [`${number(at("kurtosis_trained"))} where it ends`] : []),
    ].join(" · ");
    const captions = { mask: state.layer ? "effective mask" : "mask", weights: `weights, ± ${number(at("scale"))}`, cavity: `cavity scores, ± ${number(at("cavity_scale"))}`, field: "pairs by displacement, and σ of the fit" };
    for (const [name, caption] of Object.entries(captions)) {
      const picture = section.querySelector(`[data-name=${name}]`);
      picture.hidden = name === "cavity" && !layer.cavity;
      picture.lastChild.textContent = caption;
      if (name === "field") paintField(picture.firstChild, experiment, layer, place, index);
      else if (!picture.hidden) paintNode(picture.firstChild, experiment, layer, place, index, name);
    }
    showImages(section.querySelector(".images"), experiment, layer, place, index);
    showStrip(section.querySelector(".strip"), experiment, layer, place, index, anew);
    for (const [name, chart] of Object.entries(NODE_CHARTS)) {
      const points = name === "preactivations" ? histogram(layer, place, index) : course(experiment, layer, index, name);
      const element = section.querySelector(`.card[data-name=${name}]`);
      element.hidden = !points.length;
      if (points.length) await draw(element, { ...chart, points });
    }
  }
}

function showImages(element, experiment, layer, place, index) {
  if (!experiment.sprite) return;
  const [, height, width] = experiment.shape;
  const tiles = [...row(layer.top, place, index)].map((image, rank) => {
    const words = `λ = ${number(layer.top_values[place][index][rank])}, class ${experiment.labels[image]}`;
    const tile = figure("image", words);
    Object.assign(tile.firstChild, { width, height });
    tile.firstChild.getContext("2d").drawImage(experiment.picture, (image % 32) * width, Math.floor(image / 32) * height, width, height, 0, 0, width, height);
    return tile;
  });
  element.replaceChildren(make("p", { className: "quiet", textContent: "Validation images that drive it most" }), ...tiles);
}

// The node in every round; a click goes there.
function showStrip(element, experiment, layer, place, index, anew) {
  if (anew) {
    element.replaceChildren(...experiment.node_rounds.map((round, at) => {
      const tile = make("button", { type: "button", title: `round ${round}` }, make("canvas"), String(round));
      paintNode(tile.firstChild, experiment, layer, at, index, usable(layer));
      tile.addEventListener("click", () => goTo(round));
      return tile;
    }));
  }
  [...element.children].forEach((tile, at) => tile.setAttribute("aria-pressed", at === place));
}

function histogram(layer, place, index) {
  if (!layer.trained) return [];
  const bins = layer.trained.shape[2];
  const middle = (bin) => ((bin + 0.5) * 10) / bins - 5;
  const curve = (name, heights) => heights.map((y, bin) => ({ curve: name, x: middle(bin), y }));
  const density = (packed) => {
    const counts = [...row(packed, place, index)];
    const sum = counts.reduce((a, b) => a + b) || 1;
    return counts.map((count) => (count * bins) / 10 / sum);
  };
  const gauss = Array.from({ length: bins }, (_, bin) => Math.exp(-(middle(bin) ** 2) / 2) / Math.sqrt(2 * Math.PI));
  return [
    ...curve("end of the round", density(layer.trained)),
    ...(layer.initial ? curve("start", density(layer.initial)) : []),
    ...curve("Gaussian", gauss),
  ];
}

function course(experiment, layer, index, name) {
  const curves = { C_in: { "": "C_in" }, width: { "σ_x": "sigma_x", "σ_y": "sigma_y" }, kurtosis: { start: "kurtosis", "end of the round": "kurtosis_trained" } }[name];
  return Object.entries(curves).flatMap(([curve, key]) =>
    experiment.node_rounds.map((round, at) => ({ curve, round, x: round, y: layer[key] ? layer[key][at][index] : null }))
  ).filter((point) => point.y !== null && (point.y > 0 || name !== "C_in"));
}

// --- charts --------------------------------------------------------------------------------------------------------

const views = new Map(); // by element
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function theme() {
  const [quiet, line] = ["quiet", "line"].map(colour);
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis: { labelColor: quiet, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: "normal", labelFontSize: 11, titleFontSize: 12 },
    legend: { symbolOpacity: 1, labelColor: quiet, labelFontSize: 12, labelLimit: 280, orient: "bottom", direction: "vertical" },
    view: { stroke: null },
    range: { category: [1, 2, 3, 4, 5].map((number) => colour(`curve-${number}`)) },
  };
}

function specification({ y, points, over_u, log, reference, plain, x = over_u ? "weights left, u [%]" : "round" }) {
  const curves = [...new Set(points.map((point) => point.curve))];
  const type = "quantitative";
  const xAxis = over_u ? { values: [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01] } : plain ? {} : { tickMinStep: 1 };
  const encoding = {
    x: { field: "x", type, title: x, scale: { ...(over_u ? { type: "log", reverse: true } : { zero: false }), nice: false, padding: 8 }, axis: { grid: false, format: plain || over_u ? "~r" : "d", ...xAxis } },
    y: { field: "y", type, title: y, scale: log ? { type: "log" } : { zero: false }, axis: log ? { tickCount: 3, grid: false, format: "~r" } : { tickCount: 5, format: "~r" } },
    color: { field: "curve", type: "nominal", sort: null, title: null, scale: { domain: curves }, legend: curves.length > 1 ? {} : null },
  };
  const tooltip = [...(curves.length > 1 ? [{ field: "curve", title: "of" }] : []), { field: "x", title: x, format: ".3~g" }, { field: "y", title: y, format: ".4~g" }];
  const layer = [{ mark: { type: "line", strokeWidth: 2, interpolate: plain ? "monotone" : "linear", point: plain ? false : { size: 40 }, cursor: plain ? "default" : "pointer" }, encoding: { tooltip } }];
  if (points.some((point) => "low" in point)) {
    layer.unshift({ mark: { type: "area", opacity: 0.2, tooltip: false }, encoding: { y: { ...encoding.y, field: "low" }, y2: { field: "high" } } });
  }
  if (!plain) layer.unshift({ data: { name: "now", values: now(points) }, mark: { type: "rule", strokeWidth: 6, opacity: 0.18 }, encoding: { y: null, color: { value: colour("quiet") } } });
  if (reference) {
    const line = { data: { values: [{ y: reference[0] }] }, encoding: { x: null, y: { field: "y", type }, color: { value: colour("quiet") } } };
    layer.push({ ...line, mark: { type: "rule", strokeDash: [4, 3] } });
    layer.push({ ...line, mark: { type: "text", text: `${reference[1]}: ${number(reference[0])}`, align: "right", baseline: "bottom", dy: -2, x: "width" } });
  }
  return { width: "container", height: 205, autosize: { type: "fit", contains: "padding" }, data: { name: "rows", values: points }, encoding, layer, config: theme() };
}

// Where the shown round is on the x axis.
const now = (points) => [...new Set(points.filter((point) => point.round === rounds[state.place]).map((point) => point.x))].map((x) => ({ x }));

const card = (title) => make("section", { className: "card" }, make("h4", { textContent: title }), make("div", { className: "chart" }));

async function draw(element, chart) {
  const drawn = views.get(element);
  if (drawn) {
    drawn.view.data("rows", chart.points);
    if (!chart.plain) drawn.view.data("now", now(chart.points));
    drawn.chart = chart;
    return drawn.view.runAsync();
  }
  const entry = { chart };
  views.set(element, entry);
  const options = { mode: "vega-lite", actions: false, renderer: "svg", ast: true };
  entry.view = (await vegaEmbed(element.lastChild, specification(chart), options)).view;
  entry.view.addEventListener("click", (event, item) => { if (item && item.datum && item.datum.round !== undefined) goTo(item.datum.round); });
}

async function drawAnew() {
  const drawn = [...views];
  views.clear();
  for (const [element, { chart, view }] of drawn) {
    view.finalize();
    await draw(element, chart);
  }
}

// --- what the user does --------------------------------------------------------------------------------------------

// Charts are drawn one after the other; what is asked for meanwhile is shown once.
let asked = null;
let busy = false;
async function update(what = {}) {
  asked = { ...asked, ...what };
  $("round").value = state.place;
  $("shown").textContent = experiments.length > 1 ? String(rounds[state.place]) : `${rounds[state.place]}, u = ${number(experiments[0].u[state.place])} %`;
  if (busy) return;
  busy = true;
  while (asked) {
    const { plates, node } = asked;
    asked = null;
    if (explored.length) {
      if (plates) buildPlates();
      if (plates && !explored.some((experiment) => layerOf(experiment).nodes.includes(state.node))) state.node = layerOf(explored[0]).nodes[0];
      showPlates();
      await showNode(node || plates);
    }
    for (const [which, chart] of data.charts.entries()) await draw($("charts").children[which], chart);
  }
  busy = false;
  document.body.dataset.shown = `${rounds[state.place]} ${state.layer} ${state.view} ${state.node}`;
}

function goTo(round) {
  state.place = rounds.indexOf(round);
  update();
}

function choose(node) {
  state.node = node;
  update({ node: true });
  $("chosen").scrollIntoView({ block: "nearest" });
}

let timer;
function play(on) {
  clearInterval(timer);
  $("play").setAttribute("aria-pressed", on);
  $("play").textContent = on ? "❚❚" : "▶";
  if (!on) return;
  if (state.place === rounds.length - 1) goTo(rounds[0]);
  timer = setInterval(() => {
    if (state.place < rounds.length - 1) goTo(rounds[state.place + 1]);
    if (state.place === rounds.length - 1) play(false);
  }, 1000 * SECONDS_A_ROUND);
}

function options(id, entries) {
  $(id).replaceChildren(...entries.map(([value, textContent]) => make("option", { value, textContent })));
}

async function start() {
  document.head.append(make("script", { textContent: new TextDecoder().decode(await inflate(data.library)) }));
  $("charts").replaceChildren(...data.charts.map((chart) => card(chart.title)));
  $("over").hidden = !data.charts.length;
  $("round").max = rounds.length - 1;
  $("round").disabled = $("play").disabled = rounds.length === 1;
  if (explored.length) {
    buffer = await inflate(data.arrays);
    for (const experiment of explored.filter((one) => one.sprite)) {
      experiment.picture = make("img", { src: experiment.sprite });
      await experiment.picture.decode();
    }
    const layers = explored.flatMap((experiment) => experiment.layers);
    const deepest = Math.max(...layers.map((layer) => layer.layer));
    options("layer", Array.from({ length: deepest }, (_, layer) => [layer, layer ? `${layer + 1}, effective` : "1"]));
    options("view", Object.entries(VIEWS).filter(([view]) => view !== "cavity" || layers.some((layer) => layer.cavity)));
    options("sort", Object.entries(QUANTITIES).filter(([name]) => name !== "kurtosis" || layers.some((layer) => layer.kurtosis_trained)));
    buildNodes();
  }
  $("explore").hidden = !explored.length;
  $("round").addEventListener("input", () => { state.place = Number($("round").value); update(); });
  $("play").addEventListener("click", () => play($("play").getAttribute("aria-pressed") !== "true"));
  $("layer").addEventListener("change", () => { state.layer = Number($("layer").value); state.node = null; update({ plates: true }); });
  $("view").addEventListener("change", () => { state.view = $("view").value; update({ node: true }); });
  for (const id of ["sort", "order", "least", "most"]) {
    $(id).addEventListener("input", () => { state.sort = $("sort").value; state.order = Number($("order").value); update({ plates: true }); });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
  update({ plates: true });
}
start();
