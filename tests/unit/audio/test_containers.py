"""Where containers begin and end, as their own bytes tell."""

from __future__ import annotations

import io
import struct
from types import ModuleType

import pytest

from asrq_worker.audio.containers import chunks, ebml, files, wave
from asrq_worker.audio.containers import ogg as ogg_pages
from asrq_worker.audio.containers.files import parts
from asrq_worker.audio.containers.frames import stated_bytes
from asrq_worker.audio.containers.ogg import _checksum
from asrq_worker.audio.containers.part import Part
from asrq_worker.audio.containers.unsized import _crc8, _is_frame
from asrq_worker.audio.packets import View

SOUND = bytes(range(1, 251)) * 40  # 10 000 bytes, none of them zero


def told(content: bytes) -> list[Part]:
    return parts(io.BytesIO(content))


def places(content: bytes) -> list[tuple[int, int]]:
    found = told(content)
    assert not any(part.cut or part.damaged for part in found)
    return [(part.start, part.stop) for part in found]


def cuts(content: bytes) -> list[bool]:
    return [part.cut for part in told(content)]


# RIFF/WAVE


def wav(sound: bytes = SOUND, *, counted: int | None = None, before: bytes = b"", form: bytes = b"RIFF") -> bytes:
    order = ">" if form == b"RIFX" else "<"
    length = len(sound) if counted is None else counted
    head = b"fmt " + struct.pack(order + "IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16)
    body = b"WAVE" + before + head + b"data" + struct.pack(order + "I", length) + sound
    return form + struct.pack(order + "I", min(len(body), 0xFFFFFFFF)) + body


def test_a_header_that_counts_itself_is_no_loss() -> None:
    whole = wav(counted=len(SOUND) + 44)
    assert places(whole) == [(0, len(whole))]


LIST = b"LIST" + struct.pack("<I", 3) + b"abc\0"


@pytest.mark.parametrize("form", [b"RIFF", b"RIFX"])
def test_a_wav_that_is_whole_and_one_that_is_not(form: bytes) -> None:
    whole = wav(form=form, before=LIST if form == b"RIFF" else b"")
    assert told(whole) == [Part(0, len(whole))]
    assert cuts(whole[:-1000]) == [True]
    assert cuts(whole[:30]) == [True]


@pytest.mark.parametrize("counted", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_whose_writer_did_not_know_its_length(counted: int) -> None:
    live = wav(counted=counted)
    assert cuts(live) == [False]
    assert cuts(live[:-1000]) == [False]
    assert places(live + live) == [(0, len(live)), (len(live), 2 * len(live))]


@pytest.mark.parametrize("counted", [2, 5000, 9_900])
def test_more_sound_than_the_header_counts_is_part_of_it(counted: int) -> None:
    content = wav(counted=counted)
    assert shown(content) == [wav()]
    assert shown(content + wav()) == [wav(), wav()]


@pytest.mark.parametrize("odd", [b"", b"\0"])
@pytest.mark.parametrize("behind", [LIST, b"ID3\4" + bytes(50), bytes(5000), b"TAG" + bytes(125), b""])
def test_what_is_no_sound_behind_the_samples(behind: bytes, odd: bytes) -> None:
    (part,) = told(wav(SOUND[:-1]) + odd + behind)
    assert (part.cut, part.counts) == (False, ())


def test_wavs_joined_byte_by_byte() -> None:
    one, other = wav(before=LIST) + LIST, wav(SOUND[:500])
    assert told(one + other + one) == [
        Part(0, len(one)),
        Part(len(one), len(one) + len(other)),
        Part(len(one) + len(other), 2 * len(one) + len(other)),
    ]
    assert cuts(one + other[:-100]) == [False, True]
    assert cuts(one[:-200] + other) == [True, False]


def test_wav_of_64_bits() -> None:
    counts = b"ds64" + struct.pack("<IQQQI", 28, 0, len(SOUND), 0, 0)
    whole = wav(counted=0xFFFFFFFF, before=counts, form=b"RF64")
    assert told(whole + whole) == [Part(0, len(whole)), Part(len(whole), 2 * len(whole))]
    assert cuts(whole[:-1000]) == [True]


def aiff() -> bytes:
    body = b"AIFF" + b"SSND" + struct.pack(">III", len(SOUND) + 8, 0, 0) + SOUND
    return b"FORM" + struct.pack(">I", len(body)) + body


def w64() -> bytes:
    forms = [bytes.fromhex("726966662e91cf11a5d628db04c10000"), b"wave" + CHUNK, b"fmt " + CHUNK, b"data" + CHUNK]
    body = (
        forms[1] + forms[2] + struct.pack("<Q", 40) + bytes(16) + forms[3] + struct.pack("<Q", 24 + len(SOUND)) + SOUND
    )
    return forms[0] + struct.pack("<Q", 24 + len(body)) + body


CHUNK = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def shown(content: bytes) -> list[bytes]:
    """Return what FFmpeg gets of each part."""
    file = io.BytesIO(content)
    return [View(file, part).read(part.stop - part.start) for part in parts(file)]


@pytest.mark.parametrize(
    ("whole", "outer", "inner", "order"),
    [(wav(), 4, 40, "<I"), (wav(form=b"RIFX"), 4, 40, ">I"), (aiff(), 4, 16, ">I"), (w64(), 16, 96, "<Q")],
    ids=["wav", "rifx", "aiff", "w64"],
)
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99, 1])
def test_a_header_that_counts_too_little_is_put_right(
    whole: bytes, outer: int, inner: int, order: str, share: float
) -> None:
    assert shown(whole) == [whole]
    wrong = bytearray(whole)
    for place in (inner, outer):
        (right,) = struct.unpack_from(order, whole, place)
        struct.pack_into(order, wrong, place, int(right * share))
        assert shown(bytes(wrong)) == [whole]
        assert places(bytes(wrong) + wav()) == [(0, len(whole)), (len(whole), len(whole) + len(wav()))]
    assert shown(bytes(wrong[:-1000]))[0][:4] == whole[:4]


