//! Route tables.

use ipnet::Ipv4Net;

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::{RouteTable, Subnet};
use super::query::{Field, Page, Query};
use super::request::{Request, TagSpec};
use super::response::{Response, TableView};
use super::store::Resource;
use super::tag::tags_for;
use super::vpc::parse_cidr;

/// Filters of DescribeRouteTables.
const FIELDS: &[Field<RouteTable>] = &[
    ("route-table-id", |_, table| vec![table.id.clone()]),
    ("vpc-id", |_, table| vec![table.vpc.clone()]),
    ("owner-id", |world, _| vec![world.config.account.clone()]),
    ("association.main", |_, table| {
        let main = table.main.iter().map(|_| "true".into());
        main.chain(table.associations.iter().map(|_| "false".into())).collect()
    }),
    ("association.route-table-association-id", |_, table| {
        table.main.iter().chain(table.associations.iter().map(|(id, _)| id)).cloned().collect()
    }),
    ("association.route-table-id", |_, table| {
        let any = table.main.is_some() || !table.associations.is_empty();
        any.then(|| table.id.clone()).into_iter().collect()
    }),
    ("association.subnet-id", |_, table| {
        table.associations.iter().map(|(_, subnet)| subnet.clone()).collect()
    }),
    ("route.destination-cidr-block", |world, table| {
        let local = world.vpcs.find(&table.vpc).map(|vpc| vpc.cidr.to_string());
        local.into_iter().chain(table.routes.iter().map(|(destination, _)| destination.to_string())).collect()
    }),
    ("route.gateway-id", |_, table| {
        std::iter::once("local".to_owned()).chain(table.routes.iter().map(|(_, id)| id.clone())).collect()
    }),
    ("route.origin", |_, table| {
        let made = table.routes.first().map(|_| "CreateRoute".to_owned());
        std::iter::once("CreateRouteTable".to_owned()).chain(made).collect()
    }),
    ("route.state", |world, table| {
        let state = |id: &String| if world.attached(id, &table.vpc) { "active" } else { "blackhole" };
        std::iter::once("active".to_owned())
            .chain(table.routes.iter().map(|(_, id)| state(id).to_owned()))
            .collect()
    }),
];

impl World {
    pub(super) fn create_table(
        &mut self,
        vpc: String,
        tags: Vec<TagSpec>,
        token: Option<String>,
        request: Request,
    ) -> ApiResult<Response> {
        if let Some(id) = self.replay(token.as_deref(), &request)?
            && let Some(table) = self.tables.find(&id)
        {
            return Ok(Response::Table(self.table_view(table.clone())));
        }
        let tags = tags_for(RouteTable::KIND, tags)?;
        self.vpcs.get(&vpc)?;
        let id = self.mint("rtb-");
        let table = RouteTable {
            id: id.clone(),
            vpc,
            main: None,
            associations: Vec::new(),
            routes: Vec::new(),
            tags,
        };
        self.tables.insert(table.clone());
        self.remember(token, request, &id);
        Ok(Response::Table(self.table_view(table)))
    }

    pub(super) fn delete_table(&mut self, id: &str) -> ApiResult<Response> {
        let table = self.tables.get(id)?;
        if table.main.is_some() || !table.associations.is_empty() {
            return Err(ApiError::dependency(format!(
                "The routeTable '{id}' has dependencies and cannot be deleted."
            )));
        }
        self.tables.remove(id);
        Ok(Response::Done)
    }

    pub(super) fn describe_tables(&self, query: &Query) -> ApiResult<Response> {
        let Page { items, next_token } = self.list(&self.tables, query, FIELDS)?;
        let items = items.into_iter().map(|table| self.table_view(table)).collect();
        Ok(Response::Tables(Page { items, next_token }))
    }

    fn table_view(&self, table: RouteTable) -> TableView {
        let local = self.vpcs.find(&table.vpc).map(|vpc| vpc.cidr.to_string()).unwrap_or_default();
        let dark = |id: &&String| !self.attached(id, &table.vpc);
        let black_holes = table.routes.iter().map(|(_, id)| id).filter(dark).cloned().collect();
        TableView { table, local, black_holes }
    }

    /// Whether this gateway is attached to this VPC.
    fn attached(&self, gateway: &str, vpc: &str) -> bool {
        self.gateways.find(gateway).is_some_and(|gateway| gateway.vpc.as_deref() == Some(vpc))
    }

    pub(super) fn associate_table(&mut self, id: &str, subnet: &str) -> ApiResult<Response> {
        let table = self.tables.get(id)?;
        if self.subnets.get(subnet)?.vpc != table.vpc {
            return Err(ApiError::value(format!(
                "Route table {id} and subnet {subnet} belong to different networks"
            )));
        }
        if self.tables.all().any(|table| table.associations.iter().any(|(_, held)| held == subnet)) {
            return Err(ApiError::new(
                "Resource.AlreadyAssociated",
                format!(
                    "the specified association for route table {id} conflicts with an existing association"
                ),
            ));
        }
        let association = self.mint("rtbassoc-");
        self.tables.get_mut(id)?.associations.push((association.clone(), subnet.to_owned()));
        Ok(Response::Association(association))
    }

