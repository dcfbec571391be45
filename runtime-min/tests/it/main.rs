//! Behaviour of the runtime through its public interface.

mod artifact;
mod averages;
mod body_hostile;
mod body_properties;
mod body_request;
mod body_response;
#[cfg(unix)]
mod boundary;
#[cfg(unix)]
mod calls;
mod decide;
mod explain;
mod fleet;
mod forecast;
#[cfg(unix)]
mod guarded;
mod herding;
#[cfg(unix)]
mod hostile;
#[cfg(target_os = "linux")]
mod interleavings;
mod life;
#[cfg(unix)]
mod mutate;
#[cfg(unix)]
mod pointers;
#[cfg(unix)]
mod processes;
mod program;
mod record;
mod recovery;
mod rolling;
mod state;
mod text_length;
mod upstream;
#[cfg(unix)]
mod upstream_memory;