@pytest.mark.parametrize("count", [1, 3, 7, 39, 41, 4096])
def test_what_is_put_right_is_so_wherever_ffmpeg_begins_to_read(count: int) -> None:
    view = View(io.BytesIO(wav(counted=0)), told(wav(counted=0))[0])
    assert b"".join(iter(lambda: view.read(count), b"")) == wav()


# Rows of chunks


def avi() -> bytes:
    more = b"RIFF" + struct.pack("<I", len(SOUND) + 4) + b"AVIX" + SOUND
    return b"RIFF" + struct.pack("<I", len(SOUND) + 8) + b"AVI LIST" + SOUND + more


def au() -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, len(SOUND), 3, 8000, 1) + SOUND


def caf() -> bytes:
    return b"caff\0\1\0\0" + b"desc" + struct.pack(">Q", 32) + bytes(32) + b"data" + struct.pack(">Q", 10_000) + SOUND


def asf() -> bytes:
    head = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<Q", 30) + bytes(6)
    data = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c") + struct.pack("<Q", 50 + len(SOUND)) + bytes(26) + SOUND
    return head + data + bytes.fromhex("90080033b1e5cf1189f400a0c90349cb") + struct.pack("<Q", 24)


def flv() -> bytes:
    tag = b"\x08" + struct.pack(">I", 1000)[1:] + bytes(7) + SOUND[:1000] + struct.pack(">I", 1011)
    return b"FLV\1\4" + struct.pack(">II", 9, 0) + tag * 10


def voc() -> bytes:
    block = b"\1" + struct.pack("<I", 2000)[:3] + SOUND[:2000]
    return b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x10A, 0x1129) + block * 5 + b"\0"


