//! EC2 instance types: enough of them to tell a misspelt one before any call.
//!
//! EC2 itself is asked for what a zone offers before anything is created; this table answers offline,
//! with line and column, and leaves newer generations to EC2.

use super::codes;
use super::read::{Mistake, nearest};
use crate::image::Platform;

/// Families by class and attributes: `m` + `6` + `gd`. From
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html>.
const FAMILIES: &[&str] = &[
    "t2", "t3", "t3a", "t4g", "m4", "m5", "m5a", "m5ad", "m5d", "m5dn", "m5n", "m5zn", "m6a", "m6g", "m6gd",
    "m6i", "m6id", "m6idn", "m6in", "m7a", "m7g", "m7gd", "m7i", "m7i-flex", "m8a", "m8g", "m8gd", "m8i",
    "m8i-flex", "c4", "c5", "c5a", "c5ad", "c5d", "c5n", "c6a", "c6g", "c6gd", "c6gn", "c6i", "c6id", "c6in",
    "c7a", "c7g", "c7gd", "c7gn", "c7i", "c7i-flex", "c8a", "c8g", "c8gd", "c8gn", "c8i", "c8i-flex", "r4",
    "r5", "r5a", "r5ad", "r5b", "r5d", "r5dn", "r5n", "r6a", "r6g", "r6gd", "r6i", "r6id", "r6idn", "r6in",
    "r7a", "r7g", "r7gd", "r7i", "r7iz", "r8a", "r8g", "r8gd", "r8gn", "r8i", "r8i-flex", "a1", "d2", "d3",
    "d3en", "f1", "f2", "g4ad", "g4dn", "g5", "g5g", "g6", "g6e", "g6f", "gr6", "h1", "hpc6a", "hpc6id",
    "hpc7a", "hpc7g", "i3", "i3en", "i4g", "i4i", "i7i", "i7ie", "i8g", "i8ge", "im4gn", "inf1", "inf2",
    "is4gen", "p3", "p4d", "p4de", "p5", "p5e", "p5en", "p6", "trn1", "trn1n", "trn2", "vt1", "x1", "x1e",
    "x2gd", "x2idn", "x2iedn", "x2iezn", "x8g", "z1d",
];

/// Sizes of burstable families.
const BURSTABLE_SIZES: &[&str] = &["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge"];
/// Sizes of all others, taken together.
const SIZES: &[&str] = &[
    "medium",
    "large",
    "xlarge",
    "2xlarge",
    "3xlarge",
    "4xlarge",
    "6xlarge",
    "8xlarge",
    "9xlarge",
    "10xlarge",
    "12xlarge",
    "16xlarge",
    "18xlarge",
    "24xlarge",
    "32xlarge",
    "48xlarge",
    "56xlarge",
    "96xlarge",
    "metal",
    "metal-16xl",
    "metal-24xl",
    "metal-32xl",
    "metal-48xl",
    "metal-96xl",
];

/// What kubeadm's preflight asks of a control plane node.
const KUBEADM: Resources = Resources { cpus: 2, memory_mib: 1700 };

/// What a type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resources {
    cpus: u8,
    memory_mib: u32,
}

/// Checks the form and, as far as the table goes, the existence.
pub(super) fn instance_type(path: &str, text: String) -> Result<String, Mistake> {
    let mistake = |message: String, remedy: String| Mistake::new(codes::INSTANCE_TYPE, message, remedy);
    let Some((family, size)) = text.split_once('.') else {
        return Err(mistake(
            format!("`{path}` is {text:?}, which is not family.size"),
            "write for example \"t3.medium\"".into(),
        ));
    };
    let sizes = sizes_of(family);
    let family_is_good = FAMILIES.contains(&family) || is_newer(family);
    if family_is_good && sizes.contains(&size) {
        return Ok(text);
    }
    let good_family = if family_is_good { Some(family) } else { nearest(family, FAMILIES.iter().copied()) };
    let sizes = good_family.map_or(sizes, sizes_of);
    let good_size = if sizes.contains(&size) { Some(size) } else { nearest(size, sizes.iter().copied()) };
    let message = format!("`{path}` is {text:?}, which is no EC2 instance type");
    Err(match (good_family, good_size) {
        (Some(family), Some(size)) => mistake(message, format!("did you mean \"{family}.{size}\"?")),
        (Some(family), None) => mistake(message, format!("{family} comes as {}", sizes.join(", "))),
        (None, _) => mistake(message, "write for example \"t3.medium\", or \"t4g.medium\" for arm64".into()),
    })
}

/// Whether kubeadm would refuse to make a control plane node of it.
pub(super) fn too_small(path: &str, text: &str) -> Option<Mistake> {
    let has = resources(text)?;
    if has.cpus >= KUBEADM.cpus && has.memory_mib >= KUBEADM.memory_mib {
        return None;
    }
    let cpus = if has.cpus == 1 { "1 CPU" } else { "2 CPUs" };
    Some(Mistake::new(
        codes::INSTANCE_SIZE,
        format!(
            "`{path}` is {text:?} with {cpus} and {} MiB; kubeadm needs {} CPUs and {} MB on a control plane",
            has.memory_mib, KUBEADM.cpus, KUBEADM.memory_mib
        ),
        match architecture(text) {
            Platform::LinuxAmd64 => "write \"t3.medium\", or \"t3.small\" for the least that works",
            Platform::LinuxArm64 => "write \"t4g.medium\", or \"t4g.small\" for the least that works",
        },
    ))
}

