"""Every kind of media, sound and damaged, through a real decoder process."""

from __future__ import annotations

import json
import threading
import wave
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from asrq_jobs.errors import (
    AsrqError,
    AudioEmptyError,
    AudioTooLongError,
    AudioUnreadableError,
    NoAudioStreamError,
)
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE

from .conftest import Encode, Signal, add_pictures, decode_file, nothing

Decode = Callable[[Path], DecodedAudio]
Cut = Callable[[Path], Path]


def speech_s(decoded: DecodedAudio) -> float:
    return sum(stop - start for start, stop in decoded.spans) / SAMPLE_RATE


def pcm(path: Path, samples: int, *, rate: int = SAMPLE_RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.arange(samples, dtype="<i2").tobytes())
    return path


def at_rate(voice: Signal, rate: int) -> Signal:
    """Linear interpolation does for a test."""
    places = np.arange(0, len(voice) - 1, SAMPLE_RATE / rate)
    stretched: Signal = np.interp(places, np.arange(len(voice)), voice).astype(np.float32)
    return stretched


def test_what_is_decoded_is_what_was_recorded(decode: Decode, data: Path, voice: Signal) -> None:
    decoded = decode(data / "hello-en.flac")
    assert decoded.samples == len(voice)
    assert decoded.seconds == len(voice) / SAMPLE_RATE
    assert np.array_equal(decoded.read(0, decoded.samples), voice)
    assert np.array_equal(decoded.read(100, 300), voice[100:300])
    assert (decoded.container, decoded.codec, decoded.sample_rate, decoded.channels) == ("flac", "flac", 16_000, 1)
    assert decoded.warnings == ()


def test_the_speech_is_found(decode: Decode, data: Path) -> None:
    decoded = decode(data / "hello-en.flac")
    assert 4 < speech_s(decoded) <= decoded.seconds
    flat = [at for span in decoded.spans for at in span]
    assert flat == sorted(flat)
    assert flat[0] >= 0
    assert flat[-1] <= decoded.samples


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("8k.wav", "pcm_s16le", 8_000, "mono"),
        ("mulaw.wav", "pcm_mulaw", 8_000, "mono"),
        ("48k.wav", "pcm_s16le", 48_000, "stereo"),
        ("surround.flac", "flac", 48_000, "5.1"),
        ("surround.wav", "pcm_s16le", 44_100, "7.1"),
        ("float.wav", "pcm_f32le", 16_000, "mono"),
        ("double.wav", "pcm_f64le", 96_000, "stereo"),
        ("music.mp3", "mp3", 44_100, "stereo"),
        ("phone.m4a", "aac", 44_100, "stereo"),
        ("note.ogg", "libopus", 48_000, "mono"),
        ("meeting.webm", "libopus", 48_000, "stereo"),
    ],
)
def test_formats(decode: Decode, encode: Encode, voice: Signal, name: str, codec: str, rate: int, layout: str) -> None:
    channels = np.tile(at_rate(voice, rate), (av.AudioLayout(layout).nb_channels, 1))
    decoded = decode(encode(name, channels, codec=codec, rate=rate, layout=layout))
    assert decoded.seconds == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.1)
    assert speech_s(decoded) > 4
    assert decoded.channels == len(channels)
    assert decoded.warnings == ()
    assert float(np.abs(decoded.read(0, decoded.samples)).max()) < 3


@pytest.mark.parametrize("speaks", [0, 1])
def test_one_silent_channel_does_not_silence_the_other(
    decode: Decode, encode: Encode, voice: Signal, speaks: int
) -> None:
    channels = np.zeros((2, len(voice)), dtype=np.float32)
    channels[speaks] = voice
    assert speech_s(decode(encode("one.flac", channels, codec="flac", layout="stereo"))) > 4


def test_the_centre_of_surround_sound_is_heard(decode: Decode, encode: Encode, voice: Signal) -> None:
    channels = np.zeros((6, len(voice)), dtype=np.float32)
    channels[2] = voice
    assert speech_s(decode(encode("film.flac", channels, codec="flac", layout="5.1"))) > 4


def test_channels_of_opposite_phase_do_not_cancel_out(decode: Decode, encode: Encode, voice: Signal) -> None:
    channels = np.stack([voice, -voice])
    assert speech_s(decode(encode("phase.flac", channels, codec="flac", layout="stereo"))) > 4


