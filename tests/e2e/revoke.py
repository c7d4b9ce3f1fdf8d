"""Revokes and restores rules through boto3, as somebody else would, and asks kubestrap for the cause each time.

Usage: revoke.py KUBESTRAP. Prints a line a case; exits 1 when a verdict or a finding is not the right one.
"""

import json
import subprocess
import sys

import boto3

kubestrap = sys.argv[1]
ec2 = boto3.client(
    "ec2",
    endpoint_url="http://127.0.0.1:4566",
    region_name="ap-northeast-1",
    aws_access_key_id="lab",
    aws_secret_access_key="anything",
)
found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["kubestrap-books-*"]}])
ids = {group["GroupName"]: group["GroupId"] for group in found["SecurityGroups"]}
NODES, CONTROL_PLANE = ids["kubestrap-books-nodes"], ids["kubestrap-books-control-plane"]


def rule(protocol, port=None, group=None, cidr=None):
    permission = {"IpProtocol": protocol}
    if port is not None:
        permission |= {"FromPort": port, "ToPort": port}
    if group:
        permission["UserIdGroupPairs"] = [{"GroupId": group}]
    if cidr:
        permission["IpRanges"] = [{"CidrIp": cidr}]
    return permission


VXLAN = rule("udp", 4789, group=NODES)
ALL_TCP = rule("tcp", group=NODES) | {"FromPort": 0, "ToPort": 65535}

# What is revoked from whom, what is put in its place, and the finding that must come of it.
CASES = [
    ("VXLAN gone", NODES, "ingress", VXLAN, None, "KS-DNS-VXLAN-BLOCKED"),
    ("all TCP in place of VXLAN", NODES, "ingress", VXLAN, ALL_TCP, "KS-DNS-VXLAN-BLOCKED"),
    ("protocol 94 in place of VXLAN", NODES, "ingress", VXLAN, rule("94", group=NODES), "KS-DNS-VXLAN-BLOCKED"),
    ("VXLAN from one node only", NODES, "ingress", VXLAN, rule("udp", 4789, cidr="10.0.0.4/32"), "KS-DNS-VXLAN-BLOCKED"),
    ("VXLAN from the whole VPC", NODES, "ingress", VXLAN, rule("udp", 4789, cidr="10.0.0.0/16"), None),
    ("no egress", NODES, "egress", rule("-1", cidr="0.0.0.0/0"), None, "KS-NET-EGRESS-BLOCKED"),
    ("no kubelet", NODES, "ingress", rule("tcp", 10250, group=CONTROL_PLANE), None, "KS-NET-KUBELET-BLOCKED"),
    ("no API for nodes", CONTROL_PLANE, "ingress", rule("tcp", 6443, group=NODES), None, "KS-NET-API-BLOCKED"),
    ("no API from outside", CONTROL_PLANE, "ingress", rule("tcp", 6443, cidr="198.18.0.0/24"), None, "KS-NET-ADMIN-BLOCKED"),
]


def change(verb, group, direction, permission):
    call = getattr(ec2, f"{verb}_security_group_{direction}")
    call(GroupId=group, IpPermissions=[permission])


def diagnose():
    run = subprocess.run([kubestrap, "diagnose", "dns", "-o", "json"], capture_output=True, text=True)
    report = json.loads(run.stdout)
    return run.returncode, report["verdict"], sorted({finding["code"] for finding in report["findings"]})


wrong = 0
for name, group, direction, revoked, added, code in [("as planned", None, None, None, None, None), *CASES]:
    if group:
        change("revoke", group, direction, revoked)
        if added:
            change("authorize", group, direction, added)
    got = diagnose()
    if group:
        if added:
            change("revoke", group, direction, added)
        change("authorize", group, direction, revoked)
    want = (3, "faulty", [code]) if code else (0, "healthy", [])
    wrong += got != want
    print("ok   " if got == want else "WRONG", name, got, flush=True)
sys.exit(1 if wrong else 0)
