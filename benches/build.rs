//! Compiles `../proto` as a team would that writes a facade of its own: plain prost, plain tonic.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let files = protox::compile(["tidings/v1/broker.proto"], ["../proto"])?;
    tonic_prost_build::configure().bytes(".").build_client(false).compile_fds(files)?;
    Ok(())
}
