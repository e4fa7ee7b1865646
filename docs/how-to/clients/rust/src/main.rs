//! `asrq-client FILE [--lang ru]`: sends audio to asrq and prints its text; `asrq-client --live`: sound while it is recorded.

use std::io::Read;
use std::process::ExitCode;
use std::thread::spawn;
use std::time::Duration;

use asrq_client::{Client, Error, Event, Job, Limits, Live, Outcome, Sound};

const USAGE: &str = "usage: asrq-client FILE [--lang CODE] [--track N] [--lane interactive|batch] [--wait SECONDS]
       asrq-client --live [--id ID] [--lang CODE] [--wait SECONDS]
       asrq-client --cancel ID
ASRQ_REDIS_URL is the address of Redis (redis://127.0.0.1:6379/0).
--live takes 16-bit samples at 16 kHz, mono, from standard input; a recording with the same id goes on where it was.
When the time to wait is up, the job is canceled.
Exit codes: 0 done, 1 the job failed, 2 usage, 3 Redis out of reach, 4 the time is up.";
const ENDED: [&str; 2] = ["job_state", "job_not_found"];

struct Arguments {
    file: Option<String>,
    cancel: Option<String>,
    live: bool,
    id: Option<String>,
    language: String,
    track: Option<u32>,
    lane: String,
    wait: u64,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments {
        file: None,
        cancel: None,
        live: false,
        id: None,
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
            "--live" => found.live = true,
            "--id" => found.id = Some(given.next()?),
            "--cancel" => found.cancel = Some(given.next()?),
            _ if argument.starts_with('-') || found.file.is_some() => return None,
            _ => found.file = Some(argument),
        }
    }
    let asked = [found.file.is_some(), found.cancel.is_some(), found.live];
    (asked.into_iter().filter(|&one| one).count() == 1).then_some(found)
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
                "queue_unreachable" | "queue_auth" | "queue_refused" | "queue_unusable" => 3,
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
    let limit = Duration::from_secs(arguments.wait);
    if arguments.live {
        let job = Job { lane: &arguments.lane, language: &arguments.language, ..Job::default() };
        let live = client.live(arguments.id.as_deref(), &Sound::default(), &job)?;
        let id = live.id().to_string();
        spawn(|| record(live));
        return client.text(&id, limit, |event| show(&id, event));
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
    client.transcribe(&audio, &job, limit, show)
}

/// Until there is no more to read, or the job takes no more: how a job ends is told to the one who follows it.
fn record(mut live: Live) {
    let (mut sound, mut outcome) = ([0; 1 << 16], Ok(()));
    while let Ok(length @ 1..) = std::io::stdin().read(&mut sound) {
        outcome = live.append(&sound[..length]);
        if outcome.is_err() {
            break;
        }
    }
    if outcome.as_ref().map_or_else(|error| error.code == "audio_too_long", |()| true) {
        outcome = live.end();
    }
    match outcome {
        Err(error) if !ENDED.contains(&error.code.as_str()) => eprintln!("{error}"),
        _ => {}
    }
}

fn show(id: &str, event: &Event) {
    let more = match event {
        Event::Progress { fraction: Some(part), .. } => format!(" {:.0} %", part * 100.0),
        Event::Chunk { text, .. } => format!(" {text}"),
        _ => String::new(),
    };
    eprintln!("{id} {}{more}", event.kind());
}
