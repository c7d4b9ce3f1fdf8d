//! What the kube crate's errors mean to a caller.

use ::kube::Error;

use crate::ports::ClusterError;

/// Turns an error about `object` (kind and name) into the port's kinds.
pub(super) fn failure(endpoint: &str, object: &str, error: Error) -> ClusterError {
    match error {
        Error::Api(status) if status.code == 401 => {
            ClusterError::Unauthorized { message: status.message.clone() }
        }
        Error::Api(status) => {
            ClusterError::Refused { object: object.to_owned(), message: status.message.clone() }
        }
        Error::Service(_) | Error::HyperError(_) => {
            let message = innermost(&error);
            if message.contains("certificate") {
                return ClusterError::Unauthorized { message };
            }
            ClusterError::Unreachable { endpoint: endpoint.to_owned(), message }
        }
        other => ClusterError::Refused { object: object.to_owned(), message: innermost(&other) },
    }
}

/// Whether the same request may succeed a moment later: overload, a conflict, a lost connection, an
/// API server or webhook that is still starting.
pub(super) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Api(status) => matches!(status.code, 409 | 429 | 500 | 502 | 503 | 504),
        Error::Service(_) | Error::HyperError(_) => true,
        _ => false,
    }
}

/// The message at the end of the chain of causes: the one that says why.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
