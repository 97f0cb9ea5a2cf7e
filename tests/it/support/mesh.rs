//! The real proxies that stand in front of brokers, with the configurations of `deploy/`.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    holds_within,
    process::{PATIENCE, Process},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Envoy,
    Nginx,
    Haproxy,
}

pub(crate) const ALL: [Kind; 3] = [Kind::Envoy, Kind::Nginx, Kind::Haproxy];

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Proxy {
    /// In front of two brokers, with its idle timers as shipped or cut to so many seconds.
    pub(crate) async fn start(kind: Kind, brokers: [SocketAddr; 2], idle: Option<u32>) -> Proxy {
        let folder = TempDir::new().expect("a folder");
        let (address, admin) = (free(), free());
        let mut text = std::fs::read_to_string(kind.shipped()).expect("a configuration");
        let mut put = |shipped: &str, ours: String| {
            assert!(text.contains(shipped), "{kind:?}: {shipped:?} is not in its configuration");
            text = text.replace(shipped, &ours);
        };
        for (n, broker) in brokers.iter().enumerate() {
            match kind {
                Kind::Envoy => put(
                    &format!("address: broker-{}, port_value: 7070", n + 1),
                    format!("address: 127.0.0.1, port_value: {}", broker.port()),
                ),
                Kind::Nginx | Kind::Haproxy => {
                    put(&format!("broker-{}:7070", n + 1), broker.to_string());
                }
            }
        }
        match kind {
            Kind::Envoy => {
                let ours = format!("address: 127.0.0.1, port_value: {}", address.port());
                put("address: 0.0.0.0, port_value: 8080", ours);
                put("port_value: 9901", format!("port_value: {}", admin.port()));
            }
            Kind::Nginx => {
                put("listen 8080 http2", format!("listen {address} http2"));
                let pid = folder.path().join("nginx.pid");
                put("pid nginx.pid;", format!("pid {};", pid.display()));
            }
            Kind::Haproxy => put("bind :8080", format!("bind {address}")),
        }
        if let Some(seconds) = idle {
            put("180s", format!("{seconds}s"));
        }
        let config = folder.path().join("proxy.conf");
        let config = config.with_extension(if kind == Kind::Envoy { "yaml" } else { "conf" });
        std::fs::write(&config, text).expect("written");
        let process = Process::start(kind.command(&config, folder.path()));
        let proxy = Proxy { address, admin, process, _folder: folder };
        let listens = || async { TcpStream::connect(address).await.is_ok() };
        let listens = holds_within(PATIENCE, listens).await;
        assert!(listens, "{kind:?} does not listen:\n{}", proxy.process.output());
        if kind == Kind::Envoy {
            // It takes calls before it has asked its brokers how they are, and resets some then.
            let well = || async {
                proxy.admin("/clusters").await.matches("health_flags::healthy").count() == 2
            };
            assert!(holds_within(PATIENCE, well).await, "{}", proxy.process.output());
        }
        proxy
    }

    /// A page of Envoy's own.
    pub(crate) async fn admin(&self, page: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(self.admin).await else { return String::new() };
        let ask = format!("GET {page} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        let asked = async {
            stream.write_all(ask.as_bytes()).await?;
            stream.read_to_string(&mut answer).await
        };
        drop(asked.await);
        answer
    }
}

impl Kind {
    fn shipped(self) -> PathBuf {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        deploy.join(match self {
            Kind::Envoy => "envoy/envoy.yaml",
            Kind::Nginx => "nginx/nginx.conf",
            Kind::Haproxy => "haproxy/haproxy.cfg",
        })
    }

    fn command(self, config: &Path, folder: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            // Several run on one machine: each its own shared memory, or none.
            Kind::Envoy => command
                .arg("-c")
                .arg(config)
                .args(["-l", "warning", "--concurrency", "1"])
                .args(["--use-dynamic-base-id"]),
            Kind::Nginx => command
                .arg("-p")
                .arg(folder)
                .arg("-c")
                .arg(config)
                .args(["-g", "daemon off; master_process off;"]),
            Kind::Haproxy => command.arg("-f").arg(config).arg("-db"),
        };
        command
    }

    fn program(self) -> PathBuf {
        let (variable, name, places) = match self {
            Kind::Envoy => {
                ("TIDINGS_ENVOY", "envoy", ["target/tools/venv/bin/envoy", "/usr/bin/envoy"])
            }
            Kind::Nginx => ("TIDINGS_NGINX", "nginx", ["/usr/sbin/nginx", "/usr/local/bin/nginx"]),
            Kind::Haproxy => {
                ("TIDINGS_HAPROXY", "haproxy", ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"])
            }
        };
        if let Some(named) = std::env::var_os(variable) {
            return named.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = places.iter().map(|place| root.join(place)).find(|place| place.is_file());
        found.unwrap_or_else(|| name.into())
    }
}

/// A port that was free a moment ago: no proxy says which one it took.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}
