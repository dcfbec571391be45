//! Gives the shared library the name under which programs will look for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libevenkeel.so.{}", env!("CARGO_PKG_VERSION_MAJOR"));
    }
}
