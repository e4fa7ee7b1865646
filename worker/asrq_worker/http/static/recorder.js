// The microphone, as a file.

import { Problem } from "./api.js";
import { clock } from "./words.js";

const WHY = {
  NotAllowedError: ["The browser may not use the microphone.", "Allow it for this page in the browser's settings."],
  NotFoundError: ["There is no microphone.", "Connect one, and try again."],
  NotReadableError: ["The microphone cannot be used.", "Close other programs that use it, and try again."],
};

const ENDINGS = { "audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "m4a" };

/** Records while it is on. */
export class Recorder {
  #media = null;

  get on() {
    return this.#media !== null;
  }

  /** Begin, and tell the name, the time and the microphone; gives the file once `stop` was called. */
  async record(began) {
    if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
      throw new Problem("This page cannot record.", {
        hint: "Browsers allow it only under https:// or localhost. Choose a file instead.",
      });
    }
    let sound;
    try {
      sound = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      const [message, hint] = WHY[error.name] ?? ["Recording did not begin.", null];
      throw new Problem(message, { hint });
    }
    const parts = [];
    this.#media = new MediaRecorder(sound);
    this.#media.ondataavailable = (event) => parts.push(event.data);
    const over = new Promise((resolve) => (this.#media.onstop = resolve));
    this.#media.start(1000);
    const since = performance.now();
    const at = new Date();
    const name = `Recording ${at.toLocaleDateString("sv")} ${at.toLocaleTimeString("sv").replaceAll(":", ".")}`;
    began({ name, clock: () => clock((performance.now() - since) / 1000), microphone: sound });
    await over;
    sound.getTracks().forEach((track) => track.stop());
    const type = this.#media.mimeType.split(";")[0];
    this.#media = null;
    return new File(parts, `${name}.${ENDINGS[type] ?? "webm"}`, { type });
  }

  stop() {
    this.#media?.stop();
  }
}
