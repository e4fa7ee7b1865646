// The page: recordings come in, and are listed with the newest first.

import { Problem, json, key } from "./api.js";
import { Dictation } from "./dictation.js";
import { pause } from "./events.js";
import * as panel from "./queue.js";
import { Recorder } from "./recorder.js";
import { Row } from "./row.js";

const LOOK_MS = 4000;
const JOBS = "asrq.jobs"; // of this tab: after a reload they are found again

const find = (id) => document.getElementById(id);

const page = {
  queue: null,
  rows: [],

  /** Look at the queue now: something has changed. */
  look() {
    news.abort();
  },

  keep() {
    const kept = this.rows.filter((row) => row.id !== null).map(({ id, name }) => ({ id, name }));
    sessionStorage.setItem(JOBS, JSON.stringify(kept));
    this.look();
  },

  add(given) {
    const row = new Row(this, given);
    this.rows.unshift(row);
    find("jobs").prepend(row.element);
    find("none").hidden = true;
    row.draw();
    row.over = row.run();
    return row;
  },

  remove(row) {
    const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
    this.rows = this.rows.filter((each) => each !== row);
    row.element.remove();
    find("none").hidden = this.rows.length > 0;
    (next?.querySelector("button:not([hidden])") ?? find("choose")).focus();
    this.keep();
  },

  tell(text) {
    find("said").textContent = text;
  },

  async warnings(codes) {
    if (!codes.length) return [];
    const meanings = await json("static/warnings.json");
    return codes.map((code) => {
      const [kind, reason] = code.split(":", 2);
      const known = meanings[kind] ?? `the worker warns of ${kind.replaceAll("_", " ")}`;
      return `${known[0].toUpperCase()}${known.slice(1)}${reason ? ` (${reason})` : ""}.`;
    });
  },

  locked(problem) {
    const shown = !find("key").hidden;
    find("key").hidden = false;
    find("forget").hidden = true;
    find("add").hidden = true;
    find("key-problem").textContent = key.get() ? problem.message : "";
    find("key-field").setAttribute("aria-invalid", String(Boolean(key.get())));
    if (!shown) find("key-field").focus();
  },

  open() {
    find("key").hidden = true;
    find("add").hidden = false;
    find("forget").hidden = !key.get();
  },
};

let news = new AbortController(); // cuts the pause between two looks short

async function watch() {
  for (;;) {
    news = new AbortController();
    if (!document.hidden) await look();
    await pause(LOOK_MS, news.signal);
  }
}

async function look() {
  try {
    const queue = await panel.look();
    page.queue = queue ?? page.queue;
    if (queue) {
      page.open();
      panel.offer(queue.can);
    }
    for (const row of page.rows.filter((each) => each.waits)) await row.look();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) page.locked(error);
    else if (!(error instanceof Problem || error.name === "AbortError")) throw error;
  }
}

function add(files) {
  for (const file of files) page.add({ name: file.name, file, fields: panel.chosen(page.queue) });
}

function takeFiles() {
  const [drop, files] = [find("drop"), find("files")];
  find("choose").addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    add(files.files);
    files.value = "";
  });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault(); // else the browser would leave the page for the file
      drop.classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop" && !find("add").hidden) add(event.dataTransfer.files);
    });
  }
}

function takeSpeech() {
  const recorder = new Recorder();
  let busy = false;
  const [button, name, time, wrong] = [find("record"), find("record-name"), find("record-time"), find("record-problem")];
  button.addEventListener("click", async () => {
    if (recorder.on) return recorder.stop();
    if (busy) return; // with the beginning or the end of one
    busy = true;
    wrong.textContent = "";
    let ticking;
    let [row, dictation] = [null, null];
    try {
      dictation = await Dictation.prepare(panel.chosen(page.queue));
      const file = await recorder.record((begun) => {
        dictation?.take(begun.microphone, (id) => {
          row = page.add({ name: begun.name, id, recording: true });
          row.over.then(() => row.recording && recorder.stop()); // somebody has canceled it, or it has failed
          page.keep();
        });
        name.textContent = "Stop";
        button.classList.add("on");
        time.hidden = false;
        const tick = () => (time.textContent = `Recording, ${begun.clock()}`);
        tick();
        ticking = setInterval(tick, 1000);
      });
      const heard = await dictation?.end();
      if (row?.state.phase === "canceled" || heard) row?.recorded(file);
      else {
        row?.giveUp();
        add([file]);
      }
    } catch (error) {
      dictation?.end();
      if (!(error instanceof Problem)) throw error;
      wrong.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    } finally {
      busy = false;
      clearInterval(ticking);
      name.textContent = "Record";
      button.classList.remove("on");
      time.hidden = true;
    }
  });
  addEventListener("beforeunload", (event) => {
    const unsent = page.rows.some((row) => ["unsent", "sending", "held"].includes(row.state.phase));
    if (recorder.on || unsent) event.preventDefault();
  });
}

function takeKey() {
  find("key").addEventListener("submit", (event) => {
    event.preventDefault();
    key.set(find("key-field").value.trim());
    find("key-field").value = "";
    news.abort();
  });
  find("forget").addEventListener("click", () => {
    key.forget();
    news.abort();
  });
}

takeFiles();
takeSpeech();
takeKey();
addEventListener("visibilitychange", () => news.abort());
for (const { id, name } of JSON.parse(sessionStorage.getItem(JOBS) ?? "[]").reverse()) page.add({ id, name });
watch();
