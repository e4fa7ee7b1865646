// The sound of a recording, played from the file that the person has chosen: it is not fetched from anywhere.

let playing = null; // one at a time

/** The player of a row; `heard` is told the time that is heard, in s, and null when nothing is. */
export class Sound {
  #url = null;
  #needed = false;

  constructor(row, name, heard) {
    this.audio = row.querySelector(".sound");
    this.absent = row.querySelector(".no-sound");
    this.why = row.querySelector(".no-sound-why");
    const file = this.absent.querySelector("input");
    this.audio.setAttribute("aria-label", name);
    file.setAttribute("aria-label", `Recording of ${name}`);
    this.absent.querySelector(".open").addEventListener("click", () => file.click());
    file.addEventListener("change", () => file.files[0] && this.load(file.files[0]));
    const frame = () => {
      heard(this.audio.currentTime);
      if (!this.audio.paused) requestAnimationFrame(frame);
    };
    this.audio.addEventListener("play", () => {
      if (playing !== this) playing?.audio.pause();
      playing = this;
      frame();
    });
    this.audio.addEventListener("seeked", () => heard(this.audio.currentTime));
    this.audio.addEventListener("ended", () => heard(null));
    this.audio.addEventListener("error", () => {
      if (this.#url === null) return;
      this.forget();
      this.why.textContent = "This browser cannot play the recording.";
      this.needed(this.#needed);
    });
  }

  load(file) {
    this.forget();
    if (file.size === 0) return;
    this.#url = URL.createObjectURL(file);
    this.audio.src = this.#url;
    this.needed(this.#needed);
  }

  forget() {
    if (this.#url === null) return;
    URL.revokeObjectURL(this.#url);
    this.#url = null;
    this.audio.removeAttribute("src");
    this.why.textContent = "";
  }

  /** Show the player, or how to get one where there is something to hear. */
  needed(yes) {
    this.#needed = yes;
    this.audio.hidden = this.#url === null;
    this.absent.hidden = this.#url !== null || !yes;
    if (!this.why.textContent) this.why.textContent = "To listen, open the recording again.";
  }

  play(seconds) {
    if (this.#url === null) return;
    this.audio.currentTime = seconds;
    this.audio.play().catch(() => {}); // another choice came before it began
  }
}
