// Create elements without parsing HTML, and put numbers into words.

/** Create an element with attributes, listeners ("onclick") and children; strings become text. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat());
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A share as a percentage, precise enough to show one neuron of a thousand. */
export function percent(share) {
  if (Number.isNaN(share)) return "unknown";
  return `${(100 * share).toFixed(share === 0 || share === 1 ? 0 : 1)}%`;
}

/** The smallest and the largest of some shares. */
export function rangeOf(shares) {
  const [low, high] = [percent(Math.min(...shares)), percent(Math.max(...shares))];
  return low === high ? low : `${low} to ${high}`;
}

/** A number rounded to significant digits. */
export function short(value, digits = 4) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "none";
}

/** "1 neuron", "2 neurons". */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** The name of a neuron as shown: "A 12". */
export const neuronWords = (name) => `${name[0].toUpperCase()} ${name.slice(1)}`;

/** "a, b and c" */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Set an element's text, only if it differs: screen readers read every change of a status. */
export function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

/** Save a text as a file. */
export function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  // A busy browser reads the blob only seconds after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A table that is filled when it is opened, with buttons to copy and to save it. */
export class Numbers {
  constructor(details, name, rows) {
    this.details = details;
    this.rows = rows; // returns rows of cells; the first row holds the headings
    const message = this.message = h("span", { role: "status" });
    this.table = h("table", { class: "numbers" });
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(this.text("\t"));
        message.textContent = "Copied.";
      } catch {
        getSelection().selectAllChildren(this.table);
        message.textContent = "The browser does not allow copying: the table is selected instead.";
      }
    };
    details.append(
      h("p", {}, h("button", { type: "button", onclick: copy }, "Copy"), " ",
        h("button", { type: "button", onclick: () => save(`${name}.csv`, this.text(","), "text/csv") }, "Save as CSV"), " ", message),
      h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `Table ${name}` }, this.table),
    );
    details.addEventListener("toggle", () => this.update());
  }

  update() {
    this.message.textContent = ""; // it was about other numbers
    if (!this.details.open) return;
    const [headings, ...rows] = this.rows();
    this.table.replaceChildren(
      h("thead", {}, h("tr", {}, headings.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, shown(cell)))))),
    );
  }

  /** The table with all digits, as text that a spreadsheet can read. */
  text(separator) {
    const quoted = (cell) => {
      const text = typeof cell === "number" && Number.isNaN(cell) ? "" : String(cell);
      return /["\n\t,]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return this.rows().map((row) => `${row.map(quoted).join(separator)}\n`).join("");
  }
}

const shown = (cell) => (typeof cell === "number" ? short(cell, 6) : String(cell));
