//! The recommendations service as seen from here: one lazy HTTP/2 connection, short tries.
//!
//! A ClusterIP balances connections, not calls, and HTTP/2 keeps one connection for all calls.
//! So this client stays with one replica until that connection ends. It ends in time: the server
//! closes every connection after a minute, a keep-alive finds a dead peer in seconds, and a try
//! that fails below gRPC throws the connection away, so that the next try looks the name up
//! again and may land on another replica.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::failure::Failure;
use crate::proto::recommendations_client::RecommendationsClient;
use crate::proto::{Book, BookCategory, RecommendRequest};

/// Where the recommendations service is, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Deadlines and tries.
    pub patience: Patience,
}

/// How long to wait. The whole must stay under what a reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one try, connecting included.
    pub one_try: Duration,
    /// For looking up the name, and again for the connection; must be less than a try, so
    /// that a try's failure can name the hop.
    pub one_hop: Duration,
    /// Tries in all.
    pub tries: usize,
    /// For all tries and the pauses between them.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            one_try: Duration::from_millis(900),
            one_hop: Duration::from_millis(400),
            tries: 3,
            whole: Duration::from_millis(2_950),
        }
    }
}

/// Why no recommendations could be had.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host}:{port}: {failure}")]
pub struct Unavailable {
    /// Name or address that was asked.
    pub host: String,
    /// Port that was asked.
    pub port: u16,
    /// What failed, in the last try.
    pub failure: Failure,
}

/// The client; clones share one connection.
#[derive(Clone, Debug)]
pub struct Backend {
    target: Arc<Target>,
    channel: Arc<Mutex<Generation>>,
}

#[derive(Clone, Debug)]
struct Generation {
    number: u64,
    channel: Channel,
}

impl Backend {
    /// A client that connects with its first call.
    pub fn new(target: Target) -> Self {
        let target = Arc::new(target);
        let channel = connect_lazily(&target);
        Self { target, channel: Arc::new(Mutex::new(Generation { number: 0, channel })) }
    }

    /// Where this client calls.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Books for a reader, best first.
    pub async fn recommend(
        &self,
        user_id: u64,
        category: BookCategory,
        max_results: u32,
    ) -> Result<Vec<Book>, Unavailable> {
        let patience = self.target.patience;
        let request = RecommendRequest { user_id, category: category.into(), max_results };
        // If the whole runs out during a pause, the last try's failure is still the answer.
        let last = Mutex::new(None);
        let tries = (|| async {
            let answer = self.one_try(request).await;
            if let Err(failure) = &answer {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
            }
            answer
        })
        .retry(
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(25))
                .with_max_delay(Duration::from_millis(60))
                .with_max_times(patience.tries.saturating_sub(1))
                .with_jitter(),
        )
        .when(Failure::is_passing)
        .notify(|failure, pause| tracing::warn!(kind = failure.kind(), %failure, ?pause, "trying again"));

        let answer = timeout(patience.whole, tries).await.unwrap_or_else(|_| {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(last.unwrap_or(Failure::Deadline { waited: patience.whole }))
        });
        metrics::gauge!("recommendations_up").set(if answer.is_ok() { 1.0 } else { 0.0 });
        answer.map_err(|failure| {
            metrics::counter!("recommendations_failures_total", "kind" => failure.kind()).increment(1);
            Unavailable { host: self.target.host.clone(), port: self.target.port, failure }
        })
    }

    async fn one_try(&self, request: RecommendRequest) -> Result<Vec<Book>, Failure> {
        let deadline = self.target.patience.one_try;
        let Generation { number, channel } = self.current();
        let mut request = Request::new(request);
        // Tells the server when to give up; the client's own clock decides here.
        request.set_timeout(deadline);
        let call = async move { RecommendationsClient::new(channel).recommend(request).await };
        let failure = match timeout(deadline, call).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner().books),
            Ok(Err(status)) => Failure::from_status(&status, deadline),
            Err(_) => Failure::Deadline { waited: deadline },
        };
        if !matches!(failure, Failure::Status { .. }) {
            self.renew(number);
        }
        Err(failure)
    }

    fn current(&self) -> Generation {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the connection that failed, unless another call did so already.
    fn renew(&self, failed: u64) {
        let mut current = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == failed {
            *current = Generation { number: failed + 1, channel: connect_lazily(&self.target) };
        }
    }
}

fn connect_lazily(target: &Arc<Target>) -> Channel {
    let target = Arc::clone(target);
    // The authority is only a label: the connector below looks the host up itself.
    Endpoint::from_static("http://recommendations")
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(tower::service_fn(move |_| {
            let target = Arc::clone(&target);
            async move { connect(&target).await.map(TokioIo::new) }
        }))
}

/// Looks the name up and connects, and says which of the two failed.
async fn connect(target: &Target) -> Result<TcpStream, Failure> {
    let waited = target.patience.one_hop;
    let host = &target.host;
    let found = timeout(waited, lookup_host((host.as_str(), target.port))).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(|_| Failure::ResolveTimeout { host: host.clone(), waited })?
        .map_err(|error| Failure::Resolve { host: host.clone(), detail: error.to_string() })?
        .collect();
    let connecting = timeout(waited, TcpStream::connect(addresses.as_slice())).await;
    let address = || match addresses.as_slice() {
        [only] => only.to_string(),
        many => {
            let all: Vec<_> = many.iter().map(SocketAddr::to_string).collect();
            all.join(" and ")
        }
    };
    let stream = match connecting {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(Failure::Refused { address: address() });
        }
        Ok(Err(error)) => {
            return Err(Failure::Connect { address: address(), detail: error.to_string() });
        }
        Err(_) => {
            return Err(Failure::ConnectTimeout { address: address(), waited });
        }
    };
    stream
        .set_nodelay(true)
        .map_err(|error| Failure::Connect { address: address(), detail: error.to_string() })?;
    Ok(stream)
}
