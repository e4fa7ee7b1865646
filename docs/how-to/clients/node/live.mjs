// Sound that is handed over while it is recorded: numbered frames, so that none is lost or doubled.

import { setTimeout as sleep } from "node:timers/promises";

import { AsrqError } from "./error.mjs";

const FRAME = 1 << 16; // bytes at most: a script of Redis copies the last one each time
const HELD = 1 << 21; // bytes that Redis has, and may lose when it fails
const SLOWER_MS = 1000;
const NOTHING = Buffer.alloc(0);

/** @typedef {"audio" | "end"} Kind */

/** A job that is being dictated: `Client.live` makes it, `Client.follow` and `Client.text` have its events and its text. */
export class Live {
  /** Number of the last frame that Redis holds; 0: none. */
  last = 0;
  #width;
  #send;
  /** @type {Buffer} */ #rest = NOTHING;
  /** @type {{ kind: Kind, frame: Buffer }[]} */ #waiting = [];
  /** @type {{ kind: Kind, frame: Buffer }[]} */ #held = [];
  #closed = false;
  /** @type {Promise<void>} */ #sending = Promise.resolve();

  /**
   * @param {string} id
   * @param {number} width bytes of a sample of all channels
   * @param {(number: number, kind: Kind, frame: Buffer) => Promise<number>} send returns the number of the last
   *   frame there, which is smaller if Redis has lost some
   */
  constructor(id, width, send) {
    this.id = id;
    this.#width = width;
    this.#send = send;
  }

  /**
   * Hands over raw samples, in pieces of any length. What could not be sent is sent first by the next call, or by `end`;
   * only after audio_too_long what no longer fits is dropped.
   * @param {Uint8Array} sound
   * @returns {Promise<void>} when Redis has it
   */
  async append(sound) {
    if (this.#closed) throw new AsrqError({ code: "job_state", message: `The recording of job ${this.id} has ended.` });
    const all = Buffer.concat([this.#rest, sound]); // a copy: the caller may use its buffer again
    const whole = all.length - (all.length % this.#width);
    const most = FRAME - (FRAME % this.#width);
    for (let at = 0; at < whole; at += most) {
      this.#waiting.push({ kind: "audio", frame: all.subarray(at, Math.min(at + most, whole)) });
    }
    this.#rest = all.subarray(whole);
    return this.#flush();
  }

  /** Says that nothing more comes. May be repeated. */
  async end() {
    if (!this.#closed) this.#waiting.push({ kind: "end", frame: NOTHING });
    this.#closed = true;
    return this.#flush();
  }

  /** Goes on after the last frame that Redis holds, in a program that did not append it. */
  async resume() {
    this.last = await this.#send(0, "audio", NOTHING);
  }

  /** One call after the other, however many are made at once. */
  #flush() {
    const sent = this.#sending.then(() => this.#drain());
    this.#sending = sent.catch(() => {}); // the caller hears of it
    return sent;
  }

  #hold() {
    this.#held.push(this.#waiting.splice(0, 1)[0]);
    let size = this.#held.reduce((sum, { frame }) => sum + frame.length, 0);
    while (size > HELD) size -= this.#held.splice(0, 1)[0].frame.length;
  }

  /** Lets so many frames wait again that were sent last. @param {number} count */
  #take_back(count) {
    if (count > this.#held.length) {
      throw new AsrqError({ code: "blob_missing", message: `Redis has lost frames of job ${this.id} that are not here any more.` });
    }
    this.#waiting.unshift(...this.#held.splice(-count));
    this.last -= count;
  }

  /** Makes two frames of the first one, as the first half of it may still fit; false: it is a single sample. */
  #halve() {
    const { kind, frame } = this.#waiting[0];
    const half = Math.floor(frame.length / 2 / this.#width) * this.#width;
    if (half > 0) this.#waiting.splice(0, 1, { kind, frame: frame.subarray(0, half) }, { kind, frame: frame.subarray(half) });
    return half > 0;
  }

  async #drain() {
    while (this.#waiting.length > 0) {
      const { kind, frame } = this.#waiting[0];
      const kept = await this.#send(this.last + 1, kind, frame).catch(async (error) => {
        if (error.code === "audio_too_long" && this.#halve()) return null;
        if (error.code === "audio_too_long") this.#waiting = this.#waiting.filter((one) => one.kind === "end");
        if (error.code !== "too_fast") throw error;
        await sleep(SLOWER_MS);
        return null;
      });
      if (kept === null) continue;
      if (kept < this.last) {
        this.#take_back(this.last - kept);
        continue;
      }
      this.last += 1;
      this.#hold();
      if (kept > this.last) {
        throw new AsrqError({ code: "job_state", message: `Job ${this.id} has frames that are not ours.` });
      }
    }
  }
}
