// The faces of a photograph, drawn over it, to choose one of.

function drawn(namespace, name, attributes, ...children) {
  const element = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export class Faces {
  #over;
  #list;
  #choose;
  #photo = null;

  /** over is the <svg> on the picture, list the <select>; choose(number) is told of a choice. */
  constructor(over, list, choose) {
    this.#over = over;
    this.#list = list;
    this.#choose = choose;
    list.addEventListener("change", () => choose(list.value));
  }

  /** Takes what the service knows of a photograph. */
  of(photo) {
    this.#photo = photo;
    const { faces, width, height } = photo;
    const focused = this.#over.contains(document.activeElement);
    this.#over.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#over.replaceChildren(...faces.map((box, i) => this.#outline(box, i + 1)));
    this.#list.replaceChildren(
      new Option("the largest", "largest"),
      ...faces.map((_, i) => new Option(`${i + 1} of ${faces.length}, from the left`, i + 1)),
    );
    if (focused) this.#over.querySelector("[aria-pressed=true]")?.focus();
  }

  /** Shows the outlines if they help, and which one was chosen. */
  show(which, outlines) {
    const several = this.#photo?.faces.length > 1;
    this.#over.toggleAttribute("hidden", !(several && outlines));
    this.#list.closest("label").hidden = !several;
    this.#list.value = which;
  }

  #outline(box, number) {
    const { face, faces } = this.#photo;
    const [width, height] = [box.right - box.left, box.bottom - box.top];
    const svg = this.#over.namespaceURI;
    const text = drawn(svg, "text", { x: box.left + width / 2, y: box.top, "font-size": height / 4 });
    text.textContent = number;
    const outline = drawn(svg, "g", {
      role: "button",
      tabindex: 0,
      "aria-label": `Face ${number} of ${faces.length}, from the left`,
      "aria-pressed": Object.keys(box).every((side) => box[side] === face[side]),
    }, drawn(svg, "rect", { x: box.left, y: box.top, width, height, rx: width / 12 }), text);
    outline.addEventListener("click", () => this.#choose(String(number)));
    outline.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.#choose(String(number));
    });
    return outline;
  }
}
