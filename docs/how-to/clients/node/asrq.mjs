// The protocol of asrq (docs/reference/protocol.md) as methods on ioredis: upload or dictate, submit, follow, cancel.

import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Redis } from "ioredis";

import { AsrqError } from "./error.mjs";
import { Live } from "./live.mjs";

export { AsrqError, Live };

// In a program of your own, keep copies of these three files beside the source.
/** @param {string} name */
const script = (name) => readFileSync(new URL(`../../../../jobs/asrq_jobs/lua/${name}.lua`, import.meta.url), "utf8");
const SCRIPTS = {
  submit: { lua: script("submit"), numberOfKeys: 7 },
  cancel: { lua: script("cancel"), numberOfKeys: 10 },
  append: { lua: script("append"), numberOfKeys: 4 },
};

const KEEP_S = 86400;
const BLOCK_MS = 2000;
const PAUSE_MS = { first: 100, longest: 2000 };
const TERMINAL = new Set(["completed", "failed", "canceled"]);

/**
 * @typedef {"interactive" | "batch"} Lane
 * @typedef {import("./error.mjs").ErrorInfo} ErrorInfo
 * @typedef {{ encoding?: "pcm_s16le" | "pcm_f32le", sample_rate?: number, channels?: 1 | 2, max_s?: number }} Sound
 * @typedef {{ kind: "blob", sha256: string, bytes: number, name?: string }
 *   | { kind: "path", path: string } | { kind: "url", url: string } | { kind: "live" } & Sound} Audio
 * @typedef {"queued" | "started" | "progress" | "partial" | "chunk" | "retrying" | "completed" | "failed" | "canceled"} EventType
 * @typedef {{ type: EventType, at: number, depth?: number, attempt?: number, stage?: string, fraction?: number,
 *   start?: number, end?: number, text?: string, stable?: number, delay_s?: number, error?: ErrorInfo }} JobEvent
 * @typedef {{ id: string, status: "completed" | "failed" | "canceled", text: string | null, language: string | null,
 *   duration: number | null, error: ErrorInfo | null, [field: string]: unknown }} Result
 * @typedef {{ lane?: Lane, id?: string, language?: string, [field: string]: unknown }} Options further fields of asrq.request/1
 * @typedef {{ answer_ms: number, outage_ms: number, following_ms: number }} Limits for one answer; for the end of an outage;
 *   for the end of one while a job is followed, which goes on meanwhile
 */

/**
 * Whether a job that has no result will get none, by its status and worker.
 * @param {string} id
 * @param {(string | null)[]} standing
 */
function without_result(id, [status, worker]) {
  // RQ's own tools leave no result. One that runs they cancel in name only: it ends as usual.
  if ((status === "canceled" || status === "stopped") && !worker) {
    return new AsrqError({ code: "canceled", message: `The job ${id} was canceled.` });
  }
  if (status === null) return new AsrqError({ code: "job_not_found", message: `There is no job ${id}.` });
  if (status === "finished" || status === "failed") {
    return new AsrqError({ code: "job_not_found", message: `The result of ${id} has expired.` });
  }
  return null;
}

/** Connects when first needed, and again after an outage. Each job that is followed has a connection of its own. */
export class Client {
  /** @type {Redis} */ #redis;
  /** @type {Limits} */ #limits;

