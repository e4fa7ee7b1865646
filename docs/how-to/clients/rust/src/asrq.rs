//! The protocol of asrq (docs/reference/protocol.md) as methods: upload, submit, follow, cancel.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::json::{object, Json};
use crate::resp::{Address, Connection, Value};
use crate::sha256;

// In a program of your own, keep copies of these two files beside the source.
const SUBMIT: &str = include_str!("../../../../../jobs/asrq_jobs/lua/submit.lua");
const CANCEL: &str = include_str!("../../../../../jobs/asrq_jobs/lua/cancel.lua");

const KEEP_S: u64 = 86_400;
const ANSWER: Duration = Duration::from_secs(5); // limit for connecting and for one answer
const BLOCK: Duration = Duration::from_secs(2); // below ANSWER, so that waiting is never taken for an outage
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What went wrong, in the protocol's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
    pub retryable: bool,
}

impl Error {
    fn new(code: &str, message: impl Into<String>, retryable: bool) -> Error {
        Error { code: code.into(), message: message.into(), hint: None, retryable }
    }

    /// From the form in which errors stand in answers, events and results.
    pub fn from_json(error: &Json) -> Error {
        Error {
            code: error.get("code").text().unwrap_or("error").to_string(),
            message: error.get("message").text().unwrap_or("The job failed.").to_string(),
            hint: error.get("hint").text().map(str::to_string),
            retryable: error.get("retryable").is_true(),
        }
    }

    /// An error answer of Redis itself.
    fn refused(text: &str) -> Error {
        match text.split(' ').next().unwrap_or("") {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Error::new("queue_auth", text, false),
            _ => Error::new("queue_refused", text, true),
        }
    }

    fn unreachable(error: &std::io::Error) -> Error {
        Error::new("queue_unreachable", format!("Redis does not answer: {error}."), true)
    }

    /// One sentence for the person at the screen: what to do, without the machine's words.
    pub fn for_people(&self) -> &'static str {
        match self.code.as_str() {
            "audio_empty" => "The recording is empty. Check the microphone and record again.",
            "audio_unreadable" => "This file cannot be played. Choose another, or convert it.",
            "no_audio_stream" => "This file holds no sound.",
            "audio_too_large" => "This file is too large. Send it compressed, for example as opus or mp3.",
            "audio_too_long" => "This recording is too long. Cut it into parts.",
            "audio_not_found" => "The file is not there any more.",
            "path_not_allowed" | "url_not_allowed" => "The server may not read from there. Send the file itself.",
            "fetch_failed" => "The address could not be read. Try again later.",
            "poisoned" => "This recording makes the recogniser fail each time. Please report it.",
            "unknown_language" => "This language is not known.",
            "unsupported_option" | "not_served" => "The server cannot do this with its model. Choose other options.",
            "deadline_exceeded" => "It took longer than allowed. Allow more time, or send less at once.",
            "canceled" => "Canceled.",
            "blob_missing" | "audio_mismatch" => "The upload was lost. Send the recording again.",
            "job_conflict" | "job_not_found" | "job_state" => "The server does not have this job (any more).",
            "queue_unreachable" => "The server cannot be reached. Check the network and the address.",
            "queue_refused" => "The server is starting or out of memory. Try again in a moment.",
            "queue_full" => "The server has too much to do. Try again in a moment.",
            "wait_timeout" => "It takes longer than you wanted to wait.",
            "queue_auth" => "The server refuses this user or password. Check the settings.",
            "model_missing" | "model_invalid" | "device_unavailable" | "extra_missing" | "invalid_settings"
            | "in_use" | "server_refused" => "The server is not set up for this. Ask its operator.",
            "engine_unavailable" | "out_of_memory" | "server_unreachable" | "server_failed" => {
                "The server is out of order just now. Try again in a moment."
            }
            "engine_crashed" | "engine_timeout" | "malformed_output" | "condemned_output" | "inference_failed"
            | "decoder_crashed" | "decoder_timeout" | "worker_lost" | "shutdown" | "lease_lost" => {
                "The server failed. Try again."
            }
            "invalid_request" | "foreign_function" | "malformed_job" | "internal" => {
                "Something is wrong with this program or the server. Please report it."
            }
            _ if self.retryable => "Something failed that may work later. Try again.",
            _ => "It did not work.",
        }
    }
}

pub type Outcome<T> = Result<T, Error>;

