//! Envoy as `deploy/envoy/envoy.yaml` has it, in front of brokers on this machine.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use super::free_port;
use crate::root;

pub(crate) struct Envoy {
    pub(crate) port: u16,
    admin: u16,
}

impl Envoy {
    /// Writes its configuration into `folder`; returns what runs it, too.
    pub(crate) fn before(
        brokers: [u16; 2],
        folder: &Path,
        program: &Path,
    ) -> Result<(Envoy, Command), String> {
        let envoy = Envoy { port: free_port()?, admin: free_port()? };
        let shipped = root().join("deploy/envoy/envoy.yaml");
        let mut text = fs::read_to_string(&shipped)
            .map_err(|error| format!("{}: {error}", shipped.display()))?;
        let here = |port| format!("address: 127.0.0.1, port_value: {port}");
        for (shipped, ours) in [
            ("address: broker-1, port_value: 7070", here(brokers[0])),
            ("address: broker-2, port_value: 7070", here(brokers[1])),
            ("address: 0.0.0.0, port_value: 8080", here(envoy.port)),
            ("address: 127.0.0.1, port_value: 9901", here(envoy.admin)),
        ] {
            if !text.contains(shipped) {
                return Err(format!("{shipped:?} is not in deploy/envoy/envoy.yaml"));
            }
            text = text.replace(shipped, &ours);
        }
        let config = folder.join("envoy.yaml");
        fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config).args(["-l", "error", "--concurrency", "1"]);
        // Several run on one machine: each its own shared memory.
        command.arg("--use-dynamic-base-id");
        Ok((envoy, command))
    }

    /// Whether it knows that both brokers are well.
    pub(crate) fn sees_both(&self) -> bool {
        let clusters = self.page("/clusters").unwrap_or_default();
        clusters.matches("health_flags::healthy").count() == 2
    }

    fn page(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