@pytest.mark.parametrize("gain", [0.001, 0.01, 1000.0])
def test_speech_is_found_however_quiet_or_loud(decode: Decode, encode: Encode, voice: Signal, gain: float) -> None:
    decoded = decode(encode("gain.wav", voice[None] * np.float32(gain), codec="pcm_f32le"))
    assert speech_s(decoded) > 4


def test_a_click_does_not_hide_quiet_speech(decode: Decode, encode: Encode, voice: Signal) -> None:
    quiet = voice * np.float32(0.003)
    quiet[1000] = 1.0
    assert speech_s(decode(encode("click.wav", quiet[None], codec="pcm_f32le"))) > 4


def test_the_sound_of_a_video_is_used(decode: Decode, encode: Encode, voice: Signal) -> None:
    decoded = decode(encode("talk.mp4", voice[None], codec="aac", video=True))
    assert decoded.codec == "aac"
    assert speech_s(decoded) > 4


def test_the_name_does_not_matter(decode: Decode, data: Path, tmp_path: Path) -> None:
    for name in ("talk.mp3", "talk", "talk.m3u8", "запись №1 (копия).txt"):
        lying = tmp_path / name
        lying.write_bytes((data / "hello-en.flac").read_bytes())
        assert decode(lying).container == "flac"


@pytest.mark.parametrize("samples", [1, 160, 800])
def test_very_short_audio_is_audio(decode: Decode, tmp_path: Path, samples: int) -> None:
    decoded = decode(pcm(tmp_path / "short.wav", samples))
    assert decoded.samples == samples
    assert decoded.spans == ()


def test_one_sample_at_a_high_rate_is_no_error(decode: Decode, tmp_path: Path) -> None:
    assert decode(pcm(tmp_path / "short.wav", 1, rate=48_000)).spans == ()


def test_silence_and_noise_are_not_speech(decode: Decode, encode: Encode) -> None:
    for level in (0.0, 0.0003, 0.3):
        noise = np.random.default_rng(1).normal(0, 1, (1, 5 * SAMPLE_RATE)).astype(np.float32) * np.float32(level)
        assert decode(encode("noise.wav", noise, codec="pcm_f32le")).spans == ()


def test_speech_across_the_blocks_of_the_detector_is_one_span(decode: Decode, encode: Encode, voice: Signal) -> None:
    spoken = voice[16_000:32_000]
    long = np.zeros(250 * SAMPLE_RATE, dtype=np.float32)
    long[119 * SAMPLE_RATE : 121 * SAMPLE_RATE] = np.tile(spoken, 2)
    long[200 * SAMPLE_RATE : 200 * SAMPLE_RATE + len(voice)] = voice
    decoded = decode(encode("long.wav", long[None], codec="pcm_s16le"))
    assert any(start < 120 * SAMPLE_RATE < stop for start, stop in decoded.spans)
    assert speech_s(decoded) == pytest.approx(2 + 6, abs=2)


def test_values_that_are_no_numbers_become_silence(decode: Decode, encode: Encode, voice: Signal) -> None:
    broken = voice.copy()
    broken[[1000, 2000, 3000]] = [np.nan, np.inf, -np.inf]
    decoded = decode(encode("nan.wav", broken[None], codec="pcm_f32le"))
    assert decoded.warnings == ("non_finite_samples",)
    expected = voice.copy()
    expected[[1000, 2000, 3000]] = 0
    assert np.array_equal(decoded.read(0, decoded.samples), expected)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_s16le"),
        ("a.flac", "flac"),
        ("a.mp3", "mp3"),
        ("a.ogg", "libopus"),
        ("a.webm", "libopus"),
        ("a.m4a", "aac"),
    ],
)
def test_what_there_is_of_a_truncated_file_is_used(
    decode: Decode, encode: Encode, first_half: Cut, voice: Signal, name: str, codec: str
) -> None:
    whole = encode(name, np.tile(voice, 3)[None], codec=codec, movflags="+faststart")
    assert decode(whole).warnings == ()
    decoded = decode(first_half(whole))
    assert 5 < decoded.seconds < 17
    assert decoded.warnings == ("truncated_media",)
    assert decoded.spans


def test_damage_in_the_middle_is_skipped(decode: Decode, encode: Encode, voice: Signal) -> None:
    path = encode("damaged.mp3", np.tile(voice, 3)[None], codec="mp3")
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 3, len(content) // 2, 500):
        content[at : at + 100] = b"\xff" * 100
    path.write_bytes(content)
    decoded = decode(path)
    assert "corrupt_media" in decoded.warnings
    assert decoded.seconds > 15


