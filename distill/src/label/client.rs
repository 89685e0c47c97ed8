//! One request to the endpoint and what came of it.
//!
//! Nothing that a server says gets into a message: it may quote the document.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Proxy};

use crate::error::{Error, Result};

use super::settings::Endpoint;

/// Bytes of the longest answer that is read: 4096 tokens with 20 alternatives each are about 10 MB.
const LONGEST: u64 = 32 << 20;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole address.
    pub url: String,
    /// Host and port, for people.
    pub host: String,
    /// The connection is encrypted.
    pub secure: bool,
    /// The host is this machine.
    pub loopback: bool,
}

impl Address {
    /// From everything before `/chat/completions`.
    ///
    /// # Errors
    /// Why it is no address of a server.
    pub fn parse(base_url: &str) -> std::result::Result<Address, String> {
        let wanted = "give an address such as \"http://127.0.0.1:8000/v1\"";
        let uri: Uri = base_url
            .parse()
            .map_err(|_| format!("this is no address; {wanted}"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => {
                return Err(format!(
                    "the address must begin with http:// or https://; {wanted}"
                ));
            }
        };
        let authority = uri.authority().filter(|a| !a.host().is_empty());
        let authority = authority.ok_or(format!("the address names no host; {wanted}"))?;
        if authority.as_str().contains('@') {
            return Err("the address holds a user's name; give a key in the variable that `api_key_env` names".to_owned());
        }
        if uri.query().is_some() {
            return Err(
                "the address holds a query (`?`); further fields belong into [endpoint.extra]"
                    .to_owned(),
            );
        }
        let bare = authority.host().trim_matches(['[', ']']);
        let loopback = match bare.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            // The name is a promise that the system's own table may break.
            Err(_) => bare.eq_ignore_ascii_case("localhost") && resolves_to_loopback(bare),
        };
        Ok(Address {
            url: format!("{}/chat/completions", base_url.trim_end_matches('/')),
            host: authority.as_str().to_owned(),
            secure,
            loopback,
        })
    }
}

fn resolves_to_loopback(name: &str) -> bool {
    let found = (name, 0).to_socket_addrs();
    found.is_ok_and(|mut all| all.all(|a| a.ip().to_canonical().is_loopback()))
}

/// Why a request brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later, not before so long.
    Later(String, Option<Duration>),
    /// This document cannot be asked about like this.
    Never(String),
    /// No document can.
    Everything(String),
}

impl Failure {
    /// For people.
    pub fn why(&self) -> &str {
        match self {
            Failure::Later(why, _) | Failure::Never(why) | Failure::Everything(why) => why,
        }
    }
}

/// What a server said that is neither an answer nor for a message; its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal(pub Vec<u8>);

impl Refusal {
    /// Bytes that are kept.
    const LONGEST: usize = 64 << 10;

    fn new(mut said: Vec<u8>) -> Refusal {
        said.truncate(Refusal::LONGEST);
        Refusal(said)
    }
}

/// The connection to one endpoint. (Not `Debug`: it holds the key.)
pub struct Client {
    agent: Agent,
    url: String,
    authorization: Option<String>,
    timeout: Duration,
    proxy: Option<String>,
}

impl Client {
    /// Reads the key and prepares connections; nothing is sent.
    ///
    /// # Errors
    /// [`Error::Environment`]: the variable with the key is not set, or holds no key.
    pub fn new(endpoint: &Endpoint, address: &Address) -> Result<Client> {
        let authorization = endpoint.api_key_env.as_deref().map(key).transpose()?;
        let timeout = Duration::from_secs_f64(endpoint.timeout_seconds);
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build();
        // What stays on this machine does not pass through another one.
        let proxy = if address.loopback {
            None
        } else {
            Proxy::try_from_env()
        };
        let via = proxy.as_ref().map(|p| format!("{}:{}", p.host(), p.port()));
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            .https_only(address.secure)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs_f64(endpoint.connect_seconds)))
            .timeout_global(Some(timeout))
            .max_idle_connections(endpoint.parallel)
            .max_idle_connections_per_host(endpoint.parallel)
            .user_agent(concat!("distill/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Client {
            agent: config.new_agent(),
            url: address.url.clone(),
            authorization,
            timeout,
            proxy: via,
        })
    }

    /// The proxy that requests pass through.
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// Sends a body of JSON; the body of the response, which is JSON by its own account.
    ///
    /// # Errors
    /// Why there is none, and what the server said instead.
    pub fn post(&self, body: &[u8]) -> std::result::Result<Vec<u8>, (Failure, Refusal)> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json");
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        let nothing = |failure| (failure, Refusal::default());
        let response = request.send(body);
        let mut response = response.map_err(|e| nothing(self.failure(&e)))?;
        let status = response.status().as_u16();
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let after = header("retry-after").and_then(|v| wait(&v, SystemTime::now()));
        let kind = header("content-type").unwrap_or_default();
        let read = response
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_vec();
        if status != 200 {
            return Err((
                refused(status, after),
                Refusal::new(read.unwrap_or_default()),
            ));
        }
        let body = read.map_err(|e| nothing(self.failure(&e)))?;
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if kind == "application/json" {
            return Ok(body);
        }
        let why = "the answer is no JSON by its Content-Type; something else than the model's server may be answering";
        Err((Failure::Later(why.to_owned(), None), Refusal::new(body)))
    }

    fn failure(&self, error: &ureq::Error) -> Failure {
        let later = |why: String| Failure::Later(why, None);
        match error {
            ureq::Error::Timeout(_) => later(format!(
                "no whole answer within {} s",
                self.timeout.as_secs_f64()
            )),
            ureq::Error::Io(e) => match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>())
            {
                Some(e) => tls(e),
                None => later(format!("the connection failed ({})", e.kind())),
            },
            ureq::Error::Rustls(e) => tls(e),
            ureq::Error::HostNotFound => later("the host's name is not known".to_owned()),
            ureq::Error::BodyExceedsLimit(_) => {
                later(format!("the answer is longer than {} MiB", LONGEST >> 20))
            }
            ureq::Error::ConnectProxyFailed(_) => later("the proxy does not connect".to_owned()),
            // The others name what is wrong with the protocol, not what was sent.
            _ => later("the server does not speak HTTP as it should".to_owned()),
        }
    }
}

