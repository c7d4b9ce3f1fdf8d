//! `[[services]]`.

use std::collections::BTreeMap;

use super::model::{Check, Service, ServiceProtocol};
use super::parse::values;
use super::read::{Field, Mistake, Mistakes, Table};
use super::{check, codes, defaults, forms};
use crate::image::Platform;

/// Longest name of a service: a DNS label.
const LONGEST_NAME: usize = 63;
/// Most replicas: beyond it is no small cluster.
const MOST_REPLICAS: u16 = 100;

/// A service while it is checked.
pub(super) struct ServiceDraft {
    /// `services[0]`.
    pub path: String,
    pub name: Field<String>,
    pub source: String,
    pub image: String,
    pub platforms: Field<Vec<Field<Platform>>>,
    pub port: u16,
    pub protocol: Field<ServiceProtocol>,
    pub node_port: Field<Option<u16>>,
    pub replicas: u16,
    pub env: BTreeMap<String, String>,
    pub check: Field<Option<Check>>,
}

impl ServiceDraft {
    pub fn into_service(self) -> Service {
        Service {
            name: self.name.value,
            source: self.source,
            image: self.image,
            platforms: values(self.platforms.value),
            port: self.port,
            protocol: self.protocol.value,
            node_port: self.node_port.value,
            replicas: self.replicas,
            env: self.env,
            check: self.check.value,
        }
    }
}

pub(super) fn services(root: &mut Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Vec<ServiceDraft> {
    let example =
        "{ name = \"marketplace\", source = \"services/marketplace\", image = \"...\", port = 5000 }";
    let tables = root.tables(mistakes, "services", example).or(Vec::new()).value;
    tables.into_iter().map(|table| service(table, mistakes)).collect()
}

fn service(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> ServiceDraft {
    let name = table
        .text(mistakes, "name", "\"marketplace\"")
        .then(mistakes, |path, text| forms::label(path, text, LONGEST_NAME))
        .then(mistakes, not_reserved)
        .required(mistakes, "service".into(), "\"marketplace\"");
    let source = table
        .text(mistakes, "source", "\"services/marketplace\"")
        .then(mistakes, forms::line)
        .required(mistakes, String::new(), "\"services/marketplace\"")
        .value;
    let image = table
        .text(mistakes, "image", "\"jinbi/marketplace:v1\"")
        .then(mistakes, forms::image)
        .required(mistakes, String::new(), "\"jinbi/marketplace:v1\"")
        .value;
    let platforms = table.texts(mistakes, "platforms", "\"linux/amd64\"", forms::platform);
    let span = platforms.span.clone();
    let every = Platform::ALL.map(|platform| Field { value: platform, span: span.clone(), sound: true });
    let platforms = platforms
        .then(mistakes, |path, platforms| {
            if platforms.is_empty() {
                let message = format!("`{path}` is empty");
                let remedy = "name one, or leave it out for both";
                return Err(Mistake::new(codes::PLATFORM, message, remedy));
            }
            Ok(platforms)
        })
        .or(every.to_vec());
    check::unique(&table.path_of("platforms"), &platforms.value, mistakes);
    let port = table.number(mistakes, "port", 1..=u16::MAX, codes::PORT, "5000");
    let port = port.required(mistakes, 1, "5000").value;
    let protocols = [("http", ServiceProtocol::Http), ("grpc", ServiceProtocol::Grpc)];
    let protocol = table
        .text(mistakes, "protocol", "\"http\"")
        .then(mistakes, |path, text| forms::choice(path, &text, &protocols))
        .or(ServiceProtocol::Http);
    let node_port = table.number(mistakes, "node_port", 30000..=32767, codes::NODE_PORT, "30997").optional();
    let replicas = table.number(mistakes, "replicas", 1..=MOST_REPLICAS, codes::COUNT, "2");
    let replicas = replicas.or(defaults::REPLICAS).value;
    let env = table.named_texts(mistakes, "env", "\"recommendations\"", |path, name, text| {
        forms::env_name(path, name)?;
        if text.contains('\0') {
            let message = format!("`{path}` has a NUL in it");
            return Err(Mistake::new(codes::ENV, message, "write it without"));
        }
        Ok(text)
    });
    let check = read_check(table.table(mistakes, "check"), mistakes);
    let path = table.path_of("").trim_end_matches('.').to_owned();
    table.finish(mistakes);
    ServiceDraft { path, name, source, image, platforms, port, protocol, node_port, replicas, env, check }
}

fn not_reserved(path: &str, name: String) -> Result<String, Mistake> {
    if name != "kubernetes" {
        return Ok(name);
    }
    Err(Mistake::new(
        codes::NAME,
        format!("`{path}` is \"kubernetes\", which is the API server's own service"),
        "write another name",
    ))
}

fn read_check(mut table: Table<'_, '_>, mistakes: &mut Mistakes<'_>) -> Field<Option<Check>> {
    let span = table.span.clone();
    if !table.is_there() {
        return Field { value: None, span, sound: true };
    }
    let path = table.text(mistakes, "path", "\"/\"").then(mistakes, |path, text| {
        if text.starts_with('/')
            && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        {
            return Ok(text);
        }
        let message = format!("`{path}` is {text:?}, which is no request path");
        Err(Mistake::new(codes::CHECK, message, "write for example \"/\""))
    });
    let contains = table.text(mistakes, "contains", "\"Mystery books\"").then(mistakes, forms::line);
    let contains = contains.required(mistakes, String::new(), "\"Mystery books you may like\"").value;
    let check = Check { path: path.or("/".into()).value, contains };
    table.finish(mistakes);
    Field { value: Some(check), span, sound: true }
}
