//! The load generator as a program: see `--help`, and the library.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    tidings_benches::load::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("the load generator needs Linux: epoll, and what /proc tells of other processes")
}
