// A transcript on the page: a line for each segment, whose words can be clicked to hear them.

import { clock } from "./words.js";

/** Keeps a list element like the lines that it is shown; `play` is called with the time of what was chosen, in s. */
export class Transcript {
  constructor(list, play) {
    this.list = list;
    this.play = play;
    this.marks = []; // elements with times, in order
    this.now = null;
    this.shown = [];
    list.addEventListener("click", (event) => this.#clicked(event));
    list.addEventListener("keydown", (event) => this.#pressed(event));
    list.addEventListener("focusin", (event) => this.#entered(event.target));
  }

  /** Show lines of `start`, `text` and perhaps `words`, and keep the elements of those that have not changed. */
  show(lines, language) {
    if (language) this.list.lang = language;
    lines.forEach((line, number) => {
      const before = this.shown[number];
      if (before?.line === line) return;
      const item = this.#item(line);
      if (before) before.item.replaceWith(item);
      else this.list.append(item);
      this.shown[number] = { line, item };
    });
    this.shown.splice(lines.length).forEach(({ item }) => item.remove());
    this.list.hidden = lines.length === 0;
    this.marks = [...this.list.querySelectorAll("[data-start]:not(button)")];
    const buttons = this.#buttons();
    if (!buttons.some((button) => button.tabIndex === 0) && buttons.length) buttons[0].tabIndex = 0;
  }

  /** Mark what is heard at a time; null: nothing. */
  mark(seconds) {
    const at = seconds === null ? -1 : this.marks.findLastIndex((mark) => Number(mark.dataset.start) <= seconds + 0.01);
    const mark = this.marks[at] ?? null;
    if (mark === this.now) return;
    this.now?.classList.remove("now");
    mark?.classList.add("now");
    this.now = mark;
  }

  #item(line) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet time";
    button.tabIndex = -1; // one of all is in the order of the tabulator: the arrows go on from there
    button.dataset.start = line.start;
    button.textContent = clock(line.start);
    button.setAttribute("aria-label", `Play from ${clock(line.start)}`);
    const text = document.createElement("span");
    text.className = "text";
    text.dir = "auto";
    if (line.words?.length) {
      for (const { word, start } of line.words) {
        if (text.hasChildNodes() && /^\s/.test(word)) text.append(" "); // some scripts write none
        text.append(this.#word(word.trim(), start));
      }
    } else {
      text.append(this.#word(line.text.trim(), line.start));
    }
    item.append(button, text);
    return item;
  }

  #word(text, start) {
    const span = document.createElement("span");
    span.dataset.start = start;
    span.textContent = text;
    return span;
  }

  #buttons() {
    return this.shown.map(({ item }) => item.firstChild);
  }

  #clicked(event) {
    const chosen = event.target.closest("[data-start]");
    if (chosen && getSelection().isCollapsed) this.play(Number(chosen.dataset.start));
  }

  #entered(target) {
    if (!target.matches(".time")) return;
    for (const button of this.#buttons()) button.tabIndex = button === target ? 0 : -1;
  }

  /** Up and down go from line to line; left and right from word to word, and play it. */
  #pressed(event) {
    const buttons = this.#buttons();
    const line = buttons.indexOf(event.target);
    const to = { ArrowDown: line + 1, ArrowUp: line - 1, Home: 0, End: buttons.length - 1 }[event.key];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (line < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    if (to !== undefined) buttons[to]?.focus();
    else if (step) this.#step(event.target.closest("li"), step);
    else return;
    event.preventDefault();
  }

  #step(item, step) {
    const words = [...item.querySelectorAll(".text [data-start]")];
    const at = words.indexOf(this.now);
    const next = words[at < 0 ? 0 : Math.min(Math.max(at + step, 0), words.length - 1)];
    if (next) {
      this.play(Number(next.dataset.start));
      this.mark(Number(next.dataset.start));
    }
  }
}