/// Graviton families have a `g` right after their generation; `a1` was the first of them.
pub(super) fn architecture(text: &str) -> Platform {
    let family = text.split('.').next().unwrap_or_default();
    match parts(family) {
        Some(("a", 1, _)) => Platform::LinuxArm64,
        Some((_, _, attributes)) if attributes.starts_with('g') => Platform::LinuxArm64,
        _ => Platform::LinuxAmd64,
    }
}

/// Only of the sizes that may be too small.
fn resources(text: &str) -> Option<Resources> {
    let (family, size) = text.split_once('.')?;
    let (class, generation, _) = parts(family)?;
    let burstable = class == "t";
    let memory_mib = match size {
        "nano" => 512,
        "micro" => 1024,
        "small" => 2048,
        "medium" if burstable => 4096,
        // 2 GiB at least: compute optimised.
        "medium" => 2048,
        _ => return None,
    };
    let single = (burstable && generation == 2 && size != "medium") || (!burstable && size == "medium");
    Some(Resources { cpus: if single { 1 } else { 2 }, memory_mib })
}

fn sizes_of(family: &str) -> &'static [&'static str] {
    match parts(family) {
        Some(("t", ..)) => BURSTABLE_SIZES,
        _ => SIZES,
    }
}

/// A generation of a known class beyond those of the table: EC2 knows whether it exists.
fn is_newer(family: &str) -> bool {
    let Some((class, generation, _)) = parts(family) else { return false };
    let known = FAMILIES.iter().filter_map(|known| parts(known)).filter(|(known, ..)| *known == class);
    known
        .map(|(_, generation, _)| generation)
        .max()
        .is_some_and(|newest| generation > newest && generation < 20)
}

/// `m6gd` is class `m`, generation 6, attributes `gd`.
fn parts(family: &str) -> Option<(&str, u32, &str)> {
    let digit = family.find(|letter: char| letter.is_ascii_digit())?;
    let (class, rest) = family.split_at(digit);
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (generation, attributes) = rest.split_at(end);
    let well_formed = !class.is_empty()
        && class.bytes().all(|byte| byte.is_ascii_lowercase())
        && attributes.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if well_formed { Some((class, generation.parse().ok()?, attributes)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> String {
        match instance_type("instance_type", text.into()) {
            Ok(good) => good,
            Err(mistake) => format!("{}; {}", mistake.message, mistake.remedy),
        }
    }

    #[test]
    fn every_size_of_the_reference_families_is_accepted_and_newer_generations_are_left_to_ec2() {
        for good in ["t3.medium", "t4g.medium", "m7i-flex.large", "c8g.metal-48xl", "t9g.small", "m12.large"]
        {
            assert_eq!(verdict(good), good);
        }
    }

    #[test]
    fn a_misspelt_type_gets_the_nearest_one_that_exists() {
        let no = "which is no EC2 instance type";
        for (given, answer) in [
            ("t3.medum", "did you mean \"t3.medium\"?"),
            ("t3.meduim", "did you mean \"t3.medium\"?"),
            ("tt3.medium", "did you mean \"t3.medium\"?"),
            ("T3.Medium", "did you mean \"t3.medium\"?"),
            ("m5.xxlarge", "did you mean \"m5.2xlarge\"?"),
            ("t3.16xlarge", "did you mean \"t3.2xlarge\"?"),
            ("m5.enormous", &format!("m5 comes as {}", SIZES.join(", "))),
            ("quantum.large", "write for example \"t3.medium\", or \"t4g.medium\" for arm64"),
        ] {
            assert_eq!(verdict(given), format!("`instance_type` is {given:?}, {no}; {answer}"));
        }
        assert_eq!(
            verdict("large"),
            "`instance_type` is \"large\", which is not family.size; write for example \"t3.medium\""
        );
    }

    #[test]
    fn kubeadm_s_minimum_divides_the_small_types() {
        for enough in ["t3.small", "t3.medium", "t4g.small", "t2.medium", "m6g.large", "m99z.large"] {
            assert!(too_small("p", enough).is_none(), "{enough}");
        }
        for small in ["t3.nano", "t3.micro", "t2.small", "m6g.medium", "c7g.medium", "a1.medium"] {
            assert!(too_small("p", small).is_some(), "{small}");
        }
        let message = too_small("control_plane.instance_type", "t3.micro").map(|mistake| mistake.message);
        assert_eq!(
            message.as_deref(),
            Some(
                "`control_plane.instance_type` is \"t3.micro\" with 2 CPUs and 1024 MiB; \
                 kubeadm needs 2 CPUs and 1700 MB on a control plane"
            )
        );
    }

    #[test]
    fn graviton_is_arm64_and_the_rest_is_amd64() {
        for arm in ["t4g.medium", "m6gd.large", "c7gn.large", "a1.large", "im4gn.large", "is4gen.medium"] {
            assert_eq!(architecture(arm), Platform::LinuxArm64, "{arm}");
        }
        for amd in ["t3.medium", "g5.xlarge", "g4dn.xlarge", "m7i-flex.large", "t3a.medium"] {
            assert_eq!(architecture(amd), Platform::LinuxAmd64, "{amd}");
        }
    }
}
