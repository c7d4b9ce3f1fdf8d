"""VPCs, subnets, gateways, routes, addresses, tags."""

import unittest

from lab_client import LabCase, REGION, client


class Network(LabCase):
    def test_a_vpc_is_made_described_changed_and_deleted(self):
        ec2 = self.ec2
        made = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=self.tags("vpc", kind="x"))["Vpc"]
        vpc = made["VpcId"]
        self.addCleanup(self.demolish, vpc)
        self.assertEqual(made["State"], "available")
        by_tag = [{"Name": "tag:Name", "Values": [self.name[:20] + "*"]}, {"Name": "tag-key", "Values": ["kind"]}]
        self.assertEqual([v["VpcId"] for v in ec2.describe_vpcs(Filters=by_tag)["Vpcs"]], [vpc])
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        attribute = ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")
        self.assertTrue(attribute["EnableDnsHostnames"]["Value"])
        here = [{"Name": "vpc-id", "Values": [vpc]}]
        groups = ec2.describe_security_groups(Filters=here)["SecurityGroups"]
        self.assertEqual([g["GroupName"] for g in groups], ["default"])
        self.assertEqual(groups[0]["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"], groups[0]["GroupId"])
        self.refuses(
            "CannotDelete",
            ec2.delete_security_group,
            f'the specified group: "{groups[0]["GroupId"]}" name: "default" cannot be deleted by a user',
            GroupId=groups[0]["GroupId"],
        )
        tables = ec2.describe_route_tables(Filters=here + [{"Name": "association.main", "Values": ["true"]}])
        self.assertEqual(len(tables["RouteTables"]), 1)
        ec2.delete_vpc(VpcId=vpc)
        self.refuses(
            "InvalidVpcID.NotFound",
            ec2.describe_vpcs,
            f"The vpc ID '{vpc}' does not exist",
            VpcIds=[vpc],
        )

    def test_subnets_must_fit_and_must_not_overlap(self):
        vpc, subnet = self.network()
        ec2 = self.ec2
        self.refuses(
            "InvalidSubnet.Conflict",
            ec2.create_subnet,
            "The CIDR '10.0.1.128/25' conflicts with another subnet",
            VpcId=vpc,
            CidrBlock="10.0.1.128/25",
        )
        self.refuses("InvalidSubnet.Range", ec2.create_subnet, VpcId=vpc, CidrBlock="10.1.0.0/24")
        self.refuses("InvalidParameterValue", ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.300.0/24")
        zone = f"{REGION}c"
        other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24", AvailabilityZone=zone)["Subnet"]
        self.assertEqual(other["AvailabilityZone"], zone)
        self.assertEqual(other["AvailableIpAddressCount"], 251)
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
        found = ec2.describe_subnets(Filters=[{"Name": "map-public-ip-on-launch", "Values": ["true"]}])
        self.assertIn(subnet, [s["SubnetId"] for s in found["Subnets"]])
        self.refuses(
            "DependencyViolation",
            ec2.delete_vpc,
            f"The vpc '{vpc}' has dependencies and cannot be deleted.",
            VpcId=vpc,
        )

    def test_the_internet_needs_a_gateway_a_route_and_an_order_of_removal(self):
        vpc, subnet = self.network(public=True)
        ec2 = self.ec2
        attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
        gateway = ec2.describe_internet_gateways(Filters=attached)["InternetGateways"][0]["InternetGatewayId"]
        self.refuses(
            "Resource.AlreadyAssociated",
            ec2.attach_internet_gateway,
            f"resource {gateway} is already attached to network {vpc}",
            InternetGatewayId=gateway,
            VpcId=vpc,
        )
        self.refuses("DependencyViolation", ec2.delete_internet_gateway, InternetGatewayId=gateway)
        of_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
        table = ec2.describe_route_tables(Filters=of_subnet)["RouteTables"][0]
        routes = {route["DestinationCidrBlock"]: route for route in table["Routes"]}
        self.assertEqual(routes["10.0.0.0/16"]["GatewayId"], "local")
        self.assertEqual(routes["0.0.0.0/0"]["State"], "active")
        rtb = table["RouteTableId"]
        self.refuses(
            "RouteAlreadyExists",
            ec2.create_route,
            "The route identified by 0.0.0.0/0 already exists.",
            RouteTableId=rtb,
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=gateway,
        )
        ec2.replace_route(RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        self.refuses(
            "DependencyViolation",
            ec2.delete_route_table,
            f"The routeTable '{rtb}' has dependencies and cannot be deleted.",
            RouteTableId=rtb,
        )
        ec2.delete_route(RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0")
        self.refuses(
            "InvalidRoute.NotFound", ec2.delete_route, RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0"
        )
        ec2.disassociate_route_table(
            AssociationId=table["Associations"][0]["RouteTableAssociationId"]
        )
        ec2.delete_route_table(RouteTableId=rtb)
        address = ec2.allocate_address(Domain="vpc", TagSpecifications=self.tags("elastic-ip"))
        instance = self.run_one(subnet)["InstanceId"]
        association = ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance)
        by_ip = [{"Name": "ip-address", "Values": [address["PublicIp"]]}]
        found = ec2.describe_instances(Filters=by_ip)["Reservations"][0]["Instances"][0]
        self.assertEqual(found["InstanceId"], instance)
        self.refuses(
            "DependencyViolation",
            ec2.detach_internet_gateway,
            f"Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.",
            InternetGatewayId=gateway,
            VpcId=vpc,
        )
        self.refuses("InvalidIPAddress.InUse", ec2.release_address, AllocationId=address["AllocationId"])
        shown = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"][0]
        self.assertEqual(shown["InstanceId"], instance)
        ec2.disassociate_address(AssociationId=association["AssociationId"])
        ec2.release_address(AllocationId=address["AllocationId"])
        self.refuses(
            "InvalidAllocationID.NotFound",
            ec2.release_address,
            f"The allocation ID '{address['AllocationId']}' does not exist",
            AllocationId=address["AllocationId"],
        )

    def test_tags_are_made_described_and_deleted(self):
        vpc, subnet = self.network()
        ec2 = self.ec2
        ec2.create_tags(Resources=[vpc, subnet], Tags=[{"Key": "cluster", "Value": self.name}])
        ours = [{"Name": "key", "Values": ["cluster"]}, {"Name": "value", "Values": [self.name]}]
        found = ec2.describe_tags(Filters=ours)["Tags"]
        self.assertEqual({tag["ResourceId"]: tag["ResourceType"] for tag in found}, {vpc: "vpc", subnet: "subnet"})
        ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "cluster", "Value": "another"}])
        self.assertEqual(len(ec2.describe_tags(Filters=ours)["Tags"]), 2)
        ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "cluster"}])
        self.assertEqual(len(ec2.describe_tags(Filters=ours)["Tags"]), 1)
        self.refuses(
            "InvalidParameterValue",
            ec2.create_vpc,
            "'subnet' is not a valid taggable resource type for this operation.",
            CidrBlock="10.0.0.0/16",
            TagSpecifications=self.tags("subnet"),
        )

    def test_what_the_region_offers_is_described(self):
        ec2 = self.ec2
        zones = ec2.describe_availability_zones()["AvailabilityZones"]
        self.assertEqual([z["ZoneName"] for z in zones], [f"{REGION}{letter}" for letter in "abc"])
        self.assertEqual(zones[0]["ZoneId"], "apne1-az1")
        self.assertEqual([r["RegionName"] for r in ec2.describe_regions()["Regions"]], [REGION])
        medium = ec2.describe_instance_types(InstanceTypes=["t3.medium"])["InstanceTypes"][0]
        self.assertEqual(medium["VCpuInfo"]["DefaultVCpus"], 2)
        self.assertEqual(medium["MemoryInfo"]["SizeInMiB"], 4096)
        arm = [{"Name": "processor-info.supported-architecture", "Values": ["arm64"]}]
        names = [t["InstanceType"] for t in ec2.describe_instance_types(Filters=arm)["InstanceTypes"]]
        self.assertTrue(names and all(name.startswith("t4g.") for name in names))
        self.refuses(
            "InvalidInstanceType",
            ec2.describe_instance_types,
            "The following supplied instance types do not exist: [t9.huge]",
            InstanceTypes=["t9.huge"],
        )
        offered = ec2.describe_instance_type_offerings(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["t3.small"]}]
        )["InstanceTypeOfferings"]
        self.assertEqual(len(offered), 3)
        images = ec2.describe_images(
            Owners=["136693071363"],
            Filters=[{"Name": "name", "Values": ["debian-13-amd64-*"]}],
        )["Images"]
        self.assertEqual(images[0]["RootDeviceName"], "/dev/xvda")
        alias = client("ssm").get_parameter(Name="/aws/service/debian/release/13/latest/amd64")
        self.assertEqual(alias["Parameter"]["Value"], images[0]["ImageId"])
        self.refuses("ParameterNotFound", client("ssm").get_parameter, Name="/aws/service/none")
        self.assertEqual(client("sts").get_caller_identity()["Account"], "000000000000")


if __name__ == "__main__":
    unittest.main()
