//! The EC2 query protocol, and the little of STS and SSM that people need beside it.
//!
//! [`router`] serves one [`LabHandle`]. Which service is meant stands in the credential scope of
//! the signature, as on AWS's own front ends.

mod calls;
mod handle;
mod keys;
mod params;
mod parse;
mod render;
mod side;
mod sign;
mod xml;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query as UrlQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

pub use calls::{CallRecord, Calls, Fault, FaultOrder};
pub use handle::{Goal, LabHandle, now};

use crate::lab::world::{ApiError, ApiResult};
use params::Params;
use xml::Fields;

/// The access key id that the lab knows. Its secret can be anything.
pub const ACCESS_KEY: &str = "lab";

/// What botocore and the SDKs expect of EC2's XML.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// Largest request body: RunInstances with user data fits many times.
const LARGEST_BODY: usize = 1 << 20;

#[derive(Clone)]
struct Endpoint {
    lab: LabHandle,
    calls: Arc<Calls>,
}

/// An answer before it is written.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
    error: Option<String>,
}

/// The endpoint as a router: AWS calls at `/`, the call log at `GET /_lab/calls?since=N`, faults at
/// `/_lab/faults` (GET, POST, DELETE).
pub fn router(lab: LabHandle) -> Router {
    let endpoint = Endpoint { lab, calls: Arc::default() };
    Router::new()
        .route("/", get(no_action).post(aws))
        .route("/_lab/calls", get(log))
        .route("/_lab/faults", get(faults).post(order).delete(clear))
        .layer(axum::extract::DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(endpoint)
}

/// Serves the endpoint until the listener fails; run it as a task.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: TcpListener, lab: LabHandle) -> io::Result<()> {
    axum::serve(listener, router(lab)).await
}

async fn log(
    State(endpoint): State<Endpoint>,
    UrlQuery(query): UrlQuery<BTreeMap<String, String>>,
) -> HttpResponse {
    let since = query.get("since").map_or(Ok(0), |text| text.parse());
    match since {
        Ok(since) => Json(serde_json::json!({ "calls": endpoint.calls.since(since) })).into_response(),
        Err(_) => (StatusCode::BAD_REQUEST, "since must be a sequence number").into_response(),
    }
}

async fn faults(State(endpoint): State<Endpoint>) -> HttpResponse {
    Json(serde_json::json!({ "faults": endpoint.calls.orders() })).into_response()
}

async fn order(State(endpoint): State<Endpoint>, body: Bytes) -> HttpResponse {
    match serde_json::from_slice::<FaultOrder>(&body) {
        Ok(order) => {
            endpoint.calls.order(order);
            faults(State(endpoint)).await
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("not a fault: {error}\n")).into_response(),
    }
}

async fn clear(State(endpoint): State<Endpoint>) -> HttpResponse {
    endpoint.calls.clear();
    faults(State(endpoint)).await
}

async fn no_action() -> HttpResponse {
    (StatusCode::BAD_REQUEST, "This is a kubestrap lab: an EC2 endpoint. POST calls here.\n").into_response()
}

/// One AWS call, from headers to answer.
async fn aws(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> HttpResponse {
    let request_id = uuid::Uuid::new_v4().to_string();
    let scope = sign::scope(&headers);
    let service = scope.as_ref().map_or("ec2", |scope| scope.service.as_str()).to_owned();
    let params = if service == "ssm" { Params::new(b"") } else { Params::new(&body) };
    let action = match headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => params.values().get("Action").cloned().unwrap_or_default(),
    };
    let fault = endpoint.calls.fault(&action);
    let result = match (&fault, check_scope(&endpoint, scope.as_ref())) {
        (_, Err(error)) => Err(error),
        (Some(Fault::Error(error)), Ok(())) => Err(error.clone()),
        (fault, Ok(())) => {
            let stale = match fault {
                Some(Fault::Stale(describes)) => Some(*describes),
                _ => None,
            };
            perform(&endpoint, &service, &action, &params, &body, &request_id, stale).await
        }
    };
    let answer = result.unwrap_or_else(|error| side::refuse(&service, &error, &request_id));
    let injected = fault.as_ref().map(|fault| match fault {
        Fault::Error(error) => error.code.to_string(),
        Fault::DropResponse => "drop_response".to_owned(),
        Fault::Stale(_) => "stale".to_owned(),
    });
    endpoint.calls.record(
        now(),
        &service,
        &action,
        params.values(),
        (answer.status, answer.error.clone()),
        injected,
    );
    if fault == Some(Fault::DropResponse) {
        // A body that fails before its first byte: the connection closes without an answer in it.
        let lost = futures::stream::once(async { Err::<Bytes, _>(io::Error::other("dropped by the lab")) });
        return Body::from_stream(lost).into_response();
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = (header::HeaderName::from_static("x-amzn-requestid"), request_id.clone());
    let ec2_id = (header::HeaderName::from_static("x-amz-request-id"), request_id);
    let content_type = (header::CONTENT_TYPE, answer.content_type.to_owned());
    (status, axum::response::AppendHeaders([content_type, id, ec2_id]), answer.body).into_response()
}

/// Whether these credentials are the lab's, for its region.
fn check_scope(endpoint: &Endpoint, scope: Option<&sign::Scope>) -> ApiResult<()> {
    let Some(scope) = scope else {
        return Err(ApiError::new("MissingAuthenticationToken", "Request is missing Authentication Token"));
    };
    if scope.access_key != ACCESS_KEY {
        return Err(ApiError::new(
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
        ));
    }
    let region = endpoint.lab.read(|world| world.config().region.clone());
    if scope.region != region {
        return Err(ApiError::new(
            "AuthFailure",
            format!(
                "Credential should be scoped to a valid region, not '{}': this lab is {region}.",
                scope.region
            ),
        ));
    }
    Ok(())
}

async fn perform(
    endpoint: &Endpoint,
    service: &str,
    action: &str,
    params: &Params,
    body: &[u8],
    request_id: &str,
    stale: Option<u32>,
) -> ApiResult<Answer> {
    let lab = &endpoint.lab;
    match service {
        "ec2" => {}
        "sts" => return side::sts(lab, action, request_id),
        "ssm" => return side::ssm(lab, action, body),
        other => {
            return Err(ApiError::new(
                "InvalidAction",
                format!("The lab has the services ec2, sts and ssm, not {other}."),
            ));
        }
    }
    if action.is_empty() {
        return Err(ApiError::new("MissingAction", "The request must contain the parameter Action"));
    }
    // The world knows no private keys: a pair is made here and its public half imported.
    let (call, private) = match action {
        "CreateKeyPair" => {
            let (call, private) = keys::create(params)?;
            (call, Some(private))
        }
        _ => (parse::call(action, params)?, None),
    };
    let response = lab.call(call, stale).await?;
    let fields = lab.read(|world| render::response(&response, world));
    let fields = Fields::new().text("requestId", request_id).and(fields).opt("keyMaterial", private);
    Ok(Answer {
        status: 200,
        content_type: "text/xml;charset=UTF-8",
        body: fields.document(&format!("{action}Response"), Some(NAMESPACE)),
        error: None,
    })
}
