// The events of jobs as they come. A browser opens six connections to a server in all tabs together, so that jobs take
// turns: each reads what there is of its own, and goes on if nobody else waits for a turn.

import { Problem, ask, json, problem } from "./api.js";

const AT_ONCE = 2;
const QUIET_MS = 300; // a stream that has told nothing for so long gives way to one that waits
const UNSEEN_MS = 5000; // between two looks while nobody sees the page
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

const waiting = [];
let taken = 0;

async function turn() {
  if (taken < AT_ONCE) taken += 1;
  else await new Promise((resolve) => waiting.push(resolve));
}

function giveTurn() {
  const next = waiting.shift();
  if (next) next();
  else taken -= 1;
}

export const pause = (ms, signal) =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });

/** Yield the events of a stream, each with its id: https://html.spec.whatwg.org/multipage/server-sent-events.html. */
async function* entries(id, after, signal) {
  const answer = await ask(`v1/jobs/${id}/events`, { more: { "Last-Event-ID": after }, signal });
  let text = "";
  for await (const part of parts(answer.body.pipeThrough(new TextDecoderStream()))) {
    const blocks = (text + part).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      const data = fields.has("data") && JSON.parse(fields.get("data"));
      if (data?.error && !data.type) throw problem(data.error.retryable ? 503 : 500, fields.get("data"));
      if (data) yield { id: fields.get("id"), event: data };
    }
  }
}

// Not every browser can iterate over a stream.
async function* parts(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Tell the events of a job after one of them until it has ended; rides out what passes, and tells that, too. */
export async function follow(id, { after, told, lost, signal }) {
  let last = after;
  let wait = 0;
  while (!signal.aborted) {
    await turn();
    const reading = new AbortController();
    const stop = () => reading.abort();
    signal.addEventListener("abort", stop, { once: true });
    let heard = performance.now();
    const watch = setInterval(() => {
      if ((waiting.length || document.hidden) && performance.now() - heard > QUIET_MS) reading.abort();
    }, QUIET_MS);
    try {
      if (signal.aborted) return;
      for await (const { id: entry, event } of entries(id, last, reading.signal)) {
        heard = performance.now();
        last = entry;
        wait = 0;
        told(event, entry);
      }
      const { status } = await json(`v1/jobs/${id}`, { signal: reading.signal });
      if (["completed", "failed", "canceled"].includes(status)) return;
      wait = FIRST_PAUSE_MS;
    } catch (error) {
      if (signal.aborted) return;
      if (reading.signal.aborted) wait = document.hidden ? UNSEEN_MS : 0;
      else if (error instanceof Problem && !error.retryable) throw error;
      else {
        wait = Math.min(Math.max(2 * wait, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
        lost();
      }
    } finally {
      clearInterval(watch);
      signal.removeEventListener("abort", stop);
      giveTurn();
    }
    await pause(wait, signal);
  }
}