fn tls(error: &rustls::Error) -> Failure {
    Failure::Everything(format!(
        "TLS: {error}; the system's root certificates decide (SSL_CERT_FILE names others)"
    ))
}

/// The value of the `Authorization` header.
fn key(variable: &str) -> Result<String> {
    let fail = |why: &str| {
        Error::Environment(format!(
            "the environment variable {variable}, which `api_key_env` names, {why}"
        ))
    };
    let key = std::env::var(variable).map_err(|_| fail("is not set"))?;
    let key = key.trim();
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(fail("holds no key (printable ASCII without blanks)"));
    }
    Ok(format!("Bearer {key}"))
}

/// What a status other than 200 means.
fn refused(status: u16, after: Option<Duration>) -> Failure {
    match status {
        300..=399 => Failure::Everything(format!(
            "the server sends us elsewhere (status {status}), which is not followed; give the final address as base_url"
        )),
        401 | 403 => Failure::Everything(format!(
            "the server wants another key (status {status}); see api_key_env"
        )),
        404 | 405 => Failure::Everything(format!(
            "the server does not know the address or the model (status {status}); base_url usually ends in /v1"
        )),
        408 | 425 | 429 | 500.. => {
            Failure::Later(format!("the server answered with status {status}"), after)
        }
        _ => Failure::Never(format!(
            "the server refused the request (status {status}): the text may be too long for the model, or a field unknown to the server"
        )),
    }
}

/// Seconds, or a date.
fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, loopback) in [
            ("127.0.0.1:8000", true),
            ("127.8.9.1", true),
            ("[::1]:8000", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost", true),
            ("0.0.0.0:8000", false),
            ("192.168.1.7", false),
            ("10.0.0.1", false),
            ("127.0.0.1.example.org", false),
            ("localhost.example.org", false),
            ("2130706433", false),
            ("0x7f.1", false),
        ] {
            let address = Address::parse(&format!("http://{host}/v1")).unwrap();
            assert_eq!(address.loopback, loopback, "{host}");
        }
        for bad in [
            "127.0.0.1:8000",
            "ftp://127.0.0.1",
            "http://",
            "http://127.0.0.1@example.org/v1",
            "http://127.0.0.1/v1?key=1",
            "x y",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        let address = Address::parse("https://[::1]:8443/v1/").unwrap();
        assert_eq!(address.url, "https://[::1]:8443/v1/chat/completions");
        assert_eq!(
            (address.host.as_str(), address.secure),
            ("[::1]:8443", true)
        );
    }

    #[test]
    fn a_server_may_say_how_long_to_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
        assert_eq!(wait("7", now), Some(Duration::from_secs(7)));
        assert_eq!(wait(" 0.5 ", now), Some(Duration::from_millis(500)));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(5))
        );
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:49:00 GMT", now),
            Some(Duration::ZERO)
        );
        for bad in ["-1", "soon", "", "NaN", "1e300"] {
            assert_eq!(wait(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn what_cannot_help_is_not_tried_again() {
        assert!(matches!(refused(307, None), Failure::Everything(_)));
        assert!(matches!(refused(401, None), Failure::Everything(_)));
        assert!(matches!(refused(404, None), Failure::Everything(_)));
        assert!(matches!(refused(400, None), Failure::Never(_)));
        assert!(matches!(refused(204, None), Failure::Never(_)));
        for status in [408, 429, 500, 502, 503, 529] {
            assert!(matches!(refused(status, None), Failure::Later(..)));
        }
    }
}
