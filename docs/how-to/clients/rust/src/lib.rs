//! A client of asrq for desktop applications: audio in, text out, through Redis. Standard library only; copy it.
//!
//! ```no_run
//! use asrq_client::{Client, Event, Job, Limits};
//! use std::time::Duration;
//!
//! let mut client = Client::new("redis://127.0.0.1:6379/0", Limits::default())?;
//! let recording = std::fs::read("clip.ogg").unwrap();
//! let job = Job { language: "ru", name: "clip.ogg", ..Job::default() };
//! let said = client.transcribe(&recording, &job, Duration::from_secs(60), |_id, event| match event {
//!     Event::Progress { fraction: Some(part), .. } => println!("{:.0} %", part * 100.0),
//!     Event::Chunk { text, .. } => println!("… {text}"),
//!     _ => {}
//! });
//! match said {
//!     Ok(text) => println!("{text}"),
//!     Err(error) => println!("{}", error.for_people()),
//! }
//! # Ok::<(), asrq_client::Error>(())
//! ```
//!
//! # Parts
//!
//! | module | |
//! |---|---|
//! | [`client`] | the protocol as methods: upload, submit, follow, cancel, or all of it as [`Client::transcribe`] |
//! | [`error`] | every error code, and a sentence for people for each |
//! | [`live`] | sound that is handed over while it is recorded: [`Client::live`] |
//! | [`event`] | what happens to a job |
//! | [`resp`], [`json`], [`sha256`] | Redis' wire format, JSON and hashing; take your own libraries if you have them |
//!
//! # When things go wrong
//!
//! * **Time.** Each answer has a limit ([`Limits::answer`]), and so has the wait for the end of a job. When that is over,
//!   [`Client::transcribe`] cancels the job; [`Client::follow`] leaves it running, and it may be followed again at any time.
//! * **Outages.** Every command is sent again, with growing pauses, for as long as [`Limits::outage`] or, while it follows a job,
//!   [`Limits::following`] allows. What the client sends may be repeated without harm. Following goes on after
//!   the last event seen: none is missed, none comes twice.
//! * **Cancelling.** A client serves one thread. To cancel while one thread follows, clone it: the clone has a connection of
//!   its own.
//! * **Errors** are decided by [`Error::code`]; codes that this version does not know go by [`Error::retryable`].
//!
//! # TLS
//!
//! The standard library has none. Wrap the stream in [`resp::Connection`] with a TLS library, or run the application's end
//! of a tunnel (stunnel, SSH, WireGuard).

#![deny(missing_docs)]

pub mod client;
pub mod error;
pub mod event;
pub mod json;
pub mod live;
pub mod resp;
pub mod sha256;

pub use client::{Client, Job, Limits};
pub use error::{Error, Outcome};
pub use event::Event;
pub use live::{Live, Sound};
