//! The protocol of asrq (docs/reference/protocol.md) as methods: upload, submit, follow, cancel; `live` has dictation.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Outcome};
use crate::event::Event;
use crate::json::{object, Json};
use crate::resp::{Address, Connection, Value};
use crate::sha256;

// In a program of your own, keep copies of these files, and of that of `live`, beside the source.
const SUBMIT: &str = include_str!("../../../../../jobs/asrq_jobs/lua/submit.lua");
const CANCEL: &str = include_str!("../../../../../jobs/asrq_jobs/lua/cancel.lua");

const KEEP_S: u64 = 86_400;
const LONGEST_BLOCK: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Options of a job; `..Job::default()` gives the usual ones.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// `interactive` (dictation, served first) or `batch` (files).
    pub lane: &'a str,
    /// ISO 639-1 code, or `auto` to detect.
    pub language: &'a str,
    /// Number of the audio track, from 1; `None` for the one that the worker chooses.
    pub track: Option<u32>,
    /// What people call the recording.
    pub name: &'a str,
}

impl Default for Job<'_> {
    fn default() -> Self {
        Job { lane: "interactive", language: "auto", track: None, name: "recording" }
    }
}

/// How long a client waits for the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection, and for one answer.
    pub answer: Duration,
    /// For the end of an outage, when somebody has just pressed a button.
    pub outage: Duration,
    /// For the end of an outage while a job is followed: the job goes on meanwhile.
    pub following: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { answer: Duration::from_secs(5), outage: Duration::from_secs(3), following: Duration::from_secs(30) }
    }
}

/// A client for one thread; connects when first needed and again after an outage.
pub struct Client {
    address: Address,
    pub(crate) limits: Limits,
    connection: Option<Connection>,
}

/// Another client of the same server, with a connection of its own: for another thread.
impl Clone for Client {
    fn clone(&self) -> Self {
        Client { address: self.address.clone(), limits: self.limits.clone(), connection: None }
    }
}

impl Client {
    /// Nothing is sent yet; `invalid_settings` if the URL is not one of Redis.
    pub fn new(url: &str, limits: Limits) -> Outcome<Client> {
        let address = Address::parse(url).map_err(|message| Error::new("invalid_settings", message, false))?;
        Ok(Client { address, limits, connection: None })
    }

    /// Uploads, submits and follows, and returns the text. `on_event` gets the job's id, too, to cancel it from elsewhere.
    /// When `limit` has passed, or the server stays away, the job is canceled, if that is still possible.
    pub fn transcribe(
        &mut self,
        audio: &[u8],
        job: &Job,
        limit: Duration,
        mut on_event: impl FnMut(&str, &Event),
    ) -> Outcome<String> {
        let deadline = Instant::now() + limit;
        let digest = self.upload(audio)?;
        let id = self.submit(&digest, audio.len(), job)?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.text(&id, left, |event| on_event(&id, event))
    }

    /// Follows a job and returns its text. When `limit` has passed, or the server stays away, the job is canceled, if that
    /// is still possible.
    pub fn text(&mut self, id: &str, limit: Duration, on_event: impl FnMut(&Event)) -> Outcome<String> {
        match self.follow(id, limit, on_event) {
            Ok(result) => text_of(&result),
            Err(error) => {
                if error.retryable {
                    let _ = self.cancel(id); // what went wrong before is what counts
                }
                Err(error)
            }
        }
    }

    /// Stores the bytes and returns their SHA-256.
    pub fn upload(&mut self, audio: &[u8]) -> Outcome<String> {
        if audio.is_empty() {
            return Err(Error::new("audio_empty", "The audio has 0 bytes.", false));
        }
        let digest = sha256::hex(audio);
        let (key, ttl) = (format!("asrq:blob:{digest}"), KEEP_S.to_string());
        // Also where there is something already: it is the same, or wrong.
        self.call(&[b"SET", key.as_bytes(), audio, b"EX", ttl.as_bytes()])?;
        Ok(digest)
    }

    /// Submits a job for uploaded audio and returns its id. A connection that drops meanwhile makes no second job.
    pub fn submit(&mut self, digest: &str, bytes: usize, job: &Job) -> Outcome<String> {
        let audio = object([
            ("kind", "blob".into()),
            ("sha256", digest.into()),
            ("bytes", (bytes as f64).into()),
            ("name", job.name.into()),
        ]);
        let id = new_id();
        self.submit_request(&id, audio, digest, job)?;
        Ok(id)
    }

