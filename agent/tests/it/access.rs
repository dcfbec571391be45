//! Hosts that want TLS, a token, a header, another path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use evenkeel_agent::access::Access;
use evenkeel_agent::check;
use evenkeel_agent::discovery::Host;
use evenkeel_agent::engines::Rules;
use evenkeel_agent::scrape::ScrapeOptions;
use evenkeel_agent::tls;

use crate::servers::{answering, host, ok, request};

const PAGE: &str = "vllm:num_requests_running 3\nvllm:num_requests_waiting 1\n";

/// Checks a host as the command does.
fn checked(host: &Host, access: Access) -> check::Report {
    let options = ScrapeOptions { access, ..ScrapeOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check::host(host, &options, &Rules::default(), std::time::Duration::ZERO))
}

#[track_caller]
fn assert_read(report: &check::Report) {
    assert!(report.is_usable && report.text.contains(" 3  vllm:num_requests_running"), "{}", report.text);
}

#[track_caller]
fn assert_refused(report: &check::Report, expected: &str) {
    let words = report.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!report.is_usable && words.contains(expected), "{}", report.text);
}

/// Serves metrics over TLS with a certificate for `localhost`; its authority is written to a file.
fn tls_server(authority: &Path) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(authority, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let Ok(mut connection) = rustls::ServerConnection::new(Arc::clone(&config)) else { continue };
            let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
            let mut request = [0; 4096];
            while matches!(stream.read(&mut request), Ok(1..)) && stream.write_all(&ok(PAGE)).is_ok() {}
        }
    });
    address
}

#[test]
fn tls_is_spoken_with_whom_the_authority_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    let address = tls_server(&authority);
    let access = || Access { tls: tls::connector(Some(&authority)).ok(), is_tls: true, ..Access::default() };
    let named = Host { name: Some("localhost".to_owned()), ..Host::new(address) };
    assert_read(&checked(&named, access()));
    // The certificate is not for an address.
    assert_refused(&checked(&Host::new(address), access()), "for another name in the certificate tls=NAME");
    // The system does not know the authority.
    let system = Access { tls: tls::connector(None).ok(), ..access() };
    assert_refused(&checked(&named, system), "TLS");
    // Without TLS the answer is no HTTP.
    let plain = Access { is_tls: false, ..access() };
    assert_refused(&checked(&named, plain), "Nothing usable");
    std::fs::write(&authority, "no certificate").unwrap();
    assert!(tls::connector(Some(&authority)).is_err());
}

#[test]
fn tokens_and_headers_are_sent() {
    let guarded = host(|mut stream, _| {
        while let Some(request) = request(&mut stream) {
            let has = |line: &str| request.lines().any(|found| found.eq_ignore_ascii_case(line));
            let allowed = has("Authorization: Bearer abc") && has("X-Tenant: 7");
            let denied = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno".to_vec();
            if stream.write_all(&if allowed { ok(PAGE) } else { denied }).is_err() {
                return;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "abc\n").unwrap();
    let headers = vec!["X-Tenant: 7".parse().unwrap()];
    let access = Access { token_file: Some(token.clone()), headers: headers.clone(), ..Access::default() };
    assert_read(&checked(&Host::new(guarded), access));
    let own = Host { token_file: Some(token), headers, ..Host::new(guarded) };
    assert_read(&checked(&own, Access::default()));
    assert_refused(&checked(&Host::new(guarded), Access::default()), "status 401 (no); give --bearer-token-file FILE");
    let missing = Access { token_file: Some(folder.path().join("none")), ..Access::default() };
    assert_refused(&checked(&Host::new(guarded), missing), "bearer token");
}

#[test]
fn redirections_on_the_same_server_are_followed() {
    let moved = |to: String| format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let same = host(move |mut stream, _| {
        while let Some(request) = request(&mut stream) {
            let answer =
                if request.starts_with("GET /metrics/ ") { ok(PAGE) } else { moved("/metrics/".to_owned()).into() };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    let report = checked(&Host::new(same), Access::default());
    assert_read(&report);
    assert!(report.text.contains("/metrics/\n"), "{}", report.text);
    // A token is not carried elsewhere, and nobody is sent round for ever.
    let elsewhere = answering(moved(format!("http://{same}/metrics/")).into());
    assert_refused(&checked(&Host::new(elsewhere), Access::default()), "which is not followed");
    let round = answering(moved("/metrics".to_owned()).into());
    assert_refused(&checked(&Host::new(round), Access::default()), "redirected");
}

#[test]
fn paths_of_the_engines_are_found() {
    for (path, page) in
        [("/prometheus/metrics", "trtllm_num_requests_running 3\n"), ("/v1/metrics", "num_requests_running 3\n")]
    {
        let elsewhere = host(move |mut stream, _| {
            while let Some(request) = request(&mut stream) {
                let answer = match request.split(' ').nth(1) {
                    Some(asked) if asked == path => ok(page),
                    // trtllm-serve has statistics in JSON there.
                    Some("/metrics") if path.starts_with("/prom") => ok("[{\"iter\": 3, \"numActiveRequests\": 1}]"),
                    _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
                };
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
        });
        let report = checked(&Host::new(elsewhere), Access::default());
        assert!(report.is_usable && report.text.starts_with(&format!("http://{elsewhere}{path}\n")), "{}", report.text);
        // A path that was given is kept to.
        let given = Host { path: Some("/other".to_owned()), ..Host::new(elsewhere) };
        assert_refused(&checked(&given, Access::default()), "status 404; nothing is served there: give path=/PATH");
    }
}
