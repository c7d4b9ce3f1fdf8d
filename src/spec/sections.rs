//! The sections of a spec but for its services.

use ipnet::Ipv4Net;

use super::model::*;
use super::parse::{LONGEST_NAME, NetworkDraft, NodePortDraft, PoolDraft, ProviderDraft, values};
use super::read::{Field, Mistake, Mistakes, Table};
use super::{check, codes, defaults, forms, instance, place};

/// Most nodes of a pool: what one launch call and one install in parallel have been made for.
const MOST_NODES: u16 = 100;

pub(super) fn provider(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> ProviderDraft {
    let kinds = [("aws", ProviderKind::Aws), ("lab", ProviderKind::Lab)];
    let kind = table
        .text(mistakes, "kind", "\"aws\"")
        .then(mistakes, |path, text| forms::choice(path, &text, &kinds))
        .required(mistakes, ProviderKind::Aws, "\"lab\" or \"aws\"");
    let endpoint = table.text(mistakes, "endpoint", "\"http://127.0.0.1:4566\"").then(mistakes, forms::url);
    let endpoint = endpoint.optional();
    let own_endpoint = endpoint.value.is_some();
    let region = table
        .text(mistakes, "region", "\"ap-northeast-1\"")
        .then(mistakes, |path, text| place::region(path, text, own_endpoint));
    let region = match kind.value {
        ProviderKind::Aws if kind.sound => {
            region.required(mistakes, defaults::REGION.into(), "\"ap-northeast-1\"")
        }
        ProviderKind::Aws | ProviderKind::Lab => region.or(defaults::REGION.into()),
    };
    let zone = table.text(mistakes, "zone", "\"ap-northeast-1a\"").then(mistakes, |path, text| {
        if region.sound { place::zone(path, &text, &region.value).map(|()| text) } else { Ok(text) }
    });
    let accounts = table.texts(mistakes, "allowed_account_ids", "\"123456789012\"", account);
    let image =
        table.text(mistakes, "image", "\"ami-0123456789abcdef0\"").then(mistakes, place::machine_image);
    let draft = ProviderDraft {
        zone: zone.optional(),
        profile: table.text(mistakes, "profile", "\"default\"").then(mistakes, forms::line).optional().value,
        endpoint: endpoint.value.or_else(|| defaults::endpoint(kind.value)),
        accounts: accounts.or(Vec::new()).value,
        image: image.or(ImageSource::Ssm(defaults::IMAGE_PARAMETER.into())),
        kind,
        region,
    };
    table.finish(mistakes);
    draft
}

fn account(path: &str, text: String) -> Result<String, Mistake> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text);
    }
    Err(Mistake::new(
        codes::ACCOUNT,
        format!("`{path}` is {text:?}, which is no AWS account id"),
        "write its 12 digits: `aws sts get-caller-identity` tells them",
    ))
}

pub(super) fn network(
    mut table: Table<'_, '_>,
    kind: &Field<ProviderKind>,
    mistakes: &mut Mistakes<'_>,
) -> NetworkDraft {
    let mut range = |key: &'static str, default: fn() -> Ipv4Net| {
        table.text(mistakes, key, "\"10.0.0.0/16\"").then(mistakes, forms::unicast).or(default())
    };
    let vpc = range("vpc_cidr", defaults::vpc_cidr);
    let pod = range("pod_cidr", defaults::pod_cidr);
    let service = range("service_cidr", defaults::service_cidr);
    let subnet = table.text(mistakes, "subnet_cidr", "\"10.0.0.0/20\"").then(mistakes, forms::unicast);
    let mut subnet = subnet.or(defaults::subnet_of(vpc.value));
    subnet.sound &= vpc.sound;
    let admin = table.texts(mistakes, "admin_cidrs", "\"203.0.113.7/32\"", forms::cidr);
    let admin = match defaults::admin_cidrs(kind.value) {
        Some(default) => {
            let place = |cidr| Field { value: cidr, span: admin.span.clone(), sound: true };
            let default = default.into_iter().map(place).collect();
            admin.or(default)
        }
        None if kind.sound => {
            admin.required(mistakes, Vec::new(), "[\"203.0.113.7/32\"], your own address as others see it,")
        }
        None => Field { sound: false, ..admin.or(Vec::new()) },
    };
    let profiles = [("least", IntraCluster::Least), ("all", IntraCluster::All)];
    let draft = NetworkDraft {
        table: table.span.clone(),
        vpc,
        subnet,
        pod,
        service,
        admin,
        allow_world_admin: table.flag(mistakes, "allow_world_admin").or(false).value,
        intra_cluster: table
            .text(mistakes, "intra_cluster", "\"least\"")
            .then(mistakes, |path, text| forms::choice(path, &text, &profiles))
            .or(IntraCluster::Least)
            .value,
        node_ports: node_ports(&mut table, mistakes),
    };
    table.finish(mistakes);
    draft
}

