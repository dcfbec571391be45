//! All together: hosts come and go, each is scraped by a task of its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime::telemetry_file::host_key;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::account::Account;
use crate::clock;
use crate::discovery::dns::Addresses;
use crate::discovery::{DiscoveryError, Host, Source};
use crate::engines::Rules;
use crate::file::Output;
use crate::scrape::ScrapeOptions;
use crate::target;

/// The agent's options.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The sources of hosts.
    pub sources: Vec<Source>,
    /// The options of scraping.
    pub scrape: ScrapeOptions,
    /// Which metrics are looked for.
    pub rules: Rules,
    /// The time between two looks at the sources.
    pub discovery_interval: Duration,
}

/// A host and its task.
#[derive(Debug)]
struct Target {
    host: Host,
    account: Rc<RefCell<Account>>,
    task: JoinHandle<()>,
}

/// The state of all hosts and sources, for the agent's own metrics.
#[derive(Debug, Default)]
pub struct Overview {
    targets: BTreeMap<u64, Target>,
    /// Times that a source, or a part of one, could not be read.
    pub discovery_failures: u64,
    /// The sources, lines and names that cannot be read at present.
    pub problems: BTreeSet<String>,
    /// Hosts for which no slot is left.
    pub left_out: u64,
}

impl Overview {
    /// Addresses and accounts of the hosts.
    pub fn hosts(&self) -> impl Iterator<Item = (&Host, std::cell::Ref<'_, Account>)> {
        self.targets.values().map(|target| (&target.host, target.account.borrow()))
    }
}

/// Runs for ever, on a runtime of one thread.
pub async fn run(options: AgentOptions, output: Output, overview: Rc<RefCell<Overview>>) {
    LocalSet::new().run_until(discover(options, output, overview)).await;
}

async fn discover(options: AgentOptions, output: Output, overview: Rc<RefCell<Overview>>) {
    let (scrape, rules) = (Rc::new(options.scrape), Rc::new(options.rules));
    let output = Rc::new(RefCell::new(output));
    let beating = Rc::clone(&output);
    let interval = scrape.interval;
    spawn_local(async move {
        loop {
            beating.borrow().beat(clock::now_us());
            tokio::time::sleep(interval).await;
        }
    });
    let mut known: Vec<Vec<Host>> = vec![Vec::new(); options.sources.len()];
    let mut addresses = Addresses::default();
    loop {
        let mut problems = BTreeSet::new();
        for (source, hosts) in options.sources.iter().zip(&mut known) {
            let found = source.discover(&mut addresses).await;
            for problem in &found.problems {
                let consequence = match (problem, found.has_failed(), hosts.len()) {
                    (DiscoveryError::Name { .. }, false, _) => "addresses known before stay".to_owned(),
                    (_, false, _) => "the line is left out".to_owned(),
                    (_, true, 0) => "no host is known from there yet; it is looked at again".to_owned(),
                    (_, true, count) => format!("the {count} hosts known before stay"),
                };
                problems.insert(format!("{problem}; {consequence}"));
            }
            if !found.has_failed() {
                *hosts = found.hosts;
            }
        }
        {
            let mut overview = overview.borrow_mut();
            // Once for each time that it begins: it will be asked again soon.
            for problem in problems.difference(&overview.problems) {
                eprintln!("evenkeel-agent: {problem}");
            }
            overview.discovery_failures += problems.len() as u64;
            overview.problems = problems;
        }
        let wanted: BTreeMap<u64, &Host> =
            known.iter().flatten().map(|host| (host_key(host.address.to_string().as_bytes()), host)).collect();
        {
            let mut overview = overview.borrow_mut();
            let mut output_now = output.borrow_mut();
            overview.targets.retain(|key, target| {
                let stays = wanted.get(key) == Some(&&target.host);
                if !stays {
                    target.task.abort();
                    output_now.remove(*key);
                }
                stays
            });
            let left_out_before = std::mem::take(&mut overview.left_out);
            for (key, host) in wanted {
                if overview.targets.contains_key(&key) {
                    continue;
                }
                if !output_now.add(key) {
                    overview.left_out += 1;
                    continue;
                }
                let host = host.clone();
                let account = Rc::new(RefCell::new(Account::default()));
                let (scrape, rules, output) = (Rc::clone(&scrape), Rc::clone(&rules), Rc::clone(&output));
                let task = spawn_local(target::run(host.clone(), scrape, rules, output, Rc::clone(&account)));
                overview.targets.insert(key, Target { host, account, task });
            }
            if overview.left_out > left_out_before {
                eprintln!(
                    "evenkeel-agent: {} hosts are left out: no slot is left; give more --slots",
                    overview.left_out
                );
            }
        }
        tokio::time::sleep(options.discovery_interval).await;
    }
}
