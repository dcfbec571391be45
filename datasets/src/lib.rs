#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! - [`Trace`] holds the requests of one service in order of arrival; [`load_trace`] reads one
//!   from any of the [`Format`]s, [`stream_trace`] reads it row by row in constant memory.
//! - [`Series`] holds a rate at a constant step; [`load_series`] reads one per value column.
//! - [`synth`] is the embedded default: a synthetic inference service made from a seed.
//! - [`stats`] summarises either; [`catalogue`] knows public sets and fetches them.
//!
//! Files may be plain, gzip or zstd: the first bytes decide, not the name. Nothing here reads
//! a clock or a global random generator, so equal input and seed give equal output on every
//! machine.
//!
//! ```
//! use evenkeel_datasets::{Split, synth::Service};
//!
//! let trace = Service::new(7).trace(0.0, 600.0);
//! let [train, _validation, test] = trace.split(&Split::default());
//! assert!(train.requests.len() > test.requests.len());
//! ```

pub mod catalogue;
mod column_map;
mod error;
mod format;
mod formats;
mod input;
mod load;
mod options;
pub mod random;
mod recognise;
mod row;
mod rows;
mod series;
mod split;
pub mod stats;
mod stream;
pub mod synth;
mod time_unit;
mod trace;
mod understanding;
mod work;

pub use column_map::ColumnMap;
pub use error::{BadRow, DataError};
pub use format::Format;
pub use load::{load_series, load_series_with_report, load_trace, load_trace_with_report};
pub use options::LoadOptions;
pub use series::{Combine, Gap, Series, SeriesReport, SeriesUnit, ValueUnit};
pub use split::Split;
pub use stream::{TraceStream, stream_trace};
pub use time_unit::{DateOrder, TimeUnit};
pub use trace::{Quantity, Request, Trace};
pub use understanding::{BadRows, FieldUse, LeftOut, Reason, ServiceSeen, Understanding};
pub use work::{Include, Where};
