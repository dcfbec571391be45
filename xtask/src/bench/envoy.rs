//! `cargo xtask bench envoy`: what the module costs Envoy, against its own policies.

use anyhow::Result;

use crate::test;

/// Worker time per request of each policy, and of reading bodies, each in one interleaved run.
pub(super) fn run() -> Result<()> {
    test::envoy::script("bench.py", &[], &test::default_artifact())?;
    test::envoy::script("bench_bodies.py", &[], &test::default_artifact())
}
