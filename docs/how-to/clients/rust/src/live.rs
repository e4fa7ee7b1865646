//! Sound that is handed over while it is recorded: numbered frames, so that none is lost or doubled.

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::{new_id, parsed, Client, Job};
use crate::error::{Error, Outcome};
use crate::json::{object, Json};

const APPEND: &str = include_str!("../../../../../jobs/asrq_jobs/lua/append.lua");

const FRAME: usize = 1 << 16; // bytes at most: a script of Redis copies the last one each time
const HELD: usize = 1 << 21; // bytes that Redis has, and may lose when it fails
const SLOWER: Duration = Duration::from_secs(1);

/// What the samples of a recording are; `Sound::default()` is 16-bit integers at 16 kHz, mono.
#[derive(Debug, Clone)]
pub struct Sound<'a> {
    /// `pcm_s16le` (16-bit integers) or `pcm_f32le` (32-bit floats from -1 to 1), little-endian.
    pub encoding: &'a str,
    /// In Hz, 8000 to 48000.
    pub sample_rate: u32,
    /// 1, or 2 (interleaved).
    pub channels: u32,
}

impl Default for Sound<'_> {
    fn default() -> Self {
        Sound { encoding: "pcm_s16le", sample_rate: 16_000, channels: 1 }
    }
}

/// A job that is being dictated: [`Client::live`] makes it. It has a connection of its own, so that one thread appends and
/// another follows.
pub struct Live {
    id: String,
    client: Client,
    frames: Frames,
}

impl Client {
    /// Submits a job whose sound is handed over while it is recorded. With the `id` of one that was begun before with the
    /// same options, goes on after its last frame.
    pub fn live(&self, id: Option<&str>, sound: &Sound, job: &Job) -> Outcome<Live> {
        let audio = object([
            ("kind", "live".into()),
            ("encoding", sound.encoding.into()),
            ("sample_rate", f64::from(sound.sample_rate).into()),
            ("channels", f64::from(sound.channels).into()),
        ]);
        let mut client = self.clone();
        let id = id.map_or_else(new_id, str::to_string);
        let created = client.submit_request(&id, audio, "none", job)?;
        let bytes = if sound.encoding == "pcm_f32le" { 4 } else { 2 };
        let mut live = Live { id, client, frames: Frames::new(bytes * sound.channels as usize) };
        if !created {
            live.frames.last = live.send(0, "audio", &[])?;
        }
        Ok(live)
    }
}

impl Live {
    /// The job's, to follow or cancel it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Number of the last frame that Redis holds; 0: none.
    pub fn last(&self) -> u64 {
        self.frames.last
    }

    /// Hands over raw samples, in pieces of any length. Blocks through an outage as long as [`crate::Limits::following`]
    /// says. What could not be sent is sent first by the next call, or by `end`; only after `audio_too_long` what no
    /// longer fits is dropped.
    pub fn append(&mut self, sound: &[u8]) -> Outcome<()> {
        if self.frames.closed {
            return Err(Error::new("job_state", format!("The recording of job {} has ended.", self.id), false));
        }
        self.frames.add(sound);
        self.flush()
    }

    /// Says that nothing more comes. May be repeated.
    pub fn end(&mut self) -> Outcome<()> {
        self.frames.close();
        self.flush()
    }

    fn flush(&mut self) -> Outcome<()> {
        while let Some((kind, frame)) = self.frames.waiting.pop_front() {
            match self.send(self.frames.last + 1, kind, &frame) {
                Ok(kept) if kept < self.frames.last => {
                    self.frames.waiting.push_front((kind, frame));
                    self.frames.take_back(self.frames.last - kept).ok_or_else(|| {
                        let message = format!("Redis has lost frames of job {} that are not here any more.", self.id);
                        Error::new("blob_missing", message, false)
                    })?;
                }
                Ok(kept) => {
                    self.frames.last += 1;
                    self.frames.hold((kind, frame));
                    if kept > self.frames.last {
                        let message = format!("Job {} has frames that are not ours.", self.id);
                        return Err(Error::new("job_state", message, false));
                    }
                }
                Err(error) if error.code == "audio_too_long" => {
                    let half = frame.len() / 2 / self.frames.width * self.frames.width;
                    if half == 0 {
                        self.frames.waiting.retain(|(kind, _)| *kind == "end");
                        return Err(error);
                    }
                    // The first half of it may still fit.
                    self.frames.waiting.push_front((kind, frame[half..].to_vec()));
                    self.frames.waiting.push_front((kind, frame[..half].to_vec()));
                }
                Err(error) => {
                    self.frames.waiting.push_front((kind, frame));
                    if error.code != "too_fast" {
                        return Err(error);
                    }
                    sleep(SLOWER);
                }
            }
        }
        Ok(())
    }

