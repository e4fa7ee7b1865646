// Vercel's AI SDK, which has a client of its own: node ai.mjs BASE_URL AUDIO; prints what it got as a line of JSON.
import { readFile } from "node:fs/promises";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe as transcribe } from "ai";

const [base, path] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: base, apiKey: "none" });
const ask = (audio, model = "whisper-1") =>
  transcribe({
    model: openai.transcription(model),
    audio,
    maxRetries: 0,
    providerOptions: { openai: { timestampGranularities: ["segment"] } },
  });

const { text, segments, language, durationInSeconds } = await ask(await readFile(path));
const refused = await ask(new Uint8Array([1, 2, 3])).catch((error) => ({
  status: error.statusCode,
  message: error.message,
}));
console.log(JSON.stringify({ text, segments, language, durationInSeconds, refused }));
