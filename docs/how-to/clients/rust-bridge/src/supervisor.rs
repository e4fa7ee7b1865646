//! Keeps a bridge running and sees every request through to its result, however often the bridge has to be started.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bridge::{Bridge, Told};
use crate::json::{object, Json};

const MOST_FAILURES: u32 = 4; // starts in a row that did not get as far as `ready`
const SILENCE: Duration = Duration::from_secs(10); // then it is asked whether it still answers
const PATIENCE: Duration = Duration::from_secs(30); // and then taken for dead; loading answers too

/// What an application hears of.
#[derive(Debug)]
pub enum News {
    Ready(Json),
    Event(String, Json),
    /// The end of a request: an `asrq.result/1` document, completed, failed or canceled.
    Result(String, Json),
    /// The bridge did not accept the request; its error.
    Refused(String, Json),
    /// The bridge died and is started again; so many requests are given to it again.
    Restarted(usize),
}

pub struct Supervisor {
    program: String,
    options: Vec<String>,
    bridge: Option<Bridge>,
    pending: BTreeMap<String, Json>,
    failures: u32,
    heard: Instant,
}

impl Supervisor {
    pub fn new(program: &str, options: &[String]) -> Supervisor {
        Supervisor {
            program: program.to_string(),
            options: options.to_vec(),
            bridge: None,
            pending: BTreeMap::new(),
            failures: 0,
            heard: Instant::now(),
        }
    }

    /// Takes a request, an `asrq.request/1` document with this id; `next` tells what becomes of it.
    pub fn submit(&mut self, id: &str, request: Json) {
        let message = object([("op", "transcribe".into()), ("request", request)]);
        if let Some(bridge) = self.bridge.as_mut() {
            let _ = bridge.send(&message); // if it is gone, the next one gets it
        }
        self.pending.insert(id.to_string(), message);
    }

    /// Requests without a result so far.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Waits for the next news. `Err` holds the error of a bridge that cannot serve, however often it is started.
    pub fn next(&mut self) -> Result<News, Json> {
        loop {
            if self.bridge.is_none() {
                self.start()?;
                if self.failures > 0 {
                    return Ok(News::Restarted(self.pending.len()));
                }
            }
            let Some(bridge) = self.bridge.as_mut() else { continue };
            match bridge.receive(SILENCE) {
                Told::Line(message) => {
                    self.heard = Instant::now();
                    if let Some(news) = self.understand(message)? {
                        return Ok(news);
                    }
                }
                Told::Nothing if self.heard.elapsed() < PATIENCE => {
                    let _ = bridge.send(&object([("op", "ping".into())]));
                }
                Told::Nothing | Told::Ended => {
                    bridge.kill();
                    self.bridge = None;
                    self.failures += 1;
                }
            }
        }
    }

    /// Ends the bridge as a crash would, to see what happens.
    pub fn kill(&mut self) {
        if let Some(bridge) = self.bridge.as_mut() {
            bridge.kill();
        }
    }

    fn start(&mut self) -> Result<(), Json> {
        if self.failures >= MOST_FAILURES {
            return Err(failure("engine_unavailable", "The bridge ends whenever it is started."));
        }
        if self.failures > 1 {
            sleep(Duration::from_secs(1 << (self.failures - 2)));
        }
        let mut bridge = Bridge::start(&self.program, &self.options)
            .map_err(|error| failure("extra_missing", &format!("{} does not start: {error}.", self.program)))?;
        for message in self.pending.values() {
            let _ = bridge.send(message); // if it is gone already, `receive` tells
        }
        self.bridge = Some(bridge);
        self.heard = Instant::now();
        Ok(())
    }

    fn understand(&mut self, message: Json) -> Result<Option<News>, Json> {
        let id = message.get("id").text().unwrap_or("").to_string();
        let error = message.get("error");
        Ok(match message.get("op").text().unwrap_or("") {
            "ready" => {
                self.failures = 0;
                Some(News::Ready(message))
            }
            "event" => Some(News::Event(id, message.get("event").clone())),
            "result" => self.pending.remove(&id).map(|_| News::Result(id, message.get("result").clone())),
            "error" if message.get("fatal").is_true() => return Err(error.clone()),
            // With this code the bridge has the request already, and its result will come.
            "error" if error.get("code").text() == Some("job_conflict") => None,
            "error" => self.pending.remove(&id).map(|_| News::Refused(id, error.clone())),
            _ => None, // loading, pong, and what a later version may say
        })
    }
}

fn failure(code: &str, message: &str) -> Json {
    object([("code", code.into()), ("message", message.into())])
}
