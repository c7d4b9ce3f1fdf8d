//! From text to [`Spec`], section by section.

use ipnet::Ipv4Net;
use toml::de::DeTable;

use super::error::{SpecError, SpecErrors};
use super::model::*;
use super::read::{Field, Mistake, Mistakes, Table};
use super::{check, codes, defaults, forms, sections, service};

/// The schema that this binary understands.
const SCHEMA: &str = "kubestrap/v1";
/// Longest name of a cluster or a pool: what is derived from it stays below EC2's and Kubernetes' limits.
pub(super) const LONGEST_NAME: usize = 32;
/// Reads a spec, or tells all that is wrong with it. `file` is only named in errors.
///
/// # Errors
/// Every mistake of the text with its place and remedy, in the order of the places.
pub fn parse(file: &str, text: &str) -> Result<Spec, SpecErrors> {
    let (document, broken) = DeTable::parse_recoverable(text);
    let mut mistakes = Mistakes::new(text);
    let mut root = Table::new("", 0..0, Some(document.get_ref()));
    let schema = root.text(&mut mistakes, "schema", "\"kubestrap/v1\"").then(&mut mistakes, schema);
    if !schema.or(()).sound && broken.is_empty() {
        // Whatever else looks wrong may be right in that schema.
        return Err(SpecErrors::new(file, text, only_schema(mistakes)));
    }
    let draft = Draft::read(&mut root, &mut mistakes);
    root.finish(&mut mistakes);
    check::check(&draft, &mut mistakes);
    if let Some(first) = broken.iter().filter_map(|error| error.span()).map(|span| span.start).min() {
        let line = text[..floor(text, first)].rfind('\n').map_or(0, |newline| newline + 1);
        mistakes.errors().retain(|error| error.code != codes::MISSING && error.span.end <= line);
    }
    for error in &broken {
        mistakes.note(error.span().unwrap_or(0..0), syntax(error.message()));
    }
    let errors = mistakes.into_errors();
    if errors.is_empty() { Ok(draft.into_spec()) } else { Err(SpecErrors::new(file, text, errors)) }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

fn only_schema(mistakes: Mistakes<'_>) -> Vec<SpecError> {
    mistakes.into_errors().into_iter().take(1).collect()
}

fn syntax(message: &str) -> Mistake {
    let remedy = if message.contains("duplicate key") {
        "keep one of the two"
    } else {
        "write key = \"text\", key = 1, key = [..], [table] or [[array of tables]]"
    };
    Mistake::new(codes::SYNTAX, format!("not TOML: {}", message.replace('\n', ", ")), remedy)
}

fn schema(path: &str, text: String) -> Result<(), Mistake> {
    if text == SCHEMA {
        return Ok(());
    }
    let newer = text.strip_prefix("kubestrap/v").and_then(|number| number.parse::<u32>().ok());
    let program = env!("CARGO_PKG_VERSION");
    Err(match newer {
        Some(number) if number > 1 => Mistake::new(
            codes::SCHEMA,
            format!(
                "`{path}` is {text:?}, which is newer than this kubestrap: {program} understands {SCHEMA}"
            ),
            format!("use a newer kubestrap, or write the spec for schema = \"{SCHEMA}\""),
        ),
        _ => Mistake::new(
            codes::SCHEMA,
            format!("`{path}` is {text:?}; kubestrap {program} understands {SCHEMA}"),
            format!("write schema = \"{SCHEMA}\", or leave it out"),
        ),
    })
}

/// A spec while it is checked: every value with its place.
pub(super) struct Draft {
    pub name: Field<String>,
    pub kubernetes: Field<String>,
    pub provider: ProviderDraft,
    pub network: NetworkDraft,
    pub calico: Calico,
    pub control_plane: PoolDraft,
    pub workers: Vec<PoolDraft>,
    pub ssh: Ssh,
    pub sources: Sources,
    pub services: Vec<service::ServiceDraft>,
}

pub(super) struct ProviderDraft {
    pub kind: Field<ProviderKind>,
    pub region: Field<String>,
    pub zone: Field<Option<String>>,
    pub profile: Option<String>,
    pub endpoint: Option<String>,
    pub accounts: Vec<Field<String>>,
    pub image: Field<ImageSource>,
}

pub(super) struct NetworkDraft {
    /// The header's place: where values that the file does not have are said to be.
    pub table: std::ops::Range<usize>,
    pub vpc: Field<Ipv4Net>,
    pub subnet: Field<Ipv4Net>,
    pub pod: Field<Ipv4Net>,
    pub service: Field<Ipv4Net>,
    pub admin: Field<Vec<Field<Ipv4Net>>>,
    pub allow_world_admin: bool,
    pub node_ports: Vec<NodePortDraft>,
    pub intra_cluster: IntraCluster,
}

pub(super) struct NodePortDraft {
    pub port: Field<u16>,
    pub from: Field<Vec<Field<Ipv4Net>>>,
}

pub(super) struct PoolDraft {
    /// `control_plane` or `workers[0]`.
    pub path: String,
    pub name: Field<String>,
    pub count: Field<u16>,
    pub instance_type: Field<String>,
    pub disk_gib: u16,
}

impl Draft {
    fn read(root: &mut Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Self {
        let name = root
            .text(mistakes, "name", "\"books\"")
            .then(mistakes, |path, text| forms::label(path, text, LONGEST_NAME))
            .required(mistakes, "cluster".into(), "\"books\"");
        let kubernetes = root
            .text(mistakes, "kubernetes", "\"1.36.3\"")
            .then(mistakes, forms::kubernetes)
            .required(mistakes, defaults::KUBERNETES.into(), "\"1.36.3\"");
        let provider = sections::provider(root.table(mistakes, "provider"), mistakes);
        let network = sections::network(root.table(mistakes, "network"), &provider.kind, mistakes);
        Self {
            name,
            kubernetes,
            network,
            calico: sections::calico(root.table(mistakes, "calico"), mistakes),
            control_plane: sections::control_plane(root.table(mistakes, "control_plane"), mistakes),
            workers: sections::workers(root, mistakes),
            ssh: sections::ssh(root.table(mistakes, "ssh"), mistakes),
            sources: sections::sources(root.table(mistakes, "sources"), mistakes),
            services: service::services(root, mistakes),
            provider,
        }
    }

    fn into_spec(self) -> Spec {
        let NetworkDraft { vpc, subnet, pod, service, admin, node_ports, intra_cluster, .. } = self.network;
        let node_ports = node_ports
            .into_iter()
            .map(|node_port| NodePort { port: node_port.port.value, from: values(node_port.from.value) });
        Spec {
            name: self.name.value,
            kubernetes: self.kubernetes.value,
            provider: Provider {
                kind: self.provider.kind.value,
                region: self.provider.region.value,
                zone: self.provider.zone.value,
                profile: self.provider.profile,
                endpoint: self.provider.endpoint,
                allowed_account_ids: values(self.provider.accounts),
                image: self.provider.image.value,
            },
            network: Network {
                vpc_cidr: vpc.value,
                subnet_cidr: subnet.value,
                pod_cidr: pod.value,
                service_cidr: service.value,
                admin_cidrs: values(admin.value),
                node_ports: node_ports.collect(),
                intra_cluster,
            },
            calico: self.calico,
            control_plane: self.control_plane.into_pool(Role::ControlPlane),
            workers: self.workers.into_iter().map(|pool| pool.into_pool(Role::Worker)).collect(),
            ssh: self.ssh,
            sources: self.sources,
            services: self.services.into_iter().map(service::ServiceDraft::into_service).collect(),
        }
    }
}

impl PoolDraft {
    fn into_pool(self, role: Role) -> Pool {
        Pool {
            name: self.name.value,
            role,
            count: self.count.value,
            instance_type: self.instance_type.value,
            disk_gib: self.disk_gib,
        }
    }
}

pub(super) fn values<T>(fields: Vec<Field<T>>) -> Vec<T> {
    fields.into_iter().map(|field| field.value).collect()
}
