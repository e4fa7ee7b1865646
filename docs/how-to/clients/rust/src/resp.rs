//! Redis over a TCP socket: RESP2, one command at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An answer of the server. Text is bytes: Redis does not care about encodings.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing there, or nothing in time.
    Null,
    /// `OK` and the like.
    Status(String),
    /// The server refuses; the first word says why.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
}

impl Value {
    /// The text of a status or of bytes.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Status(text) => Some(text.clone()),
            Value::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }
}

/// Where Redis is: `redis://[[user]:password@]host[:port][/database]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
}

impl Address {
    /// `Err` says what is wrong with the URL, without quoting its password.
    pub fn parse(url: &str) -> Result<Address, String> {
        let rest = url
            .strip_prefix("redis://")
            .ok_or("The address of Redis must start with redis:// (for rediss:// wrap the socket in a TLS library).")?;
        let (rest, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (place, "6379"),
        };
        Ok(Address {
            host: host.trim_matches(['[', ']']).to_string(),
            port: port.parse().map_err(|_| format!("{port:?} is not a port."))?,
            user: percent_decoded(user),
            password: percent_decoded(password),
            database: database.split('?').next().unwrap_or("").to_string(),
        })
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A connection; after an `Err` it is in no known state and must be dropped.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, logs in and selects the database. `timeout` limits this and every later answer.
    /// The inner `Err` is the server's refusal (`WRONGPASS …`).
    pub fn open(address: &Address, timeout: Duration) -> io::Result<Result<Connection, String>> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for target in (address.host.as_str(), address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&target, timeout) {
                Ok(stream) => return Connection::greet(stream, address, timeout),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn greet(stream: TcpStream, address: &Address, timeout: Duration) -> io::Result<Result<Connection, String>> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let mut connection = Connection { stream: BufReader::new(stream) };
        let mut hello: Vec<Vec<&str>> = Vec::new();
        match (address.user.as_str(), address.password.as_str()) {
            ("", "") => {}
            ("", password) => hello.push(vec!["AUTH", password]),
            (user, password) => hello.push(vec!["AUTH", user, password]),
        }
        if !matches!(address.database.as_str(), "" | "0") {
            hello.push(vec!["SELECT", &address.database]);
        }
        hello.push(vec!["PING"]); // a server that wants a password says so here
        for command in hello {
            let parts: Vec<&[u8]> = command.iter().map(|part| part.as_bytes()).collect();
            if let Value::Error(refusal) = connection.call(&parts)? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(connection))
    }

    /// Sends one command and reads its answer.
    pub fn call(&mut self, parts: &[&[u8]]) -> io::Result<Value> {
        let mut message = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            message.extend(format!("${}\r\n", part.len()).as_bytes());
            message.extend(*part);
            message.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&message)?;
        answer(&mut self.stream, 0)
    }
}

const LONGEST_LINE: u64 = 64 * 1024;
const LONGEST_BULK: u64 = 512 * 1024 * 1024; // Redis' own limit
const DEEPEST: usize = 16;

/// Reads one answer. Memory grows with what arrives, not with what is announced.
fn answer(stream: &mut impl BufRead, depth: usize) -> io::Result<Value> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of Redis");
    let mut line = String::new();
    if stream.take(LONGEST_LINE).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.strip_suffix("\r\n").ok_or_else(malformed)?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(malformed)?;
    let count = || rest.parse::<u64>().map_err(|_| malformed());
    match kind {
        "+" => Ok(Value::Status(rest.to_string())),
        "-" => Ok(Value::Error(rest.to_string())),
        ":" => rest.parse().map(Value::Integer).map_err(|_| malformed()),
        "$" | "*" if rest == "-1" => Ok(Value::Null),
        "$" if count()? <= LONGEST_BULK => {
            let mut bytes = Vec::new();
            stream.take(count()? + 2).read_to_end(&mut bytes)?;
            let whole = bytes.len() as u64 == count()? + 2 && bytes.ends_with(b"\r\n");
            bytes.truncate(bytes.len().saturating_sub(2));
            whole.then_some(Value::Bulk(bytes)).ok_or_else(malformed)
        }
        "*" if depth < DEEPEST => {
            (0..count()?).map(|_| answer(stream, depth + 1)).collect::<io::Result<_>>().map(Value::Array)
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let plain = Address::parse("redis://127.0.0.1:16379/2").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.database.as_str()), ("127.0.0.1", 16379, "2"));
        let login = Address::parse("redis://app:p%40ss:w%C3%B6rd@example.org").unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str(), login.port), ("app", "p@ss:wörd", 6379));
        assert_eq!(Address::parse("redis://[::1]").unwrap().host, "::1");
        assert_eq!(Address::parse("redis://[::1]:7000/").unwrap().port, 7000);
        assert!(Address::parse("http://x").is_err());
        assert!(Address::parse("redis://x:port").is_err());
    }

    #[test]
    fn answers() {
        let read = |bytes: &[u8]| answer(&mut &bytes[..], 0).unwrap();
        assert_eq!(read(b"+OK\r\n"), Value::Status("OK".to_string()));
        assert_eq!(read(b"-ERR no\r\n"), Value::Error("ERR no".to_string()));
        assert_eq!(read(b":-7\r\n"), Value::Integer(-7));
        assert_eq!(read(b"$-1\r\n"), Value::Null);
        assert_eq!(read(b"$4\r\na\r\nb\r\n"), Value::Bulk(b"a\r\nb".to_vec()));
        let nested = Value::Array(vec![Value::Array(vec![]), Value::Null, Value::Bulk(vec![])]);
        assert_eq!(read(b"*3\r\n*0\r\n*-1\r\n$0\r\n\r\n"), nested);
    }

    #[test]
    fn hostile_answers_are_errors_and_cost_no_memory() {
        let deep = b"*1\r\n".repeat(100_000);
        let endless = b"+".repeat(1_000_000);
        for bytes in [
            &b""[..],
            b"\r\n",
            b"+OK",
            b"?\r\n",
            b"\xff\xff\r\n",
            b":\r\n",
            b":9999999999999999999\r\n",
            b"$-2\r\n",
            b"$5\r\nab\r\n",
            b"$2\r\nabcd",
            b"$536870912\r\nab",
            b"$536870913\r\n",
            b"$99999999999999999999\r\n",
            b"*18446744073709551615\r\n:1\r\n",
            b"*2\r\n:1\r\n",
            &deep,
            &endless,
        ] {
            assert!(answer(&mut &bytes[..], 0).is_err(), "{:?}", &bytes[..bytes.len().min(20)]);
        }
    }
}
