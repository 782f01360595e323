"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const data = JSON.parse(byId("data").textContent);

  // Light and dark.
  for (const button of all("[data-theme-set]")) {
    button.addEventListener("click", () => {
      const theme = button.dataset.themeSet;
      if (theme === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      for (const other of all("[data-theme-set]")) other.setAttribute("aria-pressed", String(other === button));
    });
  }

  // The section that is being read.
  const links = all(".sections a");
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links) {
          if (link.hash === `#${entry.target.id}`) link.setAttribute("aria-current", "true");
          else link.removeAttribute("aria-current");
        }
      }
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  for (const section of all("main > section")) watch.observe(section);

  // What a pointer rests on.
  const tip = byId("tip");
  const tell = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const layer = byId("viewer").open ? byId("viewer") : document.body; // an open dialog lies over all else
    if (tip.parentNode !== layer) layer.append(tip);
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), innerWidth - box.width - 8);
    const above = y - box.height - 12;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 8 ? y + 18 : above}px`;
  };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (mark) tell(mark.dataset.tip, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  document.addEventListener("pointerleave", () => { tip.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  // The table of cases: all rows are kept, one page of those that pass the filter is in the document.
  const table = byId("case-table");
  if (table) {
    const perPage = 25;
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const heads = all("thead th", table);
    const text = byId("filter-text");
    const number = byId("filter-number");
    const limitColumn = Number(table.dataset.limitColumn);
    const limitLowest = table.dataset.limitLowest === "1";
    let sorted = rows;
    let page = 0;
    const value = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    };
    const passes = (row) => {
      if (!row.cells[0].textContent.toLowerCase().includes(text.value.trim().toLowerCase())) return false;
      if (number.value === "" || Number.isNaN(number.valueAsNumber)) return true;
      const own = value(row, limitColumn);
      return own !== null && (limitLowest ? own >= number.valueAsNumber : own <= number.valueAsNumber);
    };
    const show = () => {
      const kept = sorted.filter(passes);
      const pages = Math.max(1, Math.ceil(kept.length / perPage));
      page = Math.min(Math.max(0, page), pages - 1);
      const first = page * perPage;
      body.replaceChildren(...kept.slice(first, first + perPage));
      const last = Math.min(first + perPage, kept.length);
      byId("page-text").textContent = kept.length ? `${first + 1} to ${last} of ${kept.length}` : "No image fits the filter";
      const [before, after] = all("[data-page]");
      before.disabled = page === 0;
      after.disabled = page === pages - 1;
    };
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const numeric = head.classList.contains("num");
        const now = head.getAttribute("aria-sort");
        // Numbers start with the largest, names with the first.
        const up = now === null ? !numeric : now === "descending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const names = new Intl.Collator("en", { numeric: true });
        sorted = rows.slice().sort((a, b) => {
          if (!numeric) {
            const order = names.compare(a.cells[column].textContent, b.cells[column].textContent);
            return up ? order : -order;
          }
          const [one, other] = [value(a, column), value(b, column)];
          if (one === null || other === null) return (one === null) - (other === null);
          return up ? one - other : other - one;
        });
        page = 0;
        show();
      });
    });
    const again = () => { page = 0; show(); };
    text.addEventListener("input", again);
    number.addEventListener("input", again);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("reset", () => setTimeout(again));
    for (const button of all("[data-page]")) {
      button.addEventListener("click", () => { page += Number(button.dataset.page); show(); });
    }
    document.querySelector(".pager").hidden = false;
    show();
  }

  // The viewer. The picture and the marks lie in pixels of the screen: at = place * scale + shift.
  const dialog = byId("viewer");
  const stage = byId("stage");
  const svg = (name, attributes = {}) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, setting] of Object.entries(attributes)) element.setAttribute(key, setting);
    return element;
  };
  const view = { index: null, scale: 1, fit: 1, x: 0, y: 0, picture: null, marks: [], chosen: null };
  const layers = { found: true, true: true, names: data.names.length <= 60 };

  const address = (index) => {
    const shown = byId(`picture-${index}`);
    if (shown) return shown.getAttribute("href");
    const stored = byId(`stored-${index}`);
    return stored ? stored.textContent.trim() : "";
  };
  const place = () => {
    const own = data.cases[view.index];
    const [width, height] = own.size;
    const move = `translate(${view.x} ${view.y}) scale(${view.scale})`;
    if (view.picture) view.picture.setAttribute("transform", move);
    const spot = (point) => [point[0] * view.scale + view.x, point[1] * view.scale + view.y];
    view.marks.forEach((mark) => {
      if (mark.found) {
        const [x, y] = spot(mark.found);
        mark.group.setAttribute("transform", `translate(${x} ${y})`);
        if (mark.true) {
          const [tx, ty] = spot(mark.true);
          mark.link.setAttribute("d", `M${x} ${y}L${tx} ${ty}`);
        }
      }
      if (mark.true) {
        const [x, y] = spot(mark.true);
        mark.cross.setAttribute("d", `M${x - 6} ${y}h12M${x} ${y - 6}v12`);
      }
    });
    byId("viewer-zoom").textContent = `${Math.round((100 * view.scale) / view.fit)} %`;
    stage.dataset.scale = String(view.scale);
    stage.dataset.frame = `${view.x} ${view.y} ${width * view.scale} ${height * view.scale}`;
  };
  const fit = () => {
    const [width, height] = data.cases[view.index].size;
    const box = stage.getBoundingClientRect();
    view.fit = Math.min(box.width / width, box.height / height) || 1;
    view.scale = view.fit;
    view.x = (box.width - width * view.scale) / 2;
    view.y = (box.height - height * view.scale) / 2;
    place();
  };
  const zoom = (factor, x, y) => {
    const box = stage.getBoundingClientRect();
    const [cx, cy] = x === undefined ? [box.width / 2, box.height / 2] : [x - box.left, y - box.top];
    const scale = Math.min(Math.max(view.scale * factor, view.fit * 0.5), view.fit * 40);
    view.x = cx - ((cx - view.x) * scale) / view.scale;
    view.y = cy - ((cy - view.y) * scale) / view.scale;
    view.scale = scale;
    place();
  };
  const pan = (dx, dy) => { view.x += dx; view.y += dy; place(); };
  const choose = (number, centre) => {
    view.chosen = number;
    view.marks.forEach((mark, i) => mark.group.classList.toggle("chosen", i === number));
    all("#viewer-table tbody tr").forEach((row, i) => row.classList.toggle("chosen", i === number));
    const mark = view.marks[number];
    const target = mark && (mark.found || mark.true);
    if (centre && target) {
      const box = stage.getBoundingClientRect();
      view.scale = Math.max(view.scale, view.fit * 4);
      view.x = box.width / 2 - target[0] * view.scale;
      view.y = box.height / 2 - target[1] * view.scale;
      place();
    }
  };
  const known = (setting, digits) => (setting === null || setting === undefined ? "–" : setting.toFixed(digits));
  const errorText = (setting) => (setting === -1 ? "not found" : known(setting, 2));
  const layer = () => {
    for (const mark of view.marks) {
      mark.group.style.display = layers.found ? "" : "none";
      mark.name.style.display = layers.names ? "" : "none";
      if (mark.cross) mark.cross.style.display = layers.true ? "" : "none";
      if (mark.link) mark.link.style.display = layers.true && layers.found ? "" : "none";
    }
  };
  const open = (index) => {
    const own = data.cases[index];
    view.index = index;
    byId("viewer-title").textContent = own.pose ? `${own.id}: ${own.pose}` : own.id;
    stage.replaceChildren();
    const href = address(index);
    view.picture = svg(href ? "image" : "rect", { width: own.size[0], height: own.size[1] });
    if (href) {
      view.picture.setAttribute("preserveAspectRatio", "none");
      view.picture.setAttribute("href", href);
    } else view.picture.setAttribute("class", "m-empty");
    stage.append(view.picture);
    const list = document.querySelector("#viewer-table tbody");
    list.replaceChildren();
    const links = svg("g");
    const crosses = svg("g");
    const points = svg("g");
    view.marks = data.names.map((name, i) => {
      const mark = { found: own.p[i], true: own.t ? own.t[i] : null, group: svg("g"), name: svg("text", { class: "v-name", x: 10, y: -8 }) };
      const told = [name];
      if (data.truth) told.push(`error ${errorText(own.e[i])}${own.e[i] >= 0 && own.e[i] !== null ? ` ${data.unit}` : ""}`);
      if (own.x[i] !== null) told.push(`expected ${known(own.x[i], 2)} ${data.unit}`);
      told.push(`confidence ${known(own.c[i], 2)}`);
      mark.name.textContent = data.labels[i];
      if (mark.found) {
        mark.group.append(
          svg("circle", { class: "m-found", r: 5, fill: own.k[i] }),
          mark.name,
          svg("circle", { class: "v-hit", r: 14, "data-tip": told.join(", "), "data-landmark": i }),
        );
        points.append(mark.group);
      }
      if (mark.true) {
        mark.cross = svg("path", { class: "m-true v-cross" });
        crosses.append(mark.cross);
        if (mark.found) {
          mark.link = svg("path", { class: "m-link" });
          links.append(mark.link);
        }
      }
      const row = list.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "link";
      button.textContent = name;
      button.addEventListener("click", () => choose(i, true));
      head.append(button);
      if (data.labels[i] !== name) {
        const short = document.createElement("span");
        short.className = "short";
        short.textContent = data.labels[i];
        head.prepend(short);
      }
      row.append(head);
      for (const cell of [...(data.truth ? [errorText(own.e[i])] : []), ...(data.expected ? [known(own.x[i], 2)] : []), known(own.c[i], 2)]) {
        const td = row.insertCell();
        td.className = "num";
        td.textContent = cell;
      }
      const swatch = svg("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" });
      swatch.append(svg("circle", { cx: 5, cy: 5, r: 4.5, fill: own.k[i] }));
      row.lastElementChild.prepend(swatch);
      return mark;
    });
    const measured = byId("viewer-measured");
    measured.hidden = !own.m.length;
    measured.tBodies[0].replaceChildren();
    for (const [name, value, note, outside] of own.m) {
      const row = measured.tBodies[0].insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      const cell = row.insertCell();
      cell.className = outside ? "num outside" : "num";
      cell.textContent = value;
      if (note) {
        const small = document.createElement("span");
        small.className = "note";
        small.textContent = note;
        cell.append(small);
      }
    }
    stage.append(links, points, crosses);
    layer();
    if (!dialog.open) dialog.showModal();
    fit();
    const position = data.order.indexOf(index);
    document.querySelector("[data-tool=previous]").disabled = position <= 0;
    document.querySelector("[data-tool=next]").disabled = position === data.order.length - 1;
  };
  const step = (by) => {
    const next = data.order[data.order.indexOf(view.index) + by];
    if (next !== undefined) open(next);
  };
  document.addEventListener("click", (event) => {
    const opener = event.target instanceof Element ? event.target.closest("[data-open]") : null;
    if (opener) open(Number(opener.dataset.open));
  });
  const tools = { previous: () => step(-1), next: () => step(1), in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit, close: () => dialog.close() };
  for (const button of all("[data-tool]")) button.addEventListener("click", () => tools[button.dataset.tool]());
  for (const box of all("[data-layer]")) {
    box.addEventListener("change", () => { layers[box.dataset.layer] = box.checked; layer(); });
  }
  const keys = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": fit,
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
    PageDown: () => step(1), PageUp: () => step(-1),
  };
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    // Arrows scroll the table where that has the focus.
    if (event.key.startsWith("Arrow") && event.target.closest(".side")) return;
    event.preventDefault();
    keys[event.key]();
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(-event.deltaY * lines * 0.0022), event.clientX, event.clientY);
  }, { passive: false });
  // One pointer pans, two pinch.
  const pointers = new Map();
  const middle = () => {
    const [a, b] = Array.from(pointers.values());
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const hit = event.target.dataset ? event.target.dataset.landmark : undefined;
    if (hit !== undefined) choose(Number(hit), false);
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    if (pointers.size === 2) {
      const before = middle();
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const after = middle();
      pan(after.x - before.x, after.y - before.y);
      if (before.apart > 0) zoom(after.apart / before.apart, after.x, after.y);
    } else {
      pan(event.clientX - last.x, event.clientY - last.y);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  addEventListener("resize", () => { if (dialog.open) fit(); });
})();
