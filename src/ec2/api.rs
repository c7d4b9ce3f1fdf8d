//! The one call site: clients with their time limits and retries, a count, a trace line a call.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Credentials, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};

use super::consistency::{Fresh, Patience};
use super::error::Fault;
use crate::spec::Provider;

/// The three services and what their calls share.
#[derive(Debug)]
pub(super) struct Api {
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// Who we are.
    pub sts: aws_sdk_sts::Client,
    /// Public image aliases.
    pub ssm: aws_sdk_ssm::Client,
    /// Region, for messages.
    pub region: String,
    /// Ids that EC2 may not know everywhere yet.
    pub fresh: Fresh,
    endpoint: String,
    /// Where the credentials come from, for messages.
    origin: String,
    transmitted: Arc<AtomicUsize>,
}

impl Api {
    pub async fn connect(provider: &Provider, credentials: Option<Credentials>) -> Self {
        // The SDK has no limit for a whole operation by default. RunInstances of a large pool takes
        // seconds; nothing that we call takes half a minute.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(4))
            .read_timeout(Duration::from_secs(30))
            .operation_attempt_timeout(Duration::from_secs(30))
            .operation_timeout(Duration::from_secs(90))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(provider.region.clone()))
            .timeout_config(timeouts)
            .retry_config(retries());
        if let Some(endpoint) = &provider.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        // A profile that the spec names is the one that counts: the SDK's chain would take keys from
        // the environment before it, and the instance's role when there is no such profile.
        let (loader, origin) = match (credentials, &provider.profile) {
            (Some(credentials), _) => (loader.credentials_provider(credentials), "given".into()),
            (None, Some(profile)) => {
                let only = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
                (loader.profile_name(profile).credentials_provider(only), format!("profile {profile}"))
            }
            (None, None) => (loader, "environment, default profile, instance role".into()),
        };
        let shared = loader.load().await;
        let region = provider.region.clone();
        let endpoint = shared
            .endpoint_url()
            .map_or_else(|| format!("https://ec2.{region}.amazonaws.com"), str::to_owned);
        let transmitted = Arc::new(AtomicUsize::new(0));
        let count = Count(transmitted.clone());
        let ec2 = aws_sdk_ec2::config::Builder::from(&shared).interceptor(count.clone()).build();
        let sts = aws_sdk_sts::config::Builder::from(&shared).interceptor(count.clone()).build();
        let ssm = aws_sdk_ssm::config::Builder::from(&shared).interceptor(count).build();
        Self {
            ec2: aws_sdk_ec2::Client::from_conf(ec2),
            sts: aws_sdk_sts::Client::from_conf(sts),
            ssm: aws_sdk_ssm::Client::from_conf(ssm),
            region,
            fresh: Fresh::default(),
            endpoint,
            origin,
            transmitted,
        }
    }

    /// The endpoint in use.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Requests put on the wire, retries included.
    pub fn calls(&self) -> usize {
        self.transmitted.load(Ordering::Relaxed)
    }

    /// Makes one call.
    pub async fn call<T, E>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let started = Instant::now();
        let answer =
            request.await.map_err(|error| Fault::read(operation, &self.endpoint, &self.origin, error));
        let code = answer.as_ref().err().map_or("", Fault::code);
        let failed = answer.is_err();
        tracing::debug!(operation, failed, code, milliseconds = started.elapsed().as_millis(), "ec2 call");
        answer
    }

    /// Makes a call that names `ids`: while one of them is fresh, "not found" is asked again.
    pub async fn settled<T, F>(&self, ids: &[String], call: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        Patience::FRESH.retry(|fault| fault.not_found() && self.fresh.any(ids), call).await
    }

    /// Settings of a call that must not be sent twice unseen: creates without a token or a unique name.
    pub fn unretried() -> aws_sdk_ec2::config::Builder {
        aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled())
    }

    /// Settings of the first call of a run: a wrong endpoint is told at once.
    pub fn hasty() -> aws_sdk_sts::config::Builder {
        aws_sdk_sts::config::Builder::new().retry_config(retries().with_max_attempts(2))
    }
}

/// Transport errors, server errors and throttling (`RequestLimitExceeded`), with jitter.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(7)
        .with_initial_backoff(Duration::from_millis(250))
        .with_max_backoff(Duration::from_secs(8))
}

/// Counts what is put on the wire.
#[derive(Clone, Debug)]
struct Count(Arc<AtomicUsize>);

impl Intercept for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
