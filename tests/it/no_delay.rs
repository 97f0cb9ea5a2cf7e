//! Small frames are sent at once. Where they wait for more, every result is right all the same, and
//! clients in Node receive a fiftieth of the events.

use std::net::{SocketAddr, TcpStream};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::support::{
    broker::Broker,
    client::connect,
    in_process::request,
    redis::{Persistence, RedisServer},
};

#[tokio::test]
async fn no_connection_of_a_broker_waits_to_fill_a_packet() {
    let redis = RedisServer::start(Persistence::None).await;
    let broker = Broker::program(&["--redis", &redis.url()]).await;
    let mut client = connect(broker.address());
    let _stream = client.subscribe(request(&["orders"])).await.expect("opened");
    let connections = match connections(broker.pid()) {
        // A container may forbid it to look at another process; a unit test of `accept` remains.
        Err(Errno::PERM | Errno::NOSYS) => return,
        connections => connections.expect("the connections of a live process"),
    };
    let (to_redis, to_clients): (Vec<_>, Vec<_>) =
        connections.iter().copied().partition(|(peer, _)| peer.port() == redis.port());
    assert!(to_redis.len() >= 2 && !to_clients.is_empty(), "{connections:?}");
    assert!(connections.iter().all(|(_, no_delay)| *no_delay), "one waits: {connections:?}");
}

/// Of another process: to whom, and whether TCP_NODELAY is set.
fn connections(pid: u32) -> Result<Vec<(SocketAddr, bool)>, Errno> {
    let process = Pid::from_raw(pid.try_into().expect("a process")).expect("a process");
    let process = pidfd_open(process, PidfdFlags::empty())?;
    let mut connections = Vec::new();
    for file in std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").flatten() {
        let what = std::fs::read_link(file.path()).unwrap_or_default();
        if !what.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let number = file.file_name().to_string_lossy().parse().expect("a descriptor");
        let socket = TcpStream::from(pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?);
        // What listens has no peer.
        if let Ok(peer) = socket.peer_addr() {
            connections.push((peer, socket.nodelay().expect("an option")));
        }
    }
    Ok(connections)
}
