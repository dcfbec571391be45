//! Arguments of `evenkeel dataset`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::input::InputArgs;

/// Arguments of `evenkeel dataset`.
#[derive(Clone, Debug, Args)]
pub struct DatasetArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DatasetCommand,
}

/// Subcommands of `evenkeel dataset`.
#[derive(Clone, Debug, Subcommand)]
pub enum DatasetCommand {
    /// Print rows, span, rates, token quantiles and seasonality of a trace or series.
    Stats {
        /// The trace or series.
        path: PathBuf,
        /// How to read it.
        #[command(flatten)]
        input: InputArgs,
    },
    /// Write the rates of a trace as series: requests, prompt and output tokens a second.
    Rates {
        /// The trace.
        path: PathBuf,
        /// How to read it.
        #[command(flatten)]
        input: InputArgs,
        /// Seconds between two values.
        #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
        step: f64,
        /// Series to write, as CSV.
        #[arg(short, long, value_name = "FILE.csv")]
        output: PathBuf,
    },
    /// Query logs at rest (Parquet, CSV, JSON; files or an object store), and write what training needs.
    #[command(disable_help_flag = true)]
    Ingest {
        /// Handed to `evenkeel-lake`: try --help.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// List the public data sets that `fetch` knows.
    List,
    /// Download a public data set; goes on where a broken download stopped.
    Fetch {
        /// Its name, as `list` prints it.
        name: String,
        /// Folder to put it in.
        #[arg(long, value_name = "DIR", default_value = "data")]
        out: PathBuf,
    },
}
