//! Regions, zones and machine images.

use super::codes;
use super::model::ImageSource;
use super::read::{Mistake, nearest};

/// AWS regions by their code (<https://docs.aws.amazon.com/global-infrastructure/latest/regions/>).
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// A region: known, or of the right shape where an endpoint of the user's own answers for it.
pub(super) fn region(path: &str, text: String, own_endpoint: bool) -> Result<String, Mistake> {
    if REGIONS.contains(&text.as_str()) || (own_endpoint && is_region_shaped(&text)) {
        return Ok(text);
    }
    let remedy = match nearest(&text, REGIONS.iter().copied()) {
        _ if text.strip_suffix(|last: char| last.is_ascii_lowercase()).is_some_and(is_region) => {
            let (region, _) = text.split_at(text.len() - 1);
            format!("that is a zone: write region = {region:?} and zone = {text:?}")
        }
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "write for example \"ap-northeast-1\"; one that this version does not know needs `provider.endpoint`"
            .into(),
    };
    Err(Mistake::new(
        codes::REGION,
        format!("`{path}` is {text:?}, which is no region that this version knows"),
        remedy,
    ))
}

fn is_region(text: &str) -> bool {
    REGIONS.contains(&text)
}

/// `xx-words-1`.
fn is_region_shaped(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A zone of `region`: `ap-northeast-1a`, or a local zone's `us-west-2-lax-1a`.
pub(super) fn zone(path: &str, text: &str, region: &str) -> Result<(), Mistake> {
    let rest = text.strip_prefix(region).unwrap_or_default();
    let letter = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let local = |rest: &str| {
        let (place, number) = rest.strip_prefix('-')?.rsplit_once('-')?;
        let well_formed = !place.is_empty() && number.ends_with(|last: char| last.is_ascii_lowercase());
        well_formed.then_some(())
    };
    if letter(rest) || local(rest).is_some() {
        return Ok(());
    }
    Err(Mistake::new(
        codes::ZONE,
        format!("`{path}` is {text:?}, which is no zone of {region}"),
        format!(
            "write for example \"{region}a\", or leave it out: the first zone that offers the instance types is taken"
        ),
    ))
}

/// `ami-...` or `ssm:/parameter`.
pub(super) fn machine_image(path: &str, text: String) -> Result<ImageSource, Mistake> {
    let is_hex = |id: &str| matches!(id.len(), 8 | 17) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.strip_prefix("ami-").is_some_and(is_hex) {
        return Ok(ImageSource::Ami(text));
    }
    if let Some(parameter) = text.strip_prefix("ssm:").filter(|name| name.starts_with('/')) {
        let braces = parameter.replace("{arch}", "");
        if !braces.contains(['{', '}']) && !parameter.contains(char::is_whitespace) {
            return Ok(ImageSource::Ssm(parameter.to_owned()));
        }
    }
    let remedy = "write an AMI id (\"ami-0123456789abcdef0\") or \"ssm:/parameter/{arch}\", or leave it out for Debian 13";
    Err(Mistake::new(
        codes::MACHINE_IMAGE,
        format!("`{path}` is {text:?}, which names no machine image"),
        remedy,
    ))
}