    /// Returns whether there was no such job before. `blob` is the SHA-256 of uploaded audio, or `none`.
    pub(crate) fn submit_request(&mut self, id: &str, audio: Json, blob: &str, job: &Job) -> Outcome<bool> {
        let mut request = object([
            ("schema", "asrq.request/1".into()),
            ("id", id.into()),
            ("lane", job.lane.into()),
            ("audio", audio),
            ("language", job.language.into()),
        ]);
        if let (Json::Object(fields), Some(number)) = (&mut request, job.track) {
            fields.push(("track".to_string(), f64::from(number).into()));
        }
        let request = request.to_string();
        let keys = [
            format!("rq:job:{id}"),
            format!("rq:queue:asrq-{}", job.lane),
            "rq:queues".to_string(),
            format!("asrq:events:{id}"),
            format!("asrq:result:{id}"),
            "asrq:limits".to_string(),
            format!("asrq:blob:{blob}"),
        ];
        let args = [id, job.lane, &request].map(str::as_bytes);
        let give_up = Instant::now() + self.limits.outage;
        accepted(&self.script(give_up, "asrq_submit", SUBMIT, &keys, &args)?)
            .map(|answer| answer.get("created").is_true())
    }

    /// Hands every event to `on_event` until the job ends, and returns its result document, whatever its status.
    /// Gives up with `wait_timeout` when `limit` has passed; the job goes on.
    pub fn follow(&mut self, id: &str, limit: Duration, mut on_event: impl FnMut(&Event)) -> Outcome<Json> {
        let deadline = Instant::now() + limit;
        let longest_block = LONGEST_BLOCK.min(self.limits.answer / 2); // waiting must not look like an outage
        let (stream, result, job) = (format!("asrq:events:{id}"), format!("asrq:result:{id}"), format!("rq:job:{id}"));
        let mut last = "0".to_string();
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(longest_block);
            if left.is_zero() {
                return Err(Error::new("wait_timeout", format!("The job {id} has not ended in time."), true));
            }
            let give_up = (Instant::now() + self.limits.following).min(deadline);
            let block = left.as_millis().max(1).to_string();
            let read = ["XREAD", "COUNT", "500", "BLOCK", &block, "STREAMS", &stream, &last];
            let answer = self.call_until(give_up, &read.map(str::as_bytes))?;
            let entries = answer.items().first().and_then(|stream| stream.items().get(1)).map_or(&[][..], Value::items);
            let mut ended = entries.is_empty();
            for entry in entries {
                let [entry_id, fields] = entry.items() else { continue };
                last = entry_id.text().unwrap_or(last);
                let event = Event::from_json(&fields.items().get(1).map_or(Ok(Json::Null), parsed)?);
                ended |= event.is_terminal();
                on_event(&event);
            }
            // Before the result is looked for: they are written in one step, so that one is there by then.
            let standing = match entries {
                [] => self.call_until(give_up, &[b"HMGET", job.as_bytes(), b"status", b"worker_name"])?,
                _ => Value::Null,
            };
            // The result says that it is over: a job that somebody retried by hand has lost its own.
            if ended {
                match self.call_until(give_up, &[b"GET", result.as_bytes()])? {
                    Value::Null => {}
                    document => return parsed(&document),
                }
            }
            if let Some(error) = without_result(id, &standing) {
                return Err(error);
            }
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
        let clock = self.call(&[b"TIME"])?; // ours may be wrong
        let now: u64 = clock.items().first().and_then(Value::text).and_then(|s| s.parse().ok()).unwrap_or_default();
        let event = object([("type", "canceled".into()), ("at", (now as f64).into())]);
        let (ttl, expiry) = (KEEP_S.to_string(), (now + KEEP_S).to_string());
        let (result, event) = (result.to_string(), event.to_string());
        let args = [id, &result, &event, &ttl, &expiry].map(str::as_bytes);
        let give_up = Instant::now() + self.limits.outage;
        match self.script(give_up, "asrq_cancel", CANCEL, &keys, &args)?.text().as_deref() {
            Some("missing") => Err(Error::new("job_not_found", format!("There is no job {id}."), false)),
            Some("ended") => Err(Error::new("job_state", format!("The job {id} has ended already."), false)),
            verdict => Ok(verdict.unwrap_or_default().to_string()),
        }
    }

    /// Calls the function that workers have loaded or, where there is none (before Redis 7, before the first worker), sends
    /// its source.
    pub(crate) fn script(
        &mut self,
        give_up: Instant,
        name: &str,
        source: &str,
        keys: &[String],
        args: &[&[u8]],
    ) -> Outcome<Value> {
        let count = keys.len().to_string();
        let mut parts: Vec<&[u8]> = vec![b"FCALL", name.as_bytes(), count.as_bytes()];
        parts.extend(keys.iter().map(|key| key.as_bytes()));
        parts.extend(args);
        match self.call_until(give_up, &parts) {
            Err(error) if error.message.contains("unknown command") || error.message.contains("Function not found") => {
                parts[..2].copy_from_slice(&[b"EVAL", source.as_bytes()]);
                self.call_until(give_up, &parts)
            }
            answer => answer,
        }
    }

