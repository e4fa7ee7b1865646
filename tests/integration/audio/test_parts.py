"""Files that go on behind the end of their first container, or end before it: of every kind that can be made here."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from asrq_jobs.errors import AudioError, AudioUnreadableError
from asrq_worker.audio import media
from asrq_worker.audio.media import Media
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.audio.work import Work
from asrq_worker.backends.base import SAMPLE_RATE

from .conftest import Encode, Signal

Decode = Callable[[Path], DecodedAudio]

# Name, codec, and how the muxer is told; PCM, MP3 and so on may be in many.
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "wav": ("a.wav", "pcm_s16le", {}),
    "mulaw.wav": ("a.wav", "pcm_mulaw", {}),
    "adpcm.wav": ("a.wav", "adpcm_ima_wav", {}),
    "rf64": ("a.wav", "pcm_s16le", {"rf64": "always"}),
    "w64": ("a.w64", "pcm_s16le", {}),
    "aiff": ("a.aiff", "pcm_s16be", {}),
    "au": ("a.au", "pcm_s16be", {}),
    "caf": ("a.caf", "pcm_s16le", {}),
    "voc": ("a.voc", "pcm_u8", {}),
    "flac": ("a.flac", "flac", {}),
    "wv": ("a.wv", "wavpack", {}),
    "tta": ("a.tta", "tta", {}),
    "mp3": ("a.mp3", "mp3", {}),
    "plain.mp3": ("a.mp3", "mp3", {"write_xing": "0", "id3v2_version": "0"}),
    "tagged.mp3": ("a.mp3", "mp3", {"write_id3v1": "1"}),
    "mp2": ("a.mp2", "mp2", {}),
    "aac": ("a.aac", "aac", {}),
    "ac3": ("a.ac3", "ac3", {}),
    "eac3": ("a.eac3", "eac3", {}),
    "amr": ("a.amr", "libopencore_amrnb", {}),
    "opus": ("a.ogg", "libopus", {}),
    "m4a": ("a.m4a", "aac", {}),
    "fast.m4a": ("a.m4a", "aac", {"movflags": "+faststart"}),
    "live.mp4": ("a.mp4", "aac", {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000"}),
    "mov": ("a.mov", "pcm_s16le", {}),
    "3gp": ("a.3gp", "libopencore_amrnb", {}),
    "webm": ("a.webm", "libopus", {}),
    "live.webm": ("a.webm", "libopus", {"live": "1"}),
    "mka": ("a.mka", "pcm_s16le", {}),
    "asf": ("a.asf", "mp3", {}),
    "avi": ("a.avi", "mp3", {}),
    "flv": ("a.flv", "aac", {}),
    "ts": ("a.ts", "aac", {}),
    "m2ts": ("a.ts", "aac", {"mpegts_m2ts_mode": "1"}),
    "mpg": ("a.mpg", "mp2", {}),
    "rm": ("a.rm", "ac3", {}),
}
RATES = {"libopencore_amrnb": 8000, "libopus": 48_000, "ac3": 48_000, "eac3": 48_000, "flv": 44_100}
NO_INDEX_NO_SOUND = {"m4a", "mov", "3gp"}  # what says where the sound is stands at the end
ONE_BLOCK = {"wv", "mka"}  # of some seconds: half of it is no sound

# These say how much sound there should be.
COUNTED = (
    "wav",
    "rf64",
    "w64",
    "aiff",
    "au",
    "caf",
    "voc",
    "flac",
    "tta",
    "mp3",
    "fast.m4a",
    "webm",
    "asf",
    "avi",
    "rm",
)

Make = Callable[[str], bytes]


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """Files by kind: each is encoded once for all tests."""
    return {}


@pytest.fixture
def make(encode: Encode, voice: Signal, made: dict[str, bytes]) -> Make:
    """Return a file of a kind, of six seconds."""

    def encoded(kind: str) -> bytes:
        if kind not in made:
            made[kind] = anew(kind)
        return made[kind]

    def anew(kind: str) -> bytes:
        name, codec, options = KINDS[kind]
        rate = RATES.get(kind, RATES.get(codec, SAMPLE_RATE))
        places = np.arange(0, len(voice) - 1, SAMPLE_RATE / rate)
        stretched = np.interp(places, np.arange(len(voice)), voice).astype(np.float32)
        return encode(name, stretched[None], codec=codec, rate=rate, **options).read_bytes()

    return encoded


def noise(count: int) -> bytes:
    return np.random.default_rng(1).bytes(count)


def heard(content: bytes) -> Media:
    return media.decode(
        io.BytesIO(content),
        choose=lambda _tracks: 1,
        work=Work(len(content)),
        longest_s=3600,
        write=lambda _samples: None,
        on_progress=lambda _seconds: None,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_not_cut(make: Make, voice: Signal, kind: str) -> None:
    found = heard(make(kind))
    assert found.samples / SAMPLE_RATE == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.2)
    assert found.warnings == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_says_so(make: Make, voice: Signal, kind: str) -> None:
    content = make(kind)
    for share in (0.3, 0.51, 0.77, 0.95):
        rest = content[: int(len(content) * share) | 1]
        if kind in NO_INDEX_NO_SOUND:
            with pytest.raises(AudioUnreadableError, match="cut off") as caught:
                heard(rest)
            assert "incomplete" in (caught.value.hint or "")
            continue
        try:
            found = heard(rest)
        except AudioUnreadableError:
            assert kind in ONE_BLOCK
        else:
            assert "truncated_media" in found.warnings, share
            assert 0 < found.samples <= len(voice) + SAMPLE_RATE // 5


@pytest.mark.parametrize(("begin_s", "end_s"), [(0, 4), (2, 99), (2, 4)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ONE_BLOCK])
def test_what_is_cut_out_without_being_encoded_anew_is_whole(
    make: Make, voice: Signal, tmp_path: Path, kind: str, begin_s: float, end_s: float
) -> None:
    """As by `ffmpeg -ss … -c copy`, which leaves the counts and numbers of some formats as they were."""
    found = heard(cut_out(make(kind), kind, begin_s, end_s, tmp_path))
    assert found.warnings == []
    assert found.samples / SAMPLE_RATE > min(end_s, len(voice) / SAMPLE_RATE) - begin_s - 0.5


def cut_out(content: bytes, kind: str, begin_s: float, end_s: float, folder: Path) -> bytes:
    name, _, options = KINDS[kind]
    with av.open(io.BytesIO(content)) as whole, av.open(folder / name, "w", options=options) as piece:
        sound = whole.streams.audio[0]
        copied = piece.add_stream_from_template(sound)
        for packet in whole.demux(sound):
            at_s = None if packet.pts is None else float(packet.pts * packet.time_base)
            if at_s is not None and packet.size and begin_s <= at_s < end_s:
                packet.pts = packet.dts = packet.pts - round(begin_s / packet.time_base)
                packet.stream = copied
                piece.mux(packet)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_behind_a_whole_file_are_neither_a_loss_nor_sound(make: Make, kind: str) -> None:
    content = make(kind)
    alone = heard(content)
    assert [count for count in (1, 16, 100, 512, 4096, 200_001) if heard(content + bytes(count)) != alone] == []


@pytest.mark.parametrize("count", [1, 4096])
@pytest.mark.parametrize("kind", COUNTED)
def test_zeros_do_not_hide_that_a_file_was_cut_off(make: Make, kind: str, count: int) -> None:
    content = make(kind)
    assert "truncated_media" in heard(content[: len(content) // 2] + bytes(count)).warnings


@pytest.mark.parametrize("kind", KINDS)
def test_files_joined_byte_by_byte_are_all_heard(make: Make, voice: Signal, kind: str) -> None:
    found = heard(make(kind) * 3)
    assert found.samples / SAMPLE_RATE == pytest.approx(3 * len(voice) / SAMPLE_RATE, abs=0.5)
    assert "truncated_media" not in found.warnings


def test_files_of_all_kinds_joined_byte_by_byte_are_all_heard(make: Make) -> None:
    contents = [make(kind) for kind in KINDS]
    samples = sum(heard(content).samples for content in contents)
    for order in (contents, contents[::-1], contents[::2] + contents[1::2]):
        found = heard(b"".join(order))
        assert found.samples == pytest.approx(samples, abs=SAMPLE_RATE // 10)
        assert found.warnings == []


@pytest.mark.parametrize(("codec", "name"), [("mp3", "a.mp3"), ("aac", "a.aac"), ("mp2", "a.mp2"), ("flac", "a.flac")])
def test_streams_of_other_rates_and_channels_joined(encode: Encode, voice: Signal, codec: str, name: str) -> None:
    low, high = (encode(name, voice.repeat(times)[None], codec=codec, rate=rate).read_bytes()
                 for rate, times in ((16_000, 1), (48_000, 3)))  # fmt: skip
    both = encode(name, np.stack([voice, voice]), codec=codec, layout="stereo").read_bytes()
    found = heard(low + high + both + low)
    assert found.samples == pytest.approx(4 * len(voice), abs=SAMPLE_RATE // 2)
    assert found.warnings == []


@pytest.mark.parametrize("kind", KINDS)
def test_damage_ends_in_sound_or_an_error(make: Make, voice: Signal, kind: str) -> None:
    content = make(kind)
    third = len(content) // 3
    for hurt in (
        content[:third] + noise(third // 3) + content[third + third // 3 :],
        content[:third] + bytes(third // 2) + content[third + third // 2 :],
        content[:third] + content[third + third // 2 :],
    ):
        with suppress(AudioError):
            found = heard(hurt)
            assert found.samples <= len(voice) * 1.1


@pytest.mark.parametrize("kind", ["flac", "tta", "wv", "opus", "aac", "ac3", "mp3", "fast.m4a", "live.mp4", "ts"])
def test_damage_that_can_be_seen_is_said(make: Make, kind: str) -> None:
    content = bytearray(make(kind))
    third = len(content) // 3
    content[third : third + third // 3] = noise(third // 3)
    assert set(heard(bytes(content)).warnings) & {"corrupt_media", "truncated_media"}


@pytest.mark.parametrize(
    ("kind", "mark", "size"),
    [("wav", "data", "<I"), ("w64", "dataf3acd3118cd100c04f8edb8a", "<Q"), ("aiff", "SSND", ">I")],
)
@pytest.mark.parametrize("share", [0, 0.5])
def test_more_sound_than_the_header_counts(make: Make, kind: str, mark: str, size: str, share: float) -> None:
    content = make(kind)
    wrong = bytearray(content)
    at = content.index(mark[:4].encode() + bytes.fromhex(mark[4:])) + 4 + len(mark[4:]) // 2
    struct.pack_into(size, wrong, at, int(struct.unpack_from(size, content, at)[0] * share))
    assert heard(bytes(wrong)) == heard(content)


def test_wavs_of_different_kinds_joined(decode: Decode, encode: Encode, tmp_path: Path, voice: Signal) -> None:
    both = np.stack([voice, voice])
    parts = [
        encode("a.wav", voice[None], codec="pcm_s16le"),
        encode("b.wav", both[:, ::2], codec="pcm_f32le", rate=8000, layout="stereo"),
        encode("c.wav", voice[None], codec="pcm_s24le"),
    ]
    joined = tmp_path / "joined.wav"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    decoded = decode(joined)
    count = len(voice)
    assert decoded.samples == pytest.approx(3 * count, abs=2)
    assert np.abs(decoded.read(2 * count + 2, 3 * count) - voice[2:]).max() < 0.01
    assert decoded.warnings == ()
    assert (decoded.sample_rate, decoded.channels) == (16_000, 1)


def vorbis(path: Path, voice: Signal) -> Path:
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("vorbis", rate=SAMPLE_RATE, layout="stereo", options={"strict": "experimental"})
        frame = av.AudioFrame.from_ndarray(voice.repeat(2)[None], format="flt", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return path


def test_a_chain_of_ogg_with_another_format_in_each_link(
    decode: Decode, encode: Encode, tmp_path: Path, voice: Signal
) -> None:
    links = [
        encode("a.ogg", np.tile(voice.repeat(3), (2, 1)), codec="libopus", rate=48_000, layout="stereo"),
        vorbis(tmp_path / "b.ogg", voice),
        encode("c.ogg", voice[None].repeat(3, axis=1), codec="libopus", rate=48_000),
    ]
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(b"".join(link.read_bytes() for link in links))
    decoded = decode(chain)
    assert decoded.seconds == pytest.approx(3 * len(voice) / SAMPLE_RATE, abs=0.1)
    assert decoded.warnings == ()
    chain.write_bytes(chain.read_bytes()[:-500])
    assert decode(chain).warnings == ("truncated_media",)


def test_a_part_that_cannot_be_read_is_said(encode: Encode, voice: Signal) -> None:
    whole = encode("a.wav", voice[None], codec="pcm_s16le").read_bytes()
    broken = whole.replace(b"fmt \x10\0\0\0\x01\0", b"fmt \x10\0\0\0\x77\x77")
    for content in (whole + broken, broken + whole):
        found = heard(content)
        assert found.samples == len(voice)
        assert found.warnings == ["corrupt_media"]
    with pytest.raises(AudioUnreadableError):
        heard(broken)


@pytest.mark.parametrize("kind", ["avi", "fast.m4a", "opus", "ts", "wav"])
def test_what_is_cut_off_before_its_first_sound_is_unreadable(make: Make, kind: str) -> None:
    whole = make(kind)
    with pytest.raises(AudioUnreadableError, match="cut off") as caught:
        heard(whole[: whole.index(b"data") + 9 if kind == "wav" else len(whole) // 50])
    assert caught.value.hint == "It is incomplete: copy or record it again, to its end."
