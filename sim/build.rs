//! Stops a build without `--cfg madsim`: it would compile, and then run on the real clock.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_MADSIM");
    if env::var_os("CARGO_CFG_MADSIM").is_none() {
        println!(
            "cargo::error=this workspace must be built with `--cfg madsim`, which .cargo/config.toml sets \
             but an environment RUSTFLAGS replaces: unset RUSTFLAGS, or add `--cfg madsim` to it"
        );
    }
}
