//! The faulty path does what it says: otherwise a trial proves nothing.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer},
};

const SHORT: Duration = Duration::from_millis(300);

async fn path() -> (RedisServer, FaultProxy) {
    let redis = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(redis.port()).await;
    (redis, proxy)
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    let address = proxy.url().replace("redis://", "");
    TcpStream::connect(address).await.unwrap()
}

/// What comes back for `request` within a short time; none where nothing does.
async fn ask(stream: &mut TcpStream, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).await.ok()?;
    answer(stream, SHORT).await
}

async fn answer(stream: &mut TcpStream, bound: Duration) -> Option<String> {
    let mut bytes = [0; 4096];
    let count = timeout(bound, stream.read(&mut bytes)).await.ok()?.unwrap_or(0);
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

const PING: &str = "PING\r\n";
const PONG: Option<&str> = Some("+PONG\r\n");
const CLOSED: Option<&str> = Some("");

#[tokio::test]
async fn a_black_hole_swallows_for_good_and_closes_nothing() {
    let (mut redis, proxy) = path().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, PING).await.as_deref(), PONG);
    proxy.set(Which::All, Direction::ToBroker, Mode::BlackHole);
    assert_eq!(ask(&mut stream, PING).await, None);
    redis.kill9();
    assert_eq!(answer(&mut stream, SHORT).await, None, "the end of the server is not seen either");
    redis.restart().await;
    proxy.heal();
    assert_eq!(ask(&mut connect(&proxy).await, PING).await.as_deref(), PONG, "new ones pass");
}

#[tokio::test]
async fn faults_choose_connections_by_what_they_are_for() {
    let (_redis, proxy) = path().await;
    let (mut commands, mut subscribed) = (connect(&proxy).await, connect(&proxy).await);
    assert!(ask(&mut subscribed, "SUBSCRIBE news\r\n").await.unwrap().contains("subscribe"));
    proxy.set(Which::Sub, Direction::Both, Mode::BlackHole);
    assert_eq!(ask(&mut commands, PING).await.as_deref(), PONG);
    assert_eq!(ask(&mut subscribed, PING).await, None);
    proxy.cut(Which::Cmd);
    assert_eq!(answer(&mut commands, SHORT).await.as_deref(), CLOSED);
    assert_eq!(answer(&mut subscribed, SHORT).await, None);
}

#[tokio::test]
async fn what_was_frozen_is_delivered_later() {
    let (_redis, proxy) = path().await;
    let mut stream = connect(&proxy).await;
    proxy.set(Which::All, Direction::ToBroker, Mode::Freeze);
    assert_eq!(ask(&mut stream, PING).await, None);
    proxy.heal();
    assert_eq!(answer(&mut stream, Duration::from_secs(5)).await.as_deref(), PONG);
}

#[tokio::test]
async fn delay_and_throttle_slow_down() {
    let (_redis, proxy) = path().await;
    let mut stream = connect(&proxy).await;
    for mode in [Mode::Delay(Duration::from_millis(100)), Mode::Throttle(70)] {
        proxy.set(Which::All, Direction::ToBroker, mode);
        let asked = Instant::now();
        stream.write_all(PING.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream, Duration::from_secs(5)).await.as_deref(), PONG);
        assert!(asked.elapsed() >= Duration::from_millis(100), "{mode:?}: {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn chatter_is_bytes_without_answers() {
    let (_redis, proxy) = path().await;
    let mut stream = connect(&proxy).await;
    proxy.set(Which::All, Direction::ToBroker, Mode::Chatter);
    assert!(ask(&mut stream, PING).await.unwrap().contains("noise"));
    proxy.heal();
    assert!(ask(&mut stream, PING).await.unwrap().contains("noise"), "as long as it is open");
}

#[tokio::test]
async fn a_closed_server_closes_the_path() {
    let (mut redis, proxy) = path().await;
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, PING).await.as_deref(), PONG);
    redis.kill9();
    assert_eq!(answer(&mut stream, Duration::from_secs(5)).await.as_deref(), CLOSED);
}
