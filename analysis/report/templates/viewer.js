"use strict";
// A crystal on a canvas: ions told apart by shade, sign and rim, coordination polyhedra, vacancies as dashed rings.
// It needs no WebGL, so it is drawn by any browser and comes out on paper.
class StructureViewer {
  static GRID = 10000;
  static ANIONS = new Set(["O", "F", "S", "Cl", "N", "Se", "Br", "I"]);
  // fill, ink, radius (A), sign; dark and light tell high from low without colour
  static STYLES = {
    low: { fill: "#9fd0ee", ink: "#000", radius: 0.78 },
    high: { fill: "#8c2d04", ink: "#fff", radius: 0.78 },
    unknown: { fill: "#ffffff", ink: "#000", radius: 0.78 },
    ion: { fill: "#f2e05a", ink: "#000", radius: 0.78 },
    vacant: { fill: "none", ink: "#000", radius: 0.78 },
    anion: { fill: "#e3e3e3", ink: "#777", radius: 0.3 },
    other: { fill: "#7d7d7d", ink: "#fff", radius: 0.34 },
  };

  constructor(page) {
    this.canvas = page.getElementById("viewer-canvas");
    this.legend = page.getElementById("viewer-legend");
    this.sites = page.getElementById("viewer-sites");
    this.polyhedra = page.getElementById("viewer-polyhedra");
    this.anions = page.getElementById("viewer-anions");
    this.states = page.getElementById("viewer-states");
    this.zoom = 1;
    this.turn = StructureViewer.times(StructureViewer.about(0, -1.25), StructureViewer.about(2, 0.35));
    this.listen(page);
  }

  show(structure) {
    this.structure = structure;
    this.build();
    this.draw();
  }

  // Geometry ---------------------------------------------------------------------------------------------------------
  static about(axis, angle) {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const [i, j] = [(axis + 1) % 3, (axis + 2) % 3];
    const m = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    m[i][i] = c; m[i][j] = -s; m[j][i] = s; m[j][j] = c;
    return m;
  }

