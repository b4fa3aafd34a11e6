// SPDX-License-Identifier: Apache-2.0
"use strict";
// Draws the memory map and the trade-off curve from the JSON element #data. No library, no network.
const { time, tradeoffs } = JSON.parse(document.getElementById("data").textContent);
const ROLES = { stream: "residual stream", attention: "queries, keys, values", linear: "hidden rows", norm: "normalised rows",
  input: "input lines", output: "output", scratch: "kernel scratch", other: "other" };
const W = 960, LEFT = 58, STRIP = 74, BLOCKS = 26, GAP = 22, MAP = 400;
const calls = time.moments, n = calls.length;
let scale = "calls", held = false, xs = [];

function node(parent, tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}
function item(parent, tag, text, style) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (style) made.setAttribute("style", style);
  return parent.appendChild(made);
}
const fmt = v => v.toLocaleString("en-US");
const kb = v => (v / 1024).toFixed(v && v < 10240 ? 1 : 0) + " KB";

// Left edge of every call, and the right edge of the last: equal widths, or by estimated instructions.
function edges() {
  const weights = calls.map(c => scale === "calls" ? 1 : Math.max(c.instructions, 0));
  const total = weights.reduce((a, b) => a + b, 0) || 1;
  const width = W - LEFT - 8, result = [LEFT];
  for (const w of weights) result.push(result[result.length - 1] + w / total * width);
  return result;
}
// Round numbers from `low` to `high`, about `wanted` of them: binary for bytes, decimal for the rest.
function ticks(low, high, wanted, base) {
  const raw = Math.max(high - low, 1) / wanted, power = base ** Math.floor(Math.log(raw) / Math.log(base));
  const step = (base === 2 ? [1, 1.5, 2] : [1, 2, 5, 10]).map(k => k * power).find(s => s >= raw);
  const result = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) result.push(v);
  return result;
}

