//! `evenkeel-lake`: what training needs of logs that lie in files or an object store.
//!
//! DataFusion reads them here, or a Ballista cluster does (`--cluster`, in builds with that feature). Two
//! queries go over the data: one counts requests and tokens by step and class, the other fetches the requests
//! of the windows that were chosen by these counts. docs/data.md says what comes out.

mod choice;
#[cfg(feature = "cluster")]
mod cluster;
mod columns;
mod ingest;
mod options;
mod output;
mod progress;
mod rates;
mod session;
mod source;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    let options = options::Options::parse();
    match ingest::run(&options) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
