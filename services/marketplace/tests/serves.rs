//! The real page server on loopback, with a real recommendations server behind it and without.

use std::future::{self, Future};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use chassis::lifecycle::Drain;
use marketplace::backend::{Backend, Patience, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const DRAIN: Drain = Drain { notice: Duration::from_millis(300), grace: Duration::from_secs(1) };

async fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A real recommendations server; aborting the task kills it as a node's end would.
async fn recommendations() -> (JoinHandle<()>, SocketAddr) {
    let (grpc, address) = loopback().await;
    (tokio::spawn(recommend_on(grpc)), address)
}

async fn recommend_on(grpc: TcpListener) {
    let (ops, _) = loopback().await;
    recommendations::server::serve(grpc, ops, DRAIN, future::pending()).await.unwrap();
}

/// The page server, asking `host:port`.
async fn marketplace_until(
    host: &str,
    port: u16,
    stop: impl Future<Output = io::Result<()>> + Send + 'static,
) -> SocketAddr {
    chassis::telemetry::start_metrics();
    let (listener, address) = loopback().await;
    let target = Target { host: host.to_owned(), port, patience: Patience::default() };
    tokio::spawn(marketplace::server::serve(listener, Backend::new(target), DRAIN, stop));
    address
}

async fn marketplace(host: &str, port: u16) -> SocketAddr {
    marketplace_until(host, port, future::pending()).await
}

/// A GET in as little HTTP as will do: status line, headers and body as text.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn has(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.contains(part), "no {part:?} in:\n{answer}");
    }
}

#[tokio::test]
async fn the_page_shows_the_reference_books_in_order() {
    let (_server, backend) = recommendations().await;
    let page = marketplace("127.0.0.1", backend.port()).await;
    let answer = get(page, "/").await;
    has(&answer, &["HTTP/1.1 200", "text/html", "content-security-policy"]);
    let order = [
        "Mystery books you may like",
        "Murder on the Orient Express",
        "The Hound of the Baskervilles",
        "The Maltese Falcon",
    ];
    let places = order.map(|text| answer.find(text).unwrap_or_else(|| panic!("no {text}:\n{answer}")));
    assert!(places.is_sorted(), "{answer}");
    has(
        &get(page, "/metrics").await,
        &[r#"http_requests_total{route="/",status="200"}"#, "recommendations_up"],
    );
    has(&get(page, "/?user_id=x").await, &["HTTP/1.1 400"]);
    has(&get(page, "/nothing").await, &["HTTP/1.1 404"]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named_with_dns() {
    // RFC 6761: `.invalid` never resolves.
    let page = marketplace("recommendations.invalid", 50051).await;
    let answer = get(page, "/").await;
    let status = answer.split_whitespace().nth(1).unwrap();
    assert_eq!(status, "503", "{answer}");
    has(&answer, &["DNS resolution of", "recommendations.invalid", "kubestrap diagnose dns"]);
    has(&get(page, "/metrics").await, &["recommendations_failures_total{kind=\"resolve"]);
}

#[tokio::test]
async fn a_refused_connection_is_named_with_its_address() {
    let (listener, address) = loopback().await;
    drop(listener);
    let page = marketplace("127.0.0.1", address.port()).await;
    let answer = get(page, "/").await;
    has(&answer, &["HTTP/1.1 503", "retry-after: 2", "was refused", &address.to_string()]);
    // A broken dependency takes no replica out of the Service.
    has(&get(page, "/readyz").await, &["HTTP/1.1 200"]);
    has(&get(page, "/healthz").await, &["HTTP/1.1 200"]);
}

#[tokio::test]
async fn a_backend_that_hangs_is_given_up_in_three_seconds_naming_the_deadline() {
    let (listener, address) = loopback().await;
    let (accepted, mut tries) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
            accepted.send(()).unwrap();
        }
    });
    let page = marketplace("127.0.0.1", address.port()).await;
    let begun = Instant::now();
    let answer = get(page, "/").await;
    let elapsed = begun.elapsed();
    has(&answer, &["HTTP/1.1 503", "no answer within the deadline of 0.9 s", &address.to_string()]);
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    // Each try came over a connection of its own, so each could have met another replica.
    tries.recv().await.unwrap();
    assert_eq!(tries.len(), 2);
}

#[tokio::test]
async fn a_backend_that_breaks_off_is_not_a_500() {
    let (listener, address) = loopback().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let page = marketplace("127.0.0.1", address.port()).await;
    has(&get(page, "/").await, &["HTTP/1.1 503", "the connection broke"]);
}

#[tokio::test]
async fn a_replaced_backend_is_found_again_by_the_same_request() {
    let (server, address) = recommendations().await;
    let page = marketplace("localhost", address.port()).await;
    has(&get(page, "/").await, &["HTTP/1.1 200"]);
    server.abort();
    let _ = server.await;
    has(&get(page, "/").await, &["HTTP/1.1 50"]);

    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(recommend_on(listener));
    has(&get(page, "/").await, &["HTTP/1.1 200", "The Maltese Falcon"]);
}

#[tokio::test]
async fn a_stop_is_announced_and_requests_in_flight_end_in_peace() {
    let (_server, backend) = recommendations().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let page = marketplace_until("127.0.0.1", backend.port(), async {
        let _ = stopped.await;
        Ok(())
    })
    .await;
    has(&get(page, "/readyz").await, &["HTTP/1.1 200"]);
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    has(&get(page, "/readyz").await, &["HTTP/1.1 503"]);
    has(&get(page, "/").await, &["HTTP/1.1 200"]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(TcpStream::connect(page).await.is_err());
}
