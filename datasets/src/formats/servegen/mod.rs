//! `ServeGen`'s windows (arXiv 2505.09999): a service described client by client.
//!
//! Two archives belong together, `NAME_traces.tar.zst` and `NAME_datasets.tar.zst`; either may be
//! named, the other is looked for beside it. A folder of `ServeGen`'s repository, such as
//! `data/language/m-large`, holds the files of both. For every client the first holds
//! `chunk-N-trace.csv`, rows of `t,rate,cv,pattern,param1,param2` without a header: from `t`
//! seconds on, `rate` requests a second with inter-arrival times that follow a Gamma or a Weibull
//! distribution of shape `param1` and scale `param2`. The second holds `chunk-N-dataset.json`: for
//! longer windows, the probabilities of prompt and output lengths; a multimodal prompt is the sum of
//! its parts (`text_tokens`, `image_tokens`, …), drawn one by one.
//!
//! Requests are drawn from these, by seed. Some clients have no distributions of lengths (the
//! largest files are often left out of copies); such a client borrows those of another, drawn in
//! proportion to the request rates.

mod archive;
mod lengths;
mod windows;

use crate::random::{self, Pcg64Mcg};
use crate::{DataError, LoadOptions, Request};
use lengths::ClientLengths;
use std::path::Path;
use windows::{Gaps, Window};

/// Requests that are generated at a time, on average at most.
const BATCH_MAX: f64 = 1e6;

/// One client, with everything that is drawn for it.
struct Client {
    windows: Vec<Window>,
    lengths: ClientLengths,
    rng: Pcg64Mcg,
    /// Time to the next arrival, in units of its mean.
    wait: f64,
}

/// Generates the requests of a time range, window by window.
pub(crate) struct ServeGen {
    clients: Vec<Client>,
    start_s: f64,
    end_s: f64,
    rate_scale: f64,
    window_s: f64,
    /// Begin of the window that is to be generated next.
    begin_s: f64,
    /// Begin of the first window.
    first_s: f64,
    /// End of the part of the window that is generated.
    now_s: f64,
    /// Requests of the current window, sorted; those before `taken` were handed out.
    requests: Vec<Request>,
    taken: usize,
    dropped_rows: u64,
}

impl ServeGen {
    /// Reads both archives, of which `path` is one.
    pub(crate) fn open(path: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        let [traces, datasets] = archive::pair(path)?;
        let (windows, mut dropped_rows) = windows::read(&traces, options.max_bad_rows)?;
        let last_s = windows.values().flatten().map(|window| window.end_s).fold(0.0, f64::max);
        let end_s = options.end_s.min(last_s);
        let lengths = lengths::read(&datasets, options, end_s, &mut dropped_rows)?;
        let clients = join(windows, lengths, options.seed)
            .ok_or(DataError::Empty { path: datasets, what: "distributions of lengths for any of the clients" })?;
        let window_s = clients.iter().flat_map(|client| &client.windows).map(|window| window.end_s - window.begin_s);
        let window_s = window_s.fold(f64::INFINITY, f64::min);
        let first_s = clients.iter().filter_map(|client| client.windows.first()).map(|window| window.begin_s);
        let first_s = first_s.fold(f64::INFINITY, f64::min);
        let skipped = ((options.start_s - first_s) / window_s).floor().max(0.0);
        Ok(Self {
            clients,
            start_s: options.start_s,
            end_s,
            rate_scale: options.rate_scale,
            window_s,
            begin_s: first_s + skipped * window_s,
            first_s: first_s + skipped * window_s,
            now_s: options.start_s.max(first_s + skipped * window_s),
            requests: Vec::new(),
            taken: 0,
            dropped_rows,
        })
    }

    /// Rows of the windows, and files of lengths, that could not be read.
    pub(crate) fn dropped_rows(&self) -> u64 {
        self.dropped_rows
    }

    /// The share of the range of time that has been generated.
    pub(crate) fn progress(&self) -> f64 {
        ((self.now_s - self.first_s) / (self.end_s - self.first_s).max(1.0)).clamp(0.0, 1.0)
    }

    /// How many requests the range of time holds, on average.
    pub(crate) fn expected_requests(&self) -> f64 {
        let overlap_s = |window: &Window| (window.end_s.min(self.end_s) - window.begin_s.max(self.start_s)).max(0.0);
        let windows = self.clients.iter().flat_map(|client| &client.windows);
        windows.map(|window| window.rate_per_s * self.rate_scale * overlap_s(window)).sum()
    }

