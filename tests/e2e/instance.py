"""Does to a node's instance what somebody else would, through boto3. Usage: instance.py leave-groups|terminate NODE."""

import sys

import boto3

what, node = sys.argv[1:]
ec2 = boto3.client(
    "ec2",
    endpoint_url="http://127.0.0.1:4566",
    region_name="ap-northeast-1",
    aws_access_key_id="lab",
    aws_secret_access_key="anything",
)
filters = [
    {"Name": "tag:kubestrap:logical", "Values": [f"node/{node}"]},
    {"Name": "instance-state-name", "Values": ["running"]},
]
[reservation] = ec2.describe_instances(Filters=filters)["Reservations"]
[instance] = reservation["Instances"]
if what == "leave-groups":
    vpc = {"Name": "vpc-id", "Values": [instance["VpcId"]]}
    default = {"Name": "group-name", "Values": ["default"]}
    [group] = ec2.describe_security_groups(Filters=[vpc, default])["SecurityGroups"]
    ec2.modify_instance_attribute(InstanceId=instance["InstanceId"], Groups=[group["GroupId"]])
elif what == "terminate":
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    ec2.get_waiter("instance_terminated").wait(
        InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
else:
    sys.exit(f"unknown: {what}")
