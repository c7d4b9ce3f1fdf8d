"""What every call has in common, and the judge itself."""

import unittest
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

from lab_client import ENDPOINT, REGION, LabCase, check, client, lab


class Protocol(LabCase):
    def test_the_judge_finds_what_the_model_does_not_have(self):
        shape = self.ec2.meta.service_model.operation_model("DescribeVpcs").output_shape
        root = ElementTree.fromstring(
            "<R><vpcSet><item><vpcId>v</vpcId><colour>red</colour><isDefault>yes</isDefault></item></vpcSet></R>"
        )
        problems = []
        check(root, shape, "DescribeVpcs", problems)
        self.assertEqual(
            problems,
            [
                "DescribeVpcs.vpcSet[] has colour, which Vpc has not",
                "DescribeVpcs.vpcSet[].isDefault is no boolean: 'yes'",
            ],
        )

    def test_a_dry_run_says_so_and_changes_nothing(self):
        before = len(self.ec2.describe_vpcs()["Vpcs"])
        self.refuses(
            "DryRunOperation",
            self.ec2.create_vpc,
            "Request would have succeeded, but DryRun flag is set.",
            status=412,
            CidrBlock="10.0.0.0/16",
            DryRun=True,
        )
        self.assertEqual(len(self.ec2.describe_vpcs()["Vpcs"]), before)
        self.refuses("InvalidVpc.Range", self.ec2.create_vpc, CidrBlock="10.0.0.0/8", DryRun=True)

    def test_what_the_lab_has_not_is_an_invalid_action(self):
        self.refuses(
            "InvalidAction",
            self.ec2.describe_nat_gateways,
            "The action DescribeNatGateways is not valid for this web service.",
        )

    def test_wrong_credentials_and_wrong_regions_are_told_apart(self):
        self.refuses(
            "AuthFailure",
            client(key="AKIAOTHER").describe_vpcs,
            "AWS was not able to validate the provided access credentials",
            status=401,
        )
        self.refuses("InvalidClientTokenId", client("sts", key="AKIAOTHER").get_caller_identity, status=403)
        self.refuses(
            "UnrecognizedClientException", client("ssm", key="AKIAOTHER").get_parameter, Name="/x"
        )
        with self.assertRaises(urllib.error.HTTPError) as unsigned:
            urllib.request.urlopen(ENDPOINT, data=b"Action=DescribeVpcs&Version=2016-11-15")
        self.assertEqual(unsigned.exception.code, 403)
        self.assertIn(b"<Code>MissingAuthenticationToken</Code>", unsigned.exception.read())
        self.assertTrue(REGION)

    def test_every_call_is_in_the_log_without_secrets(self):
        seq = lab("/_lab/calls")["calls"][-1]["seq"] if lab("/_lab/calls")["calls"] else 0
        _, subnet = self.network()
        self.run_one(subnet, UserData="a secret")
        calls = lab(f"/_lab/calls?since={seq}")["calls"]
        self.assertEqual([c["action"] for c in calls], ["CreateVpc", "CreateSubnet", "RunInstances"])
        run = calls[-1]
        self.assertEqual((run["status"], run["error"], run["service"]), (200, None, "ec2"))
        self.assertEqual(run["parameters"]["SubnetId"], subnet)
        self.assertEqual(run["parameters"]["UserData"], "<12 bytes>")
        self.assertNotIn("Signature", str(run))


if __name__ == "__main__":
    unittest.main()
