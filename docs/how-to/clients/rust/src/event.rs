//! What happens to a job, as its stream tells it.

use crate::error::Error;
use crate::json::Json;

/// An entry of the stream. Fields that a worker left out are `None`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It waits in its lane, with `depth` jobs up to and including it.
    Queued {
        /// Jobs in the lane when it came.
        depth: Option<u64>,
    },
    /// A worker has it.
    Started {
        /// Counts from 1.
        attempt: u64,
    },
    /// It moves.
    Progress {
        /// `fetch`, `decode` or `inference`.
        stage: String,
        /// 0 to 1.
        fraction: Option<f64>,
    },
    /// The text of one stretch, to show while the rest is still to come; stretches may come out of order.
    Chunk {
        /// Seconds from the start of the audio.
        start: f64,
        /// Seconds from the start of the audio.
        end: f64,
        /// What was said.
        text: String,
    },
    /// What is being said in a live job; it replaces the one before, and a chunk replaces it.
    Partial {
        /// Seconds from the start of the audio.
        start: f64,
        /// What was heard since then.
        text: String,
        /// How many of its characters will not change.
        stable: usize,
    },
    /// This attempt failed; the job goes on by itself.
    Retrying {
        /// Seconds until the next attempt.
        delay_s: f64,
        /// Why.
        error: Error,
    },
    /// It is done, and so is its result.
    Completed,
    /// It failed for good.
    Failed(Error),
    /// Somebody canceled it.
    Canceled,
    /// A type that this version does not know.
    Other(String),
}

impl Event {
    /// From the JSON of an entry; whatever it is, it is some event.
    pub fn from_json(event: &Json) -> Event {
        let number = |name| event.get(name).number();
        let text = |name| event.get(name).text().unwrap_or_default().to_string();
        let error = || Error::from_json(event.get("error"));
        match event.get("type").text().unwrap_or_default() {
            "queued" => Event::Queued { depth: number("depth").map(|depth| depth as u64) },
            "started" => Event::Started { attempt: number("attempt").unwrap_or(1.0) as u64 },
            "progress" => Event::Progress { stage: text("stage"), fraction: number("fraction") },
            "chunk" => Event::Chunk {
                start: number("start").unwrap_or_default(),
                end: number("end").unwrap_or_default(),
                text: text("text"),
            },
            "partial" => Event::Partial {
                start: number("start").unwrap_or_default(),
                text: text("text"),
                stable: number("stable").unwrap_or_default() as usize,
            },
            "retrying" => Event::Retrying { delay_s: number("delay_s").unwrap_or_default(), error: error() },
            "completed" => Event::Completed,
            "failed" => Event::Failed(error()),
            "canceled" => Event::Canceled,
            other => Event::Other(other.to_string()),
        }
    }

    /// Whether nothing follows, unless the job is retried by hand.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Event::Completed | Event::Failed(_) | Event::Canceled)
    }

    /// The protocol's word for it.
    pub fn kind(&self) -> &str {
        match self {
            Event::Queued { .. } => "queued",
            Event::Started { .. } => "started",
            Event::Progress { .. } => "progress",
            Event::Chunk { .. } => "chunk",
            Event::Partial { .. } => "partial",
            Event::Retrying { .. } => "retrying",
            Event::Completed => "completed",
            Event::Failed(_) => "failed",
            Event::Canceled => "canceled",
            Event::Other(kind) => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        Event::from_json(&Json::parse(text).unwrap())
    }

    #[test]
    fn each_type_keeps_its_name() {
        for kind in
            ["queued", "started", "progress", "partial", "chunk", "retrying", "completed", "failed", "canceled", "new"]
        {
            let known = event(&format!(r#"{{"type":"{kind}","at":1}}"#));
            assert_eq!(known.kind(), kind);
            assert_eq!(known.is_terminal(), matches!(kind, "completed" | "failed" | "canceled"));
        }
    }

    #[test]
    fn fields() {
        let chunk = event(r#"{"type":"chunk","start":0.5,"end":2,"text":"Привет"}"#);
        assert_eq!(chunk, Event::Chunk { start: 0.5, end: 2.0, text: "Привет".to_string() });
        let failed = event(r#"{"type":"failed","error":{"code":"poisoned","message":"It died."}}"#);
        assert!(matches!(failed, Event::Failed(error) if error.code == "poisoned"));
    }

    #[test]
    fn nonsense_is_an_event_too() {
        for text in ["null", "7", "[]", "{}", r#"{"type":7}"#] {
            assert_eq!(event(text), Event::Other(String::new()));
        }
        let odd = event(r#"{"type":"queued","depth":-1e300}"#);
        assert_eq!(odd, Event::Queued { depth: Some(0) });
    }
}
