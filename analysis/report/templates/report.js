"use strict";
// Filters and sorting of tables, charts, and what connects marks and rows with the viewer.
(() => {
  function bytesOf(id) {
    const text = document.getElementById(id).textContent;
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes;
  }
  const unpacked = (id) =>
    new Response(new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

  // Tables -----------------------------------------------------------------------------------------------------------
  function makeSortable(table) {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, head, column));
    });
  }

  function sortBy(table, head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("num");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[column].textContent.trim();
      const value = Number.parseFloat(text.replace(/^[^-+.\d]*/, ""));
      return { row, text, value, missing: numeric ? Number.isNaN(value) : text === "-" };
    });
    const sign = down ? -1 : 1;
    keyed.sort((a, b) =>
      a.missing !== b.missing ? (a.missing ? 1 : -1) : sign * (numeric ? a.value - b.value : a.text.localeCompare(b.text, "en")));
    body.append(...keyed.map((entry) => entry.row));
  }

  function makeFilters(form) {
    const table = document.getElementById(form.dataset.table);
    const rows = [...table.tBodies[0].rows];
    const inputs = [...form.querySelectorAll("[data-by]")];
    const said = form.querySelector("output");
    const passes = (row, input) => {
      const wanted = input.value.trim();
      if (wanted === "") return true;
      if (input.dataset.by === "text") {
        const titles = [...row.cells].map((cell) => cell.title).join(" ");
        return (row.textContent + " " + titles).toLowerCase().includes(wanted.toLowerCase());
      }
      if (input.dataset.by === "energy") return row.dataset.energy !== undefined && Number(row.dataset.energy) <= Number(wanted);
      return row.dataset[input.dataset.by] === wanted;
    };
    const apply = () => {
      let shown = 0;
      for (const row of rows) {
        row.hidden = !inputs.every((input) => passes(row, input));
        shown += row.hidden ? 0 : 1;
      }
      said.textContent = `${shown} of ${rows.length}`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    form.hidden = false;
    apply();
  }

  // Viewer -----------------------------------------------------------------------------------------------------------
  const rowOf = (id) => [...document.querySelectorAll("tr[data-id]")].find((row) => row.dataset.id === id);

  function describe(row) {
    const cells = [...row.cells].map((cell) => cell.textContent.trim());
    const heads = [...row.closest("table").querySelectorAll("thead th")].map((head) => head.textContent.trim());
    const energy = cells[4] === "-" ? "" : `; ${heads[4]} ${cells[4]} meV/f.u.`;
    const hull = cells[5] === "-" ? "" : `, above hull ${cells[5]}`;
    const finding = row.cells[3].title ? ` (${row.cells[3].title})` : "";
    return `${cells[1]} at x = ${cells[0]}: ${cells[3]}${finding}${energy}${hull}`;
  }

  function connectViewer(viewer, structures) {
    const which = document.getElementById("viewer-which");
    const show = (id) => {
      const row = rowOf(id);
      if (row === undefined || structures[id] === undefined) return;
      document.querySelectorAll("tr.selected").forEach((other) => other.classList.remove("selected"));
      row.classList.add("selected");
      which.textContent = describe(row);
      viewer.show(structures[id]);
    };
    document.querySelectorAll("tr[data-id]").forEach((row) => {
      if (structures[row.dataset.id] === undefined) return;
      row.dataset.shown = "";
      row.tabIndex = 0;
      row.addEventListener("click", () => {
        show(row.dataset.id);
        document.getElementById("viewer-which").scrollIntoView({ block: "nearest" });
      });
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          show(row.dataset.id);
        }
      });
    });
    const mixed = ([, structure]) => structure.meant && structure.meant.includes(1) && structure.meant.includes(0);
    const kept = ([, structure]) => structure.achieved && structure.achieved.join() === structure.meant.join();
    const entries = Object.entries(structures);
    const first = entries.find((entry) => mixed(entry) && kept(entry)) || entries.find(mixed) || entries[0];
    show(first[0]);
    return show;
  }

  async function startViewer() {
    if (document.getElementById("packed-structures") === null) return () => {};
    const structures = JSON.parse(await unpacked("packed-structures"));
    document.getElementById("viewer").hidden = false;
    return connectViewer(new StructureViewer(document), structures);
  }

  // Charts -----------------------------------------------------------------------------------------------------------
  // plotly is unpacked, and a chart drawn, only when it comes near the view: a long report opens as fast as a short one.
  const AHEAD = 400; // pixels

  function chartDrawer(show) {
    const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
    const charts = JSON.parse(document.getElementById("chart-data").textContent);
    let loading;
    const load = async () => {
      const library = document.createElement("script");
      library.textContent = await unpacked("packed-plotly");
      document.head.append(library);
    };
    return async (place) => {
      await (loading ??= load());
      const { data, layout } = charts[place.dataset.chart];
      await Plotly.newPlot(place, data, layout, config);
      place.on("plotly_click", (event) => show(event.points[0].customdata));
    };
  }

  async function startCharts(show) {
    const places = [...document.querySelectorAll("[data-chart]")];
    if (places.length === 0) return;
    const draw = chartDrawer(show);
    const waiting = new Set(places);
    const drawThese = (wanted) => Promise.all(wanted.filter((place) => waiting.delete(place)).map(draw));
    window.addEventListener("beforeprint", () => drawThese(places));
    await drawThese(places.filter((place) => {
      const { top, bottom } = place.getBoundingClientRect();
      return top < window.innerHeight + AHEAD && bottom > -AHEAD;
    }));
    const near = new IntersectionObserver((entries) => {
      const wanted = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
      wanted.forEach((place) => near.unobserve(place));
      drawThese(wanted);
    }, { rootMargin: `${AHEAD}px 0px` });
    waiting.forEach((place) => near.observe(place));
  }

  async function start() {
    window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    document.querySelectorAll("table.orderings, table.scores").forEach(makeSortable);
    document.querySelectorAll("form.filters").forEach(makeFilters);
    if (!("DecompressionStream" in window)) {
      document.querySelectorAll("[data-chart]").forEach((place) => {
        place.textContent = "Charts and structures need a browser of 2023 or later; the tables hold every number.";
      });
      return;
    }
    const show = await startViewer();
    document.documentElement.dataset.readable = "yes";
    await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted))); // tables are seen before charts
    await startCharts(show);
    document.documentElement.dataset.ready = "yes";
  }

  start();
})();
