//! The call log, and faults on demand: served under `/_lab/`, for people and tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::lab::world::{ApiError, Time};

use super::xml::iso;

/// Calls remembered.
const MOST: usize = 20_000;

/// Parameters whose values are not kept.
const SECRET: [&str; 2] = ["UserData", "PublicKeyMaterial"];

/// One call in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Counts from 1.
    pub seq: u64,
    /// ISO 8601.
    pub time: String,
    /// `ec2`, `sts` or `ssm`.
    pub service: String,
    /// e.g. `RunInstances`.
    pub action: String,
    /// As they came on the wire, without secrets.
    pub parameters: BTreeMap<String, String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Error code of the answer.
    pub error: Option<String>,
    /// The fault that was injected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What to do wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answer with this error and do nothing.
    Error(ApiError),
    /// Do it, and close the connection instead of answering.
    DropResponse,
    /// Do it, and let the new ids be unknown for so many describe calls.
    Stale(u32),
}

/// A fault as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    /// Action it waits for; `*` is any.
    pub action: String,
    /// How often.
    #[serde(default = "once")]
    pub times: u32,
    /// An EC2 error code, `drop_response` or `stale`.
    pub error: String,
    /// For `stale`: how many describe calls do not know the new ids.
    #[serde(default = "two")]
    pub describes: u32,
    /// Text of the error, instead of EC2's own.
    #[serde(default)]
    pub message: Option<String>,
}

fn once() -> u32 {
    1
}

fn two() -> u32 {
    2
}

impl FaultOrder {
    fn fault(&self) -> Fault {
        match self.error.as_str() {
            "drop_response" => Fault::DropResponse,
            "stale" => Fault::Stale(self.describes),
            code => {
                let message = self.message.clone().unwrap_or_else(|| words(code).to_owned());
                Fault::Error(ApiError::new(code.to_owned(), message))
            }
        }
    }
}

/// EC2's text for the errors that people inject.
fn words(code: &str) -> &'static str {
    match code {
        "RequestLimitExceeded" => "Request limit exceeded.",
        "InsufficientInstanceCapacity" => {
            "We currently do not have sufficient capacity in the Availability Zone you requested. Our system will be working on provisioning additional capacity."
        }
        "InternalError" => "An internal error has occurred",
        "Unavailable" | "ServiceUnavailable" => "The server is overloaded and can't handle the request.",
        "UnauthorizedOperation" => "You are not authorized to perform this operation.",
        "AuthFailure" => "AWS was not able to validate the provided access credentials",
        "VcpuLimitExceeded" => {
            "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket that the specified instance type belongs to."
        }
        _ => "Injected by the lab.",
    }
}

/// Log and faults of one endpoint.
#[derive(Debug, Default)]
pub struct Calls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seq: u64,
    log: VecDeque<CallRecord>,
    faults: Vec<FaultOrder>,
}

impl Calls {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next fault for this action.
    pub fn fault(&self, action: &str) -> Option<Fault> {
        let mut state = self.state();
        let at = state.faults.iter().position(|order| order.action == action || order.action == "*")?;
        let fault = state.faults[at].fault();
        state.faults[at].times -= 1;
        if state.faults[at].times == 0 {
            state.faults.remove(at);
        }
        Some(fault)
    }

    /// Adds a fault.
    pub fn order(&self, order: FaultOrder) {
        if order.times > 0 {
            self.state().faults.push(order);
        }
    }

    /// Faults that still wait.
    pub fn orders(&self) -> Vec<FaultOrder> {
        self.state().faults.clone()
    }

    /// Forgets all faults.
    pub fn clear(&self) {
        self.state().faults.clear();
    }

    /// Writes a call down.
    pub fn record(
        &self,
        at: Time,
        service: &str,
        action: &str,
        parameters: &BTreeMap<String, String>,
        outcome: (u16, Option<String>),
        fault: Option<String>,
    ) {
        let clean = |(name, value): (&String, &String)| {
            let leaf = name.rsplit('.').find(|part| part.parse::<u32>().is_err()).unwrap_or_default();
            let secret = SECRET.contains(&leaf) || name.starts_with("UserData");
            let value = if secret { format!("<{} bytes>", value.len()) } else { value.clone() };
            (name.clone(), value)
        };
        let parameters = parameters
            .iter()
            .filter(|(name, _)| *name != "Action" && *name != "Version")
            .map(clean)
            .collect();
        let mut state = self.state();
        state.seq += 1;
        let record = CallRecord {
            seq: state.seq,
            time: iso(at),
            service: service.to_owned(),
            action: action.to_owned(),
            parameters,
            status: outcome.0,
            error: outcome.1,
            fault,
        };
        state.log.push_back(record);
        if state.log.len() > MOST {
            state.log.pop_front();
        }
    }

    /// Calls after this sequence number, oldest first.
    pub fn since(&self, seq: u64) -> Vec<CallRecord> {
        self.state().log.iter().filter(|record| record.seq > seq).cloned().collect()
    }
}