    /// Takes an association out of its table and gives back its subnet; the main one has none.
    fn take_association(&mut self, association: &str) -> ApiResult<Option<String>> {
        for table in self.tables.all_mut() {
            if table.main.as_deref() == Some(association) {
                return Ok(None);
            }
            if let Some(at) = table.associations.iter().position(|(id, _)| id == association) {
                return Ok(Some(table.associations.remove(at).1));
            }
        }
        Err(ApiError::new(
            "InvalidAssociationID.NotFound",
            format!("The association ID '{association}' does not exist"),
        ))
    }

    pub(super) fn disassociate_table(&mut self, association: &str) -> ApiResult<Response> {
        match self.take_association(association)? {
            Some(_) => Ok(Response::Done),
            None => Err(ApiError::value("cannot disassociate the main route table association")),
        }
    }

    pub(super) fn reassociate_table(&mut self, association: &str, id: &str) -> ApiResult<Response> {
        let vpc = self.tables.get(id)?.vpc.clone();
        let fresh = self.mint("rtbassoc-");
        match self.take_association(association)? {
            Some(subnet) => {
                if self.subnets.find(&subnet).is_none_or(|subnet| subnet.vpc != vpc) {
                    return Err(ApiError::value(format!(
                        "Route table {id} and subnet {subnet} belong to different networks"
                    )));
                }
                self.tables.get_mut(id)?.associations.push((fresh.clone(), subnet));
            }
            None => {
                let of_vpc = self
                    .tables
                    .all_mut()
                    .find(|table| table.main.as_deref() == Some(association))
                    .filter(|table| table.vpc == vpc);
                let Some(main) = of_vpc else {
                    return Err(ApiError::value(format!(
                        "Route table {id} and association {association} belong to different networks"
                    )));
                };
                main.main = None;
                self.tables.get_mut(id)?.main = Some(fresh.clone());
            }
        }
        Ok(Response::NewAssociation(fresh))
    }

    pub(super) fn set_route(
        &mut self,
        table: &str,
        destination: &str,
        gateway: &str,
        replace: bool,
    ) -> ApiResult<Response> {
        let vpc = self.tables.get(table)?.vpc.clone();
        let destination = parse_cidr(destination, "destinationCidrBlock")?;
        self.gateways.get(gateway)?;
        if !self.attached(gateway, &vpc) {
            return Err(ApiError::value(format!(
                "route table {table} and network gateway {gateway} belong to different networks"
            )));
        }
        if destination != Ipv4Net::default() {
            return Err(ApiError::unsupported(format!(
                "The lab routes 0.0.0.0/0 to an internet gateway, and no other destination ({destination})."
            )));
        }
        let routes = &mut self.tables.get_mut(table)?.routes;
        match (routes.iter_mut().find(|(known, _)| *known == destination), replace) {
            (Some(route), true) => route.1 = gateway.to_owned(),
            (None, false) => routes.push((destination, gateway.to_owned())),
            (Some(_), false) => {
                return Err(ApiError::new(
                    "RouteAlreadyExists",
                    format!("The route identified by {destination} already exists."),
                ));
            }
            (None, true) => {
                return Err(ApiError::value(format!(
                    "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
                )));
            }
        }
        Ok(Response::Done)
    }

    pub(super) fn delete_route(&mut self, table: &str, destination: &str) -> ApiResult<Response> {
        let of = self.tables.get(table)?;
        let destination = parse_cidr(destination, "destinationCidrBlock")?;
        if self.vpcs.find(&of.vpc).is_some_and(|vpc| vpc.cidr == destination) {
            return Err(ApiError::value(format!(
                "cannot remove local route {destination} in route table {table}"
            )));
        }
        let routes = &mut self.tables.get_mut(table)?.routes;
        let before = routes.len();
        routes.retain(|(known, _)| *known != destination);
        if routes.len() == before {
            return Err(ApiError::new(
                "InvalidRoute.NotFound",
                format!("no route with destination-cidr-block {destination} in route table {table}"),
            ));
        }
        Ok(Response::Done)
    }

    /// Whether the table that applies to this subnet reaches the internet.
    pub(super) fn routes_to_internet(&self, subnet: &Subnet) -> bool {
        let own = |table: &&RouteTable| table.associations.iter().any(|(_, id)| *id == subnet.id);
        let main = |table: &&RouteTable| table.vpc == subnet.vpc && table.main.is_some();
        self.tables.all().find(own).or_else(|| self.tables.all().find(main)).is_some_and(|table| {
            table.routes.iter().any(|(to, id)| *to == Ipv4Net::default() && self.attached(id, &table.vpc))
        })
    }
}
