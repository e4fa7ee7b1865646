// What is known of the queue, on the page: who works, what waits, and what can be asked for.

import { Problem, json } from "./api.js";
import { about, count } from "./words.js";

const find = (id) => document.getElementById(id);

/** Ask for the state of the queue and show it; returns it, or null if it cannot be known now. */
export async function look() {
  try {
    const queue = await json("v1/queue");
    const { data } = await json("v1/jobs?state=processing&limit=20");
    find("queue").textContent = said(queue);
    find("running").replaceChildren(...data.map(item));
    return queue;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) throw error;
    find("queue").textContent = error.message;
    find("running").replaceChildren();
    return null;
  }
}

function said(queue) {
  const lanes = Object.values(queue.lanes);
  const sum = (what) => lanes.reduce((total, lane) => total + (lane[what] ?? 0), 0);
  const [waiting, running, audio] = [sum("waiting"), sum("running"), sum("backlog_s")];
  const drain = Math.max(...lanes.map((lane) => lane.drain_s ?? 0));
  const parts = [
    queue.problem ? sentence(queue.problem) : count(queue.workers, "worker"),
    running ? `${running} running` : null,
    waiting ? `${waiting} waiting` : null,
    audio ? `${count(Math.max(1, Math.round(audio / 60)), "minute")} of audio` : null,
    waiting && drain ? about(drain) : null,
  ];
  if (!queue.problem && !waiting && !running) parts.push("nothing to do");
  return parts.filter(Boolean).join(" · ");
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

function item(job) {
  const found = document.createElement("li");
  found.dir = "auto";
  found.textContent = job.worker ? `${job.description} · ${job.worker}` : job.description;
  return found;
}

/** Offer what the workers can do, keeping what was chosen. */
export function offer({ languages, detects_language, translate, hotwords }) {
  const list = find("language");
  const chosen = list.value;
  const codes = Object.entries(languages).sort(([, one], [, other]) => one.localeCompare(other));
  const choices = [...(detects_language || !codes.length ? [["auto", "Detect"]] : []), ...codes];
  const have = [...list.options].map((option) => option.value).join();
  if (have !== choices.map(([code]) => code).join()) {
    list.replaceChildren(...choices.map(([code, name]) => new Option(name, code)));
    list.value = choices.some(([code]) => code === chosen) ? chosen : choices[0][0];
  }
  find("translate-label").hidden = !translate;
  find("hotwords-label").hidden = !hotwords;
}

/** Return the fields of a job as they are chosen now. */
export function chosen(queue) {
  const words = find("hotwords").value.trim();
  return {
    ...(find("language").value ? { language: find("language").value } : {}),
    ...(find("translate").checked && queue?.can.translate ? { task: "translate" } : {}),
    ...(words && queue?.can.hotwords ? { hotwords: words } : {}),
    ...(queue?.can.word_timestamps ? { word_timestamps: "true" } : {}),
  };
}
