"use strict";
(async () => {
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const chosen = { T: page.T, pair: page.pair };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const PRINT_WIDTH = 660;  // of A4 and Letter less the margins, CSS pixels
  let printing = paper.matches;

  // ---- tables: sorted by a click or key press on a heading
  const key = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.sort;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : Number(given);
  };
  const sort = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    });
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of $$("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, column, up ? 1 : -1);
      });
    });
  }

  // ---- what is packed: the chart library and the files
  const bytes = (text) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const plain = atob(text), found = new Uint8Array(plain.length);
    for (let i = 0; i < plain.length; i++) found[i] = plain.charCodeAt(i);
    return found;
  };
  const unpack = async (id) => {
    const packed = bytes(document.getElementById(id).textContent);
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  for (const button of $$("button[data-save]")) {
    button.addEventListener("click", async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([await unpack("file-" + button.dataset.save)]));
      link.download = button.dataset.save;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  // ---- charts: every colour is a role, looked up in the theme
  const theme = () => page.themes[dark.matches && !printing ? "dark" : "light"];
  const coloured = (value, colours) => {
    if (typeof value === "string") return value[0] === "@" ? colours[value.slice(1)] ?? value : value;
    if (Array.isArray(value)) return value.map((one) => coloured(one, colours));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, coloured(one, colours)]));
  };
  const plotOf = (id) => {
    const { by, plots } = page.figures[id];
    return plots[by.map((name) => chosen[name]).join("|")];
  };
  const halves = (text) => {
    const middle = text.lastIndexOf(" ", Math.ceil(text.length / 2) + 3);
    return text.length < 30 || middle < 0 ? text : text.slice(0, middle) + "<br>" + text.slice(middle + 1);
  };
  const narrow = (data, layout) => {  // a phone: smaller, fewer ticks, only the ends of a line named
    layout.font.size = 11;
    layout.legend.font.size = 10.5;
    layout.margin = { ...layout.margin, l: 4, r: 8 };
    for (const axis of Object.keys(layout).filter((name) => /^[xy]axis/.test(name)).map((name) => layout[name])) {
      if (axis.title) axis.title = { ...axis.title, text: halves(axis.title.text), font: { size: 11 } };
      if (axis.type === "log" && axis.tickvals.length > 5) {
        const kept = (_, index) => index % 2 === axis.tickvals.findIndex((v) => /^10*$|^0\.0*1$/.test(String(v))) % 2;
        [axis.tickvals, axis.ticktext] = [axis.tickvals.filter(kept), axis.ticktext.filter(kept)];
      }
    }
    for (const trace of data) {
      if (trace.mode?.includes("text")) trace.text = trace.text.map((t, i, all) => (i % (all.length - 1 || 1) ? "" : t));
    }
  };
  const draw = (element) => {
    const plot = plotOf(element.dataset.figure);
    const figure = element.closest("figure");
    figure.hidden = plot === undefined;
    if (plot === undefined) return undefined;
    const layout = coloured(plot.layout, theme());
    layout.width = printing ? Math.min(PRINT_WIDTH, element.dataset.figure.startsWith("raster") ? 320 : PRINT_WIDTH) : element.clientWidth;
    const data = coloured(plot.data, theme());
    if (layout.width < 520) narrow(data, layout);
    element.setAttribute("aria-label", plot.alt);
    return Plotly.react(element, data, layout, { displayModeBar: false, responsive: false });
  };
  const charts = $$(".chart");
  const drawAll = () => charts.map(draw);

  const show = () => {
    for (const select of $$("select[data-choose]")) select.value = chosen[select.dataset.choose];
    for (const table of $$(".by-choice")) table.hidden = table.dataset.key !== `${chosen.T}|${chosen.pair}`;
    for (const row of $$("tr[data-t]")) row.hidden = row.dataset.t !== chosen.T;
  };
  show();
  for (const select of $$("select[data-choose]")) {
    select.addEventListener("change", () => {
      chosen[select.dataset.choose] = select.value;
      show();
      if (window.Plotly) charts.filter((e) => page.figures[e.dataset.figure].by.includes(select.dataset.choose)).forEach(draw);
    });
  }

  try {
    const script = document.createElement("script");
    script.textContent = await unpack("library");
    document.head.append(script);
    for (const element of charts) {
      await draw(element);
      await new Promise((done) => setTimeout(done));  // the page stays alive in between
    }
  } catch (error) {
    for (const element of charts) element.classList.add("failed");
    throw error;
  } finally {
    document.documentElement.dataset.drawn = String(Math.round(performance.now()));
  }

  dark.addEventListener("change", drawAll);
  const print = (on) => {
    if (printing === on) return;
    printing = on;
    drawAll();
  };
  paper.addEventListener("change", (event) => print(event.matches));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  let waiting = 0, width = document.documentElement.clientWidth;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      if (printing || width === document.documentElement.clientWidth) return;
      width = document.documentElement.clientWidth;
      drawAll();
    });
  });
})();
