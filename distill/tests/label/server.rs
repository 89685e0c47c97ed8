//! A chat model's server of our own, over real sockets, which answers as a test says.
#![allow(dead_code)] // each test program uses its part

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
    /// How many came before, and how many of them with the same messages and sample.
    pub before: usize,
    pub same_before: usize,
    pub at: Instant,
}

impl Request {
    /// The text between the marks of the last message.
    pub fn document(&self) -> &str {
        let content = self.question();
        let (_, rest) = content.split_once(" ===\n").unwrap();
        rest.split_once("\n=== END ").unwrap().0
    }

    /// The last message.
    pub fn question(&self) -> &str {
        self.body["messages"].as_array().unwrap().last().unwrap()["content"]
            .as_str()
            .unwrap()
    }

    /// What a resumed run must not send twice.
    pub fn asked(&self) -> String {
        self.body.to_string()
    }
}

/// What the server does with a request.
pub enum Act {
    /// Status, further headers, Content-Type and body, as HTTP wants it.
    Reply(u16, Vec<(&'static str, String)>, &'static str, Vec<u8>),
    /// The same after a time.
    Late(Duration, Box<Act>),
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// So many bytes of blanks as an answer.
    Endless(usize),
    /// Nothing for so long, then the end of the connection.
    Hang(Duration),
}

/// A good completion.
pub fn answer(content: &str) -> Act {
    completion(
        json!({"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}),
    )
}

/// A completion with this choice.
pub fn completion(choice: Value) -> Act {
    let body = json!({"id": "x", "object": "chat.completion", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 20}});
    json_body(200, body)
}

pub fn json_body(status: u16, body: Value) -> Act {
    Act::Reply(
        status,
        Vec::new(),
        "application/json",
        body.to_string().into_bytes(),
    )
}

type Script = dyn Fn(&Request) -> Act + Send + Sync;

/// A running server; its threads end with the process.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn new(script: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Server {
        Server::start(script, None)
    }

    /// With TLS.
    pub fn secure(
        config: rustls::ServerConfig,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Server {
        Server::start(script, Some(Arc::new(config)))
    }

    fn start(
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log, tls) = (Arc::clone(&script), Arc::clone(&log), tls.clone());
                std::thread::spawn(move || {
                    // A client that was killed, or does not trust us, is no failure of the server.
                    let _ = match tls {
                        None => serve(stream, &*script, &log),
                        Some(config) => {
                            let connection = rustls::ServerConnection::new(config).unwrap();
                            serve(rustls::StreamOwned::new(connection, stream), &*script, &log)
                        }
                    };
                });
            }
        });
        Server { address, seen }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets them.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

/// Requests of one connection, one after another.
fn serve(
    stream: impl Read + Write,
    script: &Script,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|l| l.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let request = {
            let mut seen = log.lock().unwrap();
            let request = Request {
                target,
                headers,
                before: seen.len(),
                same_before: seen.iter().filter(|r| r.body == body).count(),
                body,
                at: Instant::now(),
            };
            seen.push(request.clone());
            request
        };
        if !act(script(&request), stream.get_mut())? {
            return Ok(());
        }
    }
}

/// Whether the connection goes on.
fn act(act: Act, stream: &mut impl Write) -> std::io::Result<bool> {
    match act {
        Act::Late(time, then) => {
            std::thread::sleep(time);
            self::act(*then, stream)
        }
        Act::Reply(status, headers, kind, body) => {
            let headers: String = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            write!(
                stream,
                "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{headers}\r\n",
                body.len()
            )?;
            stream.write_all(&body)?;
            stream.flush()?;
            Ok(true)
        }
        Act::Bytes(bytes) => {
            stream.write_all(&bytes)?;
            stream.flush()?;
            Ok(false)
        }
        Act::Endless(length) => {
            write!(
                stream,
                "HTTP/1.1 200 x\r\ncontent-type: application/json\r\n\r\n"
            )?;
            let blanks = [b' '; 1 << 16];
            for _ in 0..length / blanks.len() {
                stream.write_all(&blanks)?;
            }
            Ok(false)
        }
        Act::Hang(time) => {
            std::thread::sleep(time);
            Ok(false)
        }
    }
}
