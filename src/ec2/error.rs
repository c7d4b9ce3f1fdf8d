//! From what the SDK reports to what a caller can do about it. The only place that knows EC2's
//! error codes by kind.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::ports::CloudError;

/// One failed call, before anybody decides what it means. Cloneable, since one poll can fail many
/// waiters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The API operation.
    pub operation: &'static str,
    /// What went wrong.
    pub cause: Cause,
}

/// What went wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The service answered with an error.
    Service {
        /// e.g. `InvalidGroup.NotFound`.
        code: String,
        /// In the service's words.
        message: String,
    },
    /// There are no credentials to sign with.
    Credentials(String),
    /// No answer, or none that is of EC2. Whether the call took effect is not known.
    Transport {
        /// URL.
        endpoint: String,
        /// The innermost causes.
        message: String,
    },
}

impl Fault {
    /// An answer of the service, as tests and our own judgements make it.
    pub fn service(operation: &'static str, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { operation, cause: Cause::Service { code: code.into(), message: message.into() } }
    }

    /// Reads the SDK's error; `endpoint` is who was called, `origin` where the credentials come from.
    pub fn read<E>(
        operation: &'static str,
        endpoint: &str,
        origin: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let transport = |message: String| Cause::Transport { endpoint: endpoint.to_owned(), message };
        let cause = match &error {
            SdkError::ServiceError(answer) => match answer.err().code() {
                Some(code) => Cause::Service {
                    code: code.to_owned(),
                    message: readable(answer.err().message().unwrap_or("no message")),
                },
                None => transport(not_ec2(answer.raw())),
            },
            SdkError::ResponseError(answer) => transport(not_ec2(answer.raw())),
            SdkError::TimeoutError(_) => transport("no answer in time".into()),
            other => match credentials(other) {
                Some(message) => Cause::Credentials(format!("{message} ({origin})")),
                None => transport(chain(other)),
            },
        };
        Self { operation, cause }
    }

    /// The service's error code; empty when it did not answer.
    pub fn code(&self) -> &str {
        match &self.cause {
            Cause::Service { code, .. } => code,
            _ => "",
        }
    }

    /// The thing named does not exist, or not yet.
    pub fn not_found(&self) -> bool {
        let code = self.code();
        code.ends_with(".NotFound") || code.ends_with("NotFoundException") || code == "ParameterNotFound"
    }

    /// Something else still uses the thing.
    pub fn in_use(&self) -> bool {
        self.code() == "DependencyViolation" || self.code().ends_with(".InUse")
    }

    /// The call may or may not have taken effect: nobody told.
    pub fn ambiguous(&self) -> bool {
        const SERVER: [&str; 5] =
            ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "ServerInternal"];
        matches!(self.cause, Cause::Transport { .. }) || SERVER.contains(&self.code())
    }

    /// EC2 wants us to be slower; the call took no effect.
    pub fn throttled(&self) -> bool {
        const CODES: [&str; 5] = [
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "RequestThrottled",
            "EC2ThrottledException",
        ];
        CODES.contains(&self.code())
    }
}

impl From<Fault> for CloudError {
    fn from(fault: Fault) -> Self {
        let operation = fault.operation;
        let throttled = fault.throttled();
        let in_use = fault.in_use();
        match fault.cause {
            Cause::Credentials(message) => CloudError::Credentials { message },
            Cause::Transport { endpoint, message } => CloudError::Unreachable { endpoint, message },
            Cause::Service { code, message } => match kind(&code, &message) {
                _ if in_use => CloudError::InUse { operation, message },
                _ if throttled => CloudError::Refused { operation, code, message },
                Kind::Credentials => CloudError::Credentials { message: format!("{code}: {message}") },
                Kind::Forbidden => CloudError::Forbidden { operation, message },
                Kind::Capacity => CloudError::Capacity { operation, code, message },
                Kind::Duplicate => CloudError::Duplicate { operation, code, message },
                Kind::Other => CloudError::Refused { operation, code, message },
            },
        }
    }
}

/// An instance that died, by EC2's state reason (`Server.InsufficientInstanceCapacity: ...`).
pub(super) fn died(id: &str, node: &str, state: impl std::fmt::Display, reason: Option<&str>) -> CloudError {
    let reason = reason.unwrap_or("EC2 gave no reason");
    let (code, words) = reason.split_once(": ").unwrap_or((reason, reason));
    let message = format!("{id} ({node}) is {state}: {words}");
    let bare = code.trim_start_matches("Server.").trim_start_matches("Client.");
    let fault =
        Fault::service("RunInstances", if bare.contains(' ') { "InstanceDied" } else { bare }, message);
    fault.into()
}

enum Kind {
    Credentials,
    Forbidden,
    Capacity,
    Duplicate,
    Other,
}

fn kind(code: &str, message: &str) -> Kind {
    match code {
        // EC2 says AuthFailure both of credentials and of images or snapshots that are not shared with us.
        "AuthFailure" if message.to_ascii_lowercase().contains("not authorized") => Kind::Forbidden,
        "AuthFailure"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired"
        | "PendingVerification"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Kind::Credentials,
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => Kind::Forbidden,
        "RouteAlreadyExists" | "InvalidSubnet.Conflict" | "Resource.AlreadyAssociated" => Kind::Duplicate,
        _ if code.ends_with(".Duplicate") => Kind::Duplicate,
        _ if code.ends_with("LimitExceeded") || code.starts_with("Insufficient") => Kind::Capacity,
        _ => Kind::Other,
    }
}

