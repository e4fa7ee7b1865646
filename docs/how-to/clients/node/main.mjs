// node main.mjs FILE [--lang ru]: sends audio to asrq and prints its text.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";

import { AsrqError, Client } from "./asrq.mjs";

const USAGE = `usage: node main.mjs FILE [--lang CODE] [--track N] [--lane interactive|batch] [--wait SECONDS]
       node main.mjs --cancel ID
ASRQ_REDIS_URL is the address of Redis (redis://127.0.0.1:6379/0).
When the time to wait is up, the job is canceled.
Exit codes: 0 done, 1 the job failed, 2 usage, 3 Redis out of reach, 4 the time is up.`;
/** @type {Record<string, number>} */
const EXIT = { invalid_settings: 2, invalid_request: 2, queue_unreachable: 3, queue_auth: 3, queue_refused: 3, wait_timeout: 4 };

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
      },
    });
    const fits = positionals.length === (values.cancel === undefined ? 1 : 0) && Number(values.wait) > 0;
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
    on_event(id, { type, fraction }) {
      console.error(`${id} ${type}${fraction === undefined ? "" : ` ${Math.round(fraction * 100)} %`}`);
    },
  });
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
  console.log(options.cancel === undefined ? await transcribe(client, options) : await client.cancel(options.cancel));
} catch (error) {
  if (!(error instanceof AsrqError)) throw error;
  console.error(`${error.for_people}\n  ${error.message} [${error.code}]${error.hint ? `\n  ${error.hint}` : ""}`);
  process.exitCode = EXIT[error.code] ?? 1;
} finally {
  client?.close();
}
