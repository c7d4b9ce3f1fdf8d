//! What an executable says of itself: the machine it is for, and whether it needs a loader.

use object::elf::{FileHeader32, FileHeader64, Machine, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use super::Platform;

/// A binary that would not run in its image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not an executable for Linux.
    #[error("{name} for {platform} is not an ELF executable: {detail}")]
    NotElf {
        /// Name of the binary.
        name: String,
        /// The platform it is for.
        platform: Platform,
        /// What the reader said.
        detail: String,
    },
    /// For another machine than the platform's: it would end in "exec format error".
    #[error("{name} for {platform} holds code for {found}")]
    Machine {
        /// Name of the binary.
        name: String,
        /// The platform it is for.
        platform: Platform,
        /// The machine in its header.
        found: String,
    },
    /// Dynamically linked: in an image with nothing else it would end in "no such file or directory".
    #[error("{name} for {platform} is not static: it asks for the loader {loader}")]
    Dynamic {
        /// Name of the binary.
        name: String,
        /// The platform it is for.
        platform: Platform,
        /// The loader in its header.
        loader: String,
    },
}

impl ElfError {
    /// How to build it right.
    pub fn remedy(&self) -> String {
        let (Self::NotElf { name, platform, .. }
        | Self::Machine { name, platform, .. }
        | Self::Dynamic { name, platform, .. }) = self;
        format!("build it with `cargo build --locked --release -p {name} --target {}`", platform.target())
    }
}

/// The machine and the loader in an ELF header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `e_machine`.
    pub machine: u16,
    /// The dynamic loader, where one is asked for.
    pub loader: Option<String>,
}

/// Reads an executable's header.
pub fn header(bytes: &[u8]) -> Result<Header, object::read::Error> {
    match FileKind::parse(bytes)? {
        FileKind::Elf32 => read::<FileHeader32<Endianness>>(bytes),
        // For anything else this says what is wrong with it as an ELF file.
        _ => read::<FileHeader64<Endianness>>(bytes),
    }
}

/// The machine that an executable is for.
pub fn machine(bytes: &[u8]) -> Result<u16, object::read::Error> {
    header(bytes).map(|header| header.machine)
}

fn read<H: FileHeader>(bytes: &[u8]) -> Result<Header, object::read::Error> {
    let file = H::parse(bytes)?;
    let endian = file.endian()?;
    let mut loader = None;
    for segment in file.program_headers(endian, bytes)? {
        if segment.p_type(endian) == PT_INTERP {
            let path = segment.interpreter(endian, bytes)?.unwrap_or_default();
            loader = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    Ok(Header { machine: file.e_machine(endian).0, loader })
}

/// Checks that a binary runs on a platform, in an image that holds nothing else.
pub fn check(name: &str, platform: Platform, bytes: &[u8]) -> Result<(), ElfError> {
    let name = name.to_owned();
    match header(bytes) {
        Err(error) => Err(ElfError::NotElf { name, platform, detail: error.to_string() }),
        Ok(Header { machine, .. }) if machine != platform.machine() => {
            let known = Platform::ALL.into_iter().find(|other| other.machine() == machine);
            let found = match known {
                Some(other) => other.to_string(),
                None => match Machine(machine) {
                    object::elf::EM_386 => "32-bit x86".to_owned(),
                    object::elf::EM_ARM => "32-bit ARM".to_owned(),
                    _ => format!("ELF machine {machine}"),
                },
            };
            Err(ElfError::Machine { name, platform, found })
        }
        Ok(Header { loader: Some(loader), .. }) => Err(ElfError::Dynamic { name, platform, loader }),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The smallest file whose header a reader accepts, static, for a machine.
    pub(in crate::image) fn executable(machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16] = 2; // ET_EXEC
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[20] = 1; // EV_CURRENT
        bytes[52] = 64; // e_ehsize
        bytes
    }

    #[test]
    fn a_binary_for_its_platform_passes() {
        for platform in Platform::ALL {
            let bytes = executable(platform.machine());
            assert_eq!(machine(&bytes).unwrap(), platform.machine());
            check("marketplace", platform, &bytes).unwrap();
        }
    }

    #[test]
    fn the_laptops_binary_is_refused_for_the_nodes() {
        let arm = executable(Platform::LinuxArm64.machine());
        let error = check("marketplace", Platform::LinuxAmd64, &arm).unwrap_err();
        assert_eq!(error.to_string(), "marketplace for linux/amd64 holds code for linux/arm64");
        assert!(error.remedy().contains("-p marketplace --target x86_64-unknown-linux-musl"));
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe\x07\x00\x00\x01", &executable(62)[..40]] {
            let error = check("marketplace", Platform::LinuxAmd64, bytes).unwrap_err();
            assert!(matches!(error, ElfError::NotElf { .. }), "{error}");
        }
    }

    #[test]
    fn a_dynamic_binary_is_refused_with_its_loader() {
        // This test's own executable, as built for a glibc host.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let Some(platform) = Platform::ALL.into_iter().find(|each| Ok(each.machine()) == machine(&own))
        else {
            return;
        };
        if header(&own).unwrap().loader.is_some() {
            let error = check("tests", platform, &own).unwrap_err();
            assert!(matches!(&error, ElfError::Dynamic { loader, .. } if loader.contains("ld-")), "{error}");
        }
    }
}
