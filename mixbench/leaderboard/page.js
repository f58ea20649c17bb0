"use strict";
// Everything shown is put in by textContent or setAttribute: no text of a result is ever read as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const state = { metric: 0, sort: "rank", down: false, filter: "", hidden: new Set(), shade: false };

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "circle", "text", "polyline", "title", "g"].includes(tag);
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}
const show = (node, ...children) => node.replaceChildren(...children);
const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3).replace(/^0\./, "."));
const key = (row) => `${row.model} ${row.revision}`;
const board = () => DATA.boards[state.metric];

function columns() {
  const fixed = [
    { id: "model", title: "Model", of: (row) => key(row).toLowerCase() },
    { id: "mean", title: "Mean", of: (row) => row.mean && row.mean.score, cell: meanCell, best: true },
    { id: "interval", title: `95 %, ${reach().map(score).join(" to ")}`, of: (row) => row.mean && row.mean.low, cell: intervalCell, best: true },
    { id: "rank", title: "Rank", of: (row) => row.rank, cell: rankCell },
    { id: "borda", title: "Borda", of: (row) => row.borda },
  ];
  const tasks = DATA.tasks.map((name) => ({
    id: `task ${name}`, title: name, best: true,
    of: (row) => row.tasks[name] && row.tasks[name].score, cell: (row) => taskCell(row, name),
  }));
  const costs = DATA.costs.map((cost) => ({
    id: `cost ${cost.field}`, title: cost.title, of: (row) => row.costs[cost.field],
    cell: (row) => make("td", {}, figure(row.costs[cost.field])),
  }));
  return [...fixed, ...tasks, ...costs];
}
const figure = (value) =>
  value === null || value === undefined ? "–" : value === 0 ? "0" : value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);

function reach() {
  const means = board().rows.map((row) => row.mean).filter(Boolean);
  return [Math.min(...means.map((mean) => mean.low)), Math.max(...means.map((mean) => mean.high))];
}
function bar(cell, width = 150) {
  const [low, high] = reach();
  const x = (value) => 1 + ((value - low) / (high - low || 1)) * (width - 2);
  const said = `${score(cell.low)} to ${score(cell.high)}`;
  return make("svg", { width, height: 12, viewBox: `0 0 ${width} 12`, role: "img", "aria-label": said },
    make("title", {}, said),
    make("rect", { class: "track", x: 0, y: 4, width, height: 4, rx: 2 }),
    make("rect", { class: "range", x: x(cell.low), y: 2, width: Math.max(1, x(cell.high) - x(cell.low)), height: 8, rx: 2 }),
    make("rect", { class: "point", x: x(cell.score) - 1, y: 0, width: 2, height: 12 }));
}
const dressed = (cell) => score(cell.score) + (cell.tied && !cell.best ? " ≈" : "");
const meanCell = (row) =>
  row.mean ? make("td", { class: row.mean.best ? "best" : "" }, dressed(row.mean),
    row.mean.seed_spread === null ? "" : make("small", {}, ` ± ${score(row.mean.seed_spread)}`)) : make("td", {}, "–");
const intervalCell = (row) => (row.mean ? make("td", {}, bar(row.mean)) : make("td", {}, "–"));
const rankCell = (row) =>
  make("td", {}, row.rank ?? "–", row.rank_interval ? make("small", {}, ` (${row.rank_interval[0]}–${row.rank_interval[1]})`) : "");

function taskCell(row, name) {
  const cell = row.tasks[name];
  if (!cell) return make("td", {}, "–");
  const link = make("a", { href: cell.results[0], title: `${score(cell.low)} to ${score(cell.high)}` }, score(cell.score));
  const node = make("td", { class: cell.best ? "best" : "" }, link, cell.marks + (cell.tied && !cell.best ? " ≈" : ""));
  if (state.shade) {
    const all = board().rows.map((other) => other.tasks[name]).filter(Boolean).map((other) => other.score);
    const low = Math.min(...all), high = Math.max(...all);
    const share = high > low ? (cell.score - low) / (high - low) : 1;
    node.style.background = `color-mix(in srgb, var(--accent) ${Math.round(8 + 52 * share)}%, var(--paper))`;
  }
  return node;
}