/// Without the kilobyte of base64 that UnauthorizedOperation ends in.
fn readable(message: &str) -> String {
    let end = message.find("Encoded authorization failure message").unwrap_or(message.len());
    message[..end].trim().to_owned()
}

/// An answer that holds no EC2 error: some other server listens there.
fn not_ec2(response: &HttpResponse) -> String {
    let body = response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let start: String = body.chars().take(120).map(|it| if it.is_control() { ' ' } else { it }).collect();
    format!("HTTP {} without an answer of the EC2 API: {}", response.status().as_u16(), start.trim())
}

/// Why there are no credentials, when that is the cause.
fn credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(current) = next {
        match current.downcast_ref::<CredentialsError>() {
            Some(CredentialsError::CredentialsNotLoaded(_)) => return Some("there are none".into()),
            Some(error) => return Some(chain(error)),
            None => {}
        }
        next = current.source();
    }
    None
}

/// An error and its causes on one line, each said once.
fn chain(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(current) = next {
        let text = current.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = current.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_ends_in_the_kind_that_a_caller_acts_on() {
        let table = [
            ("AuthFailure", "AWS was not able to validate the provided access credentials", "Credentials"),
            ("AuthFailure", "Not authorized for images: [ami-1]", "Forbidden"),
            ("ExpiredToken", "m", "Credentials"),
            ("RequestExpired", "m", "Credentials"),
            ("InvalidClientTokenId", "m", "Credentials"),
            ("SignatureDoesNotMatch", "m", "Credentials"),
            ("UnauthorizedOperation", "m", "Forbidden"),
            ("AccessDeniedException", "m", "Forbidden"),
            ("InsufficientInstanceCapacity", "m", "Capacity"),
            ("InsufficientFreeAddressesInSubnet", "m", "Capacity"),
            ("VcpuLimitExceeded", "m", "Capacity"),
            ("InstanceLimitExceeded", "m", "Capacity"),
            ("VpcLimitExceeded", "m", "Capacity"),
            ("RulesPerSecurityGroupLimitExceeded", "m", "Capacity"),
            ("RequestLimitExceeded", "m", "Refused"),
            ("DependencyViolation", "m", "InUse"),
            ("InvalidGroup.InUse", "m", "InUse"),
            ("InvalidGroup.Duplicate", "m", "Duplicate"),
            ("InvalidKeyPair.Duplicate", "m", "Duplicate"),
            ("InvalidSubnet.Conflict", "m", "Duplicate"),
            ("RouteAlreadyExists", "m", "Duplicate"),
            ("IdempotentParameterMismatch", "m", "Refused"),
            ("InvalidAMIID.NotFound", "m", "Refused"),
        ];
        for (code, message, expected) in table {
            let error = CloudError::from(Fault::service("Op", code, message));
            let shown = format!("{error:?}");
            assert!(shown.starts_with(expected), "{code}: {shown}");
        }
    }

    #[test]
    fn a_message_is_rendered_once_with_operation_and_code() {
        let error =
            CloudError::from(Fault::service("CreateVpc", "VpcLimitExceeded", "The maximum number of VPCs"));
        assert_eq!(error.to_string(), "CreateVpc: VpcLimitExceeded: The maximum number of VPCs");
        let error = CloudError::from(Fault {
            operation: "DescribeVpcs",
            cause: Cause::Transport {
                endpoint: "http://127.0.0.1:9".into(),
                message: "Connection refused".into(),
            },
        });
        assert_eq!(error.to_string(), "nothing answers at http://127.0.0.1:9: Connection refused");
    }

    #[test]
    fn the_encoded_part_of_an_authorization_failure_is_dropped() {
        let message = readable(
            "You are not authorized to perform this operation. Encoded authorization failure message: 4GIOHlTkIaWHQD0",
        );
        assert_eq!(message, "You are not authorized to perform this operation.");
    }

    #[test]
    fn only_calls_that_nobody_answered_for_are_ambiguous() {
        assert!(Fault::service("CreateVpc", "InternalError", "").ambiguous());
        assert!(!Fault::service("CreateVpc", "VpcLimitExceeded", "").ambiguous());
        assert!(!Fault::service("CreateVpc", "RequestLimitExceeded", "").ambiguous());
        assert!(Fault::service("CreateVpc", "RequestLimitExceeded", "").throttled());
    }

    #[test]
    fn a_dead_instance_tells_capacity_from_refusal() {
        let error =
            died("i-1", "general-1", "terminated", Some("Server.InsufficientInstanceCapacity: no room"));
        assert!(matches!(error, CloudError::Capacity { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "RunInstances: InsufficientInstanceCapacity: i-1 (general-1) is terminated: no room"
        );
        let error =
            died("i-1", "general-1", "terminated", Some("Client.VolumeLimitExceeded: Volume limit exceeded"));
        assert!(matches!(error, CloudError::Capacity { .. }), "{error:?}");
        let error = died("i-1", "general-1", "stopped", None);
        assert_eq!(
            error.to_string(),
            "RunInstances: InstanceDied: i-1 (general-1) is stopped: EC2 gave no reason"
        );
    }
}
