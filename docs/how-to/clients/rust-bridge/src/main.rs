//! `asrq-bridge-client FILE…`: transcribes files through a warm `asrq bridge` that it keeps running.

mod bridge;
#[allow(dead_code)] // shared with the example client of the queue; copy the file into a program of your own
#[path = "../../rust/src/json.rs"]
mod json;
mod supervisor;

use std::path::absolute;
use std::process::ExitCode;

use json::{object, Json};
use supervisor::{News, Supervisor};

const USAGE: &str = "usage: asrq-bridge-client [--program PATH] [--option TEXT]... [--kill-once] FILE...
--program is asrq itself; each --option is passed on to asrq bridge, as in --option --model --option base.
--kill-once ends the bridge when the first file has begun, to show that nothing is lost.
Exit codes: 0 done, 1 a file failed, 2 usage, 3 the bridge cannot serve.";

struct Arguments {
    program: String,
    options: Vec<String>,
    kill_once: bool,
    files: Vec<String>,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { program: "asrq".to_string(), options: Vec::new(), kill_once: false, files: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--program" => found.program = given.next()?,
            "--option" => found.options.push(given.next()?),
            "--kill-once" => found.kill_once = true,
            _ if argument.starts_with('-') => return None,
            _ => found.files.push(argument),
        }
    }
    (!found.files.is_empty()).then_some(found)
}

fn request(id: &str, file: &str) -> Json {
    let path = absolute(file).map_or(file.to_string(), |path| path.to_string_lossy().into_owned());
    object([
        ("schema", "asrq.request/1".into()),
        ("id", id.into()),
        ("lane", "interactive".into()),
        ("audio", object([("kind", "path".into()), ("path", path.as_str().into())])),
    ])
}

fn complain(about: &str, error: &Json) {
    let text = |name| error.get(name).text().unwrap_or("");
    eprintln!("{about}: {} [{}]", text("message"), text("code"));
    if !text("hint").is_empty() {
        eprintln!("  {}", text("hint"));
    }
}

fn main() -> ExitCode {
    let Some(mut arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut supervisor = Supervisor::new(&arguments.program, &arguments.options);
    let name = |id: &str| id.parse::<usize>().map_or(id.to_string(), |index| arguments.files[index].clone());
    for (index, file) in arguments.files.iter().enumerate() {
        supervisor.submit(&index.to_string(), request(&index.to_string(), file));
    }
    let mut failed = false;
    while supervisor.pending() > 0 {
        match supervisor.next() {
            Err(error) => {
                complain("asrq bridge", &error);
                return ExitCode::from(3);
            }
            Ok(News::Ready(message)) => {
                let text = |name| message.get(name).text().unwrap_or("?");
                let load_s = message.get("load_s").number().unwrap_or(0.0);
                eprintln!(
                    "ready: {} {} on {}, loaded in {load_s:.1} s",
                    text("backend"),
                    text("model"),
                    text("device")
                );
            }
            Ok(News::Restarted(again)) => eprintln!("the bridge died; started again with {again} request(s)"),
            Ok(News::Event(id, event)) => {
                let kind = event.get("type").text().unwrap_or("?");
                let done =
                    event.get("fraction").number().map_or(String::new(), |part| format!(" {:.0} %", part * 100.0));
                eprintln!("{}: {kind}{done}", name(&id));
                if kind == "started" && std::mem::take(&mut arguments.kill_once) {
                    supervisor.kill();
                }
            }
            Ok(News::Refused(id, error)) => {
                complain(&name(&id), &error);
                failed = true;
            }
            Ok(News::Result(id, result)) => match (result.get("status").text(), result.get("text").text()) {
                (Some("completed"), Some(text)) => println!("{}: {}", name(&id), text.trim()),
                _ => {
                    complain(&name(&id), result.get("error"));
                    failed = true;
                }
            },
        }
    }
    ExitCode::from(u8::from(failed))
}
