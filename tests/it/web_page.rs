//! The page of `examples/web` in a real Chromium: it subscribes and publishes over gRPC-Web.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    browser::{Browser, Site},
    client::{connect, publish},
    eventually,
    history::Outcome,
    mesh::{Kind, Proxy},
    redis::{Persistence, RedisServer},
};

const PATIENCE: Duration = Duration::from_secs(40);
/// The first tab.
const TAB: usize = 0;
const PUBLISH: &str = "role=button[name=\"Publish\"]";
const TYPED: &str = "shop.v1.OrderPlaced";

/// Opens the page in a tab, with a heartbeat of a second.
async fn open(browser: &mut Browser, tab: usize, origin: &str, broker: SocketAddr, topic: &str) {
    let page = format!("{origin}/?broker=http://{broker}&topic={topic}&heartbeat=1");
    browser.call(tab, "goto", json!([page])).await;
}

async fn is_live(browser: &mut Browser, tab: usize) {
    browser.sees(tab, "#state[data-state=live]").await;
}

/// Publishes with the form of the page: its samples are what is sent.
async fn submit(browser: &mut Browser, kind: &str) -> String {
    browser.call(TAB, "selectOption", json!(["role=combobox[name=\"Kind\"]", kind])).await;
    browser.call(TAB, "click", json!([PUBLISH])).await;
    browser.sees(TAB, "#publish-result:not(:empty)").await;
    browser.texts(TAB, "#publish-result").await.swap_remove(0)
}

/// The numbers of what the page lists, oldest first, when there are so many.
async fn numbers(browser: &mut Browser, tab: usize, count: usize) -> Vec<String> {
    let rows = "[...document.querySelectorAll('#events li')].map(row => row.dataset.number)";
    let wait = format!("{rows}.length >= {count}");
    browser.call(tab, "waitForFunction", json!([wait])).await;
    let rows: Vec<String> = serde_json::from_value(browser.evaluate(tab, rows).await).unwrap();
    rows.into_iter().rev().collect()
}

fn up_to(last: usize) -> Vec<String> {
    (1..=last).map(|number| number.to_string()).collect()
}

async fn heartbeats(browser: &mut Browser, more: i64) {
    let count = "Number(document.querySelector('#state').dataset.heartbeats ?? 0)";
    let before = browser.evaluate(TAB, count).await.as_i64().expect("a count");
    let wait = format!("{count} >= {}", before + more);
    browser.call(TAB, "waitForFunction", json!([wait])).await;
}

/// What a page does, whoever speaks gRPC-Web to it at `at`; `behind` speaks gRPC.
async fn a_page_does_it_all(
    browser: &mut Browser,
    origin: &str,
    at: SocketAddr,
    behind: SocketAddr,
) {
    open(browser, TAB, origin, at, "orders").await;
    is_live(browser, TAB).await;
    assert_eq!(submit(browser, "Text").await, "Stored in orders as number 1.");
    assert_eq!(submit(browser, "JSON").await, "Stored in orders as number 2.");
    assert_eq!(submit(browser, TYPED).await, "Stored in orders as number 3.");
    assert_eq!(numbers(browser, TAB, 3).await, up_to(3));
    let shown = browser.texts(TAB, "#events pre").await;
    let shown: Vec<&str> = shown.iter().rev().map(String::as_str).collect();
    let [text, json, typed] = shown[..] else { panic!("{shown:?}") };
    assert_eq!(text, "hello, world");
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), json!({"id": 42}));
    let typed: Value = serde_json::from_str(typed).expect("the message as JSON");
    assert_eq!(typed["customer"], "ann@example.com");
    assert_eq!(browser.texts(TAB, "#events .type").await[0], TYPED);

    let from_elsewhere = publish(&mut connect(behind), "orders", 7..17).await;
    assert!(matches!(from_elsewhere, Outcome::Acked(_)), "{from_elsewhere:?}");
    assert_eq!(numbers(browser, TAB, 13).await, up_to(13));

    // Longer than the idle timer of whoever stands between, where there is one: it is still live.
    heartbeats(browser, 8).await;
    submit(browser, "Text").await;
    assert_eq!(numbers(browser, TAB, 14).await, up_to(14));

    an_error_is_told_whole(browser).await;
}