fn node_ports(network: &mut Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<NodePortDraft> {
    let example = "{ port = 30997, from = [\"0.0.0.0/0\"] }";
    let tables = network.tables(mistakes, "node_ports", example).or(Vec::new()).value;
    tables
        .into_iter()
        .map(|mut table| {
            let port = table.number(mistakes, "port", 30000..=32767, codes::NODE_PORT, "30997");
            let port = port.required(mistakes, 30000, "30997");
            let from = table.texts(mistakes, "from", "\"0.0.0.0/0\"", forms::cidr);
            let from = from.required(mistakes, Vec::new(), "[\"0.0.0.0/0\"]");
            table.finish(mistakes);
            NodePortDraft { port, from }
        })
        .collect()
}

pub(super) fn calico(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Calico {
    let version = table.text(mistakes, "version", "\"3.31.0\"").then(mistakes, forms::calico);
    let version = version.or(defaults::CALICO.into()).value;
    let encapsulation = table
        .text(mistakes, "encapsulation", "\"vxlan\"")
        .then(mistakes, encapsulation)
        .or(Encapsulation::Vxlan)
        .value;
    table.finish(mistakes);
    Calico { version, encapsulation }
}

fn encapsulation(path: &str, text: String) -> Result<Encapsulation, Mistake> {
    let why = match text.to_lowercase().replace(['-', '_'], "").as_str() {
        "vxlan" if text == "vxlan" => return Ok(Encapsulation::Vxlan),
        "vxlan" | "vxlanalways" | "always" => "is written \"vxlan\"".to_owned(),
        "crosssubnet" | "vxlancrosssubnet" | "ipipcrosssubnet" => {
            "sends bare pod addresses inside a subnet: the \
             source/destination check drops them, and least privilege has no rule that could admit them"
                .to_owned()
        }
        "ipip" => "is IP protocol 4: this version opens UDP 4789 between nodes and nothing for it".to_owned(),
        "none" | "bgp" | "" => {
            "puts bare pod addresses on the wire: the source/destination check drops them".to_owned()
        }
        _ => "is no encapsulation that this version knows".to_owned(),
    };
    let message = format!("`{path}` {text:?} {why}");
    Err(Mistake::new(codes::ENCAPSULATION, message, "write \"vxlan\", or leave it out"))
}

pub(super) fn control_plane(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> PoolDraft {
    let count =
        table.number(mistakes, "count", 0..=u16::MAX, codes::COUNT, "1").then(mistakes, control_plane_count);
    let count = count.or(1);
    let name = Field { value: "control-plane".to_owned(), span: table.span.clone(), sound: true };
    pool(table, name, count, mistakes)
}

fn control_plane_count(path: &str, count: u16) -> Result<u16, Mistake> {
    let (message, remedy) = match count {
        1 => return Ok(count),
        0 => (format!("`{path}` is 0: without a control plane there is no cluster"), "write 1"),
        even if even % 2 == 0 => (
            format!(
                "`{path}` is {count}: etcd needs a majority of {}, so {count} members survive no more losses than {}",
                count / 2 + 1,
                count - 1
            ),
            "write 1",
        ),
        _ => (
            format!("`{path}` is {count}: not supported yet, this version makes one control plane node"),
            "write 1",
        ),
    };
    Err(Mistake::new(codes::COUNT, message, remedy))
}

pub(super) fn workers(root: &mut Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<PoolDraft> {
    let example = "{ name = \"general\", count = 2 }";
    let got = root.tables(mistakes, "workers", example).then(mistakes, |path, tables| {
        if tables.is_empty() {
            let message = format!("`{path}` is empty: the control plane runs no services");
            let remedy = "write at least one [[workers]], or leave it out for two nodes";
            return Err(Mistake::new(codes::COUNT, message, remedy));
        }
        Ok(tables)
    });
    let (path, span) = (got.path.clone(), got.span.clone());
    let default = || PoolDraft {
        path: format!("{path}[0]"),
        name: Field { value: defaults::POOL.to_owned(), span: span.clone(), sound: true },
        count: Field { value: defaults::WORKERS, span: span.clone(), sound: true },
        instance_type: Field { value: defaults::INSTANCE_TYPE.to_owned(), span: span.clone(), sound: true },
        disk_gib: defaults::DISK_GIB,
    };
    let Some(tables) = got.optional().value else { return vec![default()] };
    tables
        .into_iter()
        .map(|mut table| {
            let name = table
                .text(mistakes, "name", "\"general\"")
                .then(mistakes, |path, text| forms::label(path, text, LONGEST_NAME))
                .required(mistakes, defaults::POOL.into(), "\"general\"");
            let count = table.number(mistakes, "count", 1..=MOST_NODES, codes::COUNT, "2");
            let count = count.required(mistakes, 1, "2");
            pool(table, name, count, mistakes)
        })
        .collect()
}

fn pool(
    mut table: Table<'_, '_>,
    name: Field<String>,
    count: Field<u16>,
    mistakes: &mut Mistakes<'_>,
) -> PoolDraft {
    let instance_type = table
        .text(mistakes, "instance_type", "\"t3.medium\"")
        .then(mistakes, instance::instance_type)
        .or(defaults::INSTANCE_TYPE.into());
    // Below 10 GiB the images do not fit beside the system; 16 TiB is the most that gp3 has.
    let disk_gib =
        table.number(mistakes, "disk_gib", 10..=16384, codes::COUNT, "20").or(defaults::DISK_GIB).value;
    let path = table.path_of("");
    table.finish(mistakes);
    PoolDraft { path: path.trim_end_matches('.').to_owned(), name, count, instance_type, disk_gib }
}

pub(super) fn ssh(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Ssh {
    let user = table.text(mistakes, "user", "\"admin\"").then(mistakes, |path, text| {
        let good = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && text.len() <= 32
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if good {
            return Ok(text);
        }
        let message = format!("`{path}` is {text:?}, which is no login name");
        let remedy = "write \"admin\" for Debian's images, \"ubuntu\" for Ubuntu's";
        Err(Mistake::new(codes::VALUE, message, remedy))
    });
    let timeout = table.number(mistakes, "timeout_seconds", 5..=3600, codes::COUNT, "180");
    table.finish(mistakes);
    Ssh {
        user: user.or(defaults::SSH_USER.into()).value,
        timeout_seconds: timeout.or(defaults::SSH_TIMEOUT_SECONDS).value,
    }
}

pub(super) fn sources(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Sources {
    let apt = "\"http://198.18.0.2:8080/apt\"";
    let packages = table.text(mistakes, "packages", apt).then(mistakes, forms::url).optional().value;
    let runtime = table.text(mistakes, "runtime", apt).then(mistakes, forms::url).optional().value;
    let manifest = table.text(mistakes, "calico_manifest", "\"calico.yaml\"");
    let manifest = manifest.then(mistakes, |path, text| {
        if text.contains("://") { forms::url(path, text) } else { forms::line(path, text) }
    });
    let mirrors = table.named_texts(mistakes, "mirrors", "\"http://198.18.0.2:5000\"", |path, host, text| {
        forms::registry(path, host)?;
        forms::url(path, text)
    });
    let checks = table.texts(mistakes, "ignore_preflight", "\"SystemVerification\"", preflight);
    let checks = checks.or(Vec::new()).value;
    check::unique("sources.ignore_preflight", &checks, mistakes);
    let sources = Sources {
        runtime: runtime.or_else(|| packages.clone()),
        packages,
        mirrors,
        calico_manifest: manifest.optional().value,
        ignore_preflight: values(checks),
    };
    table.finish(mistakes);
    sources
}

fn preflight(path: &str, text: String) -> Result<String, Mistake> {
    let mistake = |what: &str, remedy: &str| {
        Mistake::new(codes::VALUE, format!("`{path}` is {text:?}, {what}"), remedy.to_owned())
    };
    if text.eq_ignore_ascii_case("all") {
        return Err(mistake(
            "which hides every error that kubeadm would find",
            "name the checks, for example \"SystemVerification\"",
        ));
    }
    if text.is_empty()
        || text.contains(|letter: char| letter == ',' || letter.is_whitespace() || letter.is_control())
    {
        return Err(mistake(
            "which is no name of a kubeadm preflight check",
            "write one name an item, for example \"SystemVerification\", \"Swap\"",
        ));
    }
    Ok(text)
}