    /// Generates requests from `now_s` on: to the end of the window, or of as much of it as holds
    /// a bounded number of requests.
    fn generate(&mut self) {
        self.requests.clear();
        self.taken = 0;
        let begin_s = self.now_s.max(self.start_s);
        let window_end_s = (self.begin_s + self.window_s).min(self.end_s);
        let current = |client: &Client| {
            let after = client.windows.partition_point(|window| window.begin_s <= begin_s);
            let window = after.checked_sub(1).map(|index| client.windows[index])?;
            (begin_s < window.end_s && window.rate_per_s > 0.0).then_some(window)
        };
        let windows: Vec<Option<Window>> = self.clients.iter().map(current).collect();
        let rate_per_s: f64 = windows.iter().flatten().map(|window| window.rate_per_s * self.rate_scale).sum();
        let end_s = window_end_s.min(begin_s + BATCH_MAX / rate_per_s.max(f64::MIN_POSITIVE));
        for (client, window) in self.clients.iter_mut().zip(&windows) {
            if let Some(window) = window {
                client.generate(window.gaps, window.rate_per_s * self.rate_scale, begin_s, end_s, &mut self.requests);
            }
        }
        for request in &mut self.requests {
            request.arrival_s -= self.start_s;
        }
        // Stable, so that equal times keep the order of the clients.
        self.requests.sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
        self.now_s = end_s;
        if end_s >= window_end_s {
            self.next_window(rate_per_s > 0.0);
        }
    }

    /// Goes on to the next window; where nothing happened in this one, to the next in which
    /// something may.
    fn next_window(&mut self, is_busy: bool) {
        self.begin_s += self.window_s;
        if !is_busy {
            let next = |client: &Client| {
                let after = client.windows.partition_point(|window| window.end_s <= self.begin_s);
                client.windows[after..].iter().find(|window| window.rate_per_s > 0.0).map(|window| window.begin_s)
            };
            let next_s = self.clients.iter().filter_map(next).fold(f64::INFINITY, f64::min);
            if next_s > self.begin_s + self.window_s {
                let skipped = ((next_s.min(self.end_s) - self.begin_s) / self.window_s).floor();
                self.begin_s += skipped * self.window_s;
            }
        }
        self.now_s = self.begin_s;
    }
}

impl Iterator for ServeGen {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        while self.taken == self.requests.len() {
            if self.now_s >= self.end_s {
                return None;
            }
            self.generate();
        }
        self.taken += 1;
        Some(self.requests[self.taken - 1])
    }
}

impl Client {
    /// Inter-arrival times are drawn with mean 1 and run down with the client's rate: the rate is
    /// then that of the window exactly (the fitted distributions have slightly other means), and
    /// an interval may span several windows.
    fn generate(&mut self, gaps: Gaps, rate_per_s: f64, begin_s: f64, end_s: f64, requests: &mut Vec<Request>) {
        let mut now_s = begin_s;
        while now_s + self.wait / rate_per_s < end_s {
            now_s += self.wait / rate_per_s;
            let (prompt, output) = self.lengths.draw(now_s, &mut self.rng);
            requests.push(Request::new(now_s, prompt, output));
            self.wait = gaps.draw(&mut self.rng);
        }
        self.wait -= (end_s - now_s) * rate_per_s;
    }
}

/// Gives every client its lengths, or another's; `None` when there are none at all.
fn join(windows: windows::ByClient, mut lengths: lengths::ByClient, seed: u64) -> Option<Vec<Client>> {
    let weight = |windows: &[Window]| windows.iter().map(|window| window.rate_per_s).sum::<f64>();
    lengths.retain(|id, lengths| windows.contains_key(id) && !lengths.is_empty());
    let lenders: Vec<(u64, f64)> = lengths.keys().map(|id| (*id, weight(&windows[id]))).collect();
    let total: f64 = lenders.iter().map(|(_, weight)| weight).sum();
    let &(last, _) = lenders.last()?;
    let client = |(id, windows): (u64, Vec<Window>)| {
        let mut rng = random::generator(seed, id);
        let mut left = random::uniform(&mut rng) * total;
        let lender = lenders.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        let lender = lender.map_or(last, |(id, _)| *id);
        let lengths = lengths.get(&id).unwrap_or(&lengths[&lender]).clone();
        let wait = random::exponential(&mut rng, 1.0);
        Client { windows, lengths, rng, wait }
    };
    Some(windows.into_iter().map(client).collect())
}
