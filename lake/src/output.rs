//! The files that training reads.

mod requests;
mod text;

pub(crate) use requests::{Chosen, Requests, Summary};
pub(crate) use text::{write_rates, write_windows};