    /// Returns the number of the last frame that is there, which is smaller if Redis has lost some.
    fn send(&mut self, seq: u64, kind: &str, frame: &[u8]) -> Outcome<u64> {
        let id = &self.id;
        let keys =
            [format!("asrq:live:{id}"), format!("rq:job:{id}"), format!("asrq:result:{id}"), "asrq:limits".into()];
        let number = seq.to_string();
        let args = [id.as_bytes(), number.as_bytes(), kind.as_bytes(), frame];
        let give_up = Instant::now() + self.client.limits.following; // the user speaks on meanwhile
        let answer = parsed(&self.client.script(give_up, "asrq_append", APPEND, &keys, &args)?)?;
        let last = answer.get("last").number().unwrap_or_default() as u64;
        match answer.get("error") {
            Json::Null => Ok(last),
            error if error.get("code").text() == Some("invalid_request") && last + 1 < seq => Ok(last),
            error => Err(Error::from_json(error)),
        }
    }
}

type Frame = (&'static str, Vec<u8>);

/// What Redis does not hold yet, and what it has taken last.
struct Frames {
    last: u64,
    width: usize,
    rest: Vec<u8>,
    waiting: VecDeque<Frame>,
    held: VecDeque<Frame>,
    closed: bool,
}

impl Frames {
    /// `width`: bytes of a sample of all channels.
    fn new(width: usize) -> Frames {
        Frames { last: 0, width, rest: Vec::new(), waiting: VecDeque::new(), held: VecDeque::new(), closed: false }
    }

    fn add(&mut self, sound: &[u8]) {
        self.rest.extend(sound);
        let whole = self.rest.len() - self.rest.len() % self.width;
        let after = self.rest.split_off(whole);
        let all = std::mem::replace(&mut self.rest, after);
        self.waiting.extend(all.chunks(FRAME - FRAME % self.width).map(|frame| ("audio", frame.to_vec())));
    }

    fn hold(&mut self, sent: Frame) {
        self.held.push_back(sent);
        while self.held.iter().map(|(_, frame)| frame.len()).sum::<usize>() > HELD {
            self.held.pop_front();
        }
    }

    /// Lets so many frames wait again that were sent last; `None` if not all of them are here.
    fn take_back(&mut self, count: u64) -> Option<()> {
        for _ in 0..count {
            self.waiting.push_front(self.held.pop_back()?);
            self.last -= 1;
        }
        Some(())
    }

    fn close(&mut self) {
        if !self.closed {
            self.waiting.push_back(("end", Vec::new()));
        }
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_frames_of_whole_samples() {
        let mut frames = Frames::new(4);
        frames.add(b"123");
        assert!(frames.waiting.is_empty());
        frames.add(b"4567");
        assert_eq!(frames.waiting.pop_front(), Some(("audio", b"1234".to_vec())));
        frames.add(b"8");
        frames.add(&vec![0; FRAME + 1]);
        let sizes: Vec<usize> = frames.waiting.iter().map(|(_, frame)| frame.len()).collect();
        assert_eq!(sizes, [4, FRAME]);
        assert_eq!(frames.rest, [0]);
        frames.close();
        frames.close();
        assert_eq!(frames.waiting.iter().filter(|(kind, _)| *kind == "end").count(), 1);
    }
    #[test]
    fn what_redis_has_lost_waits_again() {
        let mut frames = Frames::new(2);
        for sound in [b"1.", b"2.", b"3."] {
            frames.add(sound);
            let sent = frames.waiting.pop_front().unwrap();
            frames.hold(sent);
            frames.last += 1;
        }
        assert_eq!((frames.take_back(2), frames.last), (Some(()), 1));
        assert_eq!(frames.waiting, [("audio", b"2.".to_vec()), ("audio", b"3.".to_vec())]);
        frames.waiting.clear();
        frames.hold(("audio", vec![0; HELD]));
        assert_eq!(frames.held.len(), 1);
        frames.last = 4;
        assert_eq!(frames.take_back(2), None);
    }
}
