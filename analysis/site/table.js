// Sorts tables by their columns, and filters the list of figures. Without it every table is there, unsorted and whole.
"use strict";

function key(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.value;
  return value === undefined ? cell.textContent.trim() : Number(value);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number" || a === "") return typeof a === typeof b ? 0 : a === "" ? 1 : -1;
  if (typeof b === "number" || b === "") return b === "" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}

function sort(table, heading) {
  const column = heading.cellIndex;
  const falling = heading.getAttribute("aria-sort") === "ascending";
  const rows = [...table.tBodies[0].rows];
  const keyed = rows.map((row, place) => ({ row, place, key: key(row, column) }));
  const empty = (one) => one.key === "";
  // Empty cells stay at the end, whichever way.
  keyed.sort((a, b) => empty(a) - empty(b) || (falling ? compare(b.key, a.key) : compare(a.key, b.key)) || a.place - b.place);
  table.tBodies[0].append(...keyed.map((one) => one.row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
}

function makeSortable(table) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading));
  }
}

function makeFilter(form) {
  const table = document.getElementById(form.dataset.filters);
  const rows = [...table.tBodies[0].rows];
  const words = form.querySelector("input");
  const choices = [...form.querySelectorAll("select")];
  const told = form.querySelector("output");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase().replace(/\s+/g, " ")]));

  function apply() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const fits = wanted.every((word) => texts.get(row).includes(word));
      const chosen = choices.every((choice) => !choice.value || row.dataset[choice.dataset.key] === choice.value);
      row.hidden = !(fits && chosen);
      if (!row.hidden) left += 1;
    }
    told.textContent = `${left} of ${rows.length} shown`;
  }

  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply(); // a browser may have kept what was chosen
}

// A link to something folded away opens it.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
}

document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
document.querySelectorAll("form[data-filters]").forEach(makeFilter);
addEventListener("hashchange", unfold);
unfold();
