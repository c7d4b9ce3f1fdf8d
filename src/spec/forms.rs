//! The forms that single values must have.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use oci_spec::distribution::Reference;

use super::codes;
use super::read::{Mistake, nearest};
use crate::image::Platform;

/// Kubernetes minors that this version makes clusters of.
const KUBERNETES_MINORS: std::ops::RangeInclusive<u32> = 34..=36;
/// Calico minors whose VXLAN manifest this version adapts.
const CALICO_MINORS: std::ops::RangeInclusive<u32> = 30..=31;

/// A DNS label that begins with a letter (RFC 1035), of at most `longest` characters.
pub(super) fn label(path: &str, text: String, longest: usize) -> Result<String, Mistake> {
    let why = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > longest {
        format!("is {} characters long, and may be {longest}", text.len())
    } else if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        "does not begin with a lower-case letter".to_owned()
    } else if let Some(wrong) = text.chars().find(|letter| !matches!(letter, 'a'..='z' | '0'..='9' | '-')) {
        format!("has {wrong:?} in it; only lower-case letters, digits and hyphens may be")
    } else if text.ends_with('-') {
        "ends with a hyphen".to_owned()
    } else {
        return Ok(text);
    };
    let remedy = match near_label(&text, longest) {
        Some(near) => format!("write \"{near}\""),
        None => "write a name like \"books\"".into(),
    };
    Err(Mistake::new(codes::NAME, format!("`{path}` ({text:?}) {why}"), remedy))
}

/// What `text` could be as a label.
fn near_label(text: &str, longest: usize) -> Option<String> {
    let lower = text.to_lowercase();
    let replaced: String =
        lower.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let begun = replaced.trim_start_matches(|letter: char| !letter.is_ascii_lowercase());
    let cut: String = begun.chars().take(longest).collect();
    let near = cut.trim_end_matches('-');
    (!near.is_empty()).then(|| near.to_owned())
}

/// `x.y.z`, numbers without leading zeros.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let number = |part: &str| {
        let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        if plain { part.parse::<u32>().ok() } else { None }
    };
    let mut parts = text.split('.').map(number);
    let version = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(version)
}

/// The version of Kubernetes.
pub(super) fn kubernetes(path: &str, text: String) -> Result<String, Mistake> {
    let (low, high) = KUBERNETES_MINORS.into_inner();
    let made = format!("this version of kubestrap makes 1.{low} to 1.{high}");
    match version(text.strip_prefix('v').unwrap_or(&text)) {
        Some((1, minor, _)) if KUBERNETES_MINORS.contains(&minor) && !text.starts_with('v') => Ok(text),
        Some((1, minor, patch)) if KUBERNETES_MINORS.contains(&minor) => Err(Mistake::new(
            codes::VERSION,
            format!("`{path}` is {text:?} with a v"),
            format!("write \"1.{minor}.{patch}\""),
        )),
        Some(_) => Err(Mistake::new(
            codes::VERSION,
            format!("`{path}` is {text:?}; {made}"),
            format!("write a version of those, for example \"{}\"", super::defaults::KUBERNETES),
        )),
        None => Err(Mistake::new(
            codes::VERSION,
            format!("`{path}` is {text:?}, which is not major.minor.patch; {made}"),
            format!("write for example \"{}\"", super::defaults::KUBERNETES),
        )),
    }
}

/// The version of Calico.
pub(super) fn calico(path: &str, text: String) -> Result<String, Mistake> {
    let bare = text.strip_prefix('v').unwrap_or(&text);
    match version(bare) {
        Some((3, minor, _)) if CALICO_MINORS.contains(&minor) && bare == text => Ok(text),
        _ => {
            let (low, high) = CALICO_MINORS.into_inner();
            Err(Mistake::new(
                codes::VERSION,
                format!(
                    "`{path}` is {text:?}; this version of kubestrap installs Calico 3.{low} and 3.{high}"
                ),
                format!("write \"{}\"", super::defaults::CALICO),
            ))
        }
    }
}

/// An IPv4 range with its host bits zero.
pub(super) fn cidr(path: &str, text: String) -> Result<Ipv4Net, Mistake> {
    let mistake = |what: String, remedy: String| {
        Mistake::new(codes::CIDR, format!("`{path}` is {text:?}, {what}"), remedy)
    };
    match Ipv4Net::from_str(&text) {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => Err(mistake(
            "which has host bits set".into(),
            format!("write \"{}\" for the range, or \"{}/32\" for the one address", net.trunc(), net.addr()),
        )),
        Err(_) => match IpAddr::from_str(&text) {
            Ok(IpAddr::V4(address)) => {
                Err(mistake("which is an address and not a range".into(), format!("write \"{address}/32\"")))
            }
            Ok(IpAddr::V6(_)) => Err(ipv6(&mistake)),
            Err(_) if matches!(IpNet::from_str(&text), Ok(IpNet::V6(_))) => Err(ipv6(&mistake)),
            Err(_) => {
                Err(mistake("which is not an IPv4 range".into(), "write for example \"10.0.0.0/16\"".into()))
            }
        },
    }
}

fn ipv6(mistake: &dyn Fn(String, String) -> Mistake) -> Mistake {
    mistake("which is IPv6".into(), "write an IPv4 range: this version makes IPv4 clusters".into())
}

