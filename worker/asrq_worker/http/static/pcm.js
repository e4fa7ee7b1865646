// Runs beside the page: what a microphone gives, in pieces of 16-bit samples. See dictation.js.

const PIECE = 2400; // samples: a tenth of a second

class Pcm extends AudioWorkletProcessor {
  #samples = new Int16Array(PIECE);
  #at = 0;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#hand();
      this.port.postMessage(null); // that is all
    };
  }

  process([[channel]]) {
    for (const value of channel ?? []) {
      this.#samples[this.#at++] = 32767 * Math.max(-1, Math.min(1, value));
      if (this.#at === PIECE) this.#hand();
    }
    return true;
  }

  #hand() {
    if (this.#at) this.port.postMessage(this.#samples.slice(0, this.#at));
    this.#at = 0;
  }
}

registerProcessor("pcm", Pcm);