async fn an_error_is_told_whole(browser: &mut Browser) {
    browser.call(TAB, "fill", json!(["role=textbox[name=\"Topic\"]", "a b"])).await;
    let told = submit(browser, "Text").await;
    assert!(told.starts_with("TOPIC_NAME_INVALID \"a b\" may only have"), "{told}");
    let violated = browser.texts(TAB, "#publish-result li code").await;
    assert_eq!(violated, ["topic"]);
    browser.sees(TAB, "#topic[aria-invalid=true]").await;

    let listen = "role=textbox[name=\"Topic or pattern\"]";
    browser.call(TAB, "fill", json!([listen, "a b"])).await;
    browser.call(TAB, "click", json!(["role=button[name=\"Listen\"]"])).await;
    browser.sees(TAB, "#listen-result[data-reason=PATTERN_INVALID]").await;
    assert_eq!(browser.texts(TAB, "#listen-result li code").await, ["topics[0]"]);
    browser.sees(TAB, "#pattern[aria-invalid=true]").await;
    browser.sees(TAB, "#state[data-state=idle]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_subscribes_and_publishes() {
    let site = Site::start().await;
    let origin = site.origin("localhost");
    let broker = Broker::program(&["--web-origins", &origin]).await;
    let mut browser = Browser::start().await;
    a_page_does_it_all(&mut browser, &origin, broker.address(), broker.address()).await;
}

/// The brokers speak no gRPC-Web there: Envoy does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_subscribes_and_publishes_through_envoy() {
    const IDLE_SECONDS: u32 = 3;
    let site = Site::start().await;
    let redis = RedisServer::start(Persistence::None).await;
    let arguments = ["--redis", &redis.url(), "--web-origins", ""];
    let brokers = [Broker::program(&arguments).await, Broker::program(&arguments).await];
    let addresses = [brokers[0].address(), brokers[1].address()];
    let envoy = Proxy::start(Kind::Envoy, addresses, Some(IDLE_SECONDS)).await;
    let mut browser = Browser::start().await;
    let (local, numeric) = (site.origin("localhost"), site.origin("127.0.0.1"));
    a_page_does_it_all(&mut browser, &local, envoy.address, addresses[0]).await;
    // It allows `localhost`, and this is another origin.
    a_page_gets_nothing(&mut browser, &numeric, envoy.address, addresses[0]).await;
}

/// The page is told neither why nor anything else: its browser keeps all of it.
async fn a_page_gets_nothing(
    browser: &mut Browser,
    origin: &str,
    at: SocketAddr,
    behind: SocketAddr,
) {
    const OTHER: usize = 1;
    open(browser, OTHER, origin, at, "secrets").await;
    browser.sees(OTHER, "#state[data-state=lost]").await;
    let told = browser.texts(OTHER, "#listen-result").await;
    assert!(told[0].contains(&format!("does not allow pages from {origin}")), "{told:?}");
    let published = publish(&mut connect(behind), "secrets", 0..3).await;
    assert!(matches!(published, Outcome::Acked(_)), "{published:?}");
    browser.call(OTHER, "click", json!([PUBLISH])).await;
    browser.sees(OTHER, "#publish-result[data-reason]").await;
    let told = browser.texts(OTHER, "#publish-result").await;
    assert!(told[0].contains("does not allow pages from"), "{told:?}");
    assert_eq!(browser.texts(OTHER, "#events li").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_from_an_origin_that_is_not_allowed_gets_nothing() {
    let site = Site::start().await;
    let allowed = site.origin("localhost");
    let broker = Broker::program(&["--web-origins", &allowed]).await;
    let at = broker.address();
    let mut browser = Browser::start().await;
    a_page_gets_nothing(&mut browser, &site.origin("127.0.0.1"), at, at).await;
    // Nor does what a browser sends without asking first come to anything.
    let path = format!("http://{at}/tidings.v1.Broker/Publish");
    let blind = format!(
        "Promise.allSettled(['application/grpc-web', 'application/grpc', 'text/plain', ''].map(type =>
            fetch('{path}', {{ method: 'POST', mode: 'no-cors', body: new Blob([new Uint8Array(
                [0, 0, 0, 0, 14, 10, 7, ...new TextEncoder().encode('secrets'), 18, 3, 90, 1, 120])],
                {{ type }}) }}))).then(all => all.length)"
    );
    assert_eq!(browser.evaluate(1, &blind).await, 4);
    let next = publish(&mut connect(at), "secrets", 3..4).await;
    let Outcome::Acked(positions) = next else { panic!("{next:?}") };
    assert_eq!(positions[0].sequence, 4, "only the three events of another client were stored");
}

