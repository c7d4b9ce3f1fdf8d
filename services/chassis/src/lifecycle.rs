//! A service's life: starting, serving, draining, gone.
//!
//! On SIGTERM a pod is taken out of its Service at the same moment as the signal arrives, but
//! every node hears of it a little later. So a service first says that it is not ready, goes on
//! answering for [`Drain::notice`], then stops accepting, and gives requests in flight
//! [`Drain::grace`] to end. Both must fit in the pod's `terminationGracePeriodSeconds`.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long a shutdown may take.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Not ready, but still answering new connections.
    pub notice: Duration,
    /// No new connections; time for what is in flight.
    pub grace: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { notice: Duration::from_secs(3), grace: Duration::from_secs(10) }
    }
}

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Answering.
    Serving,
    /// Told to stop: not ready, still answering.
    Draining,
    /// Not accepting any more.
    Stopping,
}

/// The current [`Phase`], shared by everything that must act on it.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving) }
    }
}

impl Lifecycle {
    /// The phase right now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Enters a phase; there is no way back.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Serves until `stop` completes, then drains: says so, with `announce` where probes are not enough, answers on for
    /// the notice, and gives what is in flight the grace. `serving` must end some time after
    /// [`stopping`](Self::stopping).
    pub async fn serve<E: From<SignalError>>(
        &self,
        serving: impl Future<Output = Result<(), E>>,
        drain: Drain,
        stop: impl Future<Output = io::Result<()>>,
        announce: impl Future<Output = ()>,
    ) -> Result<(), E> {
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            signal = stop => signal.map_err(SignalError)?,
        }
        self.enter(Phase::Draining);
        announce.await;
        tokio::select! {
            ended = &mut serving => return ended,
            () = tokio::time::sleep(drain.notice) => {}
        }
        self.enter(Phase::Stopping);
        tokio::time::timeout(drain.grace, serving).await.unwrap_or_else(|_| {
            // A stream of the client's, for one, never ends by itself.
            tracing::warn!(grace = ?drain.grace, "left with requests in flight");
            Ok(())
        })
    }

    /// Completes once the service is to accept nothing more.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut phase = self.phase.subscribe();
        async move {
            // The sender lives in `self`; were it dropped, stopping is right too.
            let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
        }
    }
}

/// Signals cannot be received.
#[derive(Debug, thiserror::Error)]
#[error("cannot wait for signals: {0}")]
pub struct SignalError(io::Error);

/// Completes on SIGTERM or SIGINT.
pub async fn signalled() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
    Ok(())
}

/// Listens on all addresses, IPv6 and IPv4, or IPv4 alone where the kernel has no IPv6.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}
