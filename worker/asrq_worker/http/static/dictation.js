// Sound on its way to the gateway while it is recorded, so that its text is there while somebody speaks. Where that does
// not work, the whole recording is kept as a file, too.

import { address, key } from "./api.js";

const RATE = 24_000;
const LAST_MS = 10_000; // for the gateway to say that it has all

const base64 = (samples) => btoa(String.fromCharCode(...new Uint8Array(samples.buffer)));

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a WebSocket may say of a form's fields; null for what it has no words for. */
function asked({ language, hotwords, task, word_timestamps }) {
  if (task) return null;
  const keywords = hotwords?.split(",").map((word) => word.trim()).filter(Boolean);
  return { language, keywords, word_timestamps: Boolean(word_timestamps) };
}

/** One recording. It fails silently: `end` says whether the gateway has all of it. */
export class Dictation {
  #context;
  #node = null;
  #socket = null;
  #open = false;
  #waiting = [];
  #failed = false;
  #over;

  /** Return one that can begin at once; null where the browser or the options do not allow it. */
  static async prepare(fields) {
    const transcription = asked(fields);
    if (!transcription || !window.AudioWorkletNode || !window.WebSocket) return null;
    let context = null;
    try {
      context = new AudioContext({ sampleRate: RATE });
      await context.audioWorklet.addModule(address("static/pcm.js"));
      return new Dictation(context, transcription);
    } catch {
      context?.close();
      return null;
    }
  }

  constructor(context, transcription) {
    this.#context = context;
    this.transcription = transcription;
    this.over = new Promise((resolve) => (this.#over = resolve));
  }

  /** Take what a microphone gives from now on; `begun` is told the id of the job. */
  take(microphone, begun) {
    try {
      this.#node = new AudioWorkletNode(this.#context, "pcm", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
      this.#node.port.onmessage = ({ data }) => data && this.#say({ type: "input_audio_buffer.append", audio: base64(data) });
      this.#context.createMediaStreamSource(microphone).connect(this.#node);
      this.#context.resume();
      const url = new URL(address("v1/realtime/transcription"));
      url.protocol = url.protocol.replace("http", "ws");
      this.#socket = new WebSocket(url, ["realtime", ...(key.get() ? [`openai-insecure-api-key.${key.get()}`] : [])]);
    } catch {
      return this.#fail(); // such as a key that cannot be the name of a protocol
    }
    const input = { format: { type: "audio/pcm", rate: RATE }, transcription: this.transcription };
    this.#waiting.unshift({ type: "session.update", session: { type: "transcription", audio: { input } } });
    this.#socket.onmessage = ({ data }) => this.#hear(JSON.parse(data), begun);
    this.#socket.onclose = () => this.#fail();
  }

  /** Say that nothing more comes; gives whether the gateway has all of it. */
  async end() {
    if (this.#node && !this.#failed) {
      const flushed = new Promise((resolve) => {
        const hand = this.#node.port.onmessage;
        this.#node.port.onmessage = (event) => (event.data ? hand(event) : resolve());
      });
      this.#node.port.postMessage(null);
      await Promise.race([flushed, later(LAST_MS)]);
      this.#say({ type: "input_audio_buffer.commit" });
      await Promise.race([this.over, later(LAST_MS)]);
    }
    const whole = (await Promise.race([this.over, null])) === true;
    if (!whole) this.#fail();
    this.#context.close();
    this.#socket?.close();
    return whole;
  }

  #say(event) {
    if (this.#open) this.#socket.send(JSON.stringify(event));
    else if (!this.#failed) this.#waiting.push(event);
  }

  #hear(event, begun) {
    if (event.type === "session.created") {
      this.#open = true;
      this.#waiting.splice(0).forEach((each) => this.#say(each));
    } else if (event.type === "conversation.item.added") begun(event.item.id);
    else if (event.type === "input_audio_buffer.committed") this.#over(true);
    else if (event.type === "error") this.#fail();
  }

  #fail() {
    this.#failed = true;
    this.#open = false;
    this.#waiting = [];
    this.#over(false);
  }
}