function compare(a, b) {
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return state.down ? -order : order;
}

function drawBoard() {
  const shown = columns().filter((column) => !state.hidden.has(column.id));
  const sorted = columns().find((column) => column.id === state.sort);
  const rows = board().rows.filter((row) => key(row).toLowerCase().includes(state.filter));
  rows.sort((a, b) => compare(sorted.of(a), sorted.of(b)));
  const heads = shown.map((column) => {
    const mine = column.id === state.sort;
    const sort = mine ? (state.down ? "descending" : "ascending") : "none";
    const press = () => {
      state.down = mine ? !state.down : Boolean(column.best);
      state.sort = column.id;
      drawBoard();
      [...at("board").querySelectorAll("thead button")].find((button) => button.dataset.id === column.id).focus();
    };
    return make("th", { scope: "col", "aria-sort": sort },
      make("button", { type: "button", onclick: press, "data-id": column.id }, column.title + (mine ? (state.down ? " ▾" : " ▴") : "")));
  });
  const body = rows.map((row) => make("tr", {}, ...shown.map((column) => {
    if (column.id === "model")
      return make("th", { scope: "row", title: key(row) }, row.model, make("small", {}, row.revision + (row.dirty ? " (dirty)" : "")));
    return column.cell ? column.cell(row) : make("td", {}, column.of(row) ?? "–");
  })));
  show(at("board"), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body));
  at("count").textContent = `${rows.length} of ${board().rows.length} rows`;
}

function drawColumns() {
  show(at("columns"), ...columns().slice(1).map((column) => {
    const box = make("input", { type: "checkbox", onchange: () => {
      state.hidden[box.checked ? "delete" : "add"](column.id);
      drawBoard();
    } });
    box.checked = !state.hidden.has(column.id);
    return make("label", {}, box, ` ${column.title}`);
  }));
}

