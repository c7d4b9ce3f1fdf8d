//! Errors as EC2 words them. Codes and texts follow the service's own answers, because clients
//! (botocore waiters, Terraform, our adapter) match on them.

use std::borrow::Cow;

/// An error answer of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// Machine-readable code, e.g. `DependencyViolation`.
    pub code: Cow<'static, str>,
    /// The sentence for people.
    pub message: String,
    /// HTTP status of the answer.
    pub status: u16,
}

impl ApiError {
    /// An error with the status that EC2 uses for this code.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        let status = match code.as_ref() {
            "AuthFailure" => 401,
            "UnauthorizedOperation" | "MissingAuthenticationToken" | "InvalidClientTokenId" => 403,
            "DryRunOperation" => 412,
            "InternalError" | "InsufficientInstanceCapacity" => 500,
            "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" => 503,
            _ => 400,
        };
        Self { code, message: message.into(), status }
    }

    /// `InvalidParameterValue`.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// `InvalidParameterCombination`.
    pub fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    /// `MissingParameter` for the parameter called `name` on the wire.
    pub fn missing(name: &str) -> Self {
        Self::new("MissingParameter", format!("The request must contain the parameter {name}"))
    }

    /// `DependencyViolation`.
    pub fn dependency(message: impl Into<String>) -> Self {
        Self::new("DependencyViolation", message)
    }

    /// `UnsupportedOperation`: something EC2 can do and this lab cannot, said plainly.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedOperation", message)
    }

    /// What a permitted call with `DryRun` answers.
    pub fn dry_run() -> Self {
        Self::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    }
}

/// Result of an API call.
pub type ApiResult<T> = Result<T, ApiError>;