/// A range that nodes, pods or services can have addresses of.
pub(super) fn unicast(path: &str, text: String) -> Result<Ipv4Net, Mistake> {
    let net = cidr(path, text)?;
    let reserved = [
        (Ipv4Addr::new(0, 0, 0, 0), 8, "\"this network\""),
        (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
        (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local: instance metadata is there"),
        (Ipv4Addr::new(224, 0, 0, 0), 3, "multicast or reserved"),
    ];
    for (address, length, what) in reserved {
        let range = Ipv4Net::new_assert(address, length);
        if range.contains(&net.network()) || net.contains(&range.network()) {
            return Err(Mistake::new(
                codes::CIDR,
                format!("`{path}` is {net}, which has addresses of {range} in it ({what})"),
                "take a private range: inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
            ));
        }
    }
    Ok(net)
}

/// An http or https URL without credentials.
pub(super) fn url(path: &str, text: String) -> Result<String, Mistake> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if authority.is_some_and(|authority| authority.contains('@')) {
        // The value is not repeated: it may hold a password.
        return Err(Mistake::new(
            codes::URL,
            format!("`{path}` has a user or a password in it"),
            "write the URL without; a spec is no place for secrets",
        ));
    }
    if authority.is_some_and(is_host)
        && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    {
        return Ok(text);
    }
    let remedy = match rest {
        None if !text.contains("://") && is_host(text.split('/').next().unwrap_or_default()) => {
            format!("write \"http://{text}\" or \"https://{text}\"")
        }
        _ => "write for example \"http://198.18.0.2:8080/apt\"".into(),
    };
    Err(Mistake::new(codes::URL, format!("`{path}` is {text:?}, which is no http or https URL"), remedy))
}

/// `host` or `host:port`.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A registry's host, as image references name it.
pub(super) fn registry(path: &str, text: &str) -> Result<(), Mistake> {
    if is_host(text) && (text.contains(['.', ':']) || text == "localhost") {
        return Ok(());
    }
    let bare = text.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    let remedy = if bare != text && is_host(bare) {
        format!("write \"{bare}\" = \"...\"")
    } else {
        "write the host alone, for example \"registry.k8s.io\" = \"http://198.18.0.2:5000\"".into()
    };
    Err(Mistake::new(codes::URL, format!("`{path}`: {text:?} is no registry host"), remedy))
}

/// An image reference with a tag.
pub(super) fn image(path: &str, text: String) -> Result<String, Mistake> {
    let mistake = |what: &str, remedy: String| {
        Mistake::new(codes::IMAGE, format!("`{path}` is {text:?}, {what}"), remedy)
    };
    let example = "write for example \"jinbi/marketplace:v1\"".to_owned();
    let Ok(reference) = Reference::from_str(&text) else {
        let lower = text.to_lowercase();
        let fits = lower != text && Reference::from_str(&lower).is_ok();
        return Err(mistake(
            "which is no image reference",
            if fits { format!("write \"{lower}\": repositories are lower-case") } else { example },
        ));
    };
    if let Some(digest) = reference.digest() {
        let tagged = text.replace(&format!("@{digest}"), "");
        return Err(mistake(
            "which has a digest, and the image is built here",
            format!("write a tag, for example \"{tagged}:v1\""),
        ));
    }
    // The library adds `latest` to a reference without a tag.
    let last = text.rsplit('/').next().unwrap_or_default();
    if !last.contains(':') {
        return Err(mistake("which has no tag", format!("write for example \"{text}:v1\"")));
    }
    Ok(text)
}

/// A platform.
pub(super) fn platform(path: &str, text: String) -> Result<Platform, Mistake> {
    if let Some(platform) = Platform::ALL.into_iter().find(|platform| platform.as_str() == text) {
        return Ok(platform);
    }
    let other_names = [
        ("linux/x86_64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
    ];
    let known = Platform::ALL.map(|platform| platform.as_str());
    let other = other_names.iter().find(|(name, _)| *name == text).map(|(_, platform)| *platform);
    let remedy = match other.or_else(|| nearest(&text, known)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write \"{}\"", known.join("\" or \"")),
    };
    let message = format!("`{path}` is {text:?}, which is no platform that images are built for");
    Err(Mistake::new(codes::PLATFORM, message, remedy))
}

/// The name of an environment variable.
pub(super) fn env_name(path: &str, name: &str) -> Result<(), Mistake> {
    let good = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if good {
        return Ok(());
    }
    let near: String =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let remedy = if near.starts_with(|first: char| first.is_ascii_digit()) || near.is_empty() {
        "write a name like RECOMMENDATIONS_HOST".into()
    } else {
        format!("write {}", near.to_uppercase())
    };
    Err(Mistake::new(codes::ENV, format!("`{path}`: {name:?} is no name of an environment variable"), remedy))
}

/// A text that says something, on one line.
pub(super) fn line(path: &str, text: String) -> Result<String, Mistake> {
    if text.trim().is_empty() {
        return Err(Mistake::new(
            codes::VALUE,
            format!("`{path}` is empty"),
            "write a value, or leave the key out",
        ));
    }
    if text.chars().any(char::is_control) {
        let message = format!("`{path}` is {text:?}, which has a control character in it");
        return Err(Mistake::new(codes::VALUE, message, "write it on one line, without control characters"));
    }
    Ok(text)
}

/// One of a few words.
pub(super) fn choice<T: Copy>(path: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Mistake> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let remedy = match nearest(text, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write \"{}\"", names.join("\" or \"")),
    };
    let message = format!("`{path}` is {text:?}, which is not one of {}", names.join(", "));
    Err(Mistake::new(codes::CHOICE, message, remedy))
}
