//! What is work of the service and what is not, and which rows are asked for.

use crate::{DataError, Reason};
use std::str::FromStr;

/// Which rows that are no work are taken in all the same.
///
/// Written as `failures,probes`; `all` takes in everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "four independent switches")]
pub struct Include {
    /// Failed requests.
    pub failures: bool,
    /// Health checks and the like.
    pub probes: bool,
    /// TCP sessions, `WebSockets` and whatever else is not a request and its answer.
    pub protocols: bool,
    /// Answers without tokens where others have them.
    pub no_tokens: bool,
}

impl Include {
    /// Nothing.
    pub const NONE: Self = Self { failures: false, probes: false, protocols: false, no_tokens: false };

    /// Whether rows that would be left out for `reason` are taken in.
    pub fn has(self, reason: Reason) -> bool {
        match reason {
            Reason::Failure => self.failures,
            Reason::Probe => self.probes,
            Reason::Protocol => self.protocols,
            Reason::NoTokens => self.no_tokens,
            Reason::NotAskedFor => false,
        }
    }
}

impl FromStr for Include {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let mut include = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "failures" => include.failures = true,
                "probes" => include.probes = true,
                "protocols" => include.protocols = true,
                "no-tokens" => include.no_tokens = true,
                "all" => include = Self { failures: true, probes: true, protocols: true, no_tokens: true },
                other => {
                    return Err(DataError::Option {
                        option: "include",
                        found: other.to_owned(),
                        expected: "words out of failures, probes, protocols, no-tokens, all, with commas between them",
                    });
                }
            }
        }
        Ok(include)
    }
}

/// Which rows are wanted: those that agree with every condition.
///
/// Written as `status=2xx,method=POST,path=/v1/*,protocol=HTTP/1.1`. A condition with several
/// values between bars (`method=GET|POST`) holds when one of them does; `*` at the end of a value
/// stands for anything, and `x` in a status for any digit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Where {
    pub(crate) status: Vec<String>,
    pub(crate) method: Vec<String>,
    pub(crate) path: Vec<String>,
    pub(crate) protocol: Vec<String>,
}

impl FromStr for Where {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let mut wanted = Self::default();
        for condition in text.split(',') {
            let wrong = || DataError::Option {
                option: "where",
                found: condition.to_owned(),
                expected: "conditions on status, method, path, protocol, such as status=2xx,path=/v1/*",
            };
            let (name, values) = condition.split_once('=').ok_or_else(wrong)?;
            let list = match name.trim() {
                "status" => &mut wanted.status,
                "method" => &mut wanted.method,
                "path" => &mut wanted.path,
                "protocol" => &mut wanted.protocol,
                _ => return Err(wrong()),
            };
            list.extend(values.split('|').map(|value| value.trim().to_owned()));
        }
        Ok(wanted)
    }
}

impl Where {
    /// No condition.
    pub const ANYTHING: Self = Self { status: Vec::new(), method: Vec::new(), path: Vec::new(), protocol: Vec::new() };

    /// Whether everything is wanted.
    pub fn is_empty(&self) -> bool {
        self.named().next().is_none()
    }

    /// The names of the fields that conditions are on.
    pub(crate) fn named(&self) -> impl Iterator<Item = &'static str> {
        let lists =
            [("status", &self.status), ("method", &self.method), ("path", &self.path), ("protocol", &self.protocol)];
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| name)
    }

    fn wants(&self, seen: &Seen<'_>) -> bool {
        let any = |list: &[String], found: &[u8], is_like: fn(&str, &[u8]) -> bool| {
            list.is_empty() || list.iter().any(|value| is_like(value, found))
        };
        any(&self.status, seen.status, is_like_status)
            && any(&self.method, seen.method, is_like)
            && any(&self.path, seen.path, is_like)
            && any(&self.protocol, seen.protocol, is_like)
    }
}

fn is_like(pattern: &str, found: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => found.len() >= prefix.len() && found[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes()),
        None => found.eq_ignore_ascii_case(pattern.as_bytes()),
    }
}

fn is_like_status(pattern: &str, found: &[u8]) -> bool {
    pattern.len() == found.len() && pattern.bytes().zip(found).all(|(p, &f)| p == b'x' || p == b'X' || p == f)
}

/// What a row shows about being work; empty where it does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen<'a> {
    pub(crate) status: &'a [u8],
    pub(crate) method: &'a [u8],
    /// Without the query.
    pub(crate) path: &'a [u8],
    pub(crate) protocol: &'a [u8],
    pub(crate) agent: &'a [u8],
    /// Whether the row has a field for the protocol, filled in or not.
    pub(crate) has_protocol: bool,
    /// A message of failure, or the mark of a cancelled request.
    pub(crate) failed: bool,
}

