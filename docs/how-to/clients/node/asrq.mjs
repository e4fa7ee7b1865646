// The protocol of asrq (docs/reference/protocol.md) as methods: upload, submit, follow, cancel.

import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Connection, Refusal } from "./resp.mjs";

// In a program of your own, keep copies of these two files beside the source.
const script = (name) => readFileSync(new URL(`../../../../jobs/asrq_jobs/lua/${name}.lua`, import.meta.url), "utf8");
const SUBMIT = script("submit");
const CANCEL = script("cancel");

const KEEP_S = 86400;
const BLOCK_MS = 2000; // below the limit for one answer, so that waiting is never taken for an outage
const TERMINAL = new Set(["completed", "failed", "canceled"]);

/** What went wrong, in the protocol's terms: code, message, retryable, hint. */
export class AsrqError extends Error {
  constructor({ code, message, retryable = false, hint = null }) {
    super(message);
    Object.assign(this, { code, retryable, hint });
  }

  static from(error) {
    if (error instanceof AsrqError) return error;
    const message = error.message || error.code || String(error);
    if (error instanceof TypeError || error instanceof URIError) return new AsrqError({ code: "invalid_settings", message });
    if (!(error instanceof Refusal)) return new AsrqError({ code: "queue_unreachable", message, retryable: true });
    if (/^(NOAUTH|WRONGPASS|NOPERM)\b/.test(message)) return new AsrqError({ code: "queue_auth", message });
    return new AsrqError({ code: "queue_refused", message, retryable: true });
  }
}

/** Connects when first needed and again after an outage of up to `patience_ms`. */
export class Client {
  #connection = null;

  constructor(url, { patience_ms = 3000 } = {}) {
    Object.assign(this, { url, patience_ms });
  }

  close() {
    this.#connection?.close();
  }

  /** Stores the bytes, unless the server has them; returns the `audio` of a request. */
  async upload(bytes, name) {
    if (bytes.length === 0) throw new AsrqError({ code: "audio_empty", message: "The audio has 0 bytes." });
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const key = `asrq:blob:${sha256}`;
    if (!(await this.#call("EXPIRE", key, KEEP_S))) await this.#call("SET", key, bytes, "NX", "EX", KEEP_S);
    return { kind: "blob", sha256, bytes: bytes.length, name };
  }

  /** Submits a job; options are further fields of asrq.request/1. Returns its id. */
  async submit(audio, { lane = "interactive", id = randomUUID(), ...options } = {}) {
    const request = JSON.stringify({ schema: "asrq.request/1", id, lane, audio, ...options });
    const keys = [`rq:job:${id}`, `rq:queue:asrq-${lane}`, "rq:queues", `asrq:events:${id}`, `asrq:result:${id}`,
      "asrq:limits", `asrq:blob:${audio.sha256 ?? "none"}`];
    const answer = JSON.parse(await this.#call("EVAL", SUBMIT, keys.length, ...keys, id, lane, request));
    if (answer.error) throw new AsrqError(answer.error);
    return id;
  }

  /** Yields the job's events and returns its result document, whatever its status; wait_timeout when time is up. */
  async *follow(id, { limit_ms = 300_000 } = {}) {
    const deadline = Date.now() + limit_ms;
    for (let last = "0"; ; ) {
      const left = Math.min(BLOCK_MS, deadline - Date.now());
      if (left <= 0) throw new AsrqError({ code: "wait_timeout", message: `The job ${id} has not ended in time.`, retryable: true });
      const answer = await this.#call("XREAD", "COUNT", 500, "BLOCK", left, "STREAMS", `asrq:events:${id}`, last);
      let ended = answer === null;
      for (const [entry, [, text]] of answer?.[0][1] ?? []) {
        last = entry;
        const event = JSON.parse(text);
        ended ||= TERMINAL.has(event.type);
        yield event;
      }
      const result = ended ? await this.#call("GET", `asrq:result:${id}`) : null;
      if (result !== null) return JSON.parse(result);
      if (answer === null && (await this.#call("HGET", `rq:job:${id}`, "status")) === null) {
        throw new AsrqError({ code: "job_not_found", message: `There is no job ${id}.` });
      }
    }
  }

  /** Cancels a job: "canceled" (it waited) or "requested" (it runs and will end soon). */
  async cancel(id) {
    const lane = ((await this.#call("HGET", `rq:job:${id}`, "origin")) ?? "asrq-batch").slice("asrq-".length);
    const keys = [`rq:job:${id}`, `rq:queue:asrq-${lane}`, `rq:scheduled:asrq-${lane}`, `rq:canceled:asrq-${lane}`,
      `asrq:cancel:${id}`, `asrq:events:${id}`, `asrq:result:${id}`, "asrq:stats", `asrq:attempts:${id}`, `asrq:chunks:${id}`];
    const now = Date.now() / 1000;
    const error = { code: "canceled", message: "Canceled.", retryable: false, stage: "queue" };
    const result = JSON.stringify({ schema: "asrq.result/1", id, status: "canceled", error });
    const event = JSON.stringify({ type: "canceled", at: now });
    const verdict = await this.#call("EVAL", CANCEL, keys.length, ...keys, id, result, event, KEEP_S, Math.ceil(now) + KEEP_S);
    if (verdict === "missing") throw new AsrqError({ code: "job_not_found", message: `There is no job ${id}.` });
    if (verdict === "ended") throw new AsrqError({ code: "job_state", message: `The job ${id} has ended already.` });
    return verdict;
  }

  // Again and again through an outage: everything that this client sends may be repeated.
  async #call(...parts) {
    const give_up = Date.now() + this.patience_ms;
    for (let pause = 100; ; pause = Math.min(2 * pause, 2000)) {
      try {
        this.#connection ??= await Connection.open(this.url);
        return await this.#connection.call(...parts);
      } catch (cause) {
        const error = AsrqError.from(cause);
        if (error.code !== "queue_refused") {
          this.#connection?.close(); // in no known state
          this.#connection = null;
        }
        if (!error.retryable || Date.now() + pause > give_up) throw error;
        await sleep(pause);
      }
    }
  }
}
