//! The page and what it asks for.
//!
//! ```text
//! GET  /                              the page
//! GET  /state                         everything that it draws, JSON
//! POST /hosts/3/slow?factor=4         to host 3 of both sides; likewise crash, restart, heal
//! ```

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use super::Side;
use super::foresight::Foresight;
use super::recorder::{self, FIGURES};
use super::verdict::Verdict;
use crate::compare::Setting;
use crate::emulator::admin;

const PAGE: &str = include_str!("page.html");

/// Answers whoever looks, for ever. To be called within a `LocalSet`.
pub async fn serve(listener: TcpListener, sides: Rc<[Side; 2]>, demand: Rc<RefCell<Foresight>>, about: Rc<Value>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (sides, demand, about) = (Rc::clone(&sides), Rc::clone(&demand), Rc::clone(&about));
        spawn_local(async move {
            let service = hyper::service::service_fn(|request: Request<Incoming>| {
                let response = answer(&sides, &demand.borrow(), &about, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A browser that breaks off is no news.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What the page tells of the setting.
pub fn about(setting: &Setting) -> Value {
    json!({
        "trace": setting.trace.name,
        "load": setting.load,
        "time_scale": setting.time_scale,
        "axis": recorder::axis(),
    })
}

fn answer(sides: &[Side; 2], demand: &Foresight, about: &Value, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    let (status, kind, body) = match (request.method(), path.as_slice()) {
        (&Method::GET, [""]) => (StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
        (&Method::GET, ["state"]) => (StatusCode::OK, "application/json", state(sides, demand, about).to_string()),
        (&Method::POST, ["hosts", host, command]) => {
            let query = request.uri().query();
            let results = sides.iter().map(|side| admin::run(side.hosts.servers(), host, command, query).map(|_| ()));
            match results.collect::<Result<(), String>>() {
                Ok(()) => (StatusCode::OK, "application/json", "{}".to_owned()),
                Err(error) => (StatusCode::BAD_REQUEST, "application/json", json!({"error": error}).to_string()),
            }
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "there is nothing here".to_owned()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn state(sides: &[Side; 2], demand: &Foresight, about: &Value) -> Value {
    let verdicts = verdicts(sides).map(Verdict::json);
    let comparison: Map<String, Value> = FIGURES.iter().map(|name| (*name).to_owned()).zip(verdicts).collect();
    let sides = sides.each_ref().map(|side| {
        let hosts: Vec<Value> = side.hosts.servers().iter().map(|host| admin::look(host)).collect();
        let mut seen = side.recorder.borrow().json();
        seen["name"] = json!(side.name);
        seen["hosts"] = json!(hosts);
        seen
    });
    json!({"about": about, "sides": sides, "comparison": comparison, "demand": demand.json()})
}

/// What can be said by now, figure by figure.
pub fn verdicts(sides: &[Side; 2]) -> [Verdict; FIGURES.len()] {
    Verdict::of(&sides[0].recorder.borrow(), &sides[1].recorder.borrow())
}
