//! One `asrq bridge` process: started, written to, read from, ended.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::json::Json;

const END: Duration = Duration::from_secs(4); // the bridge itself takes less
const LOOK: Duration = Duration::from_millis(20);

/// What came from the bridge.
#[derive(Debug)]
pub enum Told {
    Line(Json),
    Nothing,
    Ended,
}

pub struct Bridge {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Json>,
}

impl Bridge {
    /// Starts the program with `bridge --exit-with-parent` and the options.
    pub fn start(program: &str, options: &[String]) -> io::Result<Bridge> {
        let mut command = Command::new(program);
        command.args(["bridge", "--exit-with-parent"]).args(options);
        // Standard error carries the log: inherited here; a file, or null, in an application without a console.
        // A pipe that nobody reads would stop the bridge once it is full.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        #[cfg(windows)]
        {
            use std::os::windows::process::CommandExt;
            command.creation_flags(0x0800_0000); // CREATE_NO_WINDOW; its children inherit that
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("asked for above");
        let (sender, lines) = channel();
        // A thread that always reads: a bridge whose answers pile up stops reading questions.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Some(message) = Json::parse(&line) else { continue }; // cut off by its death
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Ok(Bridge { child, stdin, lines })
    }

    /// Writes a line. An error means that the bridge is gone, which `receive` will tell as well.
    pub fn send(&mut self, message: &Json) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(format!("{message}\n").as_bytes())?;
        stdin.flush()
    }

    /// Waits for a line, at most so long.
    pub fn receive(&self, timeout: Duration) -> Told {
        match self.lines.recv_timeout(timeout) {
            Ok(message) => Told::Line(message),
            Err(RecvTimeoutError::Timeout) => Told::Nothing,
            Err(RecvTimeoutError::Disconnected) => Told::Ended,
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // fails only where it is gone already
    }
}

impl Drop for Bridge {
    /// Closes its standard input, on which it ends with its children, and does not wait forever.
    fn drop(&mut self) {
        self.stdin = None;
        let deadline = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        self.kill();
        let _ = self.child.wait();
    }
}