  /** @param {string} url @param {Partial<Limits>} [limits] */
  constructor(url, limits) {
    this.#limits = { answer_ms: 5000, outage_ms: 3000, following_ms: 30_000, ...limits };
    if (!/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
      throw new AsrqError({ code: "invalid_settings", message: "The address of Redis must start with redis:// or rediss://." });
    }
    this.#redis = new Redis(url, {
      lazyConnect: true,
      scripts: SCRIPTS,
      connectTimeout: this.#limits.answer_ms,
      commandTimeout: this.#limits.answer_ms,
      enableReadyCheck: false, // it asks INFO, which a careful operator does not allow
      disableClientInfo: true, // a connection lost while it says who it is (ioredis 5.11) takes no command ever after
      maxRetriesPerRequest: 0, // an outage fails what waits: #call asks again, and knows when to stop
      retryStrategy: (times) => Math.min(PAUSE_MS.first * 2 ** times, PAUSE_MS.longest),
    });
    this.#redis.on("error", () => {}); // the command that waits for it says so
  }

  /** Closes the connection; what is being followed ends with an error. */
  close() {
    this.#redis.disconnect();
  }

  /**
   * Uploads, submits and follows; returns the text. When `limit_ms` has passed, or `signal` is aborted, cancels the job.
   * @param {Buffer} bytes
   * @param {Options & { name?: string, limit_ms?: number, signal?: AbortSignal, on_event?: (id: string, event: JobEvent) => void }} [options]
   * @returns {Promise<string>}
   */
  async transcribe(bytes, { name, limit_ms = 300_000, signal, on_event, ...options } = {}) {
    const deadline = Date.now() + limit_ms;
    const id = await this.submit(await this.upload(bytes, name), options);
    return this.text(id, { limit_ms: deadline - Date.now(), signal, on_event });
  }

  /**
   * Submits a job whose sound is handed over while it is recorded. With the id of one that was begun before with the same
   * options, goes on after its last frame.
   * @param {Options & Sound} [options]
   * @returns {Promise<Live>}
   */
  async live({ encoding = "pcm_s16le", sample_rate = 16_000, channels = 1, max_s, ...options } = {}) {
    const { id, created } = await this.#submit({ kind: "live", encoding, sample_rate, channels, max_s }, options);
    const keys = [`asrq:live:${id}`, `rq:job:${id}`, `asrq:result:${id}`, "asrq:limits"];
    const width = (encoding === "pcm_f32le" ? 4 : 2) * channels;
    const live = new Live(id, width, async (number, kind, frame) => {
      const give_up = Date.now() + this.#limits.following_ms; // its user speaks on meanwhile
      const answer = JSON.parse(await this.#script("append", [...keys, id, number, kind, frame], give_up));
      const lost = answer.error?.code === "invalid_request" && answer.last < number - 1;
      if (answer.error && !lost) throw new AsrqError(answer.error);
      return answer.last;
    });
    if (!created) await live.resume();
    return live;
  }

  /**
   * Follows a job and returns its text. When `limit_ms` has passed, or `signal` is aborted, cancels the job.
   * @param {string} id
   * @param {{ limit_ms?: number, signal?: AbortSignal, on_event?: (id: string, event: JobEvent) => void }} [options]
   * @returns {Promise<string>}
   */
  async text(id, { limit_ms = 300_000, signal, on_event } = {}) {
    const events = this.follow(id, { limit_ms, signal });
    try {
      for (;;) {
        const { value, done } = await events.next();
        if (!done) on_event?.(id, value);
        else if (value.status === "completed") return (value.text ?? "").trim();
        else throw new AsrqError(value.error ?? { code: value.status, message: `The job is ${value.status}.` });
      }
    } catch (error) {
      if (signal?.aborted || (error instanceof AsrqError && ["wait_timeout", "queue_unreachable"].includes(error.code))) {
        await this.cancel(id).catch(() => {}); // what went wrong before is what counts
      }
      throw error;
    }
  }

  /**
   * Stores the bytes; returns the `audio` of a request.
   * @param {Buffer} bytes
   * @param {string} [name]
   * @returns {Promise<Audio>}
   */
  async upload(bytes, name) {
    if (bytes.length === 0) throw new AsrqError({ code: "audio_empty", message: "The audio has 0 bytes." });
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    // Also where there is something already: it is the same, or wrong.
    await this.#call(() => this.#redis.set(`asrq:blob:${sha256}`, bytes, "EX", KEEP_S));
    return { kind: "blob", sha256, bytes: bytes.length, name };
  }

  /**
   * Submits a job and returns its id. A connection that drops meanwhile makes no second job.
   * @param {Audio} audio
   * @param {Options} [options]
   * @returns {Promise<string>}
   */
  async submit(audio, options) {
    return (await this.#submit(audio, options)).id;
  }

  /** @param {Audio} audio @param {Options} [options] @returns {Promise<{ id: string, created: boolean }>} */
  async #submit(audio, { lane = "interactive", id = randomUUID(), ...options } = {}) {
    const request = JSON.stringify({ schema: "asrq.request/1", id, lane, audio, ...options });
    const blob = audio.kind === "blob" ? audio.sha256 : "none";
    const keys = [`rq:job:${id}`, `rq:queue:asrq-${lane}`, "rq:queues", `asrq:events:${id}`, `asrq:result:${id}`,
      "asrq:limits", `asrq:blob:${blob}`];
    const answer = JSON.parse(await this.#script("submit", [...keys, id, lane, request]));
    if (answer.error) throw new AsrqError(answer.error);
    return { id, created: answer.created };
  }

  /**
   * Yields the job's events and returns its result document, whatever its status; throws wait_timeout when time is up,
   * and the signal's reason when it is aborted. The job goes on in both cases.
   * @param {string} id
   * @param {{ limit_ms?: number, signal?: AbortSignal }} [options]
   * @returns {AsyncGenerator<JobEvent, Result, void>}
   */
  async *follow(id, { limit_ms = 300_000, signal } = {}) {
    const deadline = Date.now() + limit_ms;
    const redis = this.#redis.duplicate(); // a read that blocks would keep other commands waiting
    redis.on("error", () => {});
    const stop = () => redis.disconnect();
    signal?.addEventListener("abort", stop);
    const longest_ms = Math.min(BLOCK_MS, this.#limits.answer_ms / 2); // waiting must not look like an outage
    try {
      for (let last = "0"; ; ) {
        signal?.throwIfAborted();
        const now = Date.now();
        if (now >= deadline) {
          throw new AsrqError({ code: "wait_timeout", message: `The job ${id} has not ended in time.`, retryable: true });
        }
        const give_up = Math.min(now + this.#limits.following_ms, deadline);
        const block_ms = Math.ceil(Math.min(longest_ms, deadline - now));
        const read = () => redis.xread("COUNT", 500, "BLOCK", block_ms, "STREAMS", `asrq:events:${id}`, last);
        const entries = (await this.#call(read, give_up, signal))?.[0][1] ?? [];
        let ended = entries.length === 0;
        for (const [entry, [, text]] of entries) {
          last = entry;
          const event = /** @type {JobEvent} */ (JSON.parse(text));
          ended ||= TERMINAL.has(event.type);
          yield event;
        }
        // Before the result is looked for: they are written in one step, so that one is there by then.
        const standing = () => redis.hmget(`rq:job:${id}`, "status", "worker_name");
        const lost = entries.length === 0 ? without_result(id, await this.#call(standing, give_up, signal)) : null;
        // The result says that it is over: a job that somebody retried by hand has lost its own.
        const result = ended ? await this.#call(() => redis.get(`asrq:result:${id}`), give_up, signal) : null;
        if (result !== null) return JSON.parse(result);
        if (lost !== null) throw lost;
      }
    } finally {
      signal?.removeEventListener("abort", stop);
      stop();
    }
  }

  /**
   * Cancels a job, also while it is followed: "canceled" (it waited) or "requested" (it runs and will end soon).
   * @param {string} id
   * @returns {Promise<"canceled" | "requested">}
   */
  async cancel(id) {
    const origin = await this.#call(() => this.#redis.hget(`rq:job:${id}`, "origin"));
    const lane = (origin ?? "asrq-batch").slice("asrq-".length);
    const keys = [`rq:job:${id}`, `rq:queue:asrq-${lane}`, `rq:scheduled:asrq-${lane}`, `rq:canceled:asrq-${lane}`,
      `asrq:cancel:${id}`, `asrq:events:${id}`, `asrq:result:${id}`, "asrq:stats", `asrq:attempts:${id}`, `asrq:chunks:${id}`];
    const now = Number((await this.#call(() => this.#redis.time()))[0]); // our own clock may be wrong
    const error = { code: "canceled", message: "Canceled.", retryable: false, stage: "queue" };
    const result = JSON.stringify({ schema: "asrq.result/1", id, status: "canceled", error });
    const event = JSON.stringify({ type: "canceled", at: now });
    const verdict = await this.#script("cancel", [...keys, id, result, event, KEEP_S, now + KEEP_S]);
    if (verdict === "missing") throw new AsrqError({ code: "job_not_found", message: `There is no job ${id}.` });
    if (verdict === "ended") throw new AsrqError({ code: "job_state", message: `The job ${id} has ended already.` });
    return /** @type {"canceled" | "requested"} */ (verdict);
  }

  /**
   * Calls the function that workers have loaded or, where there is none (before Redis 7, before the first worker), sends
   * its source.
   * @param {keyof typeof SCRIPTS} name
   * @param {(string | number | Buffer)[]} given
   * @param {number} [give_up] Unix ms
   * @returns {Promise<string>}
   */
  async #script(name, given, give_up) {
    try {
      const send = () => this.#redis.fcall(`asrq_${name}`, SCRIPTS[name].numberOfKeys, ...given);
      const answer = await this.#call(send, give_up);
      return /** @type {string} */ (answer);
    } catch (error) {
      if (!(error instanceof AsrqError && /unknown command|Function not found/.test(error.message))) throw error;
      const run = /** @type {any} */ (this.#redis)[name]; // ioredis makes these methods at run time
      return this.#call(() => run.apply(this.#redis, given), give_up);
    }
  }

  /**
   * Sends a command, again and again through an outage: everything that this client sends may be repeated.
   * @template T
   * @param {() => Promise<T>} send
   * @param {number} [give_up] Unix ms
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>}
   */
  async #call(send, give_up = Date.now() + this.#limits.outage_ms, signal = undefined) {
    for (let pause = PAUSE_MS.first; ; pause = Math.min(2 * pause, PAUSE_MS.longest)) {
      try {
        return await send();
      } catch (cause) {
        signal?.throwIfAborted();
        const error = AsrqError.from(cause);
        if (!error.retryable || Date.now() + pause > give_up) throw error;
        await sleep(pause, undefined, { signal });
      }
    }
  }
}
