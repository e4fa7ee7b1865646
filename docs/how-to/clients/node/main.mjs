// node main.mjs FILE [--lang ru]: sends audio to asrq and prints its text; node main.mjs --live: sound while it is recorded.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";

import { AsrqError, Client } from "./asrq.mjs";

const USAGE = `usage: node main.mjs FILE [--lang CODE] [--track N] [--lane interactive|batch] [--wait SECONDS]
       node main.mjs --live [--id ID] [--lang CODE] [--wait SECONDS]
       node main.mjs --cancel ID
ASRQ_REDIS_URL is the address of Redis (redis://127.0.0.1:6379/0).
--live takes 16-bit samples at 16 kHz, mono, from standard input; a recording with the same id goes on where it was.
When the time to wait is up, the job is canceled.
Exit codes: 0 done, 1 the job failed, 2 usage, 3 Redis out of reach, 4 the time is up.`;
/** @type {Record<string, number>} */
const EXIT = { invalid_settings: 2, invalid_request: 2, queue_unreachable: 3, queue_auth: 3, queue_refused: 3, queue_unusable: 3, wait_timeout: 4 };
const ENDED = new Set(["job_state", "job_not_found"]);

function given() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        lang: { type: "string", default: "auto" },
        track: { type: "string" },
        lane: { type: "string", default: "interactive" },
        wait: { type: "string", default: "300" },
        cancel: { type: "string" },
        live: { type: "boolean", default: false },
        id: { type: "string" },
      },
    });
    const fits = positionals.length + Number(values.cancel !== undefined) + Number(values.live) === 1 && Number(values.wait) > 0;
    return fits ? { ...values, file: positionals[0] } : null;
  } catch {
    return null;
  }
}

/** @param {Client} client @param {{ file: string, lang: string, track?: string, lane: string, wait: string }} given */
async function transcribe(client, { file, lang, track, lane, wait }) {
  const bytes = await readFile(file).catch((error) => {
    throw new AsrqError({ code: "audio_not_found", message: `Cannot read ${file}: ${error.message}.` });
  });
  return client.transcribe(bytes, {
    lane: /** @type {import("./asrq.mjs").Lane} */ (lane),
    language: lang,
    ...(track === undefined ? {} : { track: Number(track) }),
    name: basename(file),
    limit_ms: Number(wait) * 1000,
    on_event,
  });
}

/** @param {Client} client @param {{ id?: string, lang: string, lane: string, wait: string }} given */
async function dictate(client, { id, lang, lane, wait }) {
  const live = await client.live({ id, language: lang, lane: /** @type {import("./asrq.mjs").Lane} */ (lane) });
  const stop = new AbortController();
  // If the job has ended, `follow` says so.
  const recorded = record(live).catch((error) => ENDED.has(error.code) || stop.abort(error));
  try {
    return await client.text(live.id, { limit_ms: Number(wait) * 1000, signal: stop.signal, on_event });
  } finally {
    process.stdin.destroy(); // the job may have ended before the recording did
    await recorded;
  }
}

/** @param {import("./asrq.mjs").Live} live */
async function record(live) {
  try {
    for await (const sound of process.stdin) await live.append(sound);
  } catch (error) {
    if (error instanceof AsrqError && error.code !== "audio_too_long") throw error; // else there is no more to read
  }
  await live.end();
}

/** @param {string} id @param {import("./asrq.mjs").JobEvent} event */
function on_event(id, { type, fraction, text }) {
  const more = type === "chunk" ? ` ${text}` : fraction === undefined ? "" : ` ${Math.round(fraction * 100)} %`;
  console.error(`${id} ${type}${more}`);
}

const options = given();
if (options === null) {
  console.error(USAGE);
  process.exit(2);
}
/** @type {Client | undefined} */
let client;
try {
  client = new Client(process.env.ASRQ_REDIS_URL ?? "redis://127.0.0.1:6379/0");
  if (options.cancel !== undefined) console.log(await client.cancel(options.cancel));
  else console.log(await (options.live ? dictate : transcribe)(client, options));
} catch (error) {
  if (!(error instanceof AsrqError)) throw error;
  console.error(`${error.for_people}\n  ${error.message} [${error.code}]${error.hint ? `\n  ${error.hint}` : ""}`);
  process.exitCode = EXIT[error.code] ?? 1;
} finally {
  client?.close();
}
