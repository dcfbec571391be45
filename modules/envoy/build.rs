//! Lets the unit tests be linked: Envoy's functions are found when Envoy loads the module,
//! and no unit test calls one.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all"),
        Ok("macos") => println!("cargo:rustc-link-arg=-Wl,-undefined,dynamic_lookup"),
        _ => {}
    }
}
