//! The NGINX module inside of Debian's NGINX.

use std::path::Path;

use anyhow::{Result, ensure};

use super::packages;
use crate::dist;
use crate::process::{self, program};

/// What the module is built against and with; its tests need no more than Python's own library.
const PACKAGES: [&str; 4] = ["nginx", "nginx-dev", "dpkg-dev", "python3"];

/// Builds the module, with warnings as errors, and runs its tests with a model that was
/// just trained.
pub(super) fn run(artifact: &Path) -> Result<()> {
    ensure!(artifact.is_file(), "{} is missing: the training before this step must succeed", artifact.display());
    packages::ensure(&PACKAGES)?;
    dist::build()?;
    let folder = process::target().join("nginx");
    process::run(program("modules/nginx/build.sh", [&folder]).env("CARGO_TARGET_DIR", process::target()))?;
    let mut tests =
        program("python3", ["-B", "-m", "unittest", "discover", "--start-directory", "modules/nginx/tests"]);
    tests.env("EVENKEEL_NGINX_MODULE", folder.join("ngx_http_evenkeel_module.so")).env("EVENKEEL_ARTIFACT", artifact);
    process::run(&mut tests)
}
