//! Writes the messages and clients of `proto/tidings/v1` into the folder that it is given.
//!
//! A program of its own: users of the client need no compiler for protos, and the client need not
//! build for its code to be made anew.

use std::{env, error::Error, path::Path};

const PROTOS: [&str; 4] = [
    "tidings/v1/event.proto",
    "tidings/v1/broker.proto",
    "tidings/v1/workers.proto",
    "tidings/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let into = env::args_os().nth(1).ok_or("a folder to write into is missing")?;
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto");
    let files = protox::compile(PROTOS, [protos])?;
    tonic_prost_build::configure()
        .bytes(".")
        .build_server(false)
        .out_dir(into)
        .compile_fds(files)?;
    Ok(())
}
