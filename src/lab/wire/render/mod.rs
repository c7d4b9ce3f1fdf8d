//! Answers as XML: one file per family of resources, names as in EC2's model.

mod groups;
mod instances;
mod network;
mod region;

use super::xml::Fields;
use crate::lab::world::{Page, Response, World};

/// The children of `<XResponse>`.
pub fn response(response: &Response, world: &World) -> Fields {
    use Response as R;
    let account = world.config().account.as_str();
    match response {
        R::Done => Fields::new().text("return", true),
        R::Vpc(_)
        | R::Vpcs(_)
        | R::VpcAttribute { .. }
        | R::Subnet(_)
        | R::Subnets(_)
        | R::Gateway(_)
        | R::Gateways(_)
        | R::Table(_)
        | R::Tables(_)
        | R::Association(_)
        | R::NewAssociation(_)
        | R::AddressAssociation(_)
        | R::Address(_)
        | R::Addresses(_) => network::render(response, world),
        R::Group(_)
        | R::Groups(_)
        | R::Rules(_)
        | R::Revoked(_)
        | R::DeletedGroup(_)
        | R::Key(_)
        | R::Keys { .. }
        | R::DeletedKey(_) => groups::render(response, world),
        R::Reservation(_)
        | R::Reservations(_)
        | R::Statuses(_)
        | R::Changes(_)
        | R::InstanceAttribute { .. }
        | R::Metadata(_)
        | R::Console { .. }
        | R::Interfaces(_)
        | R::Volumes(_) => instances::render(response, account, world),
        R::Images(_) | R::Types(_) | R::Offerings { .. } | R::Zones(_) | R::Regions(_) | R::TagList(_) => {
            region::render(response, world)
        }
    }
}

/// A page: the list, and the token for the next one.
fn page<T>(name: &'static str, page: &Page<T>, item: impl Fn(&T) -> Fields) -> Fields {
    Fields::new().items(name, page.items.iter().map(item)).opt("nextToken", page.next_token.as_ref())
}
