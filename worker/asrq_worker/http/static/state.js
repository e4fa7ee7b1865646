// The state of a recording, from its events, and the words for it.

import { about, clock, percent } from "./words.js";

export const OVER = new Set(["completed", "failed", "canceled"]);

export const begun = (phase) => ({ phase, pieces: new Map() });

/** Return the state after an event of the job. */
export function after(state, event) {
  const same = { ...state, lost: false };
  switch (event.type) {
    case "queued":
      return { ...begun("queued"), lane: event.lane, waitsFor: event.waits_for };
    case "started":
      return { ...same, phase: "running", stage: null, fraction: null, left: null, partial: null };
    case "progress":
      return {
        ...same,
        phase: "running",
        stage: event.stage,
        fraction: event.stage === "inference" ? event.fraction : null,
        left: event.rtfx ? (event.audio_s - event.done_s) / event.rtfx : null,
      };
    case "partial":
      return { ...same, phase: "running", partial: event };
    case "chunk":
      return { ...same, phase: "running", pieces: new Map(state.pieces).set(event.start, event), partial: null };
    case "retrying":
      return { ...same, phase: "queued", position: null, delay: event.delay_s };
    default:
      return same; // that it is over is told by its result
  }
}

/** Return the state after a look at the job: what no event tells of one that waits. */
export function looked(state, job) {
  if (state.phase !== "queued" || job.status !== "queued") return state;
  return { ...state, lane: job.lane, position: job.position, atLeast: job.at_least, waitsFor: job.waits_for };
}

/** Return what is transcribed so far, as lines in the order of the recording. */
export const lines = (state) =>
  [...state.pieces.values(), state.partial].filter((piece) => piece?.text?.trim()).sort((one, other) => one.start - other.start);

const RUNNING = { fetch: "Fetching the audio", decode: "Reading the audio" };

/** Say its state; `queue` is what is known of the queue. */
export function said(state, queue) {
  if (state.lost) return "Connection lost; trying again. The job goes on.";
  switch (state.phase) {
    case "unsent":
      return "Waiting to be sent";
    case "sending":
      return state.fraction < 1 ? `Sending, ${percent(state.fraction)}` : "Sent";
    case "held":
      return `${state.why} Trying again in ${state.seconds} s.`;
    case "queued":
      return [waiting(state), arrival(state, queue)].filter(Boolean).join(" · ");
    case "running":
      if (state.recording) return "Listening";
      if (!Number.isFinite(state.fraction)) return RUNNING[state.stage] ?? "Starting";
      return [
        `Transcribing, ${percent(state.fraction)}`,
        Number.isFinite(state.left) && state.fraction < 1 ? `${about(state.left)} left` : null,
      ].filter(Boolean).join(" · ");
    case "completed":
      return state.result ? outcome(state.result) : "Done";
    case "canceled":
      return "Canceled";
    default:
      return "Failed";
  }
}

function waiting(state) {
  if (state.waitsFor) return "Waiting for a worker that can do this";
  if (state.delay) return `Waiting for another try, in ${Math.ceil(state.delay)} s`;
  if (!state.position) return "Waiting";
  const ahead = state.position - 1;
  if (state.atLeast) return `Waiting behind more than ${ahead}`;
  return ahead ? `Waiting behind ${ahead}` : "Next in line";
}

function arrival(state, queue) {
  const lane = queue?.lanes[state.lane];
  if (!lane?.drain_s || !state.position || state.waitsFor) return null;
  return about((lane.drain_s * state.position) / Math.max(lane.waiting, state.position));
}

function outcome(result) {
  const length = result.duration === null ? null : clock(result.duration);
  const took = result.timings?.total_s;
  return [
    "Done",
    length,
    result.cached || !took ? null : `transcribed in ${took < 10 ? took.toFixed(1) : Math.round(took)} s`,
  ].filter(Boolean).join(" · ");
}
