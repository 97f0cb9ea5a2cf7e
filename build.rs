//! Compiles `proto/` without an installed protoc: the messages, the services, and the descriptors that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

const PROTOS: [&str; 5] = [
    "tidings/v1/event.proto",
    "tidings/v1/broker.proto",
    "tidings/v1/workers.proto",
    "tidings/v1/admin.proto",
    "tidings/redis/v1/batch.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(PROTOS)?;
    // Encoded by protox itself: a trip through prost's FileDescriptorSet would drop custom options.
    fs::write(out.join("descriptors.binpb"), compiler.encode_file_descriptor_set())?;
    let files = compiler.file_descriptor_set();

    // The messages alone: `crate::proto` knows no gRPC.
    tonic_prost_build::configure()
        .bytes(".")
        .build_client(false)
        .build_server(false)
        .compile_fds(files.clone())?;

    // The clients, over the plain messages, but that descriptors stay bytes.
    let clients = out.join("clients");
    fs::create_dir_all(&clients)?;
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".tidings.v1.Schema", "crate::grpc::schema_messages::Schema")
        .extern_path(
            ".tidings.v1.RegisterSchemaRequest",
            "crate::grpc::schema_messages::RegisterSchemaRequest",
        )
        .extern_path(".tidings.v1", "crate::proto::v1")
        .extern_path(".tidings.redis.v1", "crate::proto::redis::v1")
        .out_dir(&clients)
        .compile_fds(files.clone())?;

    // The servers. Events of a publish are read as they stand where they are complete, and what is
    // answered is encoded from what the broker says: without a message in between.
    let servers = out.join("servers");
    fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::grpc::codec::Messages")
        .extern_path(".tidings.v1.PublishRequest", "crate::grpc::requests::PublishRequest")
        .extern_path(
            ".tidings.v1.PublishStreamRequest",
            "crate::grpc::requests::PublishStreamRequest",
        )
        .extern_path(".tidings.v1.PublishResponse", "crate::grpc::replies::PublishResponse")
        .extern_path(
            ".tidings.v1.PublishStreamResponse",
            "crate::grpc::replies::PublishStreamResponse",
        )
        .extern_path(".tidings.v1.Schema", "crate::grpc::schema_messages::Schema")
        .extern_path(
            ".tidings.v1.RegisterSchemaRequest",
            "crate::grpc::schema_messages::RegisterSchemaRequest",
        )
        .extern_path(".tidings.v1", "crate::proto::v1")
        .extern_path(".tidings.redis.v1", "crate::proto::redis::v1")
        .out_dir(&servers)
        .compile_fds(files)?;
    Ok(())
}