/// Options of a job; `..Default::default()` gives the usual ones.
pub struct Job<'a> {
    pub lane: &'a str,
    pub language: &'a str,
    pub name: &'a str,
}

impl Default for Job<'_> {
    fn default() -> Self {
        Job { lane: "interactive", language: "auto", name: "recording" }
    }
}

/// A client; connects when first needed and again after an outage.
pub struct Client {
    address: Address,
    patience: Duration,
    connection: Option<Connection>,
}

impl Client {
    /// `patience`: how long an outage may last before a method gives up.
    pub fn new(url: &str, patience: Duration) -> Outcome<Client> {
        let address = Address::parse(url).map_err(|message| Error::new("invalid_settings", message, false))?;
        Ok(Client { address, patience, connection: None })
    }

    /// Stores the bytes, unless the server has them, and returns their SHA-256.
    pub fn upload(&mut self, audio: &[u8]) -> Outcome<String> {
        if audio.is_empty() {
            return Err(Error::new("audio_empty", "The audio has 0 bytes.", false));
        }
        let digest = sha256::hex(audio);
        let (key, ttl) = (format!("asrq:blob:{digest}"), KEEP_S.to_string());
        if self.call(&[b"EXPIRE", key.as_bytes(), ttl.as_bytes()])? == Value::Integer(0) {
            self.call(&[b"SET", key.as_bytes(), audio, b"NX", b"EX", ttl.as_bytes()])?;
        }
        Ok(digest)
    }

    /// Submits a job for uploaded audio and returns its id. Safe to repeat: the document is built once.
    pub fn submit(&mut self, digest: &str, bytes: usize, job: &Job) -> Outcome<String> {
        let id = new_id();
        let request = object([
            ("schema", "asrq.request/1".into()),
            ("id", id.as_str().into()),
            ("lane", job.lane.into()),
            (
                "audio",
                object([
                    ("kind", "blob".into()),
                    ("sha256", digest.into()),
                    ("bytes", (bytes as f64).into()),
                    ("name", job.name.into()),
                ]),
            ),
            ("language", job.language.into()),
        ])
        .to_string();
        let keys = [
            format!("rq:job:{id}"),
            format!("rq:queue:asrq-{}", job.lane),
            "rq:queues".to_string(),
            format!("asrq:events:{id}"),
            format!("asrq:result:{id}"),
            "asrq:limits".to_string(),
            format!("asrq:blob:{digest}"),
        ];
        let answer = self.script(SUBMIT, &keys, &[&id, job.lane, &request])?;
        let answer = parsed(&answer)?;
        match answer.get("error") {
            Json::Null => Ok(id),
            error => Err(Error::from_json(error)),
        }
    }

