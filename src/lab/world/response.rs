//! Answers, typed. The wire writes them as XML.

use super::Time;
use super::catalogue::{Image, InstanceType};
use super::model::{
    Address, GroupRule, Instance, Interface, InternetGateway, KeyPair, RouteTable, SecurityGroup, State,
    Subnet, Volume, Vpc,
};
use super::query::Page;
use std::net::Ipv4Addr;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "variants say what they carry")]
pub enum Response {
    /// `<return>true</return>`.
    Done,
    Vpc(Vpc),
    Vpcs(Page<Vpc>),
    VpcAttribute {
        vpc: String,
        name: String,
        value: bool,
    },
    Subnet(SubnetView),
    Subnets(Page<SubnetView>),
    Gateway(InternetGateway),
    Gateways(Page<InternetGateway>),
    Table(TableView),
    Tables(Page<TableView>),
    /// A route table with a subnet.
    Association(String),
    /// The association that took the place of another.
    NewAssociation(String),
    AddressAssociation(String),
    Address(Address),
    Addresses(Vec<AddressView>),
    Group(SecurityGroup),
    Groups(Page<SecurityGroup>),
    Rules(Page<GroupRule>),
    Revoked(Vec<GroupRule>),
    DeletedGroup(String),
    Key(KeyPair),
    Keys {
        keys: Vec<KeyPair>,
        public: bool,
    },
    DeletedKey(Option<String>),
    Reservation(ReservationView),
    Reservations(Page<ReservationView>),
    Statuses(Page<StatusView>),
    Changes(Vec<(String, State, State)>),
    InstanceAttribute {
        instance: Box<InstanceView>,
        name: String,
    },
    Metadata(Box<Instance>),
    Console {
        instance: String,
        at: Time,
        text: String,
    },
    Interfaces(Page<InterfaceView>),
    Volumes(Page<Volume>),
    Images(Page<Image>),
    Types(Page<InstanceType>),
    Offerings {
        items: Page<(String, String)>,
        location_type: String,
    },
    Zones(Vec<String>),
    Regions(Vec<String>),
    TagList(Page<TagView>),
}

/// A subnet with what is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetView {
    /// The subnet.
    pub subnet: Subnet,
    /// Free addresses.
    pub available: u32,
}

/// A route table with what is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableView {
    /// The table.
    pub table: RouteTable,
    /// Destination of the local route.
    pub local: String,
    /// Gateways in it that are not attached to its VPC: their routes are black holes.
    pub black_holes: Vec<String>,
}

/// An elastic address with what it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressView {
    /// The address.
    pub address: Address,
    /// Interface it is associated with.
    pub interface: Option<Interface>,
}

/// An interface with its public address and the names of its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceView {
    /// The interface.
    pub interface: Interface,
    /// Ids and names.
    pub groups: Vec<(String, String)>,
    /// What it is reached by from outside.
    pub public: Option<PublicView>,
    /// Private DNS name.
    pub private_dns: String,
}

/// A public address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicView {
    /// The address.
    pub ip: Ipv4Addr,
    /// Public DNS name; empty where the VPC gives none.
    pub dns: String,
    /// `eipalloc-...` and `eipassoc-...` of an elastic one.
    pub elastic: Option<(String, String)>,
}

/// An instance with its interface and root volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// The instance.
    pub instance: Instance,
    /// Its interface, until it is terminated.
    pub interface: Option<InterfaceView>,
    /// Its root volume.
    pub volume: Option<Volume>,
}

/// A launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// `r-...`.
    pub id: String,
    /// Instances asked for.
    pub instances: Vec<InstanceView>,
}

/// Status checks of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// `i-...`.
    pub id: String,
    /// Zone name.
    pub zone: String,
    /// State.
    pub state: State,
    /// `ok`, `initializing` or `not-applicable`.
    pub status: &'static str,
}

/// A tag in DescribeTags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagView {
    /// Resource id.
    pub id: String,
    /// Resource type.
    pub kind: &'static str,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}
