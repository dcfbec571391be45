//! Two proxies side by side, and a page on which to watch them.
//!
//! Each has a fleet of its own, of equal hosts that equal antagonists slow at equal times;
//! both get the same requests at the same moments. What one does on the page to a host
//! happens to its twin as well.
//!
//! | Part | What it does |
//! |---|---|
//! | [`conversations`] | the trace that is replayed unless another is given |
//! | [`foresight`] | what demand was foreseen, and what came |
//! | [`recorder`] | what was seen lately, in the form in which the page draws it |
//! | [`verdict`] | by how much one is better than the other, once chance is ruled out |
//! | [`page`] | the page and what it asks for |

pub mod conversations;
pub mod foresight;
pub mod page;
pub mod recorder;
pub mod verdict;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;

use crate::compare::Setting;
use crate::compare::run::{Hosts, client_options};
use crate::replay;
use crate::replay::plan::Plan;
use recorder::Recorder;

/// A proxy and the hosts behind it.
#[derive(Debug)]
pub struct Side {
    /// What it is called on the page.
    pub name: String,
    /// Where it listens, HOST:PORT.
    pub authority: String,
    /// Its hosts.
    pub hosts: Hosts,
    /// What was seen of it.
    pub recorder: RefCell<Recorder>,
    /// What is being replayed through it.
    pub progress: RefCell<Progress>,
}

/// How far replays have come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests of the replays that are over.
    before: u64,
    /// The present one, and when it began on the hosts' clock.
    present: Option<(Arc<Plan>, f64)>,
}

impl Progress {
    /// Requests that were due by now.
    pub fn due(&self, now_s: f64) -> u64 {
        let Some((plan, begin_s)) = &self.present else { return self.before };
        self.before + plan.requests.partition_point(|request| request.due_s <= now_s - begin_s) as u64
    }

    fn begin(&mut self, plan: &Arc<Plan>, now_s: f64) {
        if let Some((over, _)) = self.present.replace((Arc::clone(plan), now_s)) {
            self.before += over.requests.len() as u64;
        }
    }
}

/// Replays windows of the trace through both, one after the other, for ever. To be called
/// within a `LocalSet`.
///
/// # Errors
/// If no thread can be started.
pub async fn run(setting: &Setting, sides: Rc<[Side; 2]>, first_seed: u64) -> std::io::Result<()> {
    for seed in first_seed.. {
        let plan = Arc::new(Plan::at_load(setting.window(seed), &setting.scenario(), seed));
        let mut replays = Vec::new();
        for index in 0..sides.len() {
            let side = &sides[index];
            let antagonists = side.hosts.antagonise(setting, seed);
            let clock = side.hosts.clock();
            let mut receiver = replay::start(Arc::clone(&plan), client_options(setting, &side.authority), clock)?;
            let begin_s = clock.now_s();
            side.progress.borrow_mut().begin(&plan, begin_s);
            let sides = Rc::clone(&sides);
            replays.push(spawn_local(async move {
                while let Some(observation) = receiver.recv().await {
                    sides[index].recorder.borrow_mut().push(begin_s, &observation);
                }
                antagonists.abort();
            }));
        }
        for replay in replays {
            // Cancelled is what it is when the demonstration ends.
            let _ = replay.await;
        }
    }
    Ok(())
}