def mp4() -> bytes:
    return b"".join(
        struct.pack(">I", len(content) + 8) + name + content
        for name, content in ((b"ftyp", b"isom" + bytes(4)), (b"moov", bytes(100)), (b"mdat", SOUND), (b"free", b""))
    )


def amr() -> bytes:
    return b"#!AMR\n" + (b"\x3c" + SOUND[:31]) * 300


def frames(head: str, length: int, count: int = 50) -> bytes:
    return (bytes.fromhex(head).ljust(8, b"\0") + SOUND)[:length] * count


def flac() -> bytes:
    made_from = b"\x02\0\0\x20riff" + wav()[:28]
    return b"fLaC\0\0\0\x22" + bytes(34) + made_from + b"\x84\0\0\4abcd" + SOUND


def wavpack() -> bytes:
    def block(index: int) -> bytes:
        return b"wvpk" + struct.pack("<IHHIIIII", 1024, 0x410, 0, 5000, index, 1000, 0x800, 0) + SOUND[:1000]

    return b"".join(block(index) for index in range(0, 5000, 1000))


def program() -> bytes:
    pack = b"\0\0\1\xba\x44" + bytes(8) + b"\xf8" + b"\0\0\1\xbb" + struct.pack(">H", 9) + bytes(9)
    return (pack + b"\0\0\1\xc0" + struct.pack(">H", 1000) + SOUND[:1000]) * 9 + b"\0\0\1\xb9"


RAW = {
    "mp3": frames("fff338c4", 108), "tagged mp3": b"ID3\4\0\0\0\0\0\x20" + bytes(32) + frames("fff338c4", 108),
    "mp2": frames("fff5e8c4", 1440), "aac": frames("fff1604061bffc", 781), "ac3": frames("0b77b1e70c40", 384),
    "dts": frames("7ffe8001fc3c75b0", 1884), "flac": flac(), "tta": b"TTA1\1\0\1\0\x10\0" + SOUND,
    "ts": (b"\x47\x40" + SOUND[:186]) * 50,
}  # fmt: skip


def webm(*, live: bool = False) -> bytes:
    def element(kind: str, content: bytes, *, unknown: bool = False) -> bytes:
        size = b"\x01" + b"\xff" * 7 if unknown else struct.pack(">Q", len(content) | 1 << 56)
        return bytes.fromhex(kind) + size + content

    clusters = element("1f43b675", element("a3", SOUND[:1000]) * 5, unknown=live) * 2
    return element("1a45dfa3", b"\x42\x86\x81\1") + element(
        "18538067", element("1549a966", b"x") + clusters, unknown=live
    )


def ogg(*, end: bool = True) -> bytes:
    pages = b""
    for number in range(10):
        flags = 2 if number == 0 else 4 if number == 9 and end else 0
        page = (
            b"OggS\0" + struct.pack("<BQIII", flags, number, 7, number, 0) + b"\4" + b"\xff\xff\xff\xeb" + SOUND[:1000]
        )
        pages += page[:22] + _checksum(page) + page[26:]
    return pages


