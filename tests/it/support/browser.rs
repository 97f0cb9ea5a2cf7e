//! A real Chromium and what it shows: `tests/browser/driver.mjs` drives it, and the page of
//! `examples/web` is served to it.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::process::{Process, Stream, installed};

pub(crate) struct Browser {
    driver: Process,
    answers: usize,
    /// Where it keeps its profile.
    _folder: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Browser {
        let folder = TempDir::new().expect("a folder");
        let driver = installed("tests/browser/driver.mjs", "tests/browser/node_modules");
        let mut command = Command::new("node");
        command.arg(driver).arg(chromium()).env("TMPDIR", folder.path());
        let driver = Process::start(command);
        let mut browser = Browser { driver, answers: 0, _folder: folder };
        browser.answer("chromium").await;
        browser
    }

    /// Calls a method of Playwright's Page, on a tab that is opened when it is first named.
    pub(crate) async fn call(&mut self, tab: usize, method: &str, arguments: Value) -> Value {
        let call = json!({"page": tab, "call": method, "args": arguments}).to_string();
        self.driver.tell(&call);
        self.answer(&call).await
    }

    async fn answer(&mut self, call: &str) -> Value {
        self.answers += 1;
        let line = self.driver.prints(self.answers).await.swap_remove(self.answers - 1);
        let mut answer: Value = serde_json::from_str(&line).expect("the driver speaks JSON");
        let ok = answer.get_mut("ok").map(Value::take);
        let log = || self.driver.lines(Stream::Err).join("\n");
        ok.unwrap_or_else(|| panic!("{call}\n{answer}\n{}", log()))
    }

    /// Waits until an element that `selector` finds is to be seen.
    pub(crate) async fn sees(&mut self, tab: usize, selector: &str) {
        self.call(tab, "waitForSelector", json!([selector])).await;
    }

    /// The texts of what `selector` finds, from the top of the page down.
    pub(crate) async fn texts(&mut self, tab: usize, selector: &str) -> Vec<String> {
        let texts = self.call(tab, "texts", json!([selector])).await;
        serde_json::from_value(texts).expect("texts")
    }

    /// What an expression of JavaScript comes to in the tab.
    pub(crate) async fn evaluate(&mut self, tab: usize, expression: &str) -> Value {
        self.call(tab, "evaluate", json!([expression])).await
    }
}

/// As named, or where the system has it.
fn chromium() -> PathBuf {
    if let Some(named) = std::env::var_os("TIDINGS_CHROMIUM") {
        return named.into();
    }
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file()).unwrap_or_else(|| {
        panic!(
            "chromium is not installed: `cargo xtask test` installs it for the tests where it may; or \
             `apt-get install chromium`, or name one in TIDINGS_CHROMIUM"
        )
    })
}

/// The built page of `examples/web`, for whoever asks at this machine.
pub(crate) struct Site {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn start() -> Site {
        let folder = installed("examples/web/dist", "examples/web/dist/index.html");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let folder = folder.clone();
                // A browser that leaves in the middle ends its own connection only.
                tokio::spawn(async move { drop(serve(stream, &folder).await) });
            }
        });
        Site { address, serving }
    }

    /// Two names of this machine are two origins.
    pub(crate) fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One answer a connection.
async fn serve(stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut asked = String::new();
    stream.read_line(&mut asked).await?;
    let mut header = String::new();
    while stream.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let path = asked.split(' ').nth(1).and_then(|path| path.split('?').next()).unwrap_or_default();
    let path = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let body = if path.contains("..") { None } else { std::fs::read(folder.join(path)).ok() };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let media = match Path::new(path).extension().and_then(OsStr::to_str) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        _ => "application/octet-stream",
    };
    let body = body.unwrap_or_default();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await
}
