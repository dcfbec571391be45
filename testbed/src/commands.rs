//! The subcommands, one file each.

pub(crate) mod compare;
pub(crate) mod compare_running;
pub(crate) mod conversations;
pub(crate) mod demo;
pub(crate) mod faster;
pub(crate) mod host;
pub(crate) mod replay;