function frame(across, up, left = 46) {
  const width = 640, height = 380;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${up} against ${across}` });
  svg.append(
    make("line", { class: "axis", x1: left, y1: height - 36, x2: width - 8, y2: height - 36 }),
    make("line", { class: "axis", x1: left, y1: 8, x2: left, y2: height - 36 }),
    make("text", { x: width - 8, y: height - 6, "text-anchor": "end" }, across),
    make("text", { x: left + 4, y: 16 }, up));
  const x = (share) => left + 10 + share * (width - left - 30), y = (share) => height - 46 - share * (height - 66);
  return { svg, x, y, height };
}
const spread = (values) => {
  const low = Math.min(...values), high = Math.max(...values);
  return (value) => (high > low ? (value - low) / (high - low) : 0.5);
};

function drawFront() {
  const front = board().fronts[at("front").value];
  if (!front) return show(at("pareto"), "No costs were measured.");
  const { svg, x, y, height } = frame(`${front.cost} (${front.unit}), logarithmic`, `mean ${board().metric}`);
  const least = Math.min(...front.points.map((point) => point.cost).filter((cost) => cost > 0));
  const log = (value) => Math.log10(value > 0 ? value : least / 10); // a cost of nothing stands at the left
  const across = spread(front.points.map((point) => log(point.cost))), up = spread(front.points.map((point) => point.quality));
  const place = (point) => [x(across(log(point.cost))), y(up(point.quality))];
  const best = front.points.filter((point) => point.on_front).sort((a, b) => a.cost - b.cost);
  svg.append(make("polyline", { class: "front", points: best.map((point) => place(point).join(",")).join(" ") }));
  const lowest = { start: -99, end: -99 };
  for (const point of [...front.points].sort((a, b) => b.quality - a.quality)) {
    const [left, top] = place(point), said = `${key(point)}: ${score(point.quality)}, ${figure(point.cost)} ${front.unit}`;
    const side = left > 420 ? "end" : "start";
    lowest[side] = Math.max(top + 4, lowest[side] + 13); // labels never stand on each other
    svg.append(make("circle", { class: point.on_front ? "point" : "off", cx: left, cy: top, r: 4.5 }, make("title", {}, said)),
      make("text", { x: left + (side === "end" ? -8 : 8), y: lowest[side], "text-anchor": side }, point.model));
  }
  for (const share of [0, 1]) {
    const costs = front.points.map((point) => point.cost).sort((a, b) => a - b);
    svg.append(make("text", { x: x(share), y: height - 22, "text-anchor": share ? "end" : "start" }, figure(costs[share ? costs.length - 1 : 0])));
  }
  show(at("pareto"), svg);
}

function drawPair() {
  const name = at("task").value, task = DATA.queries[name];
  const [first, second] = [at("across").value, at("up").value];
  const a = task && task.scores[first], b = task && task.scores[second];
  if (!a || !b) {
    at("pair-count").textContent = "One of the two has no result for these queries.";
    return show(at("scatter"));
  }
  const { svg, x, y } = frame(first, second);
  svg.append(make("line", { class: "axis", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
  task.ids.forEach((id, place) => svg.append(make("circle", { class: "point", cx: x(a[place]), cy: y(b[place]), r: 3, opacity: 0.45 },
    make("title", {}, `${id}: ${score(a[place])}, ${score(b[place])}${task.texts.length ? `\n${task.texts[place]}` : ""}`))));
  const wins = b.filter((value, place) => value > a[place]).length, losses = b.filter((value, place) => value < a[place]).length;
  at("pair-count").textContent = `${task.metric}, ${task.ids.length} queries: ${second} is better on ${wins}, worse on ${losses}, equal on ${task.ids.length - wins - losses}.`;
  show(at("scatter"), svg);
}

const option = (value, text) => make("option", { value }, text);
function drawFronts() {
  const kept = at("front").value;
  show(at("front"), ...board().fronts.map((front, place) => option(place, `${front.cost}${front.machine ? `, ${front.machine}` : ""}`)));
  if (kept && board().fronts[kept]) at("front").value = kept;
  drawFront();
}

function start() {
  const first = DATA.boards[0];
  at("partial").textContent = first.absent.length ? `Partial: no result yet for ${first.absent.join(", ")}.` : "";
  at("controls").textContent = DATA.controls;
  show(at("rules"), ...DATA.rules.map((rule) => make("li", {}, rule)));
  show(at("metric"), ...DATA.boards.map((each, place) => option(place, each.metric)));
  const names = first.rows.map(key);
  for (const id of ["across", "up"]) show(at(id), ...names.map((name) => option(name, name)));
  at("up").selectedIndex = 0;
  at("across").selectedIndex = Math.min(1, names.length - 1);
  show(at("task"), ...Object.keys(DATA.queries).map((name) => option(name, name)));
  show(at("again"), ...first.rows.map((row) => make("details", {}, make("summary", {}, key(row)),
    make("pre", { tabindex: "0" }, DATA.commands[key(row)].join("\n")))));
  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
at("filter").addEventListener("input", () => { state.filter = at("filter").value.toLowerCase(); drawBoard(); });
  at("metric").addEventListener("change", () => { state.metric = Number(at("metric").value); drawBoard(); drawFronts(); });
  at("shade").addEventListener("change", () => { state.shade = at("shade").checked; drawBoard(); });
  at("front").addEventListener("change", drawFront);
  for (const id of ["across", "up", "task"]) at(id).addEventListener("change", drawPair);
  drawColumns();
  drawBoard();
  drawFronts();
  drawPair();
}
start();
