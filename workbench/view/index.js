// A radiograph of 16 bits on a 2D canvas, and its landmarks as SVG elements above it. No framework.
// Points are (x, y) = (column, row) in pixels, 0-based, pixel centres at integers.

export { Radiograph } from "./radiograph.js";
import { Radiograph, paint } from "./radiograph.js";

const SVG = "http://www.w3.org/2000/svg";
const CLICK = 4; // a pointer that moved less (CSS pixels) has clicked
const LENS = 168;
const PLACED = ["placed", "proposed", "uncertain"];

function make(parent, name, attributes = {}, namespace = SVG) {
  const element = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

export class LandmarkView {
  // root: an element with a size; emit(name, detail): change, select, command, line, ready, failed;
  // texts: words by name; readonly: whether points stay where they are.
  constructor(root, { emit, texts = {}, readonly = false }) {
    Object.assign(this, { root, emit, texts, readonly });
    this.points = [];
    this.lines = [];
    this.pending = new Map(); // by landmark: what was sent and not yet answered
    this.sequence = 0; // counts what the page was told
    this.chosen = 0; // when a landmark was selected here: older answers do not select another one
    this.selected = null;
    this.mode = "pan";
    this.window = { centre: 0.5, width: 1, inverted: false };
    this.image = null;
    this.zoom = 1; // of the page's pixels per column
    this.aspect = 1; // height of a pixel over its width
    this.offset = [0, 0];
    this.pointers = new Map();
    this.drag = null;
    this.lensAlways = false;
    root.tabIndex = 0;
    root.setAttribute("role", "application");
    const html = "http://www.w3.org/1999/xhtml";
    this.canvas = make(root, "canvas", { class: "lv-image" }, html);
    this.svg = make(root, "svg", { class: "lv-marks" });
    this.lens = make(root, "canvas", { class: "lv-lens", hidden: "" }, html);
    this.readout = make(root, "div", { class: "lv-readout", "aria-hidden": "true" }, html);
    this.layers = { lines: make(this.svg, "g"), marks: make(this.svg, "g"), tool: make(this.svg, "g") };
    const on = (type, handler, options) => root.addEventListener(type, handler.bind(this), options);
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.up);
    on("pointerleave", () => this.readout.replaceChildren());
    on("wheel", this.wheel, { passive: false });
    on("keydown", this.key);
    on("contextmenu", (event) => event.preventDefault());
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(root);
  }

  destroy() {
    this.observer.disconnect();
    this.loading?.abort();
    cancelAnimationFrame(this.frame);
  }

  // ---- the image

  async load(source) {
    this.loading?.abort();
    this.image = null;
    this.source = source;
    this.pending.clear();
    this.draw();
    if (!source) return;
    const started = performance.now();
    const loading = (this.loading = new AbortController());
    try {
      const image = await Radiograph.fetch(source, loading.signal);
      if (loading.signal.aborted) return;
      this.image = image;
      this.fit();
      this.emit("ready", { milliseconds: Math.round(performance.now() - started), width: image.width });
    } catch (error) {
      if (error.name !== "AbortError") this.emit("failed", { message: String(error.message ?? error) });
    }
  }

  resized() {
    const { clientWidth: width, clientHeight: height } = this.root;
    const fitted = this.fitted;
    const ratio = (this.ratio = window.devicePixelRatio || 1);
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    Object.assign(this.lens, { width: Math.round(LENS * ratio), height: Math.round(LENS * ratio) });
    if (fitted ?? true) this.fit();
    else this.draw();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!this.image || !width || !height) return;
    const tall = this.image.height * this.aspect;
    this.zoom = Math.min(width / this.image.width, height / tall) * 0.98;
    this.offset = [(width - this.image.width * this.zoom) / 2, (height - tall * this.zoom) / 2];
    this.fitted = true;
    this.draw();
  }

  zoomBy(factor, [x, y] = [this.root.clientWidth / 2, this.root.clientHeight / 2]) {
    const zoom = Math.min(64, Math.max(0.02, this.zoom * factor));
    const real = zoom / this.zoom;
    this.offset = [x - (x - this.offset[0]) * real, y - (y - this.offset[1]) * real];
    this.zoom = zoom;
    this.fitted = false;
    this.draw();
  }

  // Bring the selected landmark to the middle.
  reveal() {
    const { clientWidth: width, clientHeight: height } = this.root;
    const point = this.point();
    if (!this.image || !width || !height || !PLACED.includes(point?.state)) return;
    this.zoom = Math.max(this.zoom, 2);
    const [x, y] = this.toScreen([point.x, point.y]);
    this.offset = [this.offset[0] + width / 2 - x, this.offset[1] + height / 2 - y];
    this.fitted = false;
    this.draw();
  }

  setWindow(change) {
    Object.assign(this.window, change);
    this.window.width = Math.min(2, Math.max(0.005, this.window.width));
    this.window.centre = Math.min(1.2, Math.max(-0.2, this.window.centre));
    this.draw();
  }

  invert() {
    this.setWindow({ inverted: !this.window.inverted });
  }

  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
    this.layers.tool.replaceChildren();
  }

  toggleMode(mode) {
    this.setMode(this.mode === mode ? "pan" : mode);
  }

  focusMark(id) {
    const group = this.groups?.get(id);
    (group && group.style.display !== "none" ? group : this.root).focus({ preventScroll: true });
  }

  toScreen([x, y]) {
    return [(x + 0.5) * this.zoom + this.offset[0], (y + 0.5) * this.zoom * this.aspect + this.offset[1]];
  }

  toImage([x, y]) {
    return [(x - this.offset[0]) / this.zoom - 0.5, (y - this.offset[1]) / (this.zoom * this.aspect) - 0.5];
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const ratio = this.ratio ?? 1;
      const [x, y] = this.offset;
      const scale = this.zoom * ratio;
      paint(this.canvas, this.image, this.window, [scale, scale * this.aspect], [x * ratio, y * ratio]);
      this.layout();
      this.drawLens();
    });
  }

  drawLens() {
    const at = this.lensAt;
    this.lens.hidden = !(this.image && at && (this.lensAlways || this.drag?.kind === "mark"));
    if (this.lens.hidden) return;
    const scale = Math.max(this.zoom * 4, 3) * this.ratio;
    const [half, tall] = [this.lens.width / 2, scale * this.aspect];
    const corner = [half - (at[0] + 0.5) * scale, half - (at[1] + 0.5) * tall];
    paint(this.lens, this.image, this.window, [scale, tall], corner);
    const context = this.lens.getContext("2d");
    context.fillStyle = "#ffd54a";
    context.fillRect(half - 0.5, half - 14, 1, 28);
    context.fillRect(half - 14, half - 0.5, 28, 1);
    const [x, y] = this.toScreen(at);
    const right = x + LENS * 1.4 > this.root.clientWidth;
    this.lens.style.left = `${right ? x - LENS - 28 : x + 28}px`;
    this.lens.style.top = `${Math.min(Math.max(0, y - LENS - 12), this.root.clientHeight - LENS)}px`;
  }

  // ---- the landmarks

  // points: {id, name, label, colour, x, y, state, locked, error}; seen: the newest change that they include.
  show(points, seen, lines = this.lines, selected = this.selected) {
    for (const [id, sent] of this.pending) if (sent.sequence <= seen) this.pending.delete(id);
    this.root.dataset.pending = this.pending.size ? "yes" : "no";
    this.points = points.map((point) => ({ ...point, ...this.pending.get(point.id)?.place }));
    this.lines = lines;
    if (seen >= this.chosen) this.selected = selected;
    this.build();
  }

  build() {
    this.layers.lines.replaceChildren();
    this.shownLines = this.lines.map((ends) => [make(this.layers.lines, "line", { class: "lv-line" }), ends]);
    const known = new Map([...this.layers.marks.children].map((group) => [group.dataset.id, group]));
    this.groups = new Map();
    for (const point of this.points) {
      const key = String(point.id);
      const group = known.get(key) ?? this.makeMark(key);
      known.delete(key);
      this.groups.set(point.id, group);
      group.setAttribute("class", `lv-mark lv-${point.state.replace(" ", "-")}${point.locked ? " lv-locked" : ""}`);
      group.style.setProperty("--colour", point.colour);
      group.querySelector("text").textContent = point.label + (point.state === "uncertain" ? " ?" : "");
    }
    for (const group of known.values()) group.remove();
    this.select(this.selected, false);
    this.draw();
  }

  makeMark(key) {
    const group = make(this.layers.marks, "g", { role: "button", tabindex: "-1" });
    group.dataset.id = key;
    make(group, "circle", { class: "lv-error" });
    make(group, "circle", { class: "lv-hit", r: 13 });
    make(group, "path", { class: "lv-shape" });
    make(group, "text", { x: 10, y: -8 });
    return group;
  }

  layout() {
    const at = new Map();
    const length = (this.zoom * Math.hypot(1, this.aspect)) / Math.SQRT2; // of a pixel in no direction
    for (const point of this.points) {
      const group = this.groups.get(point.id);
      const there = PLACED.includes(point.state) && this.image;
      if (!there && document.activeElement === group) this.root.focus({ preventScroll: true }); // or the keys are lost
      group.style.display = there ? "" : "none";
      if (!there) continue;
      const [x, y] = this.toScreen([point.x, point.y]);
      at.set(point.id, [x, y]);
      group.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)})`);
      group.firstChild.setAttribute("r", point.error && point.state === "proposed" ? point.error * length : 0);
      const shape = point.state === "proposed" ? "M0-6L6 0L0 6L-6 0Z" : "M-7 0H-2M2 0H7M0-7V-2M0 2V7";
      group.querySelector("path").setAttribute("d", shape);
      const words = this.texts[point.state] ?? point.state;
      group.setAttribute("aria-label", `${point.name}, x ${point.x.toFixed(1)}, y ${point.y.toFixed(1)}, ${words}`);
    }
    for (const [line, [from, to]] of this.shownLines ?? []) {
      const [a, b] = [at.get(from), at.get(to)];
      line.style.display = a && b ? "" : "none";
      if (a && b) for (const [name, value] of [["x1", a[0]], ["y1", a[1]], ["x2", b[0]], ["y2", b[1]]]) line.setAttribute(name, value);
    }
  }

  point(id = this.selected) {
    return this.points.find((point) => point.id === id);
  }

  // Whether the next click places a landmark; one that is near it is then not in the way, but can be dragged.
  get placing() {
    return this.point()?.state === "open" && !this.readonly;
  }

  select(id, tell = true) {
    this.selected = id;
    for (const [key, group] of this.groups ?? []) group.classList.toggle("lv-selected", key === id);
    const chosen = this.groups?.get(id);
    if (chosen && chosen !== this.layers.marks.lastChild) {
      const focused = document.activeElement === chosen;
      this.layers.marks.append(chosen); // above the others
      if (focused) chosen.focus({ preventScroll: true });
    }
    this.root.dataset.placing = this.placing ? "yes" : "no";
    if (tell) this.emit("select", { id, sequence: (this.chosen = ++this.sequence) });
  }

  // Move a landmark to a place in the image, here at once, and tell it.
  put(id, x, y, kind) {
    const point = this.point(id);
    if (!point || !this.image || this.readonly || point.locked) return;
    const place = {
      x: Math.min(this.image.width - 1, Math.max(0, x)),
      y: Math.min(this.image.height - 1, Math.max(0, y)),
      state: point.state === "uncertain" ? "uncertain" : "placed",
    };
    const first = !PLACED.includes(point.state);
    Object.assign(point, place);
    this.pending.set(id, { sequence: ++this.sequence, place });
    this.root.dataset.pending = "yes";
    this.lensAt = [place.x, place.y];
    this.emit("change", { id, x: place.x, y: place.y, kind, sequence: this.sequence, source: this.source });
    if (first) {
      const open = this.points.find((other) => other.state === "open");
      this.build();
      this.select(open ? open.id : id);
    } else if (kind === "nudge") this.draw();
    else this.build();
  }

  // ---- the pointer

  place(event) {
    const box = this.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    const at = this.place(event);
    const mark = event.target.closest?.(".lv-mark");
    event.preventDefault();
    this.root.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    (mark && !this.placing ? mark : this.root).focus({ preventScroll: true });
    if (this.pointers.size === 2) {
      this.drag = { kind: "pinch", distance: this.spread(), middle: this.middle() };
      return;
    }
    const id = mark ? Number(mark.dataset.id) : null;
    const start = { at, from: at, moved: false };
    if (this.mode === "line") this.drag = { ...start, kind: "line" };
    else if (event.button === 2 || (event.shiftKey && !mark) || (this.mode === "window" && !mark))
      this.drag = { ...start, kind: "window" };
    else if (mark && event.button === 0) {
      if (id !== this.selected && !this.placing) this.select(id);
      const point = this.point(id);
      const [x, y] = this.toScreen([point.x, point.y]);
      this.drag = { ...start, kind: "mark", id, grip: [x - at[0], y - at[1]], fixed: this.readonly || point.locked };
    } else this.drag = { ...start, kind: "pan" };
  }

  move(event) {
    const at = this.place(event);
    if (!this.pointers.has(event.pointerId)) return this.hover(at);
    const before = this.pointers.get(event.pointerId);
    this.pointers.set(event.pointerId, at);
    const drag = this.drag;
    if (!drag) return;
    if (drag.kind === "pinch") {
      const [distance, middle] = [this.spread(), this.middle()];
      this.offset = [this.offset[0] + middle[0] - drag.middle[0], this.offset[1] + middle[1] - drag.middle[1]];
      this.zoomBy(distance / drag.distance, middle);
      Object.assign(drag, { distance, middle });
      return;
    }
    drag.moved ||= Math.hypot(at[0] - drag.from[0], at[1] - drag.from[1]) >= (drag.kind === "mark" && !this.placing ? 1 : CLICK);
    if (!drag.moved) return;
    if (drag.kind === "window") {
      const { centre, width } = this.window;
      this.setWindow({ centre: centre - (at[1] - before[1]) / 400, width: width * Math.exp((at[0] - before[0]) / 150) });
    } else if (drag.kind === "pan") {
      this.offset = [this.offset[0] + at[0] - drag.at[0], this.offset[1] + at[1] - drag.at[1]];
      drag.at = at;
      this.fitted = false;
      this.draw();
    } else if (drag.kind === "line") this.drawLine(drag.from, at);
    else if (!drag.fixed) {
      const point = this.point(drag.id);
      [point.x, point.y] = this.toImage([at[0] + drag.grip[0], at[1] + drag.grip[1]]);
      this.lensAt = [point.x, point.y];
      this.hover(at);
      this.draw();
    }
  }

  up(event) {
    const drag = this.drag;
    this.pointers.delete(event.pointerId);
    if (drag?.kind === "pinch" && this.pointers.size) return;
    this.drag = null;
    if (!drag || event.type === "pointercancel") return this.build();
    const at = this.place(event);
    if (drag.kind === "mark" && drag.moved && !drag.fixed) {
      const point = this.point(drag.id);
      this.put(drag.id, point.x, point.y, "drag");
    } else if (drag.kind === "line" && drag.moved) {
      const [from, to] = [this.toImage(drag.from), this.toImage(at)];
      this.emit("line", { columns: Math.hypot(to[0] - from[0], (to[1] - from[1]) * this.aspect) });
    } else if (["pan", "mark"].includes(drag.kind) && event.button === 0 && !drag.moved && this.placing)
      this.put(this.selected, ...this.toImage(at), "click");
    this.draw();
  }

  spread() {
    const [a, b] = [...this.pointers.values()];
    return Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
  }

  middle() {
    const [a, b] = [...this.pointers.values()];
    return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  }

  hover(at) {
    const image = this.image;
    const place = this.toImage(at);
    const column = Math.round(place[0]);
    const row = Math.round(place[1]);
    if (!image || column < 0 || row < 0 || column >= image.width || row >= image.height) return;
    const mm = this.spacing ? ` · ${(place[0] * this.spacing[0]).toFixed(2)}, ${(place[1] * this.spacing[1]).toFixed(2)} mm` : "";
    const grey = (image.levels[0].values[row * image.width + column] / 65535).toFixed(3);
    this.readout.textContent = `${place[0].toFixed(1)}, ${place[1].toFixed(1)} px${mm} · ${grey}`;
    if (this.lensAlways && !this.drag) {
      this.lensAt = place;
      this.drawLens();
    }
  }

  drawLine([x1, y1], [x2, y2]) {
    this.layers.tool.replaceChildren();
    make(this.layers.tool, "line", { class: "lv-ruler", x1, y1, x2, y2 });
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoomBy(Math.exp(-event.deltaY * lines * 0.0016), this.place(event));
  }

  // ---- the keyboard

  key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const control = event.ctrlKey || event.metaKey;
    const step = event.shiftKey ? 0.1 : event.altKey ? 10 : 1;
    const point = this.point();
    const placed = point && PLACED.includes(point.state);
    let done = true;
    if (event.key in arrows && !control) {
      const [dx, dy] = arrows[event.key];
      if (placed && !this.readonly) this.put(point.id, point.x + dx * step, point.y + dy * step, "nudge");
      else {
        this.offset = [this.offset[0] - 40 * dx, this.offset[1] - 40 * dy];
        this.draw();
      }
    } else if (control && event.key.toLowerCase() === "z") this.emit("command", { name: event.shiftKey ? "redo" : "undo" });
    else if (control && event.key.toLowerCase() === "y") this.emit("command", { name: "redo" });
    else if (control || event.altKey) done = false;
    else if (event.key === " ") {
      if (point?.state === "open") this.put(point.id, ...this.toImage([this.root.clientWidth / 2, this.root.clientHeight / 2]), "key");
    } else if (event.key === "PageDown" || event.key === "PageUp") this.step(event.key === "PageDown" ? 1 : -1);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.25);
    else if (event.key === "-") this.zoomBy(0.8);
    else if (event.key === "0") this.fit();
    else if (event.key === "i") this.invert();
    else if (event.key === "m") this.toggleLens();
    else if (event.key === "t") this.root.classList.toggle("lv-plain");
    else if (event.key === "w") this.toggleMode("window");
    else if (event.key === "Escape") this.setMode("pan");
    else if (COMMANDS[event.key]) this.emit("command", { name: COMMANDS[event.key] });
    else done = false;
    if (done) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  toggleLens() {
    this.lensAlways = !this.lensAlways;
    this.root.dataset.lens = this.lensAlways ? "yes" : "no";
    this.drawLens();
  }

  step(by) {
    if (!this.points.length) return;
    const at = this.points.findIndex((point) => point.id === this.selected);
    const next = this.points[(at + by + this.points.length) % this.points.length];
    this.select(next.id);
    this.focusMark(next.id);
  }
}

// Keys that the page answers.
const COMMANDS = {
  n: "next unplaced",
  Delete: "open",
  Backspace: "open",
  a: "absent",
  v: "not visible",
  u: "uncertain",
  l: "lock",
  Enter: "accept",
  k: "previous image",
  j: "next image",
  g: "find",
  f: "to the landmark",
};
