//! The platforms that images are built for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and architecture, as an image index names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum Platform {
    /// `linux/amd64`.
    #[serde(rename = "linux/amd64")]
    LinuxAmd64,
    /// `linux/arm64`.
    #[serde(rename = "linux/arm64")]
    LinuxArm64,
}

/// A text that names no platform that images are built for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a platform that images are built for")]
pub struct UnknownPlatform {
    /// The text.
    pub value: String,
}

impl UnknownPlatform {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        let known: Vec<_> = Platform::ALL.iter().map(Platform::as_str).collect();
        format!("use one of {}", known.join(", "))
    }
}

impl Platform {
    /// All of them, in the order in which an index lists them.
    pub const ALL: [Self; 2] = [Self::LinuxAmd64, Self::LinuxArm64];

    /// As an image index and `docker buildx --platform` spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux/amd64",
            Self::LinuxArm64 => "linux/arm64",
        }
    }

    /// The architecture as Kubernetes nodes and image configurations spell it.
    pub fn architecture(&self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "amd64",
            Self::LinuxArm64 => "arm64",
        }
    }

    /// The platform of a node by its architecture (`status.nodeInfo.architecture`).
    pub fn from_architecture(architecture: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.architecture() == architecture)
    }

    /// Rust's target that gives a static binary for it.
    pub fn target(&self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "x86_64-unknown-linux-musl",
            Self::LinuxArm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// What `e_machine` in an ELF header must be.
    pub fn machine(&self) -> u16 {
        match self {
            Self::LinuxAmd64 => object::elf::EM_X86_64.0,
            Self::LinuxArm64 => object::elf::EM_AARCH64.0,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|platform| platform.as_str() == text);
        known.ok_or_else(|| UnknownPlatform { value: text.to_owned() })
    }
}

impl TryFrom<String> for Platform {
    type Error = UnknownPlatform;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_goes_both_ways() {
        for platform in Platform::ALL {
            assert_eq!(platform.to_string().parse(), Ok(platform));
            assert_eq!(Platform::from_architecture(platform.architecture()), Some(platform));
            let json = serde_json::to_string(&platform).unwrap();
            assert_eq!(json, format!("\"{platform}\""));
            assert_eq!(serde_json::from_str::<Platform>(&json).unwrap(), platform);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_choices() {
        for text in ["", "amd64", "linux/amd64 ", "linux/x86_64", "windows/amd64"] {
            let error = text.parse::<Platform>().unwrap_err();
            assert_eq!(error.value, text);
            assert_eq!(error.remedy(), "use one of linux/amd64, linux/arm64");
        }
    }
}
