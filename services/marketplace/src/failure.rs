//! Why a page could not be made: each hop on the way to the catalogue has its own failure, so
//! that the page can name the first one that did not work.

use std::error::Error;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};

/// The first hop that did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name has no address.
    #[error("DNS resolution of {host:?} failed: {detail}")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// The resolver said nothing.
    #[error("DNS resolution of {host:?} did not answer within {}", seconds(waited))]
    ResolveTimeout {
        /// The name that was looked up.
        host: String,
        /// How long the answer was waited for.
        waited: Duration,
    },
    /// The address was reached and nobody listens there.
    #[error("connection to {address} was refused: nothing listens there, or no pod of the Service is ready")]
    Refused {
        /// Address and port.
        address: String,
    },
    /// No connection, for another reason than a refusal.
    #[error("connection to {address} failed: {detail}")]
    Connect {
        /// Address and port.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// The connection attempt got no answer.
    #[error(
        "connection to {address} was not answered within {}: the packets are dropped on the way",
        seconds(waited)
    )]
    ConnectTimeout {
        /// Address and port.
        address: String,
        /// How long the answer was waited for.
        waited: Duration,
    },
    /// Connected, but no answer in time.
    #[error("no answer within the deadline of {}", seconds(waited))]
    Deadline {
        /// The deadline of one try.
        waited: Duration,
    },
    /// The connection broke under the call.
    #[error("the connection broke: {detail}")]
    Broken {
        /// What the transport said.
        detail: String,
    },
    /// The catalogue answered with an error.
    #[error("gRPC status {}: {message}", code_name(*code))]
    Status {
        /// The status code.
        code: Code,
        /// The status message.
        message: String,
    },
}

impl Failure {
    /// The HTTP status that says the same: 502 for an answer that is wrong, 503 for none, where a try later may
    /// help. Never 500: this process is not at fault.
    pub fn http_status(&self) -> u16 {
        let wrong = |code: &Code| {
            !matches!(code, Code::DeadlineExceeded | Code::Unavailable | Code::ResourceExhausted)
        };
        match self {
            Self::Status { code, .. } if wrong(code) => 502,
            _ => 503,
        }
    }

    /// Whether the same request may work a moment later.
    pub fn is_passing(&self) -> bool {
        self.http_status() != 502
    }

    /// A short stable name, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::ResolveTimeout { .. } => "resolve_timeout",
            Self::Refused { .. } => "refused",
            Self::Connect { .. } => "connect",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Deadline { .. } => "deadline",
            Self::Broken { .. } => "broken",
            Self::Status { .. } => "status",
        }
    }

    /// Where to look next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => {
                "Check that a Service of this name exists in this namespace and that RECOMMENDATIONS_HOST \
                 spells it, then run `kubestrap diagnose dns`."
            }
            Self::ResolveTimeout { .. } => {
                "The cluster's DNS cannot be reached from this pod. Run `kubestrap diagnose dns`."
            }
            Self::Refused { .. } => {
                "Check that the recommendations pods are ready and that RECOMMENDATIONS_PORT is the Service's port."
            }
            Self::Connect { .. } | Self::ConnectTimeout { .. } => {
                "The pod network does not carry this connection. Run `kubestrap diagnose dns`: it checks \
                 the rules between the nodes."
            }
            Self::Deadline { .. } | Self::Broken { .. } => {
                "The catalogue accepts connections but does not answer. Look at the logs of the recommendations pods."
            }
            Self::Status { .. } => {
                "The catalogue answered with an error. Look at the logs of the recommendations pods."
            }
        }
    }

    /// Reads a failure out of a status: our own connector's where there is one in its causes,
    /// else the transport's, else the server's.
    pub fn from_status(status: &Status, deadline: Duration) -> Self {
        let mut transport = None;
        let mut cause = status.source();
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<Self>() {
                return failure.clone();
            }
            if let Some(io) = error.downcast_ref::<io::Error>()
                && let Some(failure) = io.get_ref().and_then(|inner| inner.downcast_ref::<Self>())
            {
                return failure.clone();
            }
            if error.is::<tonic::TimeoutExpired>() {
                return Self::Deadline { waited: deadline };
            }
            transport = Some(error.to_string());
            cause = error.source();
        }
        match transport {
            Some(detail) => Self::Broken { detail },
            None => Self::Status { code: status.code(), message: status.message().to_owned() },
        }
    }
}

/// The code as gRPC spells it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_from_the_server_keeps_its_code_and_message() {
        let failure = Failure::from_status(&Status::not_found("no shelf"), Duration::from_secs(1));
        assert_eq!(failure.to_string(), "gRPC status NOT_FOUND: no shelf");
        assert_eq!(failure.http_status(), 502);
        assert!(!failure.is_passing());
    }

    #[test]
    fn no_failure_is_a_bare_500() {
        let waited = Duration::from_millis(900);
        let (host, address) = ("recommendations".to_owned(), "10.96.0.7:50051".to_owned());
        let detail = "x".to_owned();
        let mut all = vec![
            Failure::Resolve { host: host.clone(), detail: detail.clone() },
            Failure::ResolveTimeout { host, waited },
            Failure::Refused { address: address.clone() },
            Failure::Connect { address: address.clone(), detail: detail.clone() },
            Failure::ConnectTimeout { address, waited },
            Failure::Deadline { waited },
            Failure::Broken { detail },
        ];
        all.extend(
            (1..=16).map(|code| Failure::Status { code: Code::from_i32(code), message: String::new() }),
        );
        assert!(all.iter().all(|failure| [502, 503].contains(&failure.http_status())));
    }
}