WHOLE = {
    "aiff": aiff(), "avi": avi(), "w64": w64(), "au": au(), "caf": caf(), "asf": asf(), "flv": flv(), "voc": voc(),
    "wv": wavpack(), "mp4": mp4(), "amr": amr(), "webm": webm(), "live": webm(live=True), "ogg": ogg(),
    "radio": ogg(end=False),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_files_and_joined_ones(kind: str) -> None:
    content = WHOLE[kind]
    size = len(content)
    assert told(content) == [Part(0, size)]
    assert told(content * 3) == [Part(0, size), Part(size, 2 * size), Part(2 * size, 3 * size)]


ALL = WHOLE | RAW | {"wav": wav(), "streamed wav": wav(counted=0xFFFFFFFF), "mpg": program()}
UNMARKED = ALL.keys() & {"mp3", "mp2", "aac", "ac3", "dts", "ts", "mpg"}


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_may_be_followed_by_each_other(kind: str) -> None:
    size = len(ALL[kind])
    for other, behind in ALL.items():
        if kind == other or {kind, other} <= {"mp3", "tagged mp3"}:
            continue
        if kind == "streamed wav" and other in UNMARKED:
            continue  # all is sound that does not begin like a container
        found = told(ALL[kind] + behind)
        assert [(part.start, part.stop) for part in found] == [(0, size), (size, size + len(behind))], other
        assert not any(part.cut or part.damaged for part in found), other


@pytest.mark.parametrize("kind", ALL)
def test_another_file_behind_one_that_was_cut_off_is_found(kind: str) -> None:
    rest = ALL[kind][: int(len(ALL[kind]) * 0.55) | 1]
    first, *_, second = told(rest + wav())
    assert (second.start, second.stop) == (len(rest), len(rest) + len(wav()))
    assert (first.stop, second.cut) == (len(rest), False)
    assert first.cut or not first.known or kind == "streamed wav"


@pytest.mark.parametrize("kind", RAW)
def test_raw_streams_are_whole(kind: str) -> None:
    assert told(RAW[kind]) == [Part(0, len(RAW[kind]), known=False)]


@pytest.mark.parametrize("head", ["fff348c4", "fff334c4", "fff33804"])
def test_a_stream_of_another_rate_or_number_of_channels_is_another_file(head: str) -> None:
    one, other = frames("fff338c4", 108), frames(head, stated_bytes("mp3", bytes.fromhex(head) + bytes(4)) or 0)
    assert len(told(one + other)) == (1 if head == "fff348c4" else 2)


def test_what_a_table_of_contents_begins_is_another_file() -> None:
    table = (bytes.fromhex("fff338c4") + bytes(9) + b"Info\0\0\0\1" + bytes(200))[:108]
    song = table + frames("fff338c4", 108)
    assert told(song * 2) == [Part(0, len(song), known=False), Part(len(song), 2 * len(song), known=False)]


def test_frames_of_silence_of_flac_are_no_row_of_adts() -> None:
    start = bytes.fromhex("fff8c90801")
    frame = start + bytes([_crc8(start)]) + bytes(6)
    assert stated_bytes("aac", frame) == len(frame)
    assert _is_frame(frame * 2)
    assert not _is_frame(start + bytes(9) + frame)
    silence = b"fLaC\x80\0\0\x22" + bytes(34) + frame * 50
    assert told(silence) == [Part(0, len(silence), known=False)]


def test_a_stream_that_is_damaged_goes_on_behind_it() -> None:
    hurt = frames("fff338c4", 108) + b"\x7e" * 5000 + frames("fff338c4", 108)
    assert told(hurt + wav()) == [Part(0, len(hurt), known=False), Part(len(hurt), len(hurt) + len(wav()))]


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("share", [0.03, 0.35, 0.505, 0.75, 0.99])
def test_a_file_that_is_cut_off(kind: str, share: float) -> None:
    content = WHOLE[kind]
    rest = content[: int(len(content) * share)]
    assert cuts(rest) == [True]
    if kind != "live":  # where its end is not known, another one begins within
        assert cuts(content + rest) == [False, True]


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_a_tag_behind_it_is_no_part_of_it(kind: str) -> None:
    content = WHOLE[kind]
    size = len(content)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 82, 1, 1 << 31) + bytes(8)
    lyrics = b"LYRICSBEGIN" + bytes(5) + b"000016LYRICS200"
    for tags in (
        b"TAG" + bytes(125),
        ape + bytes(50) + ape,
        lyrics,
        ape + bytes(50) + ape + lyrics + b"TAG" + bytes(125),
    ):
        for padding in (0, 1, 100, 5000):
            assert told(content + tags + bytes(padding)) == [Part(0, size)]