function draw() {
  xs = edges();
  const used = time.regions.map(r => r.used_bytes), all = used.reduce((a, b) => a + b, 0) || 1;
  const heights = used.map(u => u ? Math.max(48, MAP * u / all) : 2);
  const height = STRIP + GAP + heights.reduce((a, b) => a + b + GAP, 0) + BLOCKS;
  const holder = document.getElementById("map");
  holder.replaceChildren();
  const svg = node(holder, "svg", { viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": "bytes over time" });
  const bottom = height - BLOCKS;
  blocks(svg, bottom);
  const focus = node(svg, "g", {});
  strip(svg);
  let y = STRIP + GAP;
  time.regions.forEach((region, r) => { panel(svg, region, r, y, heights[r]); y += heights[r] + GAP; });
  const peak = (xs[time.peak] + xs[time.peak + 1]) / 2;
  node(svg, "line", { class: "peak", x1: peak, x2: peak, y1: 12, y2: bottom - GAP });
  const right = peak < W * 0.7;
  node(svg, "text", { class: "strong", x: peak + (right ? 6 : -6), y: 10, "text-anchor": right ? "start" : "end" },
    `peak ${fmt(calls[time.peak].live_bytes)} B at ${calls[time.peak].layer}`);
  const cross = node(svg, "line", { class: "cross", y1: 14, y2: bottom - GAP, visibility: "hidden" });
  pointer(svg, cross);
  window.focusLayer = name => {
    focus.replaceChildren();
    calls.forEach((c, i) => { if (c.layer === name) node(focus, "rect", { class: "focus", x: xs[i], y: 14, width: Math.max(xs[i + 1] - xs[i], 2), height: bottom - 14 }); });
  };
}

// Alternating bands behind the blocks of the network, their names below.
function blocks(svg, bottom) {
  let from = 0, index = 0, free = 0;
  for (let i = 1; i <= n; i++) {
    if (i < n && calls[i].block === calls[from].block) continue;
    const x = xs[from], width = xs[i] - x, name = calls[from].block;
    if (index++ % 2) node(svg, "rect", { class: "band", x, y: 14, width, height: bottom - 14 - GAP + 4 });
    const short = width < 7 * name.length ? (name.match(/\d+$/) || [""])[0] : name;
    if (short && width >= 7 * short.length && x >= free) {
      node(svg, "text", { x: x + width / 2, y: bottom - 4, "text-anchor": "middle" }, short);
      free = x + width;
    }
    from = i;
  }
  node(svg, "text", { x: LEFT, y: bottom + 16 }, scale === "calls" ? `${n} calls in program order; a call in a loop is drawn once` : "width: estimated instructions of all executions");
}

// Live bytes at every call above the map, with the lower bound.
function strip(svg) {
  const top = Math.max(time.lower_bound_bytes, calls[time.peak].live_bytes, 1), at = v => STRIP - v / top * (STRIP - 20);
  let path = "";
  calls.forEach((c, i) => { path += `${i ? "L" : "M"}${xs[i]},${at(c.live_bytes)}L${xs[i + 1]},${at(c.live_bytes)}`; });
  node(svg, "path", { class: "live", d: `${path}L${xs[n]},${STRIP}L${LEFT},${STRIP}Z` });
  node(svg, "path", { class: "edge", d: path });
  node(svg, "line", { class: "bound", x1: LEFT, x2: W - 8, y1: at(time.lower_bound_bytes), y2: at(time.lower_bound_bytes) });
  node(svg, "line", { class: "axis", x1: LEFT, x2: W - 8, y1: STRIP, y2: STRIP });
  node(svg, "text", { x: LEFT - 8, y: STRIP, "text-anchor": "end" }, "alive");
  node(svg, "text", { x: LEFT - 8, y: at(top) + 4, "text-anchor": "end" }, kb(top));
}

// One region: offsets upwards, a box for every stretch in which a buffer matters.
function panel(svg, region, r, y, height) {
  const top = Math.max(region.used_bytes, 1), base = y + height, at = v => base - v / top * height;
  for (const v of region.used_bytes ? ticks(0, top, Math.max(2, height / 75), 2) : []) {
    node(svg, "line", { class: "grid", x1: LEFT, x2: W - 8, y1: at(v), y2: at(v) });
    node(svg, "text", { x: LEFT - 8, y: at(v) + 4, "text-anchor": "end" }, kb(v));
  }
  node(svg, "text", { x: LEFT, y: y - 6 }, `${region.name}: ${fmt(region.used_bytes)} B used by the plan`);
  time.tracks.forEach((track, index) => {
    if (track.region !== r) return;
    for (const [first, last, lo, hi] of track.spans) {
      const x = xs[first], width = Math.max(xs[last + 1] - x, 0.8), h = (hi - lo) / top * height;
      node(svg, "rect", { class: "box", x, y: at(track.offset + hi), width, height: Math.max(h, 0.8), rx: Math.min(2, h / 3),
        fill: `var(--${track.role})`, "data-track": index });
      const room = Math.floor((width - 8) / 5.8);
      const name = label(track.name, calls[first].block, room);
      if (h > 13 && name) node(svg, "text", { class: "name", x: x + 4, y: at(track.offset + hi) + 11.5 }, name);
    }
  });
  node(svg, "line", { class: "axis", x1: LEFT, x2: W - 8, y1: base, y2: base });
}

// As much of a buffer's name as fits: without its block's name, its last word, or the start of that.
function label(name, block, room) {
  const own = name.startsWith(block) && name.length > block.length ? name.slice(block.length).replace(/^[./_]+/, "") : name;
  const last = own.split(/[./]/).filter(part => !/^\d*$/.test(part)).pop() || own;
  return [own, last].find(text => text.length <= room) || (room > 3 ? last.slice(0, room - 1) + "…" : "");
}

function pointer(svg, cross) {
  const show = event => {
    if (held && event.type === "mousemove") return;
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * W;
    let i = xs.findIndex((edge, k) => k < n && x >= edge && x < xs[k + 1]);
    if (i < 0) i = x < LEFT ? 0 : n - 1;
    const mid = (xs[i] + xs[i + 1]) / 2;
    cross.setAttribute("x1", mid); cross.setAttribute("x2", mid); cross.setAttribute("visibility", "visible");
    tell(i, event.target.dataset ? event.target.dataset.track : undefined);
  };
  svg.addEventListener("mousemove", show);
  svg.addEventListener("click", event => { held = !held; show(event); });
}

// The list beside the map: what is alive at call i, top of the arena first; `hit` is the hovered buffer.
function tell(i, hit) {
  const aside = document.getElementById("now"), call = calls[i];
  aside.replaceChildren();
  item(aside, "h3", call.layer);
  item(aside, "div", `${call.kernel}${call.executions > 1 ? `, ${fmt(call.executions)} times` : ""}`).className = "dim";
  item(aside, "div", `${fmt(call.live_bytes)} B alive, call ${i + 1} of ${n}${held ? " (held)" : ""}`).className = "dim";
  const list = item(aside, "ol"), rows = [];
  time.tracks.forEach((t, index) => { for (const [first, last, lo, hi] of t.spans) if (first <= i && i <= last) rows.push([t, index, lo, hi, first, last]); });
  rows.sort((a, b) => a[0].region - b[0].region || b[0].offset + b[3] - a[0].offset - a[3]);
  for (const [t, index, lo, hi, first, last] of rows) {
    const row = item(list, "li");
    if (String(index) === hit) row.className = "hit";
    row.title = `${t.name}: bytes ${fmt(t.offset + lo)} to ${fmt(t.offset + hi)} of ${time.regions[t.region].name}, calls ${first + 1} to ${last + 1}`;
    item(row, "i", undefined, `background:var(--${t.role})`);
    item(row, "span", t.name);
    item(row, "b", fmt(hi - lo));
  }
}

function legend() {
  const seen = new Set(time.tracks.map(t => t.role)), list = document.getElementById("legend");
  for (const role in ROLES) {
    if (!seen.has(role)) continue;
    const entry = item(list, "li");
    item(entry, "i", undefined, `background:var(--${role})`);
    entry.append(ROLES[role]);
    entry.onmouseenter = () => document.querySelectorAll(".box").forEach(b => b.classList.toggle("off", time.tracks[b.dataset.track].role !== role));
    entry.onmouseleave = () => document.querySelectorAll(".box").forEach(b => b.classList.remove("off"));
  }
}

function curve() {
  const holder = document.getElementById("curve");
  if (!tradeoffs.length) { item(holder, "p", "no other schedules were compared").className = "dim"; return; }
  const points = [...tradeoffs].sort((a, b) => a.sram_total_bytes - b.sram_total_bytes), h = 230, w = 560;
  const span = key => { const v = points.map(p => p[key]), pad = Math.max(0.02 * Math.max(...v), (Math.max(...v) - Math.min(...v)) * 0.15, 1); return [Math.min(...v) - pad, Math.max(...v) + pad]; };
  const [x0, x1] = span("sram_total_bytes"), [y0, y1] = span("macs");
  const px = p => 64 + (p.sram_total_bytes - x0) / (x1 - x0) * (w - 124), py = p => h - 34 - (p.macs - y0) / (y1 - y0) * (h - 60);
  const svg = node(holder, "svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": "trade-off curve" });
  for (const v of ticks(x0, x1, 5, 2)) {
    const x = px({ sram_total_bytes: v });
    node(svg, "line", { class: "grid", x1: x, x2: x, y1: 26, y2: h - 34 });
    node(svg, "text", { x, y: h - 18, "text-anchor": "middle" }, kb(v));
  }
  for (const v of ticks(y0, y1, 4, 10)) {
    const y = py({ macs: v });
    node(svg, "line", { class: "grid", x1: 64, x2: w - 60, y1: y, y2: y });
    node(svg, "text", { x: 56, y: y + 4, "text-anchor": "end" }, `${parseFloat((v / 1e6).toPrecision(6))} M`);
  }
  node(svg, "text", { x: 64, y: 14 }, "MAC");
  node(svg, "text", { x: w - 60, y: h - 4, "text-anchor": "end" }, "SRAM in all");
  node(svg, "path", { class: "edge", d: points.map((p, i) => `${i ? "L" : "M"}${px(p)},${py(p)}`).join("") });
  points.forEach((p, i) => {
    const dot = node(svg, "circle", { cx: px(p), cy: py(p), r: 4.5, fill: "var(--accent)" });
    node(dot, "title", {}, `${p.optimize}: ${fmt(p.sram_total_bytes)} B, ${fmt(p.macs)} MAC`);
    if (p.optimize) node(svg, "text", { class: "strong", x: px(p) + 7, y: py(p) + (i % 2 ? 16 : -8) }, p.optimize);
  });
}

function tables() {
  const table = document.getElementById("layers"), body = table.tBodies[0];
  body.addEventListener("mouseover", e => { const row = e.target.closest("tr"); if (row && window.focusLayer) window.focusLayer(row.dataset.layer); });
  body.addEventListener("mouseleave", () => window.focusLayer && window.focusLayer(null));
  [...table.tHead.rows[0].cells].forEach((head, column) => head.addEventListener("click", () => {
    const down = !head.classList.contains("down"), numeric = head.classList.contains("n");
    const key = row => { const t = row.cells[column].textContent; return numeric ? Number(t.replace(/[^0-9.-]/g, "")) : t; };
    for (const other of table.tHead.rows[0].cells) other.classList.remove("up", "down");
    head.classList.add(down ? "down" : "up");
    const rows = [...body.rows].sort((a, b) => { const x = key(a), y = key(b); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
    body.append(...rows);
  }));
}

if (n) { draw(); legend(); tell(time.peak); }
curve();
tables();
document.getElementById("scale").addEventListener("click", e => {
  if (!e.target.dataset.scale) return;
  scale = e.target.dataset.scale;
  for (const button of e.currentTarget.children) button.classList.toggle("on", button === e.target);
  draw();
});
document.body.dataset.ready = String(document.querySelectorAll(".box").length);
