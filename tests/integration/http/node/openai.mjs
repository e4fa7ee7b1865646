// OpenAI's own package: node openai.mjs BASE_URL AUDIO; prints what it got as a line of JSON.
import { createReadStream } from "node:fs";
import OpenAI from "openai";

const [base, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base, apiKey: "none", maxRetries: 0 });
const ask = (options) =>
  client.audio.transcriptions.create({ file: createReadStream(path), model: "whisper-1", ...options });

const deltas = [];
let whole = null;
for await (const event of await ask({ stream: true })) {
  if (event.type === "transcript.text.delta") deltas.push(event.delta);
  else whole = event.text;
}
const refused = await ask({ model: "large-v9" }).catch((error) => ({
  kind: error.constructor.name,
  status: error.status,
  code: error.code,
}));
const text = (await ask({})).text;
const verbose = await ask({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });
const subtitles = await ask({ response_format: "srt" });
const models = [];
for await (const model of client.models.list()) models.push(model.id);
console.log(JSON.stringify({ text, verbose, subtitles, deltas, whole, refused, models }));
