//! Behaviour of the whole crate: ONNX written, read, compiled, run and compared.

mod exporters;
mod external_data;
mod foreign;
mod formulas;
mod hand_made;
mod inspect;
mod operators;
mod quantised;
mod random_graphs;
mod refusals;
mod round_trip;
mod support;
