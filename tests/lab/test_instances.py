"""Instances from launch to tombstone, and what belongs to them."""

import base64
import unittest

from lab_client import IMAGE, LabCase, lab


class Instances(LabCase):
    def test_an_instance_lives_from_pending_to_its_tombstone(self):
        vpc, subnet = self.network(public=True)
        ec2 = self.ec2
        group = self.group(vpc)
        launched = ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            UserData="#!/bin/sh\n",
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
            BlockDeviceMappings=[
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True}}
            ],
            NetworkInterfaces=[
                {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": True}
            ],
            TagSpecifications=self.tags("instance", role="worker") + self.tags("volume"),
        )
        instance = launched["Instances"][0]
        one = instance["InstanceId"]
        self.assertEqual(instance["State"], {"Code": 0, "Name": "pending"})
        ec2.get_waiter("instance_running").wait(InstanceIds=[one], WaiterConfig={"Delay": 1, "MaxAttempts": 10})
        running = self.await_state([one], "running")[0]
        self.assertEqual(running["MetadataOptions"]["HttpTokens"], "required")
        self.assertEqual(running["PrivateIpAddress"], "10.0.1.4")
        self.assertTrue(running["PublicIpAddress"].startswith("203.0.113."))
        self.assertEqual({tag["Key"] for tag in running["Tags"]}, {"Name", "role"})
        volume = running["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        shown = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
        self.assertEqual((shown["Encrypted"], shown["VolumeType"], shown["Size"]), (True, "gp3", 20))
        attached = [{"Name": "attachment.instance-id", "Values": [one]}]
        interface = ec2.describe_network_interfaces(Filters=attached)["NetworkInterfaces"][0]
        self.assertEqual(interface["Association"]["PublicIp"], running["PublicIpAddress"])
        self.assertTrue(interface["SourceDestCheck"])
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface["NetworkInterfaceId"], SourceDestCheck={"Value": False}
        )
        check = ec2.describe_instance_attribute(InstanceId=one, Attribute="sourceDestCheck")
        self.assertFalse(check["SourceDestCheck"]["Value"])
        data = ec2.describe_instance_attribute(InstanceId=one, Attribute="userData")["UserData"]["Value"]
        self.assertEqual(base64.b64decode(data), b"#!/bin/sh\n")
        self.assertEqual(ec2.get_console_output(InstanceId=one)["Output"], f"boot of {one}\n")
        ec2.get_waiter("instance_status_ok").wait(
            InstanceIds=[one], WaiterConfig={"Delay": 1, "MaxAttempts": 10}
        )
        options = ec2.modify_instance_metadata_options(InstanceId=one, HttpPutResponseHopLimit=2)
        self.assertEqual(options["InstanceMetadataOptions"]["HttpPutResponseHopLimit"], 2)
        ec2.reboot_instances(InstanceIds=[one])

        before = running["PublicIpAddress"]
        ec2.stop_instances(InstanceIds=[one])
        stopped = self.await_state([one], "stopped")[0]
        self.assertNotIn("PublicIpAddress", stopped)
        self.assertEqual(stopped["PrivateIpAddress"], "10.0.1.4")
        ec2.start_instances(InstanceIds=[one])
        self.assertNotEqual(self.await_state([one], "running")[0]["PublicIpAddress"], before)

        change = ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"][0]
        self.assertEqual(change["PreviousState"]["Name"], "running")
        self.assertEqual(change["CurrentState"]["Name"], "shutting-down")
        gone = self.await_state([one], "terminated")[0]
        self.assertNotIn("PrivateIpAddress", gone)
        self.assertEqual(gone["StateReason"]["Code"], "Client.UserInitiatedShutdown")
        self.refuses("InvalidVolumeID.NotFound", ec2.describe_volumes, VolumeIds=[volume])
        self.refuses("IncorrectInstanceState", ec2.start_instances, InstanceIds=[one])
        ec2.terminate_instances(InstanceIds=[one])

    def test_a_client_token_replays_the_same_launch_and_no_other(self):
        _, subnet = self.network()
        first = self.run_one(subnet, ClientToken="token-1")
        again = self.run_one(subnet, ClientToken="token-1")
        self.assertEqual(first["InstanceId"], again["InstanceId"])
        self.refuses(
            "IdempotentParameterMismatch",
            self.run_one,
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            subnet=subnet,
            ClientToken="token-1",
            InstanceType="t3.large",
        )
        self.refuses("InvalidParameterValue", self.run_one, subnet=subnet, ClientToken="x" * 65)

    def test_wrong_launches_are_refused_and_leave_nothing(self):
        vpc, subnet = self.network()
        self.refuses(
            "InvalidAMIID.NotFound",
            self.run_one,
            "The image id '[ami-0123456789abcdef0]' does not exist",
            subnet=subnet,
            ImageId="ami-0123456789abcdef0",
        )
        self.refuses("InvalidAMIID.Malformed", self.run_one, subnet=subnet, ImageId="debian")
        self.refuses("InvalidParameterValue", self.run_one, subnet=subnet, InstanceType="t9.huge")
        self.refuses("InvalidParameterValue", self.run_one, subnet=subnet, InstanceType="t4g.medium")
        self.refuses(
            "InvalidKeyPair.NotFound",
            self.run_one,
            "The key pair 'nobody' does not exist",
            subnet=subnet,
            KeyName="nobody",
        )
        self.refuses("InvalidSubnetID.NotFound", self.run_one, subnet="subnet-0123456789abcdef0")
        self.refuses("InvalidGroup.NotFound", self.run_one, subnet=subnet, SecurityGroupIds=["sg-0123456789abcdef0"])
        self.refuses("InvalidParameterValue", self.run_one, subnet=subnet, UserData="x" * 16385)
        self.refuses("InvalidParameterValue", self.run_one, subnet=subnet, MinCount=2, MaxCount=1)
        self.refuses("UnknownParameter", self.run_one, subnet=subnet, KernelId="aki-1")
        self.refuses("InsufficientFreeAddressesInSubnet", self.run_one, subnet=subnet, MinCount=300, MaxCount=300)
        here = [{"Name": "vpc-id", "Values": [vpc]}]
        self.assertEqual(self.ec2.describe_instances(Filters=here)["Reservations"], [])
        self.assertEqual(self.ec2.describe_network_interfaces(Filters=here)["NetworkInterfaces"], [])

    def test_instances_come_in_pages_through_filters_with_wildcards(self):
        vpc, subnet = self.network()
        for name in ("books-a", "books-b"):
            spec = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
            self.run_one(subnet, MinCount=4, MaxCount=4, TagSpecifications=spec)
        here = [{"Name": "vpc-id", "Values": [vpc]}]
        pages = list(
            self.ec2.get_paginator("describe_instances").paginate(Filters=here, PaginationConfig={"PageSize": 5})
        )
        found = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
        self.assertEqual((len(pages), len({i["InstanceId"] for i in found})), (2, 8))
        some = here + [{"Name": "tag:Name", "Values": ["*-b"]}]
        reservations = self.ec2.describe_instances(Filters=some)["Reservations"]
        self.assertEqual([len(r["Instances"]) for r in reservations], [4])
        self.refuses(
            "InvalidParameterValue",
            self.ec2.describe_instances,
            "The filter 'instance-state' is invalid",
            Filters=[{"Name": "instance-state", "Values": ["running"]}],
        )
        ids = [i["InstanceId"] for i in found]
        self.refuses("InvalidParameterCombination", self.ec2.describe_instances, InstanceIds=ids, MaxResults=5)
        self.refuses(
            "InvalidInstanceID.NotFound",
            self.ec2.describe_instances,
            "The instance IDs 'i-0aaaaaaaaaaaaaaaa, i-0bbbbbbbbbbbbbbbb' do not exist",
            InstanceIds=["i-0aaaaaaaaaaaaaaaa", ids[0], "i-0bbbbbbbbbbbbbbbb"],
        )
        self.refuses(
            "InvalidInstanceID.Malformed",
            self.ec2.describe_instances,
            'Invalid id: "node-1" (expecting "i-...")',
            InstanceIds=["node-1"],
        )

    def test_protected_instances_stay(self):
        _, subnet = self.network()
        one = self.run_one(subnet, DisableApiTermination=True)["InstanceId"]
        self.refuses(
            "OperationNotPermitted",
            self.ec2.terminate_instances,
            f"The instance '{one}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
            InstanceIds=[one],
        )
        self.ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
        self.ec2.terminate_instances(InstanceIds=[one])

    def test_a_subnet_in_use_stays(self):
        _, subnet = self.network()
        self.run_one(subnet)
        self.refuses(
            "DependencyViolation",
            self.ec2.delete_subnet,
            f"The subnet '{subnet}' has dependencies and cannot be deleted.",
            SubnetId=subnet,
        )


