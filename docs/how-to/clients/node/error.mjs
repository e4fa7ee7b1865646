// What can go wrong, and what to tell people about it.

import { ReplyError } from "ioredis";

/** Sentences for people, each with the codes that it is for. @type {Record<string, string>} */
const FOR_PEOPLE = {
  "The recording is empty. Check the microphone and record again.": "audio_empty",
  "This file cannot be played. Choose another, or convert it.": "audio_unreadable",
  "This file holds no sound.": "no_audio_stream",
  "This recording has too many channels. Save it in stereo.": "too_many_channels",
  "The text could not be sent to its address. It is in the result.": "delivery_failed delivery_refused",
  "This file is too large. Send it compressed, for example as opus or mp3.": "audio_too_large",
  "This recording is too long. Cut it into parts.": "audio_too_long no_room",
  "The file is not there any more.": "audio_not_found",
  "The server may not read from there. Send the file itself.": "path_not_allowed url_not_allowed",
  "The address could not be read. Try again later.": "fetch_failed",
  "This recording makes the recogniser fail each time. Please report it.": "poisoned",
  "This language is not known.": "unknown_language",
  "The server cannot do this with its model. Choose other options.": "unsupported_option not_served",
  "It took longer than allowed. Allow more time, or send less at once.": "deadline_exceeded",
  "The server was too busy to take it in time. Try again.": "expired",
  "Canceled.": "canceled",
  "The upload was lost. Send the recording again.": "blob_missing audio_mismatch",
  "The server does not have this job (any more).": "job_conflict job_not_found job_state",
  "The server cannot be reached. Check the network and the address.": "queue_unreachable",
  "The server is starting or out of memory. Try again in a moment.": "queue_refused",
  "The server has too much to do. Try again in a moment.": "queue_full",
  "The sound came faster than the server takes it. Try again in a moment.": "too_fast",
  "It takes longer than you wanted to wait.": "wait_timeout",
  "The server refuses this user or password. Check the settings.": "queue_auth",
  "The server is not set up for this. Ask its operator.":
    "model_missing model_invalid device_unavailable extra_missing invalid_settings in_use server_refused " +
    "storage_unusable queue_unusable",
  "The server is out of order just now. Try again in a moment.": "engine_unavailable out_of_memory server_unreachable server_failed",
  "The server failed. Try again.": "engine_crashed engine_timeout malformed_output condemned_output inference_failed " +
    "decoder_crashed decoder_timeout worker_lost shutdown lease_lost",
  "Something is wrong with this program or the server. Please report it.": "invalid_request foreign_function malformed_job internal",
};

const CANNOT_SERVE =
  /^(LOADING|READONLY|OOM|MASTERDOWN|BUSY|MISCONF|NOREPLICAS|TRYAGAIN|CLUSTERDOWN|ERR max number of clients)\b/;

/** @typedef {{ code: string, message: string, retryable?: boolean, hint?: string | null }} ErrorInfo */

/** What went wrong, in the protocol's terms: decide by `code`, show `for_people` and, below, `message` and `hint`. */
export class AsrqError extends Error {
  /** @param {ErrorInfo} info */
  constructor({ code, message, retryable = false, hint = null }) {
    super(message);
    this.code = code;
    this.retryable = retryable;
    this.hint = hint;
  }

  /** One sentence for the person at the screen: what to do, without the machine's words. */
  get for_people() {
    const known = Object.keys(FOR_PEOPLE).find((sentence) => FOR_PEOPLE[sentence].split(" ").includes(this.code));
    return known ?? (this.retryable ? "Something failed that may work later. Try again." : "It did not work.");
  }

  /** @param {unknown} cause what ioredis threw */
  static from(cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    if (/^(NOAUTH|WRONGPASS|NOPERM)\b/.test(message)) return new AsrqError({ code: "queue_auth", message });
    if (cause instanceof ReplyError) {
      if (CANNOT_SERVE.test(message)) return new AsrqError({ code: "queue_refused", message, retryable: true });
      return new AsrqError({ code: "queue_unusable", message }); // the same command will be refused again
    }
    return new AsrqError({ code: "queue_unreachable", message: `Redis does not answer: ${message}`, retryable: true });
  }
}
