//! The adapter to EC2: the `Cloud` port on aws-sdk-ec2.
