//! The ways to Redis that an operator may write: a socket, a user, a database, TLS.

use std::path::Path;

use crate::support::{
    broker::Broker,
    process::{Ended, Process, tidings},
    redis::{Persistence, RedisServer, Reply, free_port},
};

/// Publishes and subscribes through a broker on this Redis; returns how Redis lists its clients.
pub(crate) async fn works(redis: &RedisServer, arguments: &[&str]) -> Vec<String> {
    let broker = Broker::program(arguments).await;
    let address = broker.address().to_string();
    let run = async |arguments: &[&str]| {
        let command = tidings(&[arguments, &["--address", &address]].concat());
        Process::run(command, "").await.ok()
    };
    let following =
        Process::start(tidings(&["sub", "orders", "--count", "1", "--address", &address]));
    following.says("subscribed to orders").await;
    run(&["pub", "orders", "hello"]).await;
    assert!(following.end().await.ok()[0].ends_with(r#""text":"hello"}"#));
    let Reply::Text(clients) = redis.command(&["CLIENT", "LIST"]).await else {
        panic!("CLIENT LIST answers with text")
    };
    let ours: Vec<_> =
        clients.lines().filter(|line| line.contains("lib-name=tidings")).map(Into::into).collect();
    // 7.0 lists no libraries.
    let ours = match ours.is_empty() {
        true => clients.lines().filter(|line| line.contains("resp=3")).map(Into::into).collect(),
        false => ours,
    };
    assert!(!ours.is_empty(), "{clients}");
    ours
}

async fn refused(arguments: &[&str]) -> Ended {
    let listen = ["--listen", "127.0.0.1:0"];
    let ended = Process::run(tidings(&[arguments, &listen].concat()), "").await;
    assert!(ended.code == Some(69) && !ended.err.contains("panicked"), "{ended:?}");
    ended
}

#[tokio::test]
async fn a_unix_socket_with_a_database() {
    let redis = RedisServer::start_with(Persistence::None, |folder| {
        vec!["--unixsocket".into(), folder.join("r.sock").display().to_string()]
    })
    .await;
    let socket = redis.dir().join("r.sock").display().to_string();
    for scheme in ["unix", "redis+unix"] {
        let clients = works(&redis, &["--redis", &format!("{scheme}://{socket}?db=3")]).await;
        assert!(clients.iter().all(|client| client.contains(" db=3 ")), "{clients:?}");
        assert!(clients.iter().any(|client| client.contains("r.sock")), "{clients:?}");
    }
    assert!(redis.info("keyspace").await.contains("db3:"));
    redis.command(&["ACL", "SETUSER", "ann", "on", ">s@e:cret", "~*", "&*", "+@all"]).await;
    let url = format!("unix://{socket}?db=4&user=ann&pass=s%40e%3Acret");
    let clients = works(&redis, &["--redis", &url]).await;
    assert!(clients.iter().all(|client| client.contains(" user=ann ")), "{clients:?}");
    assert!(!clients.iter().any(|client| client.contains(" db=0 ")), "{clients:?}");
}

#[tokio::test]
async fn a_user_with_a_password_and_a_database() {
    let redis = RedisServer::start(Persistence::None).await;
    redis.command(&["ACL", "SETUSER", "ann", "on", ">s@e:cr/et", "~td:*", "&*", "+@all"]).await;
    let place = format!("127.0.0.1:{}/5", redis.port());
    let url = format!("redis://ann:s%40e%3Acr%2Fet@{place}");
    let clients = works(&redis, &["--redis", &url]).await;
    for part in [" user=ann ", " db=5 "] {
        assert!(clients.iter().all(|client| client.contains(part)), "{part}: {clients:?}");
    }
    let url = format!("redis://ann:other@{place}");
    let ended = Process::run(tidings(&["--redis", &url, "--listen", "127.0.0.1:0"]), "").await;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.err.contains("WRONGPASS"), "{}", ended.err);
    let reader = ["ACL", "SETUSER", "reader", "on", ">pw", "~td:*", "&*"];
    redis.command(&[&reader[..], &["+@read", "+@connection", "+info", "+role"]].concat()).await;
    let url = format!("redis://reader:pw@127.0.0.1:{}", redis.port());
    let ended = Process::run(tidings(&["--redis", &url, "--listen", "127.0.0.1:0"]), "").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("does not let Tidings work"), "{}", ended.err);
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let tls_port = free_port();
    let redis = RedisServer::start_with(Persistence::None, |folder| {
        certificates(folder);
        let file = |name: &str| folder.join(name).display().to_string();
        let (port, ca) = (tls_port.to_string(), file("ca.pem"));
        ["--tls-port", &port, "--tls-cert-file", &file("redis.pem"), "--tls-key-file"]
            .into_iter()
            .chain([&*file("redis.key"), "--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"])
            .map(Into::into)
            .collect()
    })
    .await;
    let file = |name: &str| redis.dir().join(name).display().to_string();
    let (ca, other) = (file("ca.pem"), file("other.pem"));
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("rediss://{host}:{tls_port}/2");
        works(&redis, &["--redis", &url, "--redis-ca", &ca]).await;
    }
    let url = format!("rediss://127.0.0.1:{tls_port}");
    for wrong in [&["--redis", &url][..], &["--redis", &url, "--redis-ca", &other]] {
        let ended = refused(wrong).await;
        assert!(ended.err.contains("certificate"), "the cause is said: {}", ended.err);
    }
    // Not what the authority vouches for: another name of the same machine.
    refused(&["--redis", &format!("rediss://127.0.0.2:{tls_port}"), "--redis-ca", &ca]).await;
    // No TLS at that port.
    let plain = format!("rediss://127.0.0.1:{}", redis.port());
    refused(&["--redis", &plain, "--redis-ca", &ca]).await;

    let broken = file("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        .unwrap();
    let ended =
        Process::run(tidings(&["--check", "--redis", &url, "--redis-ca", &broken]), "").await;
    assert!(ended.code == Some(64) && ended.err.contains("broken.pem"), "{ended:?}");
}

/// `ca.pem`, what it vouches for as `redis.pem` and `redis.key`, and `other.pem` that vouches for
/// nothing.
pub(crate) fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ca, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let redis = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    for (name, text) in [
        ("ca.pem", ca.pem()),
        ("other.pem", other.pem()),
        ("redis.pem", redis.pem()),
        ("redis.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