@pytest.mark.parametrize("kind", sorted(WHOLE.keys() - {"mp4", "aiff", "w64"}))
def test_what_does_not_belong_there_is_damage(kind: str) -> None:
    noise = b"\x7e" * 9000
    assert told(WHOLE[kind] + noise)[0].damaged
    assert not told(WHOLE[kind] + bytes(9000))[0].damaged, "padding is none"


@pytest.mark.parametrize("kind", ["live", "ogg", "radio"])
def test_damage_in_the_middle_is_found_and_passed_over(kind: str) -> None:
    content = WHOLE[kind]
    third = len(content) // 3
    for hurt in (
        content[:third] + b"\x7e" * third + content[2 * third :],
        content[:third] + content[third + 777 :],
    ):
        (part,) = told(hurt)
        assert (part.stop, part.damaged) == (len(hurt), True)


def test_a_page_with_a_wrong_checksum_is_damage() -> None:
    hurt = bytearray(ogg())
    hurt[2000] ^= 1
    assert told(bytes(hurt))[0].damaged


def test_a_stream_that_is_left_within_a_packet_is_cut() -> None:
    left = bytearray(ogg(end=False))
    left[-1001] = 0xFF
    assert cuts(bytes(left)) == [True]


def test_old_movies_begin_with_any_box() -> None:
    movie = mp4()[16:]
    assert told(movie) == [Part(0, len(movie))]


def test_lengths_that_writers_did_not_know() -> None:
    assert cuts(mp4().replace(struct.pack(">I", 10_008) + b"mdat", struct.pack(">I", 0) + b"mdat")) == [False]
    assert cuts(au().replace(struct.pack(">I", 10_000), b"\xff" * 4)) == [False]
    assert cuts(caf().replace(struct.pack(">Q", 10_000), b"\xff" * 8)) == [False]
    assert cuts(asf().replace(struct.pack("<Q", 10_050), struct.pack("<Q", 50))) == [False]


def test_boxes_of_64_bits() -> None:
    large = mp4().replace(
        struct.pack(">I", 10_008) + b"mdat", struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 10_016)
    )
    assert told(large) == [Part(0, len(large))]
    assert cuts(large[:5000]) == [True]


@pytest.mark.parametrize(("length", "before", "behind"), [(188, 0, 0), (192, 4, 0), (204, 0, 16)])
def test_transport_streams(length: int, before: int, behind: int) -> None:
    packet = bytes(before) + b"\x47" + SOUND[:187] + bytes(behind)
    assert len(packet) == length
    stream = packet * 50
    assert told(stream) == [Part(0, len(stream), known=False)]
    assert cuts(stream[:-20]) == [True]
    for padding in (1, 50, length, 5000):
        assert told(stream + bytes(padding)) == [Part(0, len(stream), known=False)]


@pytest.mark.parametrize("content", [b"", b"R", b"RIFF", b"nothing that anybody knows" * 100, b"OggS", b"\x1a\x45"])
def test_what_is_no_container_is_one_part(content: bytes) -> None:
    (part,) = told(content)
    assert (part.start, part.stop) == (0, len(content))


FRAMES = [
    ("mp3", "fffb9000", 417),  # MPEG 1 layer 3, 128 kbit/s, 44.1 kHz
    ("mp3", "fffb9200", 418),  # and padding
    ("mp3", "fff338c4", 108),  # MPEG 2 layer 3, 24 kbit/s, 16 kHz
    ("mp3", "ffe338c4", 216),  # MPEG 2.5 layer 3, 24 kbit/s, 8 kHz
    ("mp2", "fff5e8c4", 1440),  # MPEG 2 layer 2, 160 kbit/s, 16 kHz
    ("mp1", "ffff1000", 32),  # MPEG 1 layer 1, 32 kbit/s, 44.1 kHz
    ("mp3", "54414700", None),
    ("mp3", "fffbf000", None),
    ("aac", "fff1604061bffc", 781),
    ("aac", "210a4f0000000000", None),
    ("ac3", "0b77b1e70c40", 384),  # 96 kbit/s, 48 kHz
    ("ac3", "0b77b1e74d40", 418),  # 44.1 kHz
    ("ac3", "0b770000c240", None),
    ("eac3", "0b77011f3f80", 576),
    ("dts", "7ffe8001fc3c75b0", 1884),
    ("pcm_s16le", "0000000000000000", None),
]