/// The page's broker is killed, and events are published at another one meanwhile: the page goes on
/// after the last event it had, without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_goes_on_where_it_was_when_its_broker_comes_back() {
    let site = Site::start().await;
    let origin = site.origin("localhost");
    let redis = RedisServer::start(Persistence::None).await;
    let arguments = ["--redis", &redis.url(), "--web-origins", &origin];
    let mut broker = Broker::program(&arguments).await;
    let other = Broker::program(&arguments).await;
    let at = broker.address();
    let mut publisher = connect(other.address());
    let mut browser = Browser::start().await;
    open(&mut browser, TAB, &origin, at, "orders").await;
    is_live(&mut browser, TAB).await;
    let mut publish = async |from, count| {
        let outcome = publish(&mut publisher, "orders", from..from + count).await;
        assert!(matches!(outcome, Outcome::Acked(_)), "{outcome:?}");
    };
    publish(1, 20).await;
    assert_eq!(numbers(&mut browser, TAB, 20).await, up_to(20));

    for round in 0..2 {
        let had = 20 + 40 * round;
        broker.kill9();
        browser.sees(TAB, "#state[data-state=lost]").await;
        publish(had + 1, 30).await;
        broker = Broker::program_at(&at.to_string(), &arguments).await;
        is_live(&mut browser, TAB).await;
        publish(had + 31, 10).await;
        let had = had as usize + 40;
        assert_eq!(numbers(&mut browser, TAB, had).await, up_to(had));
    }
    // A planned end is announced, and no different.
    broker.sigterm();
    assert!(broker.ended(PATIENCE).await.is_some_and(|status| status.success()));
    publish(101, 5).await;
    let _broker = Broker::program_at(&at.to_string(), &arguments).await;
    assert_eq!(numbers(&mut browser, TAB, 105).await, up_to(105));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_shown_where_the_events_would_have_stood() {
    let site = Site::start().await;
    let origin = site.origin("localhost");
    let mut redis = RedisServer::start(Persistence::None).await;
    let arguments = ["--redis", &redis.url(), "--web-origins", &origin];
    let broker = Broker::program(&arguments).await;
    let mut publisher = connect(broker.address());
    let mut browser = Browser::start().await;
    open(&mut browser, TAB, &origin, broker.address(), "orders").await;
    is_live(&mut browser, TAB).await;
    assert!(matches!(publish(&mut publisher, "orders", 0..3).await, Outcome::Acked(_)));
    assert_eq!(numbers(&mut browser, TAB, 3).await, up_to(3));
    // A Redis that keeps nothing comes back empty, and the topic begins a new life.
    redis.restart().await;
    eventually("an event is stored again", PATIENCE, || async {
        matches!(publish(&mut connect(broker.address()), "orders", 3..4).await, Outcome::Acked(_))
    })
    .await;
    browser.sees(TAB, "#events .gap").await;
    assert_eq!(numbers(&mut browser, TAB, 5).await, ["1", "2", "3", "gap", "1"]);
    let told = browser.texts(TAB, "#events .gap").await;
    assert!(told[0].ends_with("missed in orders: epoch changed"), "{told:?}");
}

/// What docs/browsers.md says of HTTP/1.1: the seventh tab waits until another one stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_keeps_six_streams_to_one_broker() {
    const TABS: usize = 6;
    let site = Site::start().await;
    let origin = site.origin("localhost");
    let broker = Broker::program(&["--web-origins", &origin]).await;
    let mut browser = Browser::start().await;
    for tab in 0..TABS {
        open(&mut browser, tab, &origin, broker.address(), "orders").await;
        is_live(&mut browser, tab).await;
    }
    open(&mut browser, TABS, &origin, broker.address(), "orders").await;
    browser.sees(TABS, "#state[data-state=lost]").await;
    let told = browser.texts(TABS, "#listen-result").await;
    assert!(told[0].contains("six other tabs hold streams"), "{told:?}");
    browser.call(0, "click", json!(["role=button[name=\"Stop\"]"])).await;
    is_live(&mut browser, TABS).await;
}

/// Light and dark, empty and full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_accessible() {
    let site = Site::start().await;
    let origin = site.origin("localhost");
    let broker = Broker::program(&["--web-origins", &origin]).await;
    let mut browser = Browser::start().await;
    for scheme in ["light", "dark"] {
        browser.call(TAB, "emulateMedia", json!([{"colorScheme": scheme}])).await;
        open(&mut browser, TAB, &origin, broker.address(), "orders").await;
        is_live(&mut browser, TAB).await;
        assert_eq!(browser.call(TAB, "accessibility", json!([])).await, json!([]), "{scheme}");
        submit(&mut browser, TYPED).await;
        browser.sees(TAB, "#events li").await;
        browser.call(TAB, "fill", json!(["role=textbox[name=\"Topic\"]", "a b"])).await;
        submit(&mut browser, "Text").await;
        browser.sees(TAB, "#publish-result[data-reason=TOPIC_NAME_INVALID]").await;
        assert_eq!(browser.call(TAB, "accessibility", json!([])).await, json!([]), "{scheme}");
    }
}
