//! The platforms that images are built for.

use serde::Serialize;

/// An operating system and architecture, as an image index names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Platform {
    /// `linux/amd64`.
    #[serde(rename = "linux/amd64")]
    LinuxAmd64,
    /// `linux/arm64`.
    #[serde(rename = "linux/arm64")]
    LinuxArm64,
}
