//! Links what bounds the memory of the C library, which is not to be done from safe Rust.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=arenas.c");
    // Other C libraries have no such arenas.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux")
        && env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu")
    {
        // Nothing calls it, so the linker would leave it out.
        cc::Build::new().file("arenas.c").link_lib_modifier("+whole-archive").compile("darkslide_arenas");
    }
}