    fn call(&mut self, parts: &[&[u8]]) -> Outcome<Value> {
        self.call_until(Instant::now() + self.limits.outage, parts)
    }

    /// Sends a command, again and again through an outage: everything that this client sends may be repeated.
    fn call_until(&mut self, give_up: Instant, parts: &[&[u8]]) -> Outcome<Value> {
        let mut pause = FIRST_PAUSE;
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
            None => Connection::open(&self.address, self.limits.answer)
                .map_err(|error| Error::unreachable(&error))?
                .map_err(|refusal| Error::refused(&refusal))?,
        };
        let value = connection.call(parts).map_err(|error| Error::unreachable(&error))?;
        self.connection = Some(connection); // kept only while it is in a known state
        Ok(value)
    }
}

/// Whether a job that has no result will get none, by its status and worker.
fn without_result(id: &str, standing: &Value) -> Option<Error> {
    let [status, worker] = standing.items() else { return None };
    let held = worker.text().is_some_and(|name| !name.is_empty());
    match status.text().as_deref() {
        // RQ's own tools leave no result. One that runs they cancel in name only: it ends as usual.
        Some("canceled" | "stopped") if !held => {
            Some(Error::new("canceled", format!("The job {id} was canceled."), false))
        }
        None => Some(Error::new("job_not_found", format!("There is no job {id}."), false)),
        Some("finished" | "failed") => {
            Some(Error::new("job_not_found", format!("The result of {id} has expired."), false))
        }
        _ => None,
    }
}

/// The text of a result document, or why there is none.
pub fn text_of(result: &Json) -> Outcome<String> {
    match (result.get("status").text(), result.get("text").text()) {
        (Some("completed"), Some(text)) => Ok(text.trim().to_string()),
        _ => Err(Error::from_json(result.get("error"))),
    }
}

pub(crate) fn parsed(value: &Value) -> Outcome<Json> {
    let document = value.text().and_then(|text| Json::parse(&text));
    document.ok_or_else(|| Error::new("internal", "The server answered with something that is not JSON.", true))
}

/// The answer of a script, unless it has refused.
fn accepted(value: &Value) -> Outcome<Json> {
    let answer = parsed(value)?;
    match answer.get("error") {
        Json::Null => Ok(answer),
        error => Err(Error::from_json(error)),
    }
}

/// 128 random bits, from what the standard library seeds its hash maps with, and the time.
pub(crate) fn new_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seeds = [RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish()];
    sha256::hex(format!("{seeds:?} {now:?} {}", std::process::id()).as_bytes())[..32].to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::spawn;

    use super::*;

    #[test]
    fn ids_differ_and_fit() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn texts() {
        let result = |text| text_of(&Json::parse(text).unwrap());
        assert_eq!(result(r#"{"status":"completed","text":" Привет. "}"#), Ok("Привет.".to_string()));
        let failed = r#"{"status":"failed","text":null,"error":{"code":"poisoned","message":"It died."}}"#;
        assert_eq!(result(failed).unwrap_err().code, "poisoned");
        assert_eq!(result("7").unwrap_err().code, "error");
    }

    /// A server that gives each connection one canned answer to whatever comes, then hangs up or, at the last, is silent.
    fn server(answers: &'static [&'static [u8]]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut command = [0; 4096];
                assert!(stream.read(&mut command).unwrap() > 0); // the greeting
                stream.write_all(b"+PONG\r\n").unwrap();
                assert!(stream.read(&mut command).unwrap() > 0);
                stream.write_all(answer).unwrap();
            }
            let _silent = listener.accept();
            std::thread::park();
        });
        format!("redis://127.0.0.1:{port}")
    }

    fn client(url: &str, outage_ms: u64) -> Client {
        let brief = Duration::from_millis(200);
        let outage = Duration::from_millis(outage_ms);
        Client::new(url, Limits { answer: brief, outage, following: outage }).unwrap()
    }

    #[test]
    fn what_is_no_answer_is_asked_again_on_a_new_connection() {
        let url = server(&[b"", b"HTTP/1.1 400\r\n", b"$5\r\nab", b"+OK\r\n"]);
        assert_eq!(client(&url, 5000).upload(b"sound").unwrap(), sha256::hex(b"sound"));
    }

    #[test]
    fn patience_has_an_end() {
        let silent = server(&[]);
        assert_eq!(client(&silent, 0).upload(b"sound").unwrap_err().code, "queue_unreachable");
        let refusing = server(&[b"-NOPERM no\r\n"]);
        assert_eq!(client(&refusing, 60_000).cancel("a").unwrap_err().code, "queue_auth");
        let nonsense = server(&[b"$2\r\n[}\r\n"]);
        assert_eq!(client(&nonsense, 0).submit("digest", 1, &Job::default()).unwrap_err().code, "internal");
    }
}
