// A slider for each look, grouped by region of the face, and the search among them.

import { byRegion, phrases } from "./looks.js";

const STEP = 0.05;

function made(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

export class Sliders {
  #inputs = new Map();
  #rows = [];
  #groups = [];

  /** moving() is called as a slider moves, moved() when it is let go of. */
  constructor(looks, place, moving, moved) {
    for (const [title, found] of byRegion(looks)) {
      const rows = found.map((look) => this.#row(look, moving, moved));
      const group = made("details", {}, made("summary", { textContent: title }), ...rows);
      group.open = this.#groups.length < 2;
      this.#groups.push(group);
      place.append(group);
    }
  }

  #row(look, moving, moved) {
    const id = `look-${look.name.replace(/\W+/g, "-")}`;
    const input = made("input", { type: "range", id, min: look.least, max: look.most, step: STEP });
    const output = made("output", { htmlFor: id });
    const row = made("div", { className: look.less ? "look" : "look one-way" });
    if (look.less) row.append(made("span", { className: "less", textContent: look.less }));
    row.append(output, made("label", { htmlFor: id, textContent: look.name }), input);
    row.title = phrases(look).join(", ");
    const told = () => {
      const strength = Number(input.value);
      output.value = strength ? strength.toFixed(2) : "0";
      const name = strength < 0 ? look.less : look.name;
      input.setAttribute("aria-valuetext", strength ? `${name} ${Math.abs(strength)}` : "unchanged");
      row.classList.toggle("moved", strength !== 0);
    };
    input.addEventListener("input", () => { told(); moving(); });
    input.addEventListener("change", moved);
    row.addEventListener("dblclick", () => { input.value = 0; told(); moved(); });
    this.#inputs.set(look.name, { input, told });
    this.#rows.push([row, phrases(look).join(" ").toLowerCase()]);
    this.show({});
    return row;
  }

  get strengths() {
    return Object.fromEntries(
      [...this.#inputs].map(([name, { input }]) => [name, Number(input.value)]),
    );
  }

  show(strengths) {
    for (const [name, { input, told }] of this.#inputs) {
      input.value = strengths[name] ?? 0;
      told();
    }
  }

  /** Shows the looks that a text is part of, all for an empty one; how many there are. */
  search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [row, says] of this.#rows) {
      row.hidden = !words.every((word) => says.includes(word));
      count += !row.hidden;
    }
    this.#groups.forEach((group, i) => {
      group.hidden = [...group.querySelectorAll(".look")].every((row) => row.hidden);
      group.open = words.length > 0 || i < 2;
    });
    return count;
  }
}
