//! The EC2 adapter where nobody answers, where somebody else does, and where an answer has pages.

#[path = "ec2/client.rs"]
mod client;

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use client::{connect, provider, scope};
use kubestrap::ec2::Ec2;
use kubestrap::ports::Cloud;
use kubestrap::spec::ProviderKind;
use tokio::net::TcpListener;

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    endpoint
}

#[tokio::test]
async fn a_closed_port_is_told_at_once_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let cloud = connect(&endpoint).await;
    let started = Instant::now();
    let error = cloud.account().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("nothing answers at {endpoint}: ")), "{shown}");
    assert!(shown.contains("Connection refused"), "{shown}");
    assert_eq!(shown.matches("Connection refused").count(), 1, "{shown}");
}

#[tokio::test]
async fn a_server_that_is_not_ec2_is_told_from_ec2() {
    let endpoint =
        serve(Router::new().fallback(|| async { (StatusCode::NOT_FOUND, "<h1>Not here</h1>\n") })).await;
    let error = connect(&endpoint).await.account().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "nothing answers at {endpoint}: HTTP 404 without an answer of the EC2 API: <h1>Not here</h1>"
        )
    );
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_a_matter_of_credentials() {
    let mut provider = provider("http://127.0.0.1:9");
    provider.profile = Some("no-such-profile-of-kubestrap".into());
    let cloud = Ec2::connect(&provider, None).await.unwrap();
    let error = cloud.account().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "EC2 did not accept the credentials: there are none (profile no-such-profile-of-kubestrap)"
    );
}

#[tokio::test]
async fn a_lab_without_an_address_never_becomes_amazon() {
    let mut provider = provider("unused");
    provider.kind = ProviderKind::Lab;
    provider.endpoint = None;
    let error = Ec2::connect(&provider, Some(client::credentials())).await.unwrap_err();
    assert_eq!(error.to_string(), "nothing answers at the lab: the lab's address is not known");
}

/// EC2 with nothing in it but two pages of tags.
async fn two_pages(body: String) -> String {
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let action = value("Action").unwrap_or_default();
    let page = match (action, value("Filter.1.Value.1"), value("NextToken")) {
        ("DescribeTags", Some("kubestrap:cluster-id"), None) => tag("tgw-1") + "<nextToken>more</nextToken>",
        ("DescribeTags", Some("kubestrap:cluster-id"), Some("more")) => tag("tgw-2"),
        _ => String::new(),
    };
    format!(r#"<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{page}</{action}Response>"#)
}

fn tag(id: &str) -> String {
    format!(
        "<tagSet><item><resourceId>{id}</resourceId><resourceType>transit-gateway</resourceType></item></tagSet>"
    )
}

#[tokio::test]
async fn every_page_is_read() {
    let endpoint = serve(Router::new().fallback(two_pages)).await;
    let state = connect(&endpoint).await.observe(&scope()).await.unwrap();
    let others: Vec<&str> = state.others.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(others, ["tgw-1", "tgw-2"]);
}
