//! The program as its users run it: real files, real processes.

#[cfg(feature = "cluster")]
mod cluster;
mod formats;
mod ingest;
mod refusals;
mod s3;
mod support;
