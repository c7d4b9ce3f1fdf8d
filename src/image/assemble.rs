//! An image index from binaries, byte for byte the same each time: one layer with one static
//! binary, no time, no host, no order of a hash map in it.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use oci_client::manifest::{IMAGE_CONFIG_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, HistoryBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Platform;
use super::elf::{self, ElfError};

/// Who the process in the image is: nobody in particular, by number, so that Kubernetes can
/// prove `runAsNonRoot` without reading a passwd file.
pub const USER: &str = "65532:65532";

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The binary's name, and its path: `/name`.
    pub name: String,
    /// The binary for each platform.
    pub binaries: BTreeMap<Platform, Vec<u8>>,
    /// TCP ports that it listens on.
    pub ports: Vec<u16>,
    /// The commit it was built from.
    pub revision: Option<String>,
    /// More labels.
    pub labels: BTreeMap<String, String>,
}

/// Bytes and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:...`.
    pub digest: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// One platform's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformImage {
    /// The platform.
    pub platform: Platform,
    /// The layer: a gzipped tar.
    pub layer: Blob,
    /// The configuration.
    pub config: Blob,
    /// The manifest that names both.
    pub manifest: Blob,
}

/// An index and everything under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The index; its digest is the image's.
    pub index: Blob,
    /// The images by platform, in the index's order.
    pub images: Vec<PlatformImage>,
}

/// Why no image could be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// No binary at all.
    #[error("{name} has no platform to build an image for")]
    Empty {
        /// The image's name.
        name: String,
    },
    /// A name that cannot be a file at the root.
    #[error("{name:?} cannot be the name of a binary in an image")]
    Name {
        /// The name.
        name: String,
    },
    /// A binary that would not run.
    #[error(transparent)]
    Binary(#[from] ElfError),
    /// The layer could not be written.
    #[error("cannot write the layer of {name}: {source}")]
    Layer {
        /// The image's name.
        name: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A document could not be written.
    #[error("cannot write the {document} of {name}: {source}")]
    Document {
        /// The image's name.
        name: String,
        /// Which document.
        document: &'static str,
        /// What went wrong.
        source: OciSpecError,
    },
}

impl AssembleError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Empty { .. } => "set platforms = [\"linux/amd64\"] for this service".to_owned(),
            Self::Name { .. } => "name the package in lower case letters, digits, - and _".to_owned(),
            Self::Binary(error) => error.remedy(),
            Self::Layer { .. } | Self::Document { .. } => {
                "this is a fault in kubestrap; please report it".to_owned()
            }
        }
    }
}

/// Assembles the index of an image, after checking each binary against its platform.
pub fn assemble(recipe: &Recipe) -> Result<Image, AssembleError> {
    let name = &recipe.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(AssembleError::Name { name: name.clone() });
    }
    if recipe.binaries.is_empty() {
        return Err(AssembleError::Empty { name: name.clone() });
    }
    let mut images = Vec::new();
    let mut descriptors = Vec::new();
    for (platform, binary) in &recipe.binaries {
        elf::check(name, *platform, binary)?;
        let (image, descriptor) = one(recipe, *platform, binary)?;
        images.push(image);
        descriptors.push(descriptor);
    }
    let fail = document(name, "index");
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::from(OCI_IMAGE_INDEX_MEDIA_TYPE))
        .manifests(descriptors)
        .annotations(labels(recipe))
        .build()
        .map_err(fail)?;
    Ok(Image { index: json(&index).map_err(fail)?, images })
}

fn one(
    recipe: &Recipe,
    platform: Platform,
    binary: &[u8],
) -> Result<(PlatformImage, Descriptor), AssembleError> {
    let name = &recipe.name;
    let tar = archive(name, binary).map_err(|source| AssembleError::Layer { name: name.clone(), source })?;
    let diff_id = digest(&tar);
    let layer = compress(&tar).map_err(|source| AssembleError::Layer { name: name.clone(), source })?;
    let layer = Blob::of(layer);

    let fail = document(name, "configuration");
    let config = ConfigBuilder::default()
        .user(USER)
        .entrypoint(vec![format!("/{name}")])
        .working_dir("/")
        .exposed_ports(recipe.ports.iter().map(|port| format!("{port}/tcp")).collect::<Vec<_>>())
        .labels(labels(recipe))
        .build()
        .map_err(fail)?;
    let configuration = ImageConfigurationBuilder::default()
        .architecture(Arch::from(platform.architecture()))
        .os(Os::Linux)
        .config(config)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(vec![diff_id]).build().map_err(fail)?)
        .history(vec![HistoryBuilder::default().created_by("kubestrap deploy").build().map_err(fail)?])
        .build()
        .map_err(fail)?;
    let config = json(&configuration).map_err(fail)?;

    let fail = document(name, "manifest");
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::from(OCI_IMAGE_MEDIA_TYPE))
        .config(config.descriptor(MediaType::from(IMAGE_CONFIG_MEDIA_TYPE)).map_err(fail)?)
        .layers(vec![layer.descriptor(MediaType::ImageLayerGzip).map_err(fail)?])
        .annotations(labels(recipe))
        .build()
        .map_err(fail)?;
    let manifest = json(&manifest).map_err(fail)?;

    let spec_platform = PlatformBuilder::default()
        .architecture(Arch::from(platform.architecture()))
        .os(Os::Linux)
        .build()
        .map_err(fail)?;
    let mut descriptor = manifest.descriptor(MediaType::from(OCI_IMAGE_MEDIA_TYPE)).map_err(fail)?;
    descriptor.set_platform(Some(spec_platform));
    Ok((PlatformImage { platform, layer, config, manifest }, descriptor))
}