  static times(a, b) {
    return a.map((row) => [0, 1, 2].map((j) => row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
  }

  static apply(m, p) {
    return m.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
  }

  static minus(a, b) {
    return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  }

  static cross(a, b) {
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  }

  static dot(a, b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  }

  cartesian(f) {
    const c = this.structure.cell;
    return [0, 1, 2].map((k) => f[0] * c[k] + f[1] * c[3 + k] + f[2] * c[6 + k] - this.centre[k]);
  }

  positions(list) {
    const found = [];
    for (let i = 0; i < list.length; i += 3) found.push([0, 1, 2].map((k) => list[i + k] / StructureViewer.GRID));
    return found;
  }

  build() {
    const s = this.structure;
    this.centre = [0, 1, 2].map((k) => (s.cell[k] + s.cell[3 + k] + s.cell[6 + k]) / 2);
    const symbols = s.elements.flatMap(([symbol, n]) => Array(n).fill(symbol));
    const fractions = this.positions(s.at);
    const bits = (this.states.value === "meant" ? s.meant : s.achieved) || [];
    const state = new Map(s.redox.map((site, place) => [site, bits[place]]));
    this.atoms = fractions.map((f, i) => this.atom(symbols[i], f, i, state));
    s.redox.forEach((site, place) => {
      this.atoms[site].moved = s.meant !== null && s.achieved !== null && s.meant[place] !== s.achieved[place];
    });
    const vacant = this.positions(s.vacant).map((f) => ({ kind: "vacant", symbol: s.ion, sign: "", f }));
    this.atoms.push(...vacant);
    for (const atom of this.atoms) atom.p = this.cartesian(atom.f);
    this.faces = this.atoms.flatMap((atom) => this.facesOf(atom));
    this.reach = Math.max(...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => Math.hypot(...this.corner(n))));
    this.tell();
  }

  atom(symbol, f, place, state) {
    if (state.has(place)) {
      const bit = state.get(place);
      const kind = bit === 1 ? "high" : bit === 0 ? "low" : "unknown";
      const name = bit === undefined ? `${symbol}, not read` : this.structure.states[bit];
      return { kind, symbol, f, name, sign: bit === undefined ? "?" : name.slice(symbol.length) };
    }
    if (symbol === this.structure.ion) return { kind: "ion", symbol, f, sign: symbol };
    return { kind: StructureViewer.ANIONS.has(symbol) ? "anion" : "other", symbol, f, sign: "" };
  }

  corner(n) {
    return this.cartesian([n & 1, (n >> 1) & 1, (n >> 2) & 1]);
  }

  // Faces of the polyhedron of anions around a cation: planes through three that have all others on one side.
  facesOf(atom) {
    if (!["low", "high", "unknown", "other"].includes(atom.kind)) return [];
    const { minus, cross, dot } = StructureViewer;
    const near = this.neighbours(atom);
    const faces = [];
    for (let i = 0; i < near.length; i++)
      for (let j = i + 1; j < near.length; j++)
        for (let k = j + 1; k < near.length; k++) {
          const normal = cross(minus(near[j], near[i]), minus(near[k], near[i]));
          const sides = near.map((p) => dot(normal, minus(p, near[i]))).filter((side) => Math.abs(side) > 1e-3);
          if (sides.every((side) => side > 0) || sides.every((side) => side < 0))
            faces.push({ corners: [near[i], near[j], near[k]], kind: atom.kind });
        }
    return faces;
  }

  neighbours(atom) {
    const found = [];
    for (const other of this.atoms) {
      if (other.kind !== "anion") continue;
      const d = [0, 1, 2].map((k) => other.f[k] - atom.f[k]);
      const base = d.map((value) => -Math.round(value));
      for (let a = -1; a <= 1; a++)
        for (let b = -1; b <= 1; b++)
          for (let c = -1; c <= 1; c++) {
            const p = this.cartesian([other.f[0] + base[0] + a, other.f[1] + base[1] + b, other.f[2] + base[2] + c]);
            found.push({ p, r: Math.hypot(...StructureViewer.minus(p, atom.p)) });
          }
    }
    found.sort((a, b) => a.r - b.r);
    return found.slice(0, 8).filter((one) => one.r < 1.28 * found[0].r && one.r < 3).map((one) => one.p);
  }

  // Drawing ----------------------------------------------------------------------------------------------------------
  draw() {
    if (this.pending || !this.structure) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paint();
    });
  }

  paint() {
    const box = this.canvas.getBoundingClientRect();
    if (box.width === 0) return;
    const ratio = Math.max(window.devicePixelRatio || 1, 2); // sharp on paper too
    this.canvas.width = box.width * ratio;
    this.canvas.height = box.height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.translate(box.width / 2, box.height / 2);
    this.scale = (0.46 * Math.min(box.width, box.height) * this.zoom) / this.reach;
    const turned = (p) => StructureViewer.apply(this.turn, p);
    const things = [...this.edgesOfCell(turned)];
    if (this.polyhedra.checked) for (const face of this.faces) things.push(this.faceThing(face, turned));
    for (const atom of this.atoms) {
      if (atom.kind === "anion" && !this.anions.checked) continue;
      const p = turned(atom.p);
      things.push({ depth: p[2] + 0.5, paint: (ink) => this.paintAtom(ink, atom, p[0] * this.scale, -p[1] * this.scale, p[2]) });
    }
    things.sort((a, b) => a.depth - b.depth);
    for (const thing of things) thing.paint(pen);
    this.paintAxes(pen, box);
  }

  edgesOfCell(turned) {
    const edges = [];
    for (let n = 0; n < 8; n++)
      for (const bit of [1, 2, 4])
        if (!(n & bit)) {
          const [p, q] = [turned(this.corner(n)), turned(this.corner(n | bit))];
          edges.push({
            depth: Math.min(p[2], q[2]),
            paint: (pen) => {
              pen.beginPath();
              pen.moveTo(p[0] * this.scale, -p[1] * this.scale);
              pen.lineTo(q[0] * this.scale, -q[1] * this.scale);
              pen.strokeStyle = "#555";
              pen.lineWidth = 1;
              pen.stroke();
            },
          });
        }
    return edges;
  }

  faceThing(face, turned) {
    const corners = face.corners.map(turned);
    const depth = (corners[0][2] + corners[1][2] + corners[2][2]) / 3;
    const fills = { low: "rgba(86,180,233,.22)", high: "rgba(140,45,4,.40)", unknown: "rgba(255,255,255,.4)", other: "rgba(120,120,120,.20)" };
    return {
      depth,
      paint: (pen) => {
        pen.beginPath();
        corners.forEach((c, i) => (i ? pen.lineTo(c[0] * this.scale, -c[1] * this.scale) : pen.moveTo(c[0] * this.scale, -c[1] * this.scale)));
        pen.closePath();
        pen.fillStyle = fills[face.kind];
        pen.fill();
        pen.strokeStyle = face.kind === "high" ? "rgba(90,25,0,.55)" : "rgba(60,60,60,.35)";
        pen.lineWidth = 0.7;
        pen.stroke();
      },
    };
  }

  paintAtom(pen, atom, x, y, z) {
    const style = StructureViewer.STYLES[atom.kind];
    const r = Math.max(style.radius * this.scale * (1 + 0.12 * (z / this.reach)), 1.5);
    pen.beginPath();
    pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.setLineDash(atom.kind === "vacant" ? [3, 3] : []);
    if (style.fill !== "none") {
      pen.fillStyle = style.fill;
      pen.fill();
    }
    pen.strokeStyle = atom.kind === "anion" ? "#999" : "#000";
    pen.lineWidth = atom.kind === "vacant" ? 1.6 : 0.8;
    pen.stroke();
    pen.setLineDash([]);
    if (atom.moved) {
      pen.beginPath();
      pen.arc(x, y, r + 3, 0, 2 * Math.PI);
      pen.lineWidth = 2.2;
      pen.stroke();
    }
    if (atom.sign && r > 5) {
      pen.fillStyle = style.ink;
      pen.font = `600 ${Math.min(r * 0.95, 15)}px system-ui, sans-serif`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(atom.sign, x, y + 0.5);
    }
  }

  paintAxes(pen, box) {
    const [x, y] = [-box.width / 2 + 34, box.height / 2 - 34];
    ["a", "b", "c"].forEach((name, n) => {
      const v = this.structure.cell.slice(3 * n, 3 * n + 3);
      const length = Math.hypot(...v);
      const p = StructureViewer.apply(this.turn, v.map((value) => (22 * value) / length));
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + p[0], y - p[1]);
      pen.strokeStyle = "#000";
      pen.lineWidth = 1.4;
      pen.stroke();
      pen.fillStyle = "#000";
      pen.font = "italic 13px serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(name, x + 1.35 * p[0], y - 1.35 * p[1]);
    });
  }

  // Words ------------------------------------------------------------------------------------------------------------
  tell() {
    const s = this.structure;
    const count = (kind) => this.atoms.filter((atom) => atom.kind === kind).length;
    const others = [...new Set(this.atoms.filter((a) => a.kind === "other").map((a) => a.symbol))].join(", ");
    const anions = [...new Set(this.atoms.filter((a) => a.kind === "anion").map((a) => a.symbol))].join(", ");
    const entries = [
      ["low", s.states[0]], ["high", s.states[1]], ["unknown", "state not read"], ["ion", s.ion], ["vacant", `vacant ${s.ion} site`],
      ["other", others], ["anion", anions],
    ].filter(([kind]) => count(kind));
    this.legend.replaceChildren(...entries.map(([kind, name]) => this.entry(kind, `${name} (${count(kind)})`)));
    if (this.atoms.some((atom) => atom.moved)) this.legend.append(this.entry("moved", "ring: not the state that was meant"));
    this.fillSites();
  }

  entry(kind, text) {
    const item = document.createElement("li");
    const sample = document.createElement("canvas");
    sample.width = sample.height = 44;
    sample.style.width = sample.style.height = "22px";
    sample.style.aspectRatio = "1";
    sample.style.border = "0";
    const pen = sample.getContext("2d");
    pen.scale(2, 2);
    const kept = [this.scale, this.reach];
    [this.scale, this.reach] = [10, 1];
    const sign = (this.atoms.find((atom) => atom.kind === kind) || {}).sign;
    this.paintAtom(pen, { kind: kind === "moved" ? "unknown" : kind, moved: kind === "moved", sign }, 11, 11, 0);
    [this.scale, this.reach] = kept;
    item.append(sample, text);
    return item;
  }

  fillSites() {
    const s = this.structure;
    const name = (bits, place) => (bits ? s.states[bits[place]] : "-");
    const rows = s.redox.map((site, place) => {
      const moment = s.moments[place];
      const shown = moment === undefined || moment === null ? "-" : Math.abs(moment).toFixed(3);
      return [String(place + 1), name(s.meant, place), name(s.achieved, place), shown];
    });
    this.sites.replaceChildren(
      ...[["redox site", "meant", "came out", "|moment|, \u00b5B"], ...rows].map((cells, n) => {
        const row = document.createElement("tr");
        row.append(...cells.map((text) => Object.assign(document.createElement(n ? "td" : "th"), { textContent: text })));
        return row;
      }));
  }

  // Hands ------------------------------------------------------------------------------------------------------------
  listen(page) {
    let last = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (last === null) return;
      this.rotate((event.clientX - last[0]) / 110, (event.clientY - last[1]) / 110);
      last = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => (last = null));
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.magnify(Math.exp(-event.deltaY / 600));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    page.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => this.along(button.dataset.view)));
    for (const box of [this.polyhedra, this.anions]) box.addEventListener("change", () => this.draw());
    this.states.addEventListener("change", () => this.show(this.structure));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    window.addEventListener("beforeprint", () => this.structure && this.paint());
  }

  rotate(right, down) {
    const { about, times } = StructureViewer;
    this.turn = times(times(about(1, right), about(0, down)), this.turn);
    this.draw();
  }

  magnify(factor) {
    this.zoom = Math.min(6, Math.max(0.4, this.zoom * factor));
    this.draw();
  }

  key(event) {
    const turns = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] };
    if (turns[event.key]) this.rotate(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") this.magnify(1.15);
    else if (event.key === "-") this.magnify(1 / 1.15);
    else return;
    event.preventDefault();
  }

  // Look along an axis of the cell, another one upwards.
  along(axis) {
    const { cross } = StructureViewer;
    const unit = (v) => v.map((value) => value / Math.hypot(...v));
    const n = { a: 0, b: 1, c: 2 }[axis];
    const vector = (m) => this.structure.cell.slice(3 * (m % 3), 3 * (m % 3) + 3);
    const towards = unit(vector(n));
    const right = unit(cross(vector(n + 2), towards));
    const { about, times } = StructureViewer;
    // A little off the axis, so that ions behind each other are not hidden.
    this.turn = times(times(about(0, 0.09), about(1, -0.07)), [right, cross(towards, right), towards]);
    this.draw();
  }
}
