//! `cargo xtask bench nginx`: what the module costs NGINX, against its own rules.

use anyhow::Result;

use crate::test;

/// Worker time per request of each rule, in one interleaved run.
pub(super) fn run() -> Result<()> {
    test::nginx::bench(&test::default_artifact())
}
