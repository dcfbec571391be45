//! The smaller subcommands, one file each.

pub mod compile;
pub mod dataset;
pub mod inspect;