fn document(name: &str, document: &'static str) -> impl Fn(OciSpecError) -> AssembleError + Copy {
    move |source| AssembleError::Document { name: name.to_owned(), document, source }
}

fn labels(recipe: &Recipe) -> std::collections::HashMap<String, String> {
    let title = ("org.opencontainers.image.title".to_owned(), recipe.name.clone());
    let revision = recipe.revision.clone().map(|it| ("org.opencontainers.image.revision".to_owned(), it));
    recipe.labels.clone().into_iter().chain([title]).chain(revision).collect()
}

/// A tar with the binary at the root, owned by root and writable by nobody.
fn archive(name: &str, binary: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(name)?;
    header.set_mode(0o555);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(binary.len() as u64);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, binary)?;
    tar.into_inner()
}

fn compress(tar: &[u8]) -> std::io::Result<Vec<u8>> {
    // No name and no time in the header; 255 is "unknown system", whatever this one is.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    gzip.write_all(tar)?;
    gzip.finish()
}

/// JSON with its keys in order: labels live in hash maps, whose own order changes by the run.
fn json(document: &impl Serialize) -> Result<Blob, OciSpecError> {
    let mut value = serde_json::to_value(document)?;
    value.sort_all_objects();
    Ok(Blob::of(serde_json::to_vec(&value)?))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes), bytes }
    }

    fn descriptor(&self, media_type: MediaType) -> Result<Descriptor, OciSpecError> {
        DescriptorBuilder::default()
            .media_type(media_type)
            .size(self.bytes.len() as u64)
            .digest(Digest::try_from(self.digest.clone())?)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::executable;
    use super::*;

    fn recipe() -> Recipe {
        let binaries = Platform::ALL.map(|platform| (platform, executable(platform.machine())));
        Recipe {
            name: "marketplace".into(),
            binaries: binaries.into(),
            ports: vec![5000, 9090],
            revision: Some("74c0ff9".into()),
            labels: ["a", "b", "c", "d", "e"].map(|key| (format!("books.{key}"), key.to_owned())).into(),
        }
    }

    #[test]
    fn the_same_binaries_give_the_same_bytes() {
        assert_eq!(assemble(&recipe()).unwrap(), assemble(&recipe()).unwrap());
    }

    #[test]
    fn the_documents_are_golden() {
        let image = assemble(&recipe()).unwrap();
        let text = |blob: &Blob| String::from_utf8(blob.bytes.clone()).unwrap();
        let config = &image.images[0].config;
        assert_eq!(
            text(config),
            r#"{"architecture":"amd64","config":{"Entrypoint":["/marketplace"],"ExposedPorts":{"5000/tcp":{},"9090/tcp":{}},"Labels":{"books.a":"a","books.b":"b","books.c":"c","books.d":"d","books.e":"e","org.opencontainers.image.revision":"74c0ff9","org.opencontainers.image.title":"marketplace"},"User":"65532:65532","WorkingDir":"/"},"history":[{"created_by":"kubestrap deploy"}],"os":"linux","rootfs":{"diff_ids":["sha256:216d7534ae337f3f378a79fe7ffcf14a86318761df10bafa7a439c1b31a2293a"],"type":"layers"}}"#
        );
        let index: oci_spec::image::ImageIndex = serde_json::from_slice(&image.index.bytes).unwrap();
        let platforms: Vec<_> = index
            .manifests()
            .iter()
            .map(|manifest| manifest.platform().as_ref().unwrap().architecture().to_string())
            .collect();
        assert_eq!(platforms, ["amd64", "arm64"]);
        assert_eq!(index.manifests()[1].digest().to_string(), image.images[1].manifest.digest);
    }

    #[test]
    fn the_layer_holds_the_binary_for_anyone_to_run() {
        let image = assemble(&recipe()).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(image.images[0].layer.bytes.as_slice()));
        let entries: Vec<_> = tar.entries().unwrap().map(|entry| entry.unwrap().header().clone()).collect();
        let [header] = entries.as_slice() else { panic!("{} entries", entries.len()) };
        assert_eq!(header.path().unwrap().to_str(), Some("marketplace"));
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap()), (0o555, 0, 0));
    }

    #[test]
    fn a_binary_for_another_platform_never_gets_in() {
        let mut recipe = recipe();
        recipe.binaries.insert(Platform::LinuxAmd64, executable(Platform::LinuxArm64.machine()));
        let error = assemble(&recipe).unwrap_err();
        assert!(matches!(error, AssembleError::Binary(ElfError::Machine { .. })), "{error}");
    }

    #[test]
    fn an_image_needs_a_plain_name_and_a_platform() {
        let nothing = Recipe { binaries: BTreeMap::new(), ..recipe() };
        assert!(matches!(assemble(&nothing), Err(AssembleError::Empty { .. })));
        for name in ["", "../x", "a b"] {
            let named = Recipe { name: name.into(), ..recipe() };
            assert!(matches!(assemble(&named), Err(AssembleError::Name { .. })), "{name}");
        }
    }
}
