//! Compiles `orders.proto`, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../orders.proto");
    let files = protox::compile(["orders.proto"], [".."])?;
    Ok(prost_build::Config::new().compile_fds(files)?)
}