def unreadable(tmp_path: Path) -> dict[str, bytes]:
    return {
        "empty.wav": b"",
        "text.wav": "Это просто текст, а не запись.\n".encode() * 40,
        "error.mp3": b"<html><body>404 Not Found</body></html>",
        "random.ogg": np.random.default_rng(1).bytes(20_000),
        "archive.m4a": b"PK\x03\x04" + bytes(100),
        "header.flac": b"fLaC" + bytes(4),
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/good.flac\n#EXT-X-ENDLIST\n".encode(),
        "list.ffconcat": f"ffconcat version 1.0\nfile '{tmp_path}/good.flac'\n".encode(),
        "call.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "list.mpd": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    }


@pytest.mark.parametrize("name", sorted(unreadable(Path())))
def test_what_is_no_audio_is_unreadable(decode: Decode, data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "good.flac").write_bytes((data / "hello-en.flac").read_bytes())
    (tmp_path / name).write_bytes(unreadable(tmp_path)[name])
    with pytest.raises(AudioUnreadableError) as raised:
        decode(tmp_path / name)
    assert raised.value.hint
    assert str(tmp_path) not in raised.value.message


def test_a_playlist_reaches_no_network(decode: Decode, tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        target = f"http://127.0.0.1:{server.server_port}/a.ts"
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n")
        with pytest.raises(AudioUnreadableError):
            decode(playlist)
        server.shutdown()
        serving.join()
    assert asked == []


def test_a_moov_atom_that_is_cut_off_is_unreadable(
    decode: Decode, encode: Encode, first_half: Cut, voice: Signal
) -> None:
    with pytest.raises(AudioUnreadableError):
        decode(first_half(encode("phone.m4a", voice[None], codec="aac")))


def test_a_video_without_sound(decode: Decode, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        add_pictures(container)
    with pytest.raises(NoAudioStreamError):
        decode(tmp_path / "mute.mp4")


def test_a_header_without_samples_is_empty(decode: Decode, tmp_path: Path) -> None:
    with pytest.raises(AudioEmptyError):
        decode(pcm(tmp_path / "header.wav", 0))


def test_audio_over_the_limit_is_refused_before_it_fills_the_disk(encode: Encode, tmp_path: Path) -> None:
    path = encode("long.flac", np.zeros((1, 60 * SAMPLE_RATE), dtype=np.float32), codec="flac")
    out = tmp_path / "out.f32"
    pool = DecoderPool(1, memory_mb=4096, stall_s=20, max_s=10)
    pool.start()
    try:
        with pytest.raises(AudioTooLongError, match="longer than 10 s"):
            decode_file(pool, path, out, on_progress=nothing, check=nothing)
    finally:
        pool.close()
    assert out.stat().st_size <= 10 * SAMPLE_RATE * 4


def test_progress_reaches_the_end(pool: DecoderPool, encode: Encode, tmp_path: Path) -> None:
    path = encode("long.wav", np.zeros((1, 300 * SAMPLE_RATE), dtype=np.float32), codec="pcm_s16le")
    heard: list[float] = []
    decode_file(pool, path, tmp_path / "out.f32", on_progress=heard.append, check=nothing)
    assert heard == sorted(heard)
    assert heard[-1] == 300


def bad_speech() -> list[str]:
    manifest = Path(__file__).resolve().parents[4] / "shared" / "speech" / "manifest.jsonl"
    if not manifest.is_file():
        return []
    entries = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    return [json.dumps(entry) for entry in entries if entry.get("expect")]


@pytest.mark.parametrize("line", bad_speech(), ids=lambda line: json.loads(line)["path"])
def test_the_speech_collection_meets_its_manifest(decode: Decode, speech: Path, line: str) -> None:
    entry = json.loads(line)
    decoded: DecodedAudio | str
    try:
        decoded = decode(speech / entry["path"])
    except AsrqError as error:
        decoded = error.code
    if isinstance(decoded, str):
        assert "error" in entry["expect"]
        assert decoded in {"audio_unreadable", "no_audio_stream", "audio_empty"}
        return
    match entry["expect"]:
        case "ok":
            assert decoded.seconds == pytest.approx(entry["seconds"], abs=1.2)
            assert speech_s(decoded) > 0.25 * decoded.seconds
            assert decoded.warnings == ()
        case "ok_partial" | "ok_partial_or_error":
            assert speech_s(decoded) > 0.5 * decoded.seconds
            assert decoded.warnings
        case "no_speech" | "error_or_no_speech":
            assert decoded.seconds == pytest.approx(entry["seconds"], abs=1)
        case other:
            pytest.fail(f"the manifest expects {other}, and it decoded")
