//! `arecord -q -t raw -f S16_LE -r 16000 -c 1 | cargo run --example dictate`

use std::io::{stdin, Read};
use std::thread::spawn;
use std::time::Duration;

use asrq_client::{Client, Event, Job, Limits, Outcome, Sound};

/// Returns what was said. `microphone` gives 16-bit samples, mono, 16 kHz, until the user has finished.
pub fn dictate(url: &str, mut microphone: impl Read + Send + 'static) -> Outcome<String> {
    let mut client = Client::new(url, Limits::default())?;
    let mut live = client.live(None, &Sound::default(), &Job { language: "en", ..Job::default() })?;
    let id = live.id().to_string();
    spawn(move || {
        let mut sound = [0; 3200]; // a tenth of a second
        while let Ok(length @ 1..) = microphone.read(&mut sound) {
            live.append(&sound[..length])?;
        }
        live.end()
    });
    client.text(&id, Duration::from_secs(3600), |event| match event {
        Event::Partial { text, .. } => eprint!("\r{text}"),
        Event::Chunk { text, .. } => eprintln!("\r{text}"),
        _ => {}
    })
}

fn main() {
    let url = std::env::var("ASRQ_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379/0".to_string());
    match dictate(&url, stdin()) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("{error}"),
    }
}
