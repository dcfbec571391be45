//! A file with a host a line.
//!
//! ```text
//! # address that proxies use   how its metrics are asked for
//! 10.0.0.1:8000
//! 10.0.0.2:8000                metrics=10.0.0.2:9400 path=/prometheus
//! vllm-3.internal:8000         metrics=https://vllm-3.internal:8443/metrics token-file=/run/token
//! 10.0.0.4:8080                sleeps=300
//! ```

use std::path::{Path, PathBuf};

use ::http::Uri;

use super::dns::{self, Addresses};
use super::{Discovered, DiscoveryError, Host};

/// A line, before names are resolved.
struct Line {
    name: String,
    metrics: Option<String>,
    /// The host without its addresses, which are not known yet.
    host: Host,
}

/// Reads the file and resolves its names.
pub(super) async fn read(path: &Path, addresses: &mut Addresses) -> Discovered {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) => {
            let expected = "expected a file with HOST:PORT a line";
            let problem = DiscoveryError::Read { path: path.to_owned(), source, expected };
            return Discovered { hosts: Vec::new(), problems: vec![problem] };
        }
    };
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let found = line.split('#').next().unwrap_or_default().trim();
        match parse(found) {
            Ok(line) => lines.extend(line),
            Err(expected) => problems.push(DiscoveryError::Line {
                path: path.to_owned(),
                line: number,
                found: found.to_owned(),
                expected,
            }),
        }
    }
    let names = lines.iter().flat_map(|line| [Some(&line.name), line.metrics.as_ref()]).flatten().cloned();
    problems.extend(addresses.resolve(names.collect()).await);
    let hosts = lines.iter().flat_map(|line| line.hosts(addresses)).collect();
    Discovered { hosts, problems }
}

impl Line {
    /// The hosts of a line: one for each address of its name.
    fn hosts(&self, addresses: &Addresses) -> Vec<Host> {
        let metrics = self.metrics.as_deref().map(|name| addresses.of(name).first().copied());
        // Metrics whose name has no address are not looked for at the host itself.
        if metrics == Some(None) {
            return Vec::new();
        }
        let hosts = addresses.of(&self.name).iter().map(|address| {
            let name = self.host.name.clone().or_else(|| dns::host(&self.name, *address).name);
            Host { address: *address, metrics: metrics.flatten(), name, ..self.host.clone() }
        });
        hosts.collect()
    }
}

/// Reads a line; `None` for one without a host. The error says what was expected.
fn parse(line: &str) -> Result<Option<Line>, String> {
    let mut words = line.split_whitespace();
    let Some(name) = words.next() else { return Ok(None) };
    if !has_port(name) {
        return Err("expected HOST:PORT [metrics=HOST:PORT|URL] [path=/PATH] [tls[=NAME]] [token-file=FILE] \
                    [header=NAME:VALUE] [sleeps=SECONDS]"
            .to_owned());
    }
    // The address is that of the name, once it is known.
    let mut host = Host::new(([0, 0, 0, 0], 0).into());
    let mut metrics = None;
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("metrics", at) if at.contains("://") => {
                let url = Url::parse(at)?;
                (host.is_tls, host.name) = (Some(url.is_tls), url.name);
                host.path = url.path.or(host.path);
                metrics = Some(url.authority);
            }
            ("metrics", at) if has_port(at) => {
                host.name = dns::host(at, ([0, 0, 0, 0], 0).into()).name;
                metrics = Some(at.to_owned());
            }
            ("path", at) if is_path(at) => host.path = Some(at.to_owned()),
            ("tls", "") => host.is_tls = Some(true),
            ("tls", name) => (host.is_tls, host.name) = (Some(true), Some(name.to_owned())),
            ("token-file", file) if !file.is_empty() => host.token_file = Some(PathBuf::from(file)),
            ("header", header) => host.headers.push(header.parse()?),
            ("sleeps", seconds) => {
                let seconds = seconds.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
                host.sleeps_after_s = Some(seconds.ok_or("expected sleeps=SECONDS, 1 to 86400")?);
            }
            _ => {
                return Err(format!(
                    "{word:?} makes no sense; expected metrics=HOST:PORT or a URL, path=/PATH, tls or tls=NAME, \
                     token-file=FILE, header=NAME:VALUE, sleeps=SECONDS"
                ));
            }
        }
    }
    Ok(Some(Line { name: name.to_owned(), metrics, host }))
}

fn has_port(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The URL of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Set for the scheme https.
    pub is_tls: bool,
    /// Host and port.
    pub authority: String,
    /// The host's name, if it is no address.
    pub name: Option<String>,
    /// Path and query, if there is one.
    pub path: Option<String>,
}

impl Url {
    /// Reads a URL; without a scheme it is taken for one of http.
    ///
    /// # Errors
    /// A description of valid input.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected http://HOST[:PORT][/PATH] or https://…");
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let host = authority.host();
        let usual = if is_tls { 443 } else { 80 };
        let port = authority.port_u16().or((authority.as_str() == host).then_some(usual)).ok_or_else(wrong)?;
        let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let path = uri.path_and_query().map(ToString::to_string).filter(|path| path != "/");
        Ok(Self { is_tls, authority: format!("{host}:{port}"), name: (!is_address).then(|| host.to_owned()), path })
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn urls_are_read() {
        let url = |text| Url::parse(text).unwrap();
        let named = url("https://a.b/metrics?x=1");
        assert_eq!((named.is_tls, named.authority.as_str()), (true, "a.b:443"));
        assert_eq!((named.name.as_deref(), named.path.as_deref()), (Some("a.b"), Some("/metrics?x=1")));
        let plain = url("127.0.0.1:8000");
        assert_eq!(
            (plain.is_tls, plain.authority.as_str(), plain.name, plain.path),
            (false, "127.0.0.1:8000", None, None)
        );
        assert_eq!(url("http://[::1]:9/").authority, "[::1]:9");
        for wrong in ["", "ftp://a:1", "http://", "http://u:p@a:1", "http://a:b", "a b"] {
            assert!(Url::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
