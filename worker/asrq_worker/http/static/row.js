// A recording on the page: from its upload to its transcript.

import { Problem, ask, json, send } from "./api.js";
import { follow, pause } from "./events.js";
import { OVER, after, begun, lines, looked, said } from "./state.js";
import { Sound } from "./sound.js";
import { Transcript } from "./transcript.js";

const DRAW_MS = 50; // events that come together are drawn together
const HOLD_S = 10;
const LONGEST_HOLD_S = 120; // the audio of a day is used up until midnight

let sending = Promise.resolve(); // one upload at a time

const random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** One recording. Without a file it is a job that was sent before the page was loaded again. */
export class Row {
  #stop = new AbortController();
  #drawing = null;
  #last = "0";
  #name = random();

  constructor(page, { name, file = null, fields = {}, id = null, recording = false }) {
    Object.assign(this, { page, name, file, fields, id, recording });
    this.state = begun(id ? "queued" : "unsent");
    this.element = document.getElementById("row").content.firstElementChild.cloneNode(true);
    this.#at("name").textContent = name;
    this.#at("progress").setAttribute("aria-label", `Progress of ${name}`);
    this.#at("lines").setAttribute("aria-label", `Transcript of ${name}`);
    this.sound = new Sound(this.element, name, (seconds) => this.transcript.mark(seconds));
    this.transcript = new Transcript(this.#at("lines"), (seconds) => this.sound.play(seconds));
    if (file) this.sound.load(file);
    for (const button of ["cancel", "retry", "remove", "erase"]) {
      this.#at(button).addEventListener("click", () => this[button]());
      this.#at(button).setAttribute("aria-label", `${this.#at(button).textContent}: ${name}`);
    }
    for (const button of this.element.querySelectorAll("[data-format]")) {
      button.setAttribute("aria-label", `Download ${button.textContent}: ${name}`);
      button.addEventListener("click", () => this.#attempt(() => this.#download(button.dataset.format)));
    }
  }

  get waits() {
    return this.id !== null && this.state.phase === "queued";
  }

  /** Do all that is to be done, until the job has ended. */
  async run() {
    await this.#attempt(async () => {
      if (this.id === null) await this.#send();
      await follow(this.id, {
        after: this.#last,
        signal: this.#stop.signal,
        told: (event, entry) => {
          this.#last = entry;
          this.#set(after(this.state, event));
        },
        lost: () => this.#set({ ...this.state, lost: true }),
      });
      if (!this.#stop.signal.aborted) await this.#end();
    });
  }

  /** Look at the place of a job that waits. */
  async look() {
    const job = await json(`v1/jobs/${this.id}`, { signal: this.#stop.signal });
    this.#set(looked(this.state, job));
  }

  cancel() {
    if (this.id !== null) return this.#attempt(() => ask(`v1/jobs/${this.id}/cancel`, { method: "POST" }));
    this.#stop.abort();
    return this.#set(begun("canceled"));
  }

  retry() {
    return this.#attempt(async () => {
      this.#stop.abort();
      this.#stop = new AbortController();
      this.#tell(null);
      if (this.id === null) this.#set(begun("unsent"));
      else {
        await ask(`v1/jobs/${this.id}/retry`, { method: "POST" });
        this.#set(begun("queued"));
      }
      await this.run();
    });
  }

  /** Let go of a job that has not all of its sound. */
  giveUp() {
    this.recording = false;
    if (!OVER.has(this.state.phase)) ask(`v1/jobs/${this.id}/cancel`, { method: "POST" }).catch(() => {}); // or it ends by itself
    this.remove();
  }

  /** The recording has ended, and this is it. */
  recorded(file) {
    this.recording = false;
    this.sound.load(file);
    this.draw();
  }

  /** Take it from the page; the job stays where it is. */
  remove() {
    this.#stop.abort();
    this.sound.forget();
    this.page.remove(this);
    this.page.tell(`${this.name}: taken from the page`);
  }

  /** Have the server forget it, too. */
  erase() {
    if (!confirm(`Delete ${this.name} from the server, with its text and audio?`)) return undefined;
    return this.#attempt(async () => {
      try {
        await ask(`v1/jobs/${this.id}`, { method: "DELETE" });
      } catch (error) {
        if (error.status !== 404) throw error;
      }
      this.remove();
      this.page.tell(`${this.name}: deleted from the server`);
    });
  }

  async #send() {
    const signal = this.#stop.signal;
    const turn = sending;
    let sent;
    sending = new Promise((resolve) => (sent = resolve));
    try {
      await turn;
      for (;;) {
        if (signal.aborted) throw signal.reason;
        try {
          this.#set({ ...begun("sending"), fraction: 0 });
          const form = new FormData();
          for (const [name, value] of Object.entries(this.fields)) form.set(name, value);
          form.set("file", this.file, this.name);
          const told = (fraction) => this.#set({ ...begun("sending"), fraction });
          this.id = (await send("v1/jobs", form, this.#name, { signal, sent: told })).id;
          this.#set(begun("queued"));
          return this.page.keep();
        } catch (error) {
          const seconds = error.after ?? HOLD_S;
          if (!(error instanceof Problem) || !error.retryable || seconds > LONGEST_HOLD_S) throw error;
          this.#set({ ...begun("held"), why: error.message, seconds });
          await pause(1000 * seconds, signal);
        }
      }
    } finally {
      sent();
    }
  }

  async #end() {
    const result = await json(`v1/jobs/${this.id}/result`, { signal: this.#stop.signal });
    this.#set({ ...this.state, phase: result.status, result, lost: false });
    const warnings = result.status === "completed" ? await this.page.warnings(result.warnings) : [];
    if (result.status === "failed") this.#tell(new Problem(result.error.message, { hint: result.error.hint }));
    else if (warnings.length) this.#hint(warnings.join(" "));
    this.page.tell(`${this.name}: ${result.error?.message ?? said(this.state)}`);
    this.page.look();
  }

  async #attempt(work) {
    try {
      await work();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.status === 401) this.page.locked(error);
      this.#tell(error);
      if (this.state.phase !== "completed") this.#set({ ...this.state, phase: "failed" });
      this.page.tell(`${this.name}: ${error.message}`);
    }
  }

  async #download(format) {
    const answer = await ask(`v1/jobs/${this.id}/result?format=${format}`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${this.name.replace(/\.[^.]*$/, "")}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  #at(name) {
    return this.element.querySelector(`.${name}`);
  }

  #tell(problem) {
    this.#at("problem").hidden = problem === null;
    this.#at("problem").textContent = problem?.message ?? "";
    this.#hint(problem?.hint);
  }

  #hint(text) {
    this.#at("hint").hidden = !text;
    this.#at("hint").textContent = text ?? "";
  }

  #set(state) {
    this.state = state;
    this.#drawing ??= setTimeout(() => {
      this.#drawing = null;
      this.draw();
    }, DRAW_MS);
  }

  /** Show the state. */
  draw() {
    const { phase, fraction, result } = this.state;
    const over = OVER.has(phase);
    this.element.dataset.phase = phase;
    this.#at("state").textContent = said({ ...this.state, recording: this.recording }, this.page.queue);
    const bar = this.#at("progress");
    bar.hidden = over || this.recording;
    if (Number.isFinite(fraction)) bar.value = fraction;
    else bar.removeAttribute("value");
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.#at("cancel").hidden = over;
    this.#at("retry").hidden = !["failed", "canceled"].includes(phase) || (this.id === null && !this.file);
    this.#at("remove").hidden = !over;
    this.#at("erase").hidden = !over || this.id === null;
    this.#at("downloads").hidden = phase !== "completed";
    this.transcript.show(result?.segments ?? lines(this.state), result?.language);
    this.sound.needed(!this.transcript.list.hidden && !this.recording);
    if (focused?.hidden) this.element.querySelector(".top button:not([hidden])")?.focus();
  }
}
