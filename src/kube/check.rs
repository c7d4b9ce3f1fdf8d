//! The check of a service: a request through the NodePort of every node.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use thiserror::Error;

use super::error::innermost;
use super::obstacles::excerpt;
use crate::spec::Check;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Pause between two tries on a node.
const PAUSE: Duration = Duration::from_millis(300);

/// A check that did not pass.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{path} on port {port} did not answer with {contains:?} on every node within {seconds} s")]
pub struct CheckFailure {
    /// Request path.
    pub path: String,
    /// NodePort.
    pub port: u16,
    /// What the body must contain.
    pub contains: String,
    /// How long it was tried.
    pub seconds: u64,
    /// A line for each node: `general-1 (203.0.113.7): 502 Bad Gateway: ...`.
    pub evidence: Vec<String>,
}

/// Asks every node's NodePort, all at once, until each has answered as `check` says.
pub async fn check_service(
    nodes: &[(String, IpAddr)],
    port: u16,
    check: &Check,
    limit: Duration,
) -> Result<(), CheckFailure> {
    let client = reqwest::Client::builder()
        .timeout(ANSWER_LIMIT)
        // A pooled connection would stay with one pod; each try is to be a client's first.
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .expect("no option of this client can be refused");
    let deadline = Instant::now() + limit;
    let answers = nodes.iter().map(|(node, address)| {
        let client = &client;
        async move {
            let url = format!("http://{}:{port}{}", bracketed(*address), check.path);
            let answer = until_passed(client, &url, &check.contains, deadline).await;
            answer.map_err(|last| format!("{node} ({address}): {last}")).map(|()| node.clone())
        }
    });
    let answers = join_all(answers).await;
    if answers.iter().all(Result::is_ok) {
        return Ok(());
    }
    let evidence = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(node) => format!("{node}: passed"),
            Err(line) => line,
        })
        .collect();
    Err(CheckFailure {
        path: check.path.clone(),
        port,
        contains: check.contains.clone(),
        seconds: limit.as_secs(),
        evidence,
    })
}

/// Tries until it passes or the deadline is over; the error is what was seen last.
async fn until_passed(
    client: &reqwest::Client,
    url: &str,
    contains: &str,
    deadline: Instant,
) -> Result<(), String> {
    loop {
        let last = match ask(client, url).await {
            Ok((status, body)) if status.is_success() && body.contains(contains) => return Ok(()),
            Ok((status, body)) => format!("{status}: {}", excerpt(&body)),
            Err(error) => innermost(&error),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(last);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<(reqwest::StatusCode, String), reqwest::Error> {
    let response = client.get(url).send().await?;
    Ok((response.status(), response.text().await?))
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn serve(router: Router) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        port
    }

    fn check() -> Check {
        Check { path: "/".into(), contains: "Mystery".into() }
    }

    #[tokio::test]
    async fn a_service_that_answers_after_a_few_tries_passes() {
        static TRIES: AtomicUsize = AtomicUsize::new(0);
        let answer = || async {
            match TRIES.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => (StatusCode::BAD_GATEWAY, "not yet"),
                _ => (StatusCode::OK, "Mystery books"),
            }
        };
        let port = serve(Router::new().route("/", get(answer))).await;
        let nodes = [("general-1".to_owned(), HERE)];
        assert_eq!(check_service(&nodes, port, &check(), Duration::from_secs(10)).await, Ok(()));
        assert_eq!(TRIES.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_failed_check_tells_what_each_node_answered_last() {
        let answer = || async { (StatusCode::BAD_GATEWAY, "recommendations:\n  cannot be resolved") };
        let port = serve(Router::new().route("/", get(answer))).await;
        let nodes = [("general-1".to_owned(), HERE)];
        let failure = check_service(&nodes, port, &check(), Duration::from_millis(500))
            .await
            .expect_err("never passes");
        assert_eq!(
            failure.evidence,
            ["general-1 (127.0.0.1): 502 Bad Gateway: recommendations: cannot be resolved"]
        );
        assert_eq!(
            failure.to_string(),
            format!("/ on port {port} did not answer with \"Mystery\" on every node within 0 s")
        );
    }
}
