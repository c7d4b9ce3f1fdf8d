"""Security groups and key pairs."""

import base64
import unittest

from lab_client import LabCase, client


def tcp(port, cidr="0.0.0.0/0", **more):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr} | more]}


class Groups(LabCase):
    def test_groups_are_unique_by_name_in_a_vpc(self):
        vpc, _ = self.network()
        group = self.group(vpc)
        self.refuses(
            "InvalidGroup.Duplicate",
            self.ec2.create_security_group,
            f"The security group 'nodes' already exists for VPC '{vpc}'",
            GroupName="nodes",
            Description="d",
            VpcId=vpc,
        )
        other, _ = self.network()
        self.assertNotEqual(self.group(other), group)
        self.refuses(
            "InvalidGroup.NotFound",
            self.ec2.describe_security_groups,
            "The security group 'sg-0123456789abcdef0' does not exist",
            GroupIds=["sg-0123456789abcdef0"],
        )
        self.refuses(
            "InvalidGroupId.Malformed",
            self.ec2.describe_security_groups,
            'Invalid id: "nodes" (expecting "sg-...")',
            GroupIds=["nodes"],
        )

    def test_rules_come_and_go_in_every_spelling(self):
        vpc, _ = self.network()
        group = self.group(vpc)
        ec2 = self.ec2
        made = ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                tcp(22, "198.51.100.7/24", Description="admins"),
                {
                    "IpProtocol": "17",
                    "FromPort": 4789,
                    "ToPort": 4789,
                    "UserIdGroupPairs": [{"GroupId": group, "Description": "vxlan"}],
                },
                {"IpProtocol": "4", "IpRanges": [{"CidrIp": "10.0.0.0/16"}]},
                {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
            ],
            TagSpecifications=self.tags("security-group-rule"),
        )["SecurityGroupRules"]
        self.assertEqual([r["IpProtocol"] for r in made], ["tcp", "udp", "4", "icmp"])
        self.assertEqual(made[0]["CidrIpv4"], "198.51.100.0/24")
        self.assertEqual(made[1]["ReferencedGroupInfo"]["GroupId"], group)
        self.refuses(
            "InvalidPermission.Duplicate",
            ec2.authorize_security_group_ingress,
            'the specified rule "peer: 198.51.100.0/24, TCP, from port: 22, to port: 22, ALLOW" already exists',
            GroupId=group,
            IpPermissions=[tcp(80), tcp(22, "198.51.100.0/24")],
        )
        here = [{"Name": "group-id", "Values": [group]}]
        rules = ec2.describe_security_group_rules(Filters=here)["SecurityGroupRules"]
        self.assertEqual(len(rules), 5, "a refused call adds no rule; the fifth lets everything out")
        # The flat parameters of the oldest clients.
        ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=81, CidrIp="0.0.0.0/0"
        )
        ec2.revoke_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=81, CidrIp="0.0.0.0/0"
        )
        self.refuses(
            "InvalidPermission.NotFound",
            ec2.revoke_security_group_ingress,
            "The specified rule does not exist in this security group.",
            GroupId=group,
            IpPermissions=[tcp(443)],
        )
        ec2.update_security_group_rule_descriptions_ingress(
            GroupId=group,
            SecurityGroupRuleDescriptions=[
                {"SecurityGroupRuleId": made[0]["SecurityGroupRuleId"], "Description": "people"}
            ],
        )
        shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        ranges = [p["IpRanges"] for p in shown["IpPermissions"] if p["IpProtocol"] == "tcp"]
        self.assertEqual(ranges, [[{"CidrIp": "198.51.100.0/24", "Description": "people"}]])
        # What describe gave can be given back, as scripts do.
        gone = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=shown["IpPermissions"])
        self.assertEqual(len(gone["RevokedSecurityGroupRules"]), 4)
        egress = [r["SecurityGroupRuleId"] for r in rules if r["IsEgress"]]
        ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=egress)
        self.refuses(
            "InvalidSecurityGroupRuleId.NotFound",
            ec2.revoke_security_group_egress,
            f"The security group rule ID '{egress[0]}' does not exist",
            GroupId=group,
            SecurityGroupRuleIds=egress,
        )
        self.assertEqual(ec2.describe_security_group_rules(Filters=here)["SecurityGroupRules"], [])

    def test_rules_that_make_no_sense_are_refused(self):
        vpc, _ = self.network()
        group = self.group(vpc)
        authorize = self.ec2.authorize_security_group_ingress
        bad = lambda **kw: dict(GroupId=group, IpPermissions=[{"IpRanges": [{"CidrIp": "0.0.0.0/0"}]} | kw])
        self.refuses("InvalidParameterValue", authorize, **bad(IpProtocol="tcp"))
        self.refuses(
            "InvalidParameterValue",
            authorize,
            "Invalid TCP/UDP port range (100:22)",
            **bad(IpProtocol="tcp", FromPort=100, ToPort=22),
        )
        self.refuses("InvalidParameterValue", authorize, **bad(IpProtocol="tcp", FromPort=1, ToPort=70000))
        self.refuses("InvalidParameterValue", authorize, **bad(IpProtocol="vxlan"))
        self.refuses("MissingParameter", authorize, GroupId=group, IpPermissions=[{"IpProtocol": "-1"}])
        self.refuses("MissingParameter", authorize, GroupId=group)
        self.refuses("UnsupportedOperation", authorize, **bad(IpProtocol="icmp", FromPort=8, ToPort=0))

    def test_groups_that_name_each_other_can_only_be_deleted_after_the_rules(self):
        vpc, subnet = self.network()
        one, two = self.group(vpc, "one"), self.group(vpc, "two")
        pair = lambda peer: [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": peer}]}]
        self.ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=pair(two))
        self.ec2.authorize_security_group_ingress(GroupId=two, IpPermissions=pair(one))
        message = f"resource {one} has a dependent object"
        self.refuses("DependencyViolation", self.ec2.delete_security_group, message, GroupId=one)
        self.refuses("DependencyViolation", self.ec2.delete_security_group, GroupId=two)
        self.ec2.revoke_security_group_ingress(GroupId=two, IpPermissions=pair(one))
        instance = self.run_one(subnet, SecurityGroupIds=[one])["InstanceId"]
        self.refuses("DependencyViolation", self.ec2.delete_security_group, message, GroupId=one)
        self.ec2.modify_instance_attribute(InstanceId=instance, Groups=[two])
        self.ec2.delete_security_group(GroupId=one)
        self.refuses("DependencyViolation", self.ec2.delete_security_group, GroupId=two)

    def test_groups_come_in_pages_and_through_filters(self):
        vpc, _ = self.network()
        names = [f"g{number:02}" for number in range(12)]
        made = {self.group(vpc, name) for name in names}
        here = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["g*"]}]
        pages = list(
            self.ec2.get_paginator("describe_security_groups").paginate(
                Filters=here, PaginationConfig={"PageSize": 5}
            )
        )
        self.assertEqual([len(page["SecurityGroups"]) for page in pages], [5, 5, 2])
        seen = [group["GroupId"] for page in pages for group in page["SecurityGroups"]]
        self.assertEqual((len(seen), set(seen)), (12, made))
        self.refuses(
            "InvalidParameterValue",
            self.ec2.describe_security_groups,
            "The filter 'vpc_id' is invalid",
            Filters=[{"Name": "vpc_id", "Values": [vpc]}],
        )
        unchecked = client(validate=False)
        self.refuses("InvalidParameterValue", unchecked.describe_security_groups, MaxResults=2)
        self.refuses("InvalidParameterValue", self.ec2.describe_security_groups, NextToken="nonsense")

    def test_key_pairs_are_imported_made_and_deleted(self):
        ec2 = self.ec2
        blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
        public = b"ssh-ed25519 " + base64.b64encode(blob) + b" someone"
        key = ec2.import_key_pair(KeyName="k1", PublicKeyMaterial=public, TagSpecifications=self.tags("key-pair"))
        self.assertTrue(key["KeyFingerprint"])
        self.refuses(
            "InvalidKeyPair.Duplicate", ec2.import_key_pair, KeyName="k1", PublicKeyMaterial=public
        )
        self.refuses("InvalidKey.Format", ec2.import_key_pair, KeyName="k2", PublicKeyMaterial=b"nonsense")
        shown = ec2.describe_key_pairs(KeyNames=["k1"], IncludePublicKey=True)["KeyPairs"][0]
        self.assertEqual(shown["PublicKey"].encode(), public)
        made = ec2.create_key_pair(KeyName="k2", KeyType="ed25519")
        self.assertIn("OPENSSH PRIVATE KEY", made["KeyMaterial"])
        self.refuses("UnsupportedOperation", ec2.create_key_pair, KeyName="k3")
        for name in ("k1", "k2", "k2"):
            ec2.delete_key_pair(KeyName=name)
        self.refuses(
            "InvalidKeyPair.NotFound",
            ec2.describe_key_pairs,
            "The key pair 'k1' does not exist",
            KeyNames=["k1"],
        )


if __name__ == "__main__":
    unittest.main()
