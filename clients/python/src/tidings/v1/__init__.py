"""The messages of tidings.v1. What ends in _pb2 is generated from proto/: `cargo xtask generate`."""