class Faults(LabCase):
    def fault(self, **order):
        lab("/_lab/faults", order)

    def test_errors_come_as_often_as_ordered(self):
        _, subnet = self.network()
        self.fault(action="RunInstances", times=2, error="InsufficientInstanceCapacity")
        for _ in range(2):
            self.refuses("InsufficientInstanceCapacity", self.run_one, subnet=subnet)
        self.run_one(subnet)
        self.fault(action="DescribeVpcs", error="RequestLimitExceeded")
        self.refuses("RequestLimitExceeded", self.ec2.describe_vpcs, "Request limit exceeded.", status=503)

    def test_a_lost_answer_was_performed_and_its_token_finds_it_again(self):
        vpc, subnet = self.network()
        self.fault(action="RunInstances", error="drop_response")
        with self.assertRaises(Exception) as lost:
            self.run_one(subnet, ClientToken="lost")
        self.assertNotIn("ClientError", type(lost.exception).__name__)
        here = [{"Name": "vpc-id", "Values": [vpc]}]
        there = self.ec2.describe_instances(Filters=here)["Reservations"][0]["Instances"][0]
        self.assertEqual(self.run_one(subnet, ClientToken="lost")["InstanceId"], there["InstanceId"])

    def test_fresh_ids_are_unknown_for_as_many_describes_as_ordered(self):
        _, subnet = self.network()
        self.fault(action="RunInstances", error="stale", describes=2)
        one = self.run_one(subnet)["InstanceId"]
        for _ in range(2):
            self.refuses("InvalidInstanceID.NotFound", self.ec2.describe_instances, InstanceIds=[one])
        self.assertTrue(self.ec2.describe_instances(InstanceIds=[one])["Reservations"])


if __name__ == "__main__":
    unittest.main()
