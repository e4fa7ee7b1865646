//! What can go wrong, and what to tell people about it.

use std::fmt;

use crate::json::Json;

/// What went wrong, in the protocol's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// Decide by this; docs/reference/errors.md lists all.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What to do, where there is something.
    pub hint: Option<String>,
    /// Whether trying again may help.
    pub retryable: bool,
}

impl Error {
    pub(crate) fn new(code: &str, message: impl Into<String>, retryable: bool) -> Error {
        Error { code: code.into(), message: message.into(), hint: None, retryable }
    }

    /// From the form that errors have in answers, events and results.
    pub fn from_json(error: &Json) -> Error {
        Error {
            code: error.get("code").text().unwrap_or("error").to_string(),
            message: error.get("message").text().unwrap_or("The job failed.").to_string(),
            hint: error.get("hint").text().map(str::to_string),
            retryable: error.get("retryable").is_true(),
        }
    }

    /// An error answer of Redis itself.
    pub(crate) fn refused(text: &str) -> Error {
        match text.split(' ').next().unwrap_or("") {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Error::new("queue_auth", text, false),
            "LOADING" | "READONLY" | "OOM" | "MASTERDOWN" | "BUSY" | "MISCONF" | "NOREPLICAS" | "TRYAGAIN"
            | "CLUSTERDOWN" => Error::new("queue_refused", text, true),
            "ERR" if text.starts_with("ERR max number of clients") => Error::new("queue_refused", text, true),
            _ => Error::new("queue_unusable", text, false), // the same command will be refused again
        }
    }

    pub(crate) fn unreachable(error: &std::io::Error) -> Error {
        Error::new("queue_unreachable", format!("Redis does not answer: {error}."), true)
    }

    /// One sentence for the person at the screen: what to do, without the machine's words.
    pub fn for_people(&self) -> &'static str {
        match self.code.as_str() {
            "audio_empty" => "The recording is empty. Check the microphone and record again.",
            "audio_unreadable" => "This file cannot be played. Choose another, or convert it.",
            "no_audio_stream" => "This file holds no sound.",
            "too_many_channels" => "This recording has too many channels. Save it in stereo.",
            "delivery_failed" | "delivery_refused" => "The text could not be sent to its address. It is in the result.",
            "audio_too_large" => "This file is too large. Send it compressed, for example as opus or mp3.",
            "audio_too_long" | "no_room" => "This recording is too long. Cut it into parts.",
            "audio_not_found" => "The file is not there any more.",
            "path_not_allowed" | "url_not_allowed" => "The server may not read from there. Send the file itself.",
            "fetch_failed" => "The address could not be read. Try again later.",
            "poisoned" => "This recording makes the recogniser fail each time. Please report it.",
            "unknown_language" => "This language is not known.",
            "unsupported_option" | "not_served" => "The server cannot do this with its model. Choose other options.",
            "deadline_exceeded" => "It took longer than allowed. Allow more time, or send less at once.",
            "expired" => "The server was too busy to take it in time. Try again.",
            "canceled" => "Canceled.",
            "blob_missing" | "audio_mismatch" => "The upload was lost. Send the recording again.",
            "job_conflict" | "job_not_found" | "job_state" => "The server does not have this job (any more).",
            "queue_unreachable" => "The server cannot be reached. Check the network and the address.",
            "queue_refused" => "The server is starting or out of memory. Try again in a moment.",
            "queue_full" => "The server has too much to do. Try again in a moment.",
            "too_fast" => "The sound came faster than the server takes it. Try again in a moment.",
            "wait_timeout" => "It takes longer than you wanted to wait.",
            "queue_auth" => "The server refuses this user or password. Check the settings.",
            "model_missing" | "model_invalid" | "device_unavailable" | "extra_missing" | "invalid_settings"
            | "in_use" | "storage_unusable" | "server_refused" | "queue_unusable" => {
                "The server is not set up for this. Ask its operator."
            }
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

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{} [{}]", self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// What methods return.
pub type Outcome<T> = Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_codes_go_by_retryable() {
        let known =
            Error::from_json(&Json::parse(r#"{"code":"queue_full","message":"Full.","retryable":true}"#).unwrap());
        assert_eq!((known.code.as_str(), known.retryable, known.hint.clone()), ("queue_full", true, None));
        assert_eq!(Error::new("new_one", "", true).for_people(), "Something failed that may work later. Try again.");
        assert_eq!(Error::refused("WRONGPASS invalid").code, "queue_auth");
        assert_eq!(Error::refused("LOADING Redis").code, "queue_refused");
        assert!(Error::refused("LOADING Redis").retryable && !Error::refused("ERR unknown command").retryable);
        assert_eq!(Error::refused("WRONGTYPE Operation against a key").code, "queue_unusable");
    }
}
