"""How much work a file may be: in proportion to what is in it, so that a small one cannot keep a decoder for long.

Pure. Counted are values: samples of all channels, as they come out of the file, at its own rate. A decoder makes fifty
to a hundred million of them in a second of processor time.
"""

from __future__ import annotations

from asrq_jobs.errors import AudioUnreadableError

_RATES = range(1000, 4_000_001)  # Hz: below, nobody is understood; above, nothing records

# What is allowed: some seconds' work for any file, eight channels at 48 kHz for as long as it lasts, and
# what a file can hold that is large itself: without loss, a byte is one to four values.
_FOR_ANY = 1 << 28
_FOR_A_SECOND = 8 * 48_000
_FOR_A_BYTE = 8
_PACKET = 512  # what to read one costs, even if it gives no sound
_PART = 1 << 17  # what to open one costs
_LONGEST_SILENCE_S = 1.0  # that a packet without sound stands for


class Work:
    """What one file has been so far. `values`: decoded; `seconds`: the length of the sound, all tracks together."""

    def __init__(self, size: int) -> None:
        """`size` is that of the file in bytes."""
        self.values = 0
        self.seconds = 0.0
        self._for_the_file = _FOR_ANY + _FOR_A_BYTE * size

    @property
    def too_much(self) -> bool:
        """Whether it was more than it may be."""
        return self.values > self._for_the_file + _FOR_A_SECOND * self.seconds

    def part(self) -> None:
        """Count a container.

        Raises:
            AudioUnreadableError: that makes it too much.
        """
        self._count(_PART)

    def packet(self) -> None:
        """Count a packet.

        Raises:
            AudioUnreadableError: that makes it too much.
        """
        self._count(_PACKET)

    def silence(self, length_s: float) -> None:
        """Count what a packet stands for that gave no sound."""
        self.seconds += min(max(length_s, 0.0), _LONGEST_SILENCE_S)

    def frame(self, samples: int, *, channels: int, rate: int) -> None:
        """Count sound that was decoded.

        Raises:
            AudioUnreadableError: that makes it too much, or no sound has this rate.
        """
        if rate not in _RATES:
            raise AudioUnreadableError(
                f"The file has {rate} samples a second; {_RATES[0]} to {_RATES[-1]} can be sound.",
                hint="Correct its header, or convert it to 16 kHz.",
            )
        self.seconds += samples / rate
        self._count(samples * channels)

    def _count(self, values: int) -> None:
        self.values += values
        if self.too_much:
            raise AudioUnreadableError(
                f"Decoding the file is too much work: {self.seconds:.1f} s of sound took {self.values} values.",
                hint="Convert it to fewer channels, or a lower sample rate.",
            )
