//! Redis over a TCP socket: RESP2, one command at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An answer of the server. Text is bytes: Redis does not care about encodings.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Value>),
}

impl Value {
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Status(text) => Some(text.clone()),
            Value::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

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
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end_matches("\r\n");
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of Redis");
        let (kind, rest) = line.split_at_checked(1).ok_or_else(malformed)?;
        let number = || rest.parse::<i64>().map_err(|_| malformed());
        Ok(match kind {
            "+" => Value::Status(rest.to_string()),
            "-" => Value::Error(rest.to_string()),
            ":" => Value::Integer(number()?),
            "$" | "*" if number()? < 0 => Value::Null,
            "$" => {
                let mut bytes = vec![0; number()? as usize + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Value::Bulk(bytes)
            }
            "*" => Value::Array((0..number()?).map(|_| self.answer()).collect::<io::Result<_>>()?),
            _ => return Err(malformed()),
        })
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
}