    /// Hands every event to `on_event` until the job ends, and returns its result document, whatever its status.
    /// Gives up with `wait_timeout` when `limit` has passed; the job goes on.
    pub fn follow(&mut self, id: &str, limit: Duration, mut on_event: impl FnMut(&Json)) -> Outcome<Json> {
        let deadline = Instant::now() + limit;
        let stream = format!("asrq:events:{id}");
        let mut last = "0".to_string();
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(BLOCK);
            if left.is_zero() {
                return Err(Error::new("wait_timeout", format!("The job {id} has not ended in time."), true));
            }
            let block = left.as_millis().max(1).to_string();
            let answer = self.call(&[
                b"XREAD",
                b"COUNT",
                b"500",
                b"BLOCK",
                block.as_bytes(),
                b"STREAMS",
                stream.as_bytes(),
                last.as_bytes(),
            ])?;
            let entries = answer.items().first().and_then(|stream| stream.items().get(1)).map_or(&[][..], Value::items);
            let mut ended = entries.is_empty();
            for entry in entries {
                let [entry_id, fields] = entry.items() else { continue };
                last = entry_id.text().unwrap_or(last);
                let event = fields.items().get(1).and_then(Value::text).and_then(|text| Json::parse(&text));
                let event = event.unwrap_or(Json::Null);
                ended |= matches!(event.get("type").text(), Some("completed" | "failed" | "canceled"));
                on_event(&event);
            }
            if ended {
                if let Some(result) = self.result(id)? {
                    return Ok(result);
                }
            }
            if entries.is_empty() && self.call(&[b"HGET", format!("rq:job:{id}").as_bytes(), b"status"])? == Value::Null
            {
                return Err(Error::new("job_not_found", format!("There is no job {id}."), false));
            }
        }
    }

    /// The result document, or `None` while there is none.
    pub fn result(&mut self, id: &str) -> Outcome<Option<Json>> {
        match self.call(&[b"GET", format!("asrq:result:{id}").as_bytes()])? {
            Value::Null => Ok(None),
            value => parsed(&value).map(Some),
        }
    }

    /// Cancels a job. Returns `canceled` (it waited) or `requested` (it runs and will end soon).
    pub fn cancel(&mut self, id: &str) -> Outcome<String> {
        let origin = self.call(&[b"HGET", format!("rq:job:{id}").as_bytes(), b"origin"])?.text();
        let lane = origin.as_deref().and_then(|origin| origin.strip_prefix("asrq-")).unwrap_or("batch");
        let keys = [
            format!("rq:job:{id}"),
            format!("rq:queue:asrq-{lane}"),
            format!("rq:scheduled:asrq-{lane}"),
            format!("rq:canceled:asrq-{lane}"),
            format!("asrq:cancel:{id}"),
            format!("asrq:events:{id}"),
            format!("asrq:result:{id}"),
            "asrq:stats".to_string(),
            format!("asrq:attempts:{id}"),
            format!("asrq:chunks:{id}"),
        ];
        let error = object([
            ("code", "canceled".into()),
            ("message", "Canceled.".into()),
            ("retryable", Json::Bool(false)),
            ("stage", "queue".into()),
        ]);
        let result = object([
            ("schema", "asrq.result/1".into()),
            ("id", id.into()),
            ("status", "canceled".into()),
            ("error", error),
        ]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = object([("type", "canceled".into()), ("at", now.as_secs_f64().into())]);
        let (ttl, expiry) = (KEEP_S.to_string(), (now.as_secs() + KEEP_S).to_string());
        let args = [id, &result.to_string(), &event.to_string(), &ttl, &expiry];
        match self.script(CANCEL, &keys, &args)?.text().as_deref() {
            Some("missing") => Err(Error::new("job_not_found", format!("There is no job {id}."), false)),
            Some("ended") => Err(Error::new("job_state", format!("The job {id} has ended already."), false)),
            verdict => Ok(verdict.unwrap_or_default().to_string()),
        }
    }

    fn script(&mut self, source: &str, keys: &[String], args: &[&str]) -> Outcome<Value> {
        let count = keys.len().to_string();
        let mut parts: Vec<&[u8]> = vec![b"EVAL", source.as_bytes(), count.as_bytes()];
        parts.extend(keys.iter().map(|key| key.as_bytes()));
        parts.extend(args.iter().map(|arg| arg.as_bytes()));
        self.call(&parts)
    }

    /// Sends a command, again and again through an outage: everything that this client sends may be repeated.
    fn call(&mut self, parts: &[&[u8]]) -> Outcome<Value> {
        let give_up = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.try_call(parts) {
                Ok(Value::Error(text)) => Error::refused(&text),
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if !error.retryable || Instant::now() + pause > give_up {
                return Err(error);
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn try_call(&mut self, parts: &[&[u8]]) -> Outcome<Value> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address, ANSWER)
                .map_err(|error| Error::unreachable(&error))?
                .map_err(|refusal| Error::refused(&refusal))?,
        };
        let value = connection.call(parts).map_err(|error| Error::unreachable(&error))?;
        self.connection = Some(connection); // kept only while it is in a known state
        Ok(value)
    }
}

fn parsed(value: &Value) -> Outcome<Json> {
    let document = value.text().and_then(|text| Json::parse(&text));
    document.ok_or_else(|| Error::new("internal", "The server answered with something that is not JSON.", true))
}

/// 128 random bits, from what the standard library seeds its hash maps with, and the time.
fn new_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seeds = [RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish()];
    sha256::hex(format!("{seeds:?} {now:?} {}", std::process::id()).as_bytes())[..32].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_fit() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn unknown_codes_go_by_retryable() {
        let known =
            Error::from_json(&Json::parse(r#"{"code":"queue_full","message":"Full.","retryable":true}"#).unwrap());
        assert_eq!((known.code.as_str(), known.retryable, known.hint.clone()), ("queue_full", true, None));
        assert_eq!(Error::new("new_one", "", true).for_people(), "Something failed that may work later. Try again.");
        assert_eq!(Error::refused("WRONGPASS invalid").code, "queue_auth");
        assert_eq!(Error::refused("LOADING Redis").code, "queue_refused");
    }
}