impl<'a> Seen<'a> {
    /// Takes method, path and protocol from a request line: `POST /v1/completions HTTP/1.1`.
    pub(crate) fn with_request_line(self, line: &'a [u8]) -> Self {
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let [method, path, protocol] = [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
        let first = |given: &'a [u8], found: &'a [u8]| if given.is_empty() && found != b"-" { found } else { given };
        Self {
            method: first(self.method, method),
            path: first(self.path, path),
            protocol: first(self.protocol, protocol),
            has_protocol: true,
            ..self
        }
    }

    /// The path without the query and without scheme and host.
    pub(crate) fn with_plain_path(self) -> Self {
        let path = self.path;
        let path = match path.strip_prefix(b"http://").or_else(|| path.strip_prefix(b"https://")) {
            Some(rest) => &rest[memchr::memchr(b'/', rest).unwrap_or(rest.len())..],
            None => path,
        };
        Self { path: &path[..memchr::memchr2(b'?', b'#', path).unwrap_or(path.len())], ..self }
    }

    /// Why the row is to be left out; `None` where it is work that is asked for.
    pub(crate) fn verdict(&self, include: Include, wanted: &Where) -> Option<Reason> {
        if !wanted.is_empty() && !wanted.wants(self) {
            return Some(Reason::NotAskedFor);
        }
        self.reason().filter(|&reason| !include.has(reason))
    }

    fn reason(&self) -> Option<Reason> {
        let is_session = self.status == b"101" || self.method == b"CONNECT";
        let is_tcp = self.has_protocol && self.protocol.is_empty() && matches!(self.status, b"" | b"0");
        if is_session || is_tcp {
            return Some(Reason::Protocol);
        }
        if is_probe(self.path) || is_prober(self.agent) || self.method == b"OPTIONS" {
            return Some(Reason::Probe);
        }
        let is_error = match self.status {
            b"" => false,
            &[b'2' | b'3', b, c] => !(b.is_ascii_digit() && c.is_ascii_digit()),
            status => status.iter().all(u8::is_ascii_digit),
        };
        (is_error || self.failed).then_some(Reason::Failure)
    }

    /// Whether the path is one at which language models answer.
    pub(crate) fn is_inference_path(&self) -> bool {
        let path = self.path;
        let has = |needle: &[u8]| memchr::memmem::find(path, needle).is_some();
        let is_v1 = path.starts_with(b"/v1/") || has(b"/openai/") || has(b"/v1/chat/") || has(b"/v1/completions");
        is_v1
            || path.ends_with(b"/completions")
            || path.ends_with(b"/generate")
            || path.ends_with(b"/generate_stream")
            || path.ends_with(b"/messages")
            || path == b"/api/chat"
    }

    /// What shows why the row was left out.
    pub(crate) fn sample(&self) -> String {
        let text = [("status", self.status), ("method", self.method), ("path", self.path), ("protocol", self.protocol)];
        let text = text.iter().filter(|(_, value)| !value.is_empty());
        let text: Vec<String> =
            text.map(|(name, value)| format!("{name} {}", crate::input::quoted(value).replace('`', ""))).collect();
        text.join(", ")
    }
}

/// Paths that are asked for to see whether a service lives, or what it measures.
fn is_probe(path: &[u8]) -> bool {
    const LAST: [&[u8]; 24] = [
        b"health",
        b"healthz",
        b"health_check",
        b"healthcheck",
        b"health_generate",
        b"live",
        b"livez",
        b"liveness",
        b"ready",
        b"readyz",
        b"readiness",
        b"alive",
        b"startup",
        b"startupz",
        b"ping",
        b"status",
        b"metrics",
        b"stub_status",
        b"nginx_status",
        b"version",
        b"server_info",
        b"get_server_info",
        b"favicon.ico",
        b"robots.txt",
    ];
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = memchr::memrchr(b'/', path).map_or(&b""[..], |at| &path[at + 1..]);
    let is_models = path.ends_with(b"/v1/models") || path == b"/get_model_info" || path == b"/v1/model/info";
    LAST.iter().any(|probe| last.eq_ignore_ascii_case(probe)) || path.starts_with(b"/health/") || is_models
}

/// User agents of probes and scrapers.
fn is_prober(agent: &[u8]) -> bool {
    const PROBERS: [&[u8]; 8] = [
        b"kube-probe/",
        b"ELB-HealthChecker/",
        b"GoogleHC/",
        b"Envoy/HC",
        b"Prometheus/",
        b"Consul Health Check",
        b"HAProxy",
        b"Uptime-Kuma/",
    ];
    PROBERS.iter().any(|prober| agent.starts_with(prober))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: &str, line: &str) -> Option<Reason> {
        let seen = Seen { status: status.as_bytes(), ..Seen::default() };
        seen.with_request_line(line.as_bytes()).with_plain_path().verdict(Include::default(), &Where::default())
    }

    #[test]
    fn what_is_no_work_is_known_by_its_signs() {
        assert_eq!(reason("200", "POST /v1/completions HTTP/1.1"), None);
        assert_eq!(reason("304", "GET /index.html HTTP/1.1"), None);
        for status in ["502", "499", "429", "0", "000"] {
            assert_eq!(reason(status, "POST /v1/completions HTTP/1.1"), Some(Reason::Failure), "{status}");
        }
        for path in ["/health", "/healthz?full=1", "/v2/health/ready", "/metrics", "/v1/models", "/api/readyz/"] {
            assert_eq!(reason("200", &format!("GET {path} HTTP/1.1")), Some(Reason::Probe), "{path}");
        }
        assert_eq!(reason("0", "- - -"), Some(Reason::Protocol));
        assert_eq!(reason("101", "GET /ws HTTP/1.1"), Some(Reason::Protocol));
        assert_eq!(reason("", ""), Some(Reason::Protocol));
    }

    #[test]
    fn conditions_are_met_or_not() {
        let seen = Seen { status: b"201", ..Seen::default() }.with_request_line(b"POST /v1/chat/completions HTTP/2");
        let verdict = |text: &str| seen.verdict(Include::default(), &text.parse().unwrap());
        assert_eq!(verdict("status=2xx,method=post,path=/v1/*,protocol=HTTP/*"), None);
        assert_eq!(verdict("method=GET|POST"), None);
        for other in ["status=200", "status=20", "path=/v1", "protocol=HTTP/1.1", "method=GET"] {
            assert_eq!(verdict(other), Some(Reason::NotAskedFor), "{other}");
        }
        assert!("size=3".parse::<Where>().is_err() && "path".parse::<Where>().is_err());
        assert!("failures,bots".parse::<Include>().is_err());
        assert!("failures,probes".parse::<Include>().unwrap().has(Reason::Probe));
    }
}
