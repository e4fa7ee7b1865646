"""faster-whisper called in a loop; `vad` as argument: with its speech detection."""

from __future__ import annotations

import sys

from systems.contenders.hearing import hear, load, put, taken

submit = put

if __name__ == "__main__":
    model = load()
    for job in taken():
        hear(model, job, vad_filter="vad" in sys.argv)
