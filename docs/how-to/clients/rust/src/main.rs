//! `asrq-client FILE [--lang ru]`: sends audio to asrq and prints its text.

use std::process::ExitCode;
use std::time::Duration;

use asrq_client::{Client, Error, Event, Job, Limits, Outcome};

const USAGE: &str = "usage: asrq-client FILE [--lang CODE] [--track N] [--lane interactive|batch] [--wait SECONDS]
       asrq-client --cancel ID
ASRQ_REDIS_URL is the address of Redis (redis://127.0.0.1:6379/0).
When the time to wait is up, the job is canceled.
Exit codes: 0 done, 1 the job failed, 2 usage, 3 Redis out of reach, 4 the time is up.";

struct Arguments {
    file: Option<String>,
    cancel: Option<String>,
    language: String,
    track: Option<u32>,
    lane: String,
    wait: u64,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments {
        file: None,
        cancel: None,
        language: "auto".to_string(),
        track: None,
        lane: "interactive".to_string(),
        wait: 300,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--lang" => found.language = given.next()?,
            "--track" => found.track = Some(given.next()?.parse().ok()?),
            "--lane" => found.lane = given.next()?,
            "--wait" => found.wait = given.next()?.parse().ok()?,
            "--cancel" => found.cancel = Some(given.next()?),
            _ if argument.starts_with('-') || found.file.is_some() => return None,
            _ => found.file = Some(argument),
        }
    }
    (found.file.is_some() != found.cancel.is_some()).then_some(found)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}\n  {} [{}]", error.for_people(), error.message, error.code);
            if let Some(hint) = &error.hint {
                eprintln!("  {hint}");
            }
            ExitCode::from(match error.code.as_str() {
                "invalid_settings" | "invalid_request" => 2,
                "queue_unreachable" | "queue_auth" | "queue_refused" => 3,
                "wait_timeout" => 4,
                _ => 1,
            })
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<String> {
    let url = std::env::var("ASRQ_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379/0".to_string());
    let mut client = Client::new(&url, Limits::default())?;
    if let Some(id) = &arguments.cancel {
        return client.cancel(id);
    }
    let file = arguments.file.as_deref().unwrap_or_default();
    let audio = std::fs::read(file).map_err(|error| Error {
        code: "audio_not_found".to_string(),
        message: format!("Cannot read {file}: {error}."),
        hint: None,
        retryable: false,
    })?;
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let job = Job { lane: &arguments.lane, language: &arguments.language, track: arguments.track, name };
    client.transcribe(&audio, &job, Duration::from_secs(arguments.wait), |id, event| {
        let done = match event {
            Event::Progress { fraction: Some(part), .. } => format!(" {:.0} %", part * 100.0),
            _ => String::new(),
        };
        eprintln!("{id} {}{done}", event.kind());
    })
}