@pytest.mark.parametrize(("codec", "head", "length"), FRAMES)
def test_how_long_frames_say_they_are(codec: str, head: str, length: int | None) -> None:
    assert stated_bytes(codec, bytes.fromhex(head).ljust(8, b"\0")) == length
    assert stated_bytes(codec, bytes.fromhex(head)[:4]) is None


@pytest.mark.parametrize("padding", [0, 1, 100, 5000, 200_000])
@pytest.mark.parametrize(("head", "length"), [(head, length) for _codec, head, length in FRAMES if length])
def test_padding_begins_behind_the_last_frame(head: str, length: int, padding: int) -> None:
    sound = bytes.fromhex(head).ljust(8, b"\0") + SOUND[: length // 2]
    frames = sound[:length].ljust(length, b"\0") * 50  # each ends in zeros of its own
    for before in (b"", b"ID3\4" + SOUND[:50]):
        content = before + frames
        assert told(content + bytes(padding)) == [Part(0, len(content), known=False)]


def test_zeros_are_sound_where_a_file_does_not_say_where_it_ends() -> None:
    for content in (wav(counted=0xFFFFFFFF) + bytes(5000), SOUND + bytes(5000)):
        assert told(content)[0].stop == len(content)


@pytest.mark.parametrize("kind", sorted(WHOLE.keys() - {"webm", "live", "aiff", "w64"}))
@pytest.mark.parametrize("padding", [1, 100, 5000])
def test_padding_is_no_part_of_what_says_where_it_ends(kind: str, padding: int) -> None:
    assert told(WHOLE[kind] + bytes(padding)) == [Part(0, len(WHOLE[kind]))]


@pytest.mark.parametrize("module", [chunks, ebml, ogg_pages])
def test_files_made_of_very_many_pieces_are_not_followed_to_their_end(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 7)
    content = {chunks: flv(), ebml: webm(live=True), ogg_pages: ogg()}[module]
    assert told(content + content) == [Part(0, 2 * len(content))]


@pytest.mark.parametrize(
    ("module", "content"),
    [
        (wave, b"RIFF\0\0\0\0WAVE" + b"JUNK\0\0\0\0" * 9),
        (wave, wav(bytes(4)) + b"JUNK\0\0\0\0" * 9),
        (chunks, b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * 9),
        (chunks, b"caff\0\1\0\0" + b"free\0\0\0\0\0\0\0\0" * 9),
    ],
    ids=["before samples", "behind them", "boxes", "chunks"],
)
def test_chunks_without_sound_are_not_followed_without_end(
    module: ModuleType, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not told(content)[0].crowded
    monkeypatch.setattr(module, "MOST_WITHOUT_SOUND", 8)
    assert told(content) == [Part(0, len(content), crowded=True)]


@pytest.mark.parametrize(("module", "kind"), [(ebml, "live"), (ogg_pages, "ogg")])
def test_the_thread_is_lost_so_many_times_only(module: ModuleType, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOSSES", 2)
    third = len(WHOLE[kind]) // 3
    hurt = WHOLE[kind][:third] + b"\x7e" * 5000 + WHOLE[kind][third:]
    assert told(hurt * 5)[0].damaged


def test_a_chain_of_very_many_links_is_not_taken_apart_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST", 2)
    link = ogg()
    assert told(link * 5) == [Part(0, len(link)), Part(len(link), 5 * len(link))]
