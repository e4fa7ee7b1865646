"""How long a frame says that it is, of codecs whose frames say so: a shorter one was cut off, and behind the last one
there is padding.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), ISO/IEC 13818-7 (ADTS), ATSC A/52 (AC-3, E-AC-3), ETSI TS 102 114
(DTS).
"""

from __future__ import annotations

from asrq_worker.audio.containers.part import Content

# kbit/s by the header's index, from 1: MPEG 1 layers 1 to 3; MPEG 2 and 2.5 layer 1, layers 2 and 3.
_MPEG1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2 = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG2[3] = _MPEG2[2]
_MPEG_RATES = (44_100, 48_000, 32_000)
_AC3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48_000, 44_100, 32_000)
_FIRST_BYTES = {0xFF: ("mp3", "aac"), 0x0B: ("ac3",), 0x7F: ("dts",)}  # mp3: of all layers
_IN_A_ROW = 3  # frames: so many do not come about by chance
_SEARCHED = 1 << 16  # bytes: more than as many of the longest take


def last_stop(content: Content) -> int:
    """Return where the last frame of a file ends that only padding follows; the file's end if there is none."""
    zeros_at = content.zeros_at
    if zeros_at == content.size:
        return content.size
    begin = max(0, zeros_at - _SEARCHED)
    data = content.read(begin, zeros_at - begin + 8)
    rows: dict[int, tuple[int, int]] = {}  # by where its first frame begins: frames up to the zeros, and their end
    for at in reversed(range(zeros_at - begin)):
        for codec in _FIRST_BYTES.get(data[at], ()):
            if not (length := stated_bytes(codec, data[at : at + 8])):
                continue
            after = at + length
            count, stop = rows.get(after, (0, after))
            if count + 1 == _IN_A_ROW:
                return min(begin + stop, content.size)
            if count or begin + after >= zeros_at:
                rows[at] = count + 1, stop
    return content.size


def stated_bytes(codec: str, head: bytes) -> int | None:
    """Return the length of the frame that begins with `head` (8 bytes), or None if it does not say.

    `codec` is FFmpeg's canonical name.
    """
    if len(head) < 8:
        return None
    match codec:
        case "mp1" | "mp2" | "mp3":
            return _mpeg(head)
        case "aac":
            return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if _sync(head, 0xFFF0) else None
        case "ac3" | "eac3":
            return _ac3(head) if _sync(head, 0x0B77, mask=0xFFFF) else None
        case "dts":
            core = head[:4] == b"\x7f\xfe\x80\x01"
            return ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1 if core else None
        case _:
            return None


def _sync(head: bytes, word: int, *, mask: int = 0xFFF6) -> bool:
    return int.from_bytes(head[:2], "big") & mask == word


def _mpeg(head: bytes) -> int | None:
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if not _sync(head, 0xFFE0, mask=0xFFE0) or version == 1 or layer == 4 or kbits in (0, 15) or rate == 3:
        return None
    per_s = 1000 * (_MPEG1 if version == 3 else _MPEG2)[layer][kbits - 1]
    hertz = _MPEG_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 1:
        return (12 * per_s // hertz + padding) * 4
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * per_s // hertz + padding


def _ac3(head: bytes) -> int | None:
    if head[5] >> 3 > 10:  # E-AC-3
        return ((head[2] & 7) << 8 | head[3]) * 2 + 2
    rate, code = head[4] >> 6, head[4] & 0x3F
    if rate == 3 or code >= 2 * len(_AC3):
        return None
    words = _AC3[code >> 1] * 96_000 // _AC3_RATES[rate]
    return 2 * (words + (code & 1 if rate == 1 else 0))
