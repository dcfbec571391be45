//! evenkeel
fn main(){}
