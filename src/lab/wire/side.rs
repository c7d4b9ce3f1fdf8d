//! STS and SSM, and how each service writes an error.

use serde_json::{Value, json};

use super::xml::Fields;
use super::{Answer, LabHandle};
use crate::lab::world::{ApiError, ApiResult};

/// The namespace of STS.
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The type that SSM's JSON errors carry in front of the code is optional; clients read the code.
const JSON: &str = "application/x-amz-json-1.1";

/// STS: GetCallerIdentity.
///
/// # Errors
/// `InvalidAction` for anything else.
pub fn sts(lab: &LabHandle, action: &str, request_id: &str) -> ApiResult<Answer> {
    if action != "GetCallerIdentity" {
        return Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2011-06-15"),
        ));
    }
    let account = lab.read(|world| world.config().account.clone());
    let result = Fields::new()
        .text("Arn", format!("arn:aws:iam::{account}:user/lab"))
        .text("UserId", "AIDALAB0000000000000")
        .text("Account", account);
    let body = Fields::new()
        .fields("GetCallerIdentityResult", result)
        .fields("ResponseMetadata", Fields::new().text("RequestId", request_id))
        .document("GetCallerIdentityResponse", Some(STS));
    Ok(Answer { status: 200, content_type: "text/xml", body, error: None })
}

/// SSM: GetParameter and GetParameters of the public image aliases.
///
/// # Errors
/// `ParameterNotFound`, `UnknownOperationException`, `ValidationException`.
pub fn ssm(lab: &LabHandle, action: &str, body: &[u8]) -> ApiResult<Answer> {
    let invalid = |what: String| ApiError::new("ValidationException", what);
    let input: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("The request is no JSON: {error}")))?;
    let parameter = |name: &str| {
        lab.read(|world| {
            world.image_parameter(name).map(|image| {
                json!({
                    "ARN": format!("arn:aws:ssm:{}::parameter{name}", world.config().region),
                    "DataType": "aws:ec2:image",
                    "LastModifiedDate": 1_783_814_400,
                    "Name": name,
                    "Type": "String",
                    "Value": image.id,
                    "Version": 1,
                })
            })
        })
    };
    let output = match action {
        "GetParameter" => {
            let name = input["Name"].as_str().ok_or_else(|| invalid("Name must be given".into()))?;
            let found = parameter(name)
                .ok_or_else(|| ApiError::new("ParameterNotFound", format!("Parameter {name} not found.")))?;
            json!({ "Parameter": found })
        }
        "GetParameters" => {
            let names = input["Names"].as_array().ok_or_else(|| invalid("Names must be given".into()))?;
            let names = names.iter().filter_map(Value::as_str);
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for name in names {
                match parameter(name) {
                    Some(value) => found.push(value),
                    None => missing.push(name),
                }
            }
            json!({ "Parameters": found, "InvalidParameters": missing })
        }
        other => {
            return Err(ApiError::new(
                "UnknownOperationException",
                format!("The lab has GetParameter and GetParameters, not {other}."),
            ));
        }
    };
    Ok(Answer { status: 200, content_type: JSON, body: output.to_string(), error: None })
}

/// An error as the service writes it.
pub fn refuse(service: &str, error: &ApiError, request_id: &str) -> Answer {
    let (code, status): (&str, u16) = match (service, error.code.as_ref()) {
        ("sts", "AuthFailure") => ("InvalidClientTokenId", 403),
        ("ssm", "AuthFailure") => ("UnrecognizedClientException", 400),
        (_, code) => (code, error.status),
    };
    let message = match code {
        "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "The security token included in the request is invalid."
        }
        _ => error.message.as_str(),
    };
    let words = Fields::new().text("Code", code).text("Message", message);
    let (content_type, body) = match service {
        "ssm" => (JSON, json!({ "__type": code, "message": message }).to_string()),
        "sts" => {
            let error =
                Fields::new().text("Type", if status < 500 { "Sender" } else { "Receiver" }).and(words);
            let fields = Fields::new().fields("Error", error).text("RequestId", request_id);
            ("text/xml", fields.document("ErrorResponse", Some(STS)))
        }
        // Clients disagree on RequestID or RequestId: both.
        _ => {
            let errors = Fields::new().fields("Error", words);
            let fields = Fields::new()
                .fields("Errors", errors)
                .text("RequestID", request_id)
                .text("RequestId", request_id);
            ("text/xml;charset=UTF-8", fields.document("Response", None))
        }
    };
    Answer { status, content_type, body, error: Some(code.to_owned()) }
}
