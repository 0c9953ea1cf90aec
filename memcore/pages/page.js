"use strict";
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)];

  const save = (name, text, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // -- tables ------------------------------------------------------------------------------------

  const value = (cell) => (cell.dataset.v === undefined ? null : Number(cell.dataset.v));
  const words = (cell) => cell.textContent.trim();

  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a !== null && b !== null) return a - b;
    if (a === null && b === null) {
      return words(one).localeCompare(words(other), "en", { numeric: true });
    }
    return a === null ? 1 : -1;
  };

  const sort = (head) => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    const table = head.closest("table");
    all("th", table).forEach((each) => each.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const column = head.cellIndex;
    const rows = all("tbody tr", table);
    rows.sort((a, b) => compare(a.cells[column], b.cells[column]) * (descending ? -1 : 1));
    table.tBodies[0].append(...rows);
  };

  const RELATIONS = {
    ">": (a, b) => a > b,
    "<": (a, b) => a < b,
    ">=": (a, b) => a >= b,
    "<=": (a, b) => a <= b,
    "=": (a, b) => a === b,
  };

  // A word of a filter: a part of a text, or a column, a relation and a number.
  const condition = (word, table) => {
    const found = /^(.+?)(>=|<=|>|<|=)(-?[\d.]+(?:e[+-]?\d+)?)$/i.exec(word);
    const head = found && all("th", table).find((each) => each.dataset.key === found[1]);
    if (!head) return (row) => row.textContent.toLowerCase().includes(word);
    const [relation, number] = [RELATIONS[found[2]], Number(found[3])];
    return (row) => {
      const cell = row.cells[head.cellIndex];
      return relation(value(cell) ?? Number(words(cell)), number);
    };
  };

  const filter = (field) => {
    const part = field.closest(".tabled");
    const table = part.querySelector("table");
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const conditions = wanted.map((word) => condition(word, table));
    const rows = all("tbody tr", table);
    rows.forEach((row) => { row.hidden = !conditions.every((holds) => holds(row)); });
    const shown = rows.filter((row) => !row.hidden).length;
    part.querySelector(".count").textContent = `${shown} of ${rows.length}`;
  };

  // Words that a spreadsheet would take for a formula begin with an apostrophe.
  const quoted = (text) => {
    const safe = /^[=+\-@\t\n]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (table) => {
    const heads = all("th", table).map((head) => quoted(words(head)));
    const rows = all("tbody tr", table).filter((row) => !row.hidden);
    const lines = rows.map((row) => [...row.cells].map(
      (cell) => (cell.dataset.v === undefined ? quoted(words(cell)) : String(value(cell)))));
    return [heads, ...lines].map((line) => line.join(",")).join("\n") + "\n";
  };

  all(".tabled").forEach((part) => {
    const [field, table] = [part.querySelector(".filter"), part.querySelector("table")];
    field.addEventListener("input", () => filter(field));
    filter(field);
    all("th button", table).forEach((button) => {
      button.addEventListener("click", () => sort(button.closest("th")));
    });
    part.querySelector(".save-csv").addEventListener("click", () => {
      save(`${table.dataset.name}.csv`, csv(table), "text/csv");
    });
  });

  // -- pictures ----------------------------------------------------------------------------------

  const STYLES = ["color", "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin",
    "opacity", "text-anchor", "font-family", "font-size"];

  // A picture that looks the same outside of the page: what its styles decide is written into it.
  const standalone = (picture) => {
    const copy = picture.cloneNode(true);
    const parts = all("*", copy);
    all("*", picture).forEach((part, index) => {
      const style = getComputedStyle(part);
      STYLES.forEach((name) => {
        const set = style.getPropertyValue(name);
        if (set) parts[index].setAttribute(name, set);
      });
    });
    all(".hit", copy).forEach((part) => part.remove());
    copy.removeAttribute("class");
    const box = picture.viewBox.baseVal;
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    paper.setAttribute("width", "100%");
    paper.setAttribute("height", "100%");
    paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
    copy.prepend(paper);
    return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(copy)}\n`;
  };

  all(".save-svg").forEach((button) => {
    button.addEventListener("click", () => {
      const picture = button.closest("figure").querySelector("svg");
      save(`${picture.dataset.name}.svg`, standalone(picture), "image/svg+xml");
    });
  });

  const tip = document.getElementById("tip");
  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest?.("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const [box, own] = [mark.querySelector(".hit").getBoundingClientRect(), tip.getBoundingClientRect()];
    const middle = box.left + box.width / 2 - own.width / 2;
    tip.style.left = `${Math.max(6, Math.min(middle, innerWidth - own.width - 6))}px`;
    tip.style.top = `${box.top - own.height - 4 > 0 ? box.top - own.height - 4 : box.bottom + 6}px`;
  });
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // -- texts, theme, print -----------------------------------------------------------------------

  all("[data-copies]").forEach((button) => {
    const text = () => document.getElementById(button.dataset.copies).textContent;
    button.addEventListener("click", () => {
      if (button.dataset.file) save(button.dataset.file, text(), "text/plain");
      else navigator.clipboard?.writeText(text()).then(() => { button.textContent = "copied"; });
    });
  });

  const THEMES = { auto: "light", light: "dark", dark: "auto" };
  const theme = document.getElementById("theme");
  theme?.addEventListener("click", () => {
    const next = THEMES[document.documentElement.dataset.theme ?? "auto"];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    theme.textContent = `theme: ${next}`;
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((part) => { part.open = false; }));
})();
