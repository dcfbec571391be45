//! Proxies compared on the same trace, hosts and antagonists, beside what the simulator says
//! of each.
//!
//! The proxies run already, each on an address of its own, all in front of the same host
//! ports. For every repeat, each in turn: the hosts start afresh, antagonists come and go as
//! in the simulator under the repeat's seed, the same window of the trace is replayed.
//!
//! | Part | What it does |
//! |---|---|
//! | [`setting`] | hosts, load, trace, proxies: what a comparison is made from |
//! | [`run`] | one replay through one proxy |
//! | [`running`] | the same in front of hosts that run already |
//! | [`predict`] | the simulator in the same setting |
//! | [`table`] | figures with their intervals, for people and for programs |
//! | [`ratio`] | the same as ratios, and how far the simulator is off |
//! | [`rivals`] | the trained policy against each of the others |
//! | [`plot`] | a page on which to see them |

pub mod figure;
pub mod plot;
pub mod predict;
pub mod ratio;
pub mod rivals;
pub mod run;
pub mod running;
pub mod setting;
pub mod table;

pub use setting::{Proxy, Setting};
