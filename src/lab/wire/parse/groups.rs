//! Security groups and key pairs.

use crate::lab::wire::params::Scope;
use crate::lab::world::{ApiError, ApiResult, GroupName, Permission, Request};
use crate::network::Direction;

/// The call, if it is of this family.
pub fn parse(action: &str, p: &Scope<'_>) -> ApiResult<Option<Request>> {
    use Request as R;
    Ok(Some(match action {
        "CreateSecurityGroup" => R::CreateSecurityGroup {
            name: p.need("GroupName")?,
            description: p.need("GroupDescription")?,
            vpc: p.text("VpcId"),
            tags: p.tag_specs()?,
        },
        "DeleteSecurityGroup" => R::DeleteSecurityGroup { id: group(p)? },
        "DescribeSecurityGroups" => {
            R::DescribeSecurityGroups { query: p.query("GroupId")?, names: p.texts("GroupName") }
        }
        "AuthorizeSecurityGroupIngress" => authorize(p, Direction::Ingress)?,
        "AuthorizeSecurityGroupEgress" => authorize(p, Direction::Egress)?,
        "RevokeSecurityGroupIngress" => revoke(p, Direction::Ingress)?,
        "RevokeSecurityGroupEgress" => revoke(p, Direction::Egress)?,
        "DescribeSecurityGroupRules" => R::DescribeSecurityGroupRules(p.query("SecurityGroupRuleId")?),
        "UpdateSecurityGroupRuleDescriptionsIngress" => update(p, Direction::Ingress)?,
        "UpdateSecurityGroupRuleDescriptionsEgress" => update(p, Direction::Egress)?,

        "ImportKeyPair" => R::ImportKeyPair {
            name: p.need("KeyName")?,
            material: p.need("PublicKeyMaterial")?,
            tags: p.tag_specs()?,
        },
        "DeleteKeyPair" => R::DeleteKeyPair { name: p.text("KeyName"), id: p.text("KeyPairId") },
        "DescribeKeyPairs" => R::DescribeKeyPairs {
            query: p.query("KeyPairId")?,
            names: p.texts("KeyName"),
            include_public_key: p.flag("IncludePublicKey")?.unwrap_or(false),
        },
        _ => return Ok(None),
    }))
}

/// The group of a call. A name alone means a group of the default VPC, and there is none.
fn group(p: &Scope<'_>) -> ApiResult<String> {
    match (p.text("GroupId"), p.text("GroupName")) {
        (Some(id), _) => Ok(id),
        (None, Some(name)) => Err(ApiError::new(
            "InvalidGroup.NotFound",
            format!(
                "The security group '{name}' does not exist in default VPC. Specify the GroupId parameter."
            ),
        )),
        (None, None) => Err(ApiError::missing("GroupId")),
    }
}

fn authorize(p: &Scope<'_>, direction: Direction) -> ApiResult<Request> {
    Ok(Request::Authorize { group: group(p)?, direction, permissions: permissions(p)?, tags: p.tag_specs()? })
}

fn revoke(p: &Scope<'_>, direction: Direction) -> ApiResult<Request> {
    Ok(Request::Revoke {
        group: group(p)?,
        direction,
        permissions: permissions(p)?,
        rule_ids: p.texts("SecurityGroupRuleId"),
    })
}

fn update(p: &Scope<'_>, direction: Direction) -> ApiResult<Request> {
    let one = |scope: Scope<'_>| Ok((scope.need("SecurityGroupRuleId")?, scope.text("Description")));
    Ok(Request::UpdateRuleDescriptions {
        group: group(p)?,
        direction,
        permissions: permissions(p)?,
        by_id: p.members("SecurityGroupRuleDescription").into_iter().map(one).collect::<ApiResult<_>>()?,
    })
}

/// `IpPermissions.N`, or the one permission of the older flat parameters.
fn permissions(p: &Scope<'_>) -> ApiResult<Vec<Permission>> {
    let mut all: Vec<Permission> =
        p.members("IpPermissions").iter().map(permission).collect::<ApiResult<_>>()?;
    if let Some(protocol) = p.text("IpProtocol") {
        if !all.is_empty() {
            return Err(ApiError::combination(
                "The parameters ipPermissions and ipProtocol cannot be used together",
            ));
        }
        let name = p.text("SourceSecurityGroupName");
        p.text("SourceSecurityGroupOwnerId");
        all.push(Permission {
            protocol: Some(protocol),
            from_port: p.number("FromPort")?,
            to_port: p.number("ToPort")?,
            ranges: p.text("CidrIp").map(|range| (range, None)).into_iter().collect(),
            ranges_v6: Vec::new(),
            groups: name.map(|name| (GroupName::Name(name), None)).into_iter().collect(),
        });
    }
    Ok(all)
}

fn permission(p: &Scope<'_>) -> ApiResult<Permission> {
    let ranges = |list: &str, name: &str| {
        let one = |scope: Scope<'_>| Ok((scope.need(name)?, scope.text("Description")));
        p.members(list).into_iter().map(one).collect::<ApiResult<Vec<_>>>()
    };
    let pair = |scope: Scope<'_>| {
        // Other accounts and peered VPCs do not exist here; the owner is ours.
        scope.text("UserId");
        scope.text("VpcId");
        let name = match (scope.text("GroupId"), scope.text("GroupName")) {
            (Some(id), _) => GroupName::Id(id),
            (None, Some(name)) => GroupName::Name(name),
            (None, None) => return Err(ApiError::missing("groupId")),
        };
        Ok((name, scope.text("Description")))
    };
    if !p.members("PrefixListIds").is_empty() {
        return Err(ApiError::unsupported("The lab has no prefix lists."));
    }
    Ok(Permission {
        protocol: p.text("IpProtocol"),
        from_port: p.number("FromPort")?,
        to_port: p.number("ToPort")?,
        ranges: ranges("IpRanges", "CidrIp")?,
        ranges_v6: ranges("Ipv6Ranges", "CidrIpv6")?,
        groups: p.members("Groups").into_iter().map(pair).collect::<ApiResult<_>>()?,
    })
}
