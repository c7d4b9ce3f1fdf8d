//! The real server on loopback: the contract, health, reflection, probes and an orderly end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chassis::lifecycle::Drain;
use recommendations::proto::recommendations_client::RecommendationsClient;
use recommendations::proto::{BookCategory, RecommendRequest};
use recommendations::server::{self, SERVICE, ServeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const DRAIN: Drain = Drain { notice: Duration::from_millis(400), grace: Duration::from_secs(1) };

struct Running {
    channel: Channel,
    ops: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

async fn start() -> Running {
    chassis::telemetry::start_metrics();
    let grpc = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let ops = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = format!("http://{}", grpc.local_addr().unwrap());
    let ops_address = ops.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server::serve(grpc, ops, DRAIN, async {
        let _ = stopped.await;
        io::Result::Ok(())
    }));
    let channel = Endpoint::from_shared(target).unwrap().connect().await.unwrap();
    Running { channel, ops: ops_address, stop, ended }
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

async fn health(channel: Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).check(request).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn recommends_the_reference_books_in_order() {
    let running = start().await;
    let mut client = RecommendationsClient::new(running.channel);
    let request = RecommendRequest { user_id: 1, category: BookCategory::Mystery.into(), max_results: 3 };
    let books = client.recommend(request).await.unwrap().into_inner().books;
    let titles: Vec<_> = books.iter().map(|book| book.title.as_str()).collect();
    assert_eq!(
        titles,
        ["Murder on the Orient Express", "The Hound of the Baskervilles", "The Maltese Falcon"]
    );

    let status = client.recommend(RecommendRequest { category: 42, ..request }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let metrics = get(running.ops, "/metrics").await;
    assert!(metrics.contains(r#"grpc_server_handled_total{method="Recommend",code="Ok"}"#), "{metrics}");
    assert!(metrics.contains(r#"code="InvalidArgument""#), "{metrics}");
}

#[tokio::test]
async fn reflection_tells_the_contract() {
    let running = start().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(running.channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|service| service.name == SERVICE), "{list:?}");
}

#[tokio::test]
async fn a_stop_is_announced_before_the_door_closes() {
    let running = start().await;
    for service in ["", SERVICE] {
        assert_eq!(health(running.channel.clone(), service).await, ServingStatus::Serving);
    }
    assert!(get(running.ops, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(running.ops, "/readyz").await.starts_with("HTTP/1.1 200"));

    running.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for service in ["", SERVICE] {
        assert_eq!(health(running.channel.clone(), service).await, ServingStatus::NotServing);
    }
    assert!(get(running.ops, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(running.ops, "/readyz").await.starts_with("HTTP/1.1 503"));
    // Still answering, for clients that have not heard yet.
    let request = RecommendRequest { user_id: 1, category: BookCategory::SelfHelp.into(), max_results: 0 };
    RecommendationsClient::new(running.channel.clone()).recommend(request).await.unwrap();

    drop(running.channel);
    tokio::time::timeout(Duration::from_secs(3), running.ended).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(running.ops).await.is_err());
}

#[tokio::test]
async fn an_endless_watch_does_not_hold_up_the_end() {
    let running = start().await;
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut watch = HealthClient::new(running.channel).watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    running.stop.send(()).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    tokio::time::timeout(Duration::from_secs(3), running.ended).await.unwrap().unwrap().unwrap();
}
