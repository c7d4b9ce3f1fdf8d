"""Clients of the lab's endpoint, with the service model as a judge of every answer."""

import functools
import json
import os
import time
import unittest
import urllib.request
import xml.etree.ElementTree as ElementTree

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["LAB_ENDPOINT"]
REGION = os.environ["LAB_REGION"]
IMAGE = "ami-0deb1300000000064"


# Where EC2 itself leaves its model: the documentation of this state says "available".
DEPARTURES = {("AttachmentStatus", "available")}


# Reading the service model takes longer than most tests.
@functools.lru_cache(maxsize=None)
def client(service="ec2", key="lab", retries=1, validate=True):
    session = boto3.session.Session()
    made = session.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key="any",
        config=Config(parameter_validation=validate, retries={"total_max_attempts": retries, "mode": "standard"}),
    )
    if service == "ec2":
        made.meta.events.register("before-parse.ec2", judge)
    return made


def judge(response_dict, operation_model=None, **_):
    """Fails on any element of an answer that the shape does not have, and on missing required ones."""
    if response_dict is None or response_dict["status_code"] >= 300:
        return
    root = ElementTree.fromstring(response_dict["body"])
    problems = []
    model = operation_model
    if model is None:
        return
    if model.output_shape is not None:
        check(root, model.output_shape, model.name, problems)
    if problems:
        raise AssertionError("; ".join(problems))


def check(element, shape, where, problems):
    kind = shape.type_name
    children = [(child.tag.split("}")[-1], child) for child in element]
    if kind == "structure":
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for name in shape.required_members:
            wire = shape.members[name].serialization.get("name", name)
            if wire not in dict(children):
                problems.append(f"{where} lacks {wire}")
        for tag, child in children:
            if tag in ("requestId", "return") and tag not in members:
                continue
            if tag not in members:
                problems.append(f"{where} has {tag}, which {shape.name} has not")
            else:
                check(child, members[tag], f"{where}.{tag}", problems)
    elif kind == "list":
        for tag, child in children:
            if tag != "item":
                problems.append(f"{where} is a list and has {tag}")
            check(child, shape.member, f"{where}[]", problems)
    else:
        if children:
            problems.append(f"{where} is a {kind} and has children")
        text = (element.text or "").strip()
        if kind == "boolean" and text not in ("true", "false"):
            problems.append(f"{where} is no boolean: {text!r}")
        if kind in ("integer", "long") and not text.lstrip("-").isdigit():
            problems.append(f"{where} is no number: {text!r}")
        enum = getattr(shape, "enum", None)
        if enum and text and text not in enum and (shape.name, text) not in DEPARTURES:
            problems.append(f"{where} is {text!r}, not one of {enum[:9]}")


def lab(path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ENDPOINT + path, data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class LabCase(unittest.TestCase):
    """A test with a client, and a VPC that is removed with all it holds."""

    maxDiff = None

    def setUp(self):
        self.ec2 = client()
        self.name = self.id().split(".")[-1]
        self.addCleanup(lambda: lab("/_lab/faults", method="DELETE"))

    def refuses(self, code, call, message=None, status=None, **parameters):
        with self.assertRaises(ClientError) as caught:
            call(**parameters)
        error = caught.exception.response
        self.assertEqual(error["Error"]["Code"], code, error)
        if message is not None:
            self.assertEqual(error["Error"]["Message"], message)
        if status is not None:
            self.assertEqual(error["ResponseMetadata"]["HTTPStatusCode"], status)
        self.assertTrue(error["ResponseMetadata"].get("RequestId"), error)

    def tags(self, resource_type, **extra):
        tags = [{"Key": "Name", "Value": self.name}]
        tags += [{"Key": key, "Value": value} for key, value in extra.items()]
        return [{"ResourceType": resource_type, "Tags": tags}]

    def network(self, public=False):
        ec2 = self.ec2
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=self.tags("vpc"))["Vpc"]["VpcId"]
        self.addCleanup(self.demolish, vpc)
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        if public:
            gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
            table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
            ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return vpc, subnet

    def group(self, vpc, name="nodes"):
        return self.ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)["GroupId"]

    def run_one(self, subnet, **parameters):
        defaults = dict(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=subnet)
        return self.ec2.run_instances(**(defaults | parameters))["Instances"][0]

    def await_state(self, ids, state, seconds=10):
        end = time.monotonic() + seconds
        while True:
            found = [
                instance
                for reservation in self.ec2.describe_instances(InstanceIds=ids)["Reservations"]
                for instance in reservation["Instances"]
            ]
            if {instance["State"]["Name"] for instance in found} == {state}:
                return found
            self.assertLess(time.monotonic(), end, f"{ids} did not become {state}")
            time.sleep(0.05)

    def demolish(self, vpc):
        """Removes a VPC in the only order that a strict EC2 allows."""
        ec2 = self.ec2
        lab("/_lab/faults", method="DELETE")
        here = [{"Name": "vpc-id", "Values": [vpc]}]
        if not ec2.describe_vpcs(Filters=here)["Vpcs"]:
            return
        ids = [
            instance["InstanceId"]
            for reservation in ec2.describe_instances(Filters=here)["Reservations"]
            for instance in reservation["Instances"]
        ]
        if ids:
            for one in ids:
                ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
            ec2.terminate_instances(InstanceIds=ids)
            self.await_state(ids, "terminated")
        for group in ec2.describe_security_groups(Filters=here)["SecurityGroups"]:
            if group["IpPermissions"]:
                ec2.revoke_security_group_ingress(
                    GroupId=group["GroupId"], IpPermissions=group["IpPermissions"]
                )
        for group in ec2.describe_security_groups(Filters=here)["SecurityGroups"]:
            if group["GroupName"] != "default":
                ec2.delete_security_group(GroupId=group["GroupId"])
        attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
        for gateway in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
            name = gateway["InternetGatewayId"]
            ec2.detach_internet_gateway(InternetGatewayId=name, VpcId=vpc)
            ec2.delete_internet_gateway(InternetGatewayId=name)
        for subnet in ec2.describe_subnets(Filters=here)["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        for table in ec2.describe_route_tables(Filters=here)["RouteTables"]:
            if not any(association["Main"] for association in table["Associations"]):
                ec2.delete_route_table(RouteTableId=table["RouteTableId"])
        ec2.delete_vpc(VpcId=vpc)
