use insta::assert_snapshot;

use super::*;

const LAB: &str = include_str!("../../examples/lab.toml");
const AWS: &str = include_str!("../../examples/aws.toml");

/// All mistakes of a text, as a pipe gets them.
fn mistakes(text: &str) -> String {
    match parse("cluster.toml", text) {
        Ok(_) => "no mistakes".into(),
        Err(errors) => {
            let known: Vec<&str> = codes::EXPLANATIONS.iter().map(|(code, _)| *code).collect();
            for error in &errors.errors {
                assert!(known.contains(&error.code), "{} has no explanation", error.code);
                assert!(text.get(error.span.clone()).is_some(), "{:?} is no part of the text", error.span);
            }
            errors.plain()
        }
    }
}

/// All mistakes of the AWS example after one change.
fn changed(from: &str, to: &str) -> String {
    assert!(AWS.contains(from), "{from:?} is not in the example");
    mistakes(&AWS.replacen(from, to, 1))
}

#[test]
fn every_example_parses() {
    for text in [
        LAB,
        AWS,
        include_str!("../../examples/aws-all-traffic.toml"),
        include_str!("../../examples/arm64.toml"),
    ] {
        assert_eq!(mistakes(text), "no mistakes");
    }
}

#[test]
fn the_smallest_specs_mean_the_reference_deployment() {
    let lab = parse("f", "name = \"books\"\nkubernetes = \"1.36.3\"\nprovider.kind = \"lab\"").unwrap();
    insta::assert_json_snapshot!(lab, @r#"
    {
      "name": "books",
      "kubernetes": "1.36.3",
      "provider": {
        "kind": "lab",
        "region": "ap-northeast-1",
        "zone": null,
        "profile": null,
        "endpoint": "http://127.0.0.1:4566",
        "allowed_account_ids": [],
        "image": {
          "ssm": "/aws/service/debian/release/13/latest/{arch}"
        }
      },
      "network": {
        "vpc_cidr": "10.0.0.0/16",
        "subnet_cidr": "10.0.0.0/20",
        "pod_cidr": "192.168.0.0/16",
        "service_cidr": "10.96.0.0/12",
        "admin_cidrs": [
          "198.18.0.0/24"
        ],
        "node_ports": [],
        "intra_cluster": "least"
      },
      "calico": {
        "version": "3.31.0",
        "encapsulation": "vxlan"
      },
      "control_plane": {
        "name": "control-plane",
        "role": "control-plane",
        "count": 1,
        "instance_type": "t3.medium",
        "disk_gib": 20
      },
      "workers": [
        {
          "name": "general",
          "role": "worker",
          "count": 2,
          "instance_type": "t3.medium",
          "disk_gib": 20
        }
      ],
      "ssh": {
        "user": "admin",
        "timeout_seconds": 180
      },
      "sources": {
        "packages": null,
        "runtime": null,
        "mirrors": {},
        "calico_manifest": null,
        "ignore_preflight": []
      },
      "services": []
    }
    "#);
    let aws = "name = \"books\"\nkubernetes = \"1.36.3\"\nnetwork.admin_cidrs = [\"203.0.113.7/32\"]\n\
               [provider]\nkind = \"aws\"\nregion = \"eu-west-1\"";
    let aws = parse("f", aws).unwrap();
    assert_eq!(aws.provider.endpoint, None);
    assert_eq!(aws.pools().map(|pool| pool.count).sum::<u16>(), 3);
}

#[test]
fn the_starter_specs_parse_and_are_the_examples_in_meaning() {
    for (kind, example) in [(ProviderKind::Lab, LAB), (ProviderKind::Aws, AWS)] {
        let text = template("books", kind);
        assert_eq!(mistakes(&text), "no mistakes");
        assert_eq!(parse("starter", &text).unwrap(), parse("example", example).unwrap());
    }
}

#[test]
fn everything_a_starter_has_commented_out_can_be_commented_in() {
    for kind in [ProviderKind::Lab, ProviderKind::Aws] {
        let text: String = template("books", kind)
            .lines()
            .map(|line| {
                line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line).to_owned() + "\n"
            })
            .collect();
        assert_eq!(mistakes(&text), "no mistakes", "{text}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_in_one_run() {
    assert_snapshot!(mistakes(include_str!("../../tests/fixtures/specs/many-mistakes.toml")), @r#"
    cluster.toml:2:8: `name` ("My Books") does not begin with a lower-case letter [KS-SPEC-NAME]
      write "my-books"
    cluster.toml:3:14: `kubernetes` is "1.29", which is not major.minor.patch; this version of kubestrap makes 1.34 to 1.36 [KS-SPEC-VERSION]
      write for example "1.36.3"
    cluster.toml:4:1: unknown key `kubernets` in the spec [KS-SPEC-UNKNOWN-KEY]
      did you mean `kubernetes`?
    cluster.toml:8:10: `provider.region` is "ap-northest-1", which is no region that this version knows [KS-SPEC-REGION]
      did you mean "ap-northeast-1"?
    cluster.toml:10:12: `provider.endpoint` is "localhost:4566", which is no http or https URL [KS-SPEC-URL]
      write "http://localhost:4566" or "https://localhost:4566"
    cluster.toml:11:24: `provider.allowed_account_ids[0]` is "1234", which is no AWS account id [KS-SPEC-ACCOUNT]
      write its 12 digits: `aws sts get-caller-identity` tells them
    cluster.toml:12:9: `provider.image` is "debian-13", which names no machine image [KS-SPEC-MACHINE-IMAGE]
      write an AMI id ("ami-0123456789abcdef0") or "ssm:/parameter/{arch}", or leave it out for Debian 13
    cluster.toml:15:12: `network.vpc_cidr` is 10.0.0.0/8, and EC2 makes VPCs from /16 to /28 [KS-SPEC-CIDR-SIZE]
      write for example "10.0.0.0/16"
    cluster.toml:16:15: `network.subnet_cidr` is "10.0.1.0/16", which has host bits set [KS-SPEC-CIDR]
      write "10.0.0.0/16" for the range, or "10.0.1.0/32" for the one address
    cluster.toml:17:12: `network.pod_cidr` is "192.168.7.0/16", which has host bits set [KS-SPEC-CIDR]
      write "192.168.0.0/16" for the range, or "192.168.7.0/32" for the one address
    cluster.toml:18:16: `network.service_cidr` is "fd00::/108", which is IPv6 [KS-SPEC-CIDR]
      write an IPv4 range: this version makes IPv4 clusters
    cluster.toml:19:16: `network.admin_cidrs` has 0.0.0.0/0: SSH and the API server would be open to it [KS-SPEC-ADMIN]
      write your own address as others see it, for example "203.0.113.7/32"; if you mean it, add allow_world_admin = true to [network]
    cluster.toml:19:29: `network.admin_cidrs[1]` is "203.0.113.7", which is an address and not a range [KS-SPEC-CIDR]
      write "203.0.113.7/32"
    cluster.toml:20:24: `network.node_ports[0].port` is 8080, which is not in 30000 to 32767 [KS-SPEC-NODE-PORT]
      write port = 30997
    cluster.toml:20:54: `network.node_ports[1].from` is missing [KS-SPEC-MISSING]
      add from = ["0.0.0.0/0"] to `network.node_ports[1]`
    cluster.toml:21:17: `network.intra_cluster` is "some", which is not one of least, all [KS-SPEC-CHOICE]
      write "least" or "all"
    cluster.toml:24:11: `calico.version` is "v3.31.0"; this version of kubestrap installs Calico 3.30 and 3.31 [KS-SPEC-VERSION]
      write "3.31.0"
    cluster.toml:25:17: `calico.encapsulation` "VXLANCrossSubnet" sends bare pod addresses inside a subnet: the source/destination check drops them, and least privilege has no rule that could admit them [KS-SPEC-ENCAPSULATION]
      write "vxlan", or leave it out
    cluster.toml:28:9: `control_plane.count` is 2: etcd needs a majority of 2, so 2 members survive no more losses than 1 [KS-SPEC-COUNT]
      write 1
    cluster.toml:29:17: `control_plane.instance_type` is "t3.micro" with 2 CPUs and 1024 MiB; kubeadm needs 2 CPUs and 1700 MB on a control plane [KS-SPEC-INSTANCE-SIZE]
      write "t3.medium", or "t3.small" for the least that works
    cluster.toml:33:9: `workers[0].count` is 0, which is not in 1 to 100 [KS-SPEC-COUNT]
      write count = 2
    cluster.toml:34:17: `workers[0].instance_type` is "t3.medum", which is no EC2 instance type [KS-SPEC-INSTANCE-TYPE]
      did you mean "t3.medium"?
    cluster.toml:37:8: there are two worker pools named general [KS-SPEC-DUPLICATE]
      change one, or remove it
    cluster.toml:38:9: `workers[1].count` is a string, and must be a whole number [KS-SPEC-TYPE]
      write count = 2
    cluster.toml:41:8: `workers[2].name` is "control-plane", which is the control plane's [KS-SPEC-NAME]
      write another name
    cluster.toml:45:8: `ssh.user` is "Admin", which is no login name [KS-SPEC-VALUE]
      write "admin" for Debian's images, "ubuntu" for Ubuntu's
    cluster.toml:46:1: unknown key `key` in `ssh` [KS-SPEC-UNKNOWN-KEY]
      `ssh` has user, timeout_seconds
    cluster.toml:49:12: `sources.packages` is "ftp://example.com/apt", which is no http or https URL [KS-SPEC-URL]
      write for example "http://198.18.0.2:8080/apt"
    cluster.toml:50:13: `sources.mirrors.https://quay.io`: "https://quay.io" is no registry host [KS-SPEC-URL]
      write "quay.io" = "..."
    cluster.toml:50:59: `sources.mirrors.docker.io` has a user or a password in it [KS-SPEC-URL]
      write the URL without; a spec is no place for secrets
    cluster.toml:51:21: `sources.ignore_preflight[0]` is "all", which hides every error that kubeadm would find [KS-SPEC-VALUE]
      name the checks, for example "SystemVerification"
    cluster.toml:51:36: `sources.ignore_preflight` has Swap twice [KS-SPEC-DUPLICATE]
      keep one of the two
    cluster.toml:55:10: `services[0].source` is empty [KS-SPEC-VALUE]
      write a value, or leave the key out
    cluster.toml:56:9: `services[0].image` is "jinbi/Recommendations:v1", which is no image reference [KS-SPEC-IMAGE]
      write "jinbi/recommendations:v1": repositories are lower-case
    cluster.toml:57:14: `services[0].platforms[0]` is "linux/amd65", which is no platform that images are built for [KS-SPEC-PLATFORM]
      did you mean "linux/amd64"?
    cluster.toml:58:8: `services[0].port` is 0, which is not in 1 to 65535 [KS-SPEC-PORT]
      write port = 5000
    cluster.toml:59:12: `services[0].protocol` is "grcp", which is not one of http, grpc [KS-SPEC-CHOICE]
      did you mean "grpc"?
    cluster.toml:60:12: `services[0].replicas` is 1000, which is not in 1 to 100 [KS-SPEC-COUNT]
      write replicas = 2
    cluster.toml:63:8: `services[1].name` ("market_place") has '_' in it; only lower-case letters, digits and hyphens may be [KS-SPEC-NAME]
      write "market-place"
    cluster.toml:65:9: `services[1].image` is "jinbi/marketplace", which has no tag [KS-SPEC-IMAGE]
      write for example "jinbi/marketplace:v1"
    cluster.toml:66:13: `services[1].platforms` lacks linux/amd64, which the nodes of pool general are (t3.medium): the image would not run there [KS-SPEC-ARCH]
      add "linux/amd64", or leave platforms out for both
    cluster.toml:68:13: `services[1].node_port` is 80, which is not in 30000 to 32767 [KS-SPEC-NODE-PORT]
      write node_port = 30997
    cluster.toml:69:9: `services[1].env.RECOMMENDATIONS-HOST`: "RECOMMENDATIONS-HOST" is no name of an environment variable [KS-SPEC-ENV]
      write RECOMMENDATIONS_HOST
    cluster.toml:69:53: `services[1].env.PORT` is a whole number, and must be a string [KS-SPEC-TYPE]
      write PORT = "5000"
    cluster.toml:70:9: `services[1].check.contains` is missing [KS-SPEC-MISSING]
      add contains = "Mystery books you may like" to `services[1].check`
    cluster.toml:70:18: `services[1].check.path` is "index.html", which is no request path [KS-SPEC-CHECK]
      write for example "/"
    "#);
}

#[test]
fn a_terminal_sees_the_line_and_the_remedy() {
    let errors = parse("cluster.toml", &AWS.replace("t3.medium", "t3.medum")).unwrap_err();
    assert_eq!(errors.to_string(), "cluster.toml has 2 mistakes");
    assert_snapshot!(errors.fancy(miette::GraphicalTheme::unicode_nocolor(), 100), @r#"
    KS-SPEC-INSTANCE-TYPE

      × `control_plane.instance_type` is "t3.medum", which is no EC2 instance type
        ╭─[cluster.toml:24:17]
     23 │ count = 1
     24 │ instance_type = "t3.medum"
        ·                 ─────┬────
        ·                      ╰── here
     25 │ 
        ╰────
      help: did you mean "t3.medium"?
    KS-SPEC-INSTANCE-TYPE

      × `workers[0].instance_type` is "t3.medum", which is no EC2 instance type
        ╭─[cluster.toml:29:17]
     28 │ count = 2
     29 │ instance_type = "t3.medum"
        ·                 ─────┬────
        ·                      ╰── here
     30 │ 
        ╰────
      help: did you mean "t3.medium"?
    "#);
}

#[test]
fn json_carries_code_place_and_remedy() {
    let errors = parse("cluster.toml", &AWS.replace("\"1.36.3\"", "\"1.33.0\"")).unwrap_err();
    insta::assert_json_snapshot!(errors, @r#"
    {
      "file": "cluster.toml",
      "errors": [
        {
          "code": "KS-SPEC-VERSION",
          "message": "`kubernetes` is \"1.33.0\"; this version of kubestrap makes 1.34 to 1.36",
          "line": 4,
          "column": 14,
          "span": {
            "start": 99,
            "end": 107
          },
          "remedy": "write a version of those, for example \"1.36.3\""
        }
      ]
    }
    "#);
}

#[test]
fn syntax_errors_are_all_told_with_the_mistakes_before_them() {
    let text = "name = \"Books\"\n[provider]\nkind = aws\nregion = \"x\"\n[network\npod_cidr = \"1\"\n";
    assert_snapshot!(mistakes(text), @r#"
    cluster.toml:1:8: `name` ("Books") does not begin with a lower-case letter [KS-SPEC-NAME]
      write "books"
    cluster.toml:3:8: not TOML: string values must be quoted, expected literal string [KS-SPEC-SYNTAX]
      write key = "text", key = 1, key = [..], [table] or [[array of tables]]
    cluster.toml:5:9: not TOML: unclosed table, expected `]` [KS-SPEC-SYNTAX]
      write key = "text", key = 1, key = [..], [table] or [[array of tables]]
    "#);
    assert_snapshot!(mistakes("name = \"a\"\nname = \"b\"\n"), @"
    cluster.toml:2:1: not TOML: duplicate key [KS-SPEC-SYNTAX]
      keep one of the two
    ");
    assert_snapshot!(mistakes("\u{feff}name = 'ä' x"), @r#"
    cluster.toml:1:13: not TOML: unexpected key or value, expected newline, `#` [KS-SPEC-SYNTAX]
      write key = "text", key = 1, key = [..], [table] or [[array of tables]]
    "#);
}

#[test]
fn an_empty_file_lacks_what_has_no_default() {
    assert_snapshot!(mistakes(""), @r#"
    cluster.toml:1:1: `name` is missing [KS-SPEC-MISSING]
      add name = "books" at the top
    cluster.toml:1:1: `kubernetes` is missing [KS-SPEC-MISSING]
      add kubernetes = "1.36.3" at the top
    cluster.toml:1:1: `provider.kind` is missing [KS-SPEC-MISSING]
      add kind = "lab" or "aws" to [provider]
    "#);
    assert_snapshot!(mistakes("name = \"b\"\nkubernetes = \"1.36.3\"\n[provider]\nkind = \"aws\"\n"), @r#"
    cluster.toml:1:1: `network.admin_cidrs` is missing [KS-SPEC-MISSING]
      add admin_cidrs = ["203.0.113.7/32"], your own address as others see it, to [network]
    cluster.toml:3:1: `provider.region` is missing [KS-SPEC-MISSING]
      add region = "ap-northeast-1" to [provider]
    "#);
    assert_snapshot!(changed("count = 2", ""), @"
    cluster.toml:26:1: `workers[0].count` is missing [KS-SPEC-MISSING]
      add count = 2 to this [[workers]]
    ");
    assert_snapshot!(changed("contains = \"Mystery books you may like\"", ""), @r#"
    cluster.toml:47:9: `services[1].check.contains` is missing [KS-SPEC-MISSING]
      add contains = "Mystery books you may like" to `services[1].check`
    "#);
}

#[test]
fn a_newer_schema_is_told_before_anything_else() {
    let with = |schema: &str| mistakes(&format!("schema = {schema}\nmystery = 1\n{AWS}"));
    assert_snapshot!(with("\"kubestrap/v2\""), @r#"
    cluster.toml:1:10: `schema` is "kubestrap/v2", which is newer than this kubestrap: 0.1.0 understands kubestrap/v1 [KS-SPEC-SCHEMA]
      use a newer kubestrap, or write the spec for schema = "kubestrap/v1"
    "#);
    assert_snapshot!(with("\"v1\""), @r#"
    cluster.toml:1:10: `schema` is "v1"; kubestrap 0.1.0 understands kubestrap/v1 [KS-SPEC-SCHEMA]
      write schema = "kubestrap/v1", or leave it out
    "#);
    assert_snapshot!(with("1"), @r#"
    cluster.toml:1:10: `schema` is a whole number, and must be a string [KS-SPEC-TYPE]
      write schema = "kubestrap/v1"
    "#);
    assert_eq!(mistakes(&format!("schema = \"kubestrap/v1\"\n{AWS}")), "no mistakes");
}

#[test]
fn an_unknown_key_gets_the_nearest_one_of_its_table() {
    assert_snapshot!(changed("pod_cidr", "pod_cdir"), @"
    cluster.toml:12:1: unknown key `pod_cdir` in `network` [KS-SPEC-UNKNOWN-KEY]
      did you mean `pod_cidr`?
    ");
    assert_snapshot!(changed("[[workers]]", "[[worker]]"), @"
    cluster.toml:26:3: unknown key `worker` in the spec [KS-SPEC-UNKNOWN-KEY]
      did you mean `workers`?
    ");
    assert_snapshot!(changed("[calico]", "[calico]\nmtu_of_things = 1"), @"
    cluster.toml:19:1: unknown key `mtu_of_things` in `calico` [KS-SPEC-UNKNOWN-KEY]
      `calico` has version, encapsulation
    ");
}

#[test]
fn wrong_types_are_named_in_words() {
    assert_snapshot!(changed("\"books\"", "1979-05-27"), @r#"
    cluster.toml:3:8: `name` is a date or time, and must be a string [KS-SPEC-TYPE]
      write name = "books"
    "#);
    assert_snapshot!(changed("count = 1", "count = 1.5"), @"
    cluster.toml:23:9: `control_plane.count` is a number with a fraction, and must be a whole number [KS-SPEC-TYPE]
      write count = 1
    ");
    assert_snapshot!(changed("admin_cidrs = [\"203.0.113.7/32\"]", "admin_cidrs = \"203.0.113.7/32\""), @r#"
    cluster.toml:15:15: `network.admin_cidrs` is a string, and must be an array [KS-SPEC-TYPE]
      write admin_cidrs = ["203.0.113.7/32"]
    "#);
    assert_snapshot!(changed("[calico]", "[[calico]]"), @"
    cluster.toml:18:1: `calico` is an array, and must be a table [KS-SPEC-TYPE]
      write [calico] and its keys below it
    ");
    assert_snapshot!(changed("[[workers]]", "[workers]"), @r#"
    cluster.toml:26:1: `workers` is a table, and must be an array [KS-SPEC-TYPE]
      write workers = [{ name = "general", count = 2 }]
    "#);
}

#[test]
fn kubernetes_versions_outside_of_the_supported_minors_are_refused() {
    let with = |version: &str| changed("\"1.36.3\"", version);
    for good in ["\"1.34.0\"", "\"1.35.12\""] {
        assert_eq!(with(good), "no mistakes");
    }
    assert_snapshot!(with("\"1.33.0\""), @r#"
    cluster.toml:4:14: `kubernetes` is "1.33.0"; this version of kubestrap makes 1.34 to 1.36 [KS-SPEC-VERSION]
      write a version of those, for example "1.36.3"
    "#);
    assert_snapshot!(with("\"1.37.0\""), @r#"
    cluster.toml:4:14: `kubernetes` is "1.37.0"; this version of kubestrap makes 1.34 to 1.36 [KS-SPEC-VERSION]
      write a version of those, for example "1.36.3"
    "#);
    assert_snapshot!(with("\"v1.36.3\""), @r#"
    cluster.toml:4:14: `kubernetes` is "v1.36.3" with a v [KS-SPEC-VERSION]
      write "1.36.3"
    "#);
    assert_snapshot!(with("\"1.36\""), @r#"
    cluster.toml:4:14: `kubernetes` is "1.36", which is not major.minor.patch; this version of kubestrap makes 1.34 to 1.36 [KS-SPEC-VERSION]
      write for example "1.36.3"
    "#);
}

#[test]
fn the_control_plane_is_one_node_and_an_even_number_never_will_be() {
    assert_snapshot!(changed("count = 1", "count = 2"), @"
    cluster.toml:23:9: `control_plane.count` is 2: etcd needs a majority of 2, so 2 members survive no more losses than 1 [KS-SPEC-COUNT]
      write 1
    ");
    assert_snapshot!(changed("count = 1", "count = 3"), @"
    cluster.toml:23:9: `control_plane.count` is 3: not supported yet, this version makes one control plane node [KS-SPEC-COUNT]
      write 1
    ");
    assert_snapshot!(changed("count = 1", "count = 0"), @"
    cluster.toml:23:9: `control_plane.count` is 0: without a control plane there is no cluster [KS-SPEC-COUNT]
      write 1
    ");
}

#[test]
fn a_cluster_without_workers_is_refused() {
    let text = AWS.replace("[[workers]]\nname = \"general\"\ncount = 2\ninstance_type = \"t3.medium\"\n", "");
    assert_eq!(mistakes(&text), "no mistakes", "two workers are the default");
    assert_snapshot!(mistakes(&format!("workers = []\n{text}")), @"
    cluster.toml:1:11: `workers` is empty: the control plane runs no services [KS-SPEC-COUNT]
      write at least one [[workers]], or leave it out for two nodes
    ");
}

#[test]
fn ranges_must_be_apart_inside_each_other_and_large_enough() {
    assert_snapshot!(changed("192.168.0.0/16", "10.0.128.0/17"), @"
    cluster.toml:12:12: `network.vpc_cidr` 10.0.0.0/16 and `network.pod_cidr` 10.0.128.0/17 overlap [KS-SPEC-CIDR-OVERLAP]
      take ranges that are apart: the defaults are 10.0.0.0/16 (VPC), 192.168.0.0/16 (pods), 10.96.0.0/12 (services)
    ");
    assert_snapshot!(changed("vpc_cidr = \"10.0.0.0/16\"", "vpc_cidr = \"192.168.0.0/20\""), @"
    cluster.toml:12:12: `network.vpc_cidr` 192.168.0.0/20 and `network.pod_cidr` 192.168.0.0/16 overlap [KS-SPEC-CIDR-OVERLAP]
      take ranges that are apart: the defaults are 10.0.0.0/16 (VPC), 192.168.0.0/16 (pods), 10.96.0.0/12 (services)
    ");
    assert_snapshot!(changed("[calico]", "subnet_cidr = \"10.1.0.0/20\"\n[calico]"), @r#"
    cluster.toml:18:15: `network.subnet_cidr` 10.1.0.0/20 is not inside `network.vpc_cidr` 10.0.0.0/16 [KS-SPEC-CIDR]
      write "10.0.0.0/20", or leave it out
    "#);
    assert_snapshot!(changed("[calico]", "subnet_cidr = \"10.0.0.0/29\"\n[calico]"), @r#"
    cluster.toml:18:15: `network.subnet_cidr` is 10.0.0.0/29, and EC2 makes subnets from /16 to /28 [KS-SPEC-CIDR-SIZE]
      write for example "10.0.0.0/28"
    "#);
    assert_snapshot!(changed("192.168.0.0/16", "192.168.0.0/23"), @"
    cluster.toml:12:12: `network.pod_cidr` 192.168.0.0/23 has room for 2 nodes of a /24 each, and there are 3 [KS-SPEC-CIDR-SIZE]
      take a range of /22 or larger
    ");
    assert_snapshot!(changed("10.96.0.0/12", "10.64.0.0/10"), @r#"
    cluster.toml:13:16: `network.service_cidr` is 10.64.0.0/10, and kubeadm accepts service ranges from /12 to /28 [KS-SPEC-CIDR-SIZE]
      write for example "10.64.0.0/12"
    "#);
    assert_snapshot!(changed("count = 2", "count = 30").replace("no mistakes", "30 workers fit"), @"30 workers fit");
    let small =
        AWS.replace("count = 2", "count = 30").replace("[calico]", "subnet_cidr = \"10.0.0.0/27\"\n[calico]");
    assert_snapshot!(mistakes(&small), @"
    cluster.toml:18:15: `network.subnet_cidr` 10.0.0.0/27 has 27 addresses beside the 5 that EC2 keeps, and there are 31 nodes [KS-SPEC-CIDR-SIZE]
      take a larger range
    ");
    assert_snapshot!(changed("192.168.0.0/16", "169.254.0.0/16"), @"
    cluster.toml:12:12: `network.pod_cidr` is 169.254.0.0/16, which has addresses of 169.254.0.0/16 in it (link-local: instance metadata is there) [KS-SPEC-CIDR]
      take a private range: inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16
    ");
}

#[test]
fn a_range_that_overlaps_only_with_a_default_is_told_where_it_stands() {
    let text = AWS.replace("pod_cidr = \"192.168.0.0/16\"\n", "").replace("10.96.0.0/12", "192.168.0.0/16");
    assert_snapshot!(mistakes(&text), @"
    cluster.toml:12:16: `network.pod_cidr` 192.168.0.0/16 and `network.service_cidr` 192.168.0.0/16 overlap [KS-SPEC-CIDR-OVERLAP]
      take ranges that are apart: the defaults are 10.0.0.0/16 (VPC), 192.168.0.0/16 (pods), 10.96.0.0/12 (services)
    ");
}

#[test]
fn the_lab_keeps_its_own_range() {
    let text = LAB.replace("\"10.0.0.0/16\"", "\"198.18.0.0/16\"");
    assert_snapshot!(mistakes(&text), @"
    cluster.toml:11:12: `network.vpc_cidr` 198.18.0.0/16 overlaps with the lab's own 198.18.0.0/24 [KS-SPEC-CIDR-OVERLAP]
      take another: the defaults are 10.0.0.0/16 (VPC), 192.168.0.0/16 (pods), 10.96.0.0/12 (services)
    ");
}

#[test]
fn the_world_is_no_administrator_unless_that_is_meant() {
    assert_snapshot!(changed("203.0.113.7/32", "0.0.0.0/0"), @r#"
    cluster.toml:15:16: `network.admin_cidrs` has 0.0.0.0/0: SSH and the API server would be open to it [KS-SPEC-ADMIN]
      write your own address as others see it, for example "203.0.113.7/32"; if you mean it, add allow_world_admin = true to [network]
    "#);
    assert_snapshot!(changed("[\"203.0.113.7/32\"]", "[]"), @r#"
    cluster.toml:15:15: `network.admin_cidrs` is empty: nobody could reach SSH and the API server, nor could kubestrap [KS-SPEC-ADMIN]
      write your own address as others see it, for example ["203.0.113.7/32"]
    "#);
    let meant = "[\"0.0.0.0/0\"]\nallow_world_admin = true";
    assert_eq!(changed("[\"203.0.113.7/32\"]", meant), "no mistakes");
}

#[test]
fn encapsulations_that_cannot_work_are_refused_with_the_reason() {
    let with = |name: &str| changed("\"vxlan\"", &format!("{name:?}"));
    assert_snapshot!(with("crosssubnet"), @r#"
    cluster.toml:20:17: `calico.encapsulation` "crosssubnet" sends bare pod addresses inside a subnet: the source/destination check drops them, and least privilege has no rule that could admit them [KS-SPEC-ENCAPSULATION]
      write "vxlan", or leave it out
    "#);
    assert_snapshot!(with("ipip"), @r#"
    cluster.toml:20:17: `calico.encapsulation` "ipip" is IP protocol 4: this version opens UDP 4789 between nodes and nothing for it [KS-SPEC-ENCAPSULATION]
      write "vxlan", or leave it out
    "#);
    assert_snapshot!(with("VXLAN"), @r#"
    cluster.toml:20:17: `calico.encapsulation` "VXLAN" is written "vxlan" [KS-SPEC-ENCAPSULATION]
      write "vxlan", or leave it out
    "#);
    assert_snapshot!(with("none"), @r#"
    cluster.toml:20:17: `calico.encapsulation` "none" puts bare pod addresses on the wire: the source/destination check drops them [KS-SPEC-ENCAPSULATION]
      write "vxlan", or leave it out
    "#);
    assert_snapshot!(with("geneve"), @r#"
    cluster.toml:20:17: `calico.encapsulation` "geneve" is no encapsulation that this version knows [KS-SPEC-ENCAPSULATION]
      write "vxlan", or leave it out
    "#);
}

#[test]
fn node_ports_of_services_must_be_open_to_somebody() {
    assert_snapshot!(changed("node_port = 30997", "node_port = 30998"), @r#"
    cluster.toml:45:13: `services[1].node_port` is 30998, which `network.node_ports` does not have: nobody could reach it [KS-SPEC-NODE-PORT]
      add { port = 30998, from = ["0.0.0.0/0"] } to network.node_ports, or narrower ranges
    "#);
    assert_snapshot!(changed("port = 50051", "port = 50051\nnode_port = 30997"), @"
    cluster.toml:46:13: `services[1].node_port` is 30997, and so is that of recommendations [KS-SPEC-DUPLICATE]
      take another from 30000 to 32767
    ");
    assert_snapshot!(changed("port = 30997, from = [\"0.0.0.0/0\"]", "port = 30997, from = []"), @"
    cluster.toml:16:38: `network.node_ports[0].from` is empty: nobody could reach the port [KS-SPEC-NODE-PORT]
      name the ranges of its clients, or remove the port
    ");
    let twice = "node_ports = [{ port = 30997, from = [\"0.0.0.0/0\"] }, ";
    assert_snapshot!(changed("node_ports = [", twice), @"
    cluster.toml:16:64: there are two network.node_ports for port 30997 [KS-SPEC-DUPLICATE]
      change one, or remove it
    ");
}

#[test]
fn names_are_unique_and_not_reserved() {
    assert_snapshot!(changed("name = \"marketplace\"", "name = \"recommendations\""), @"
    cluster.toml:40:8: there are two services named recommendations [KS-SPEC-DUPLICATE]
      change one, or remove it
    ");
    assert_snapshot!(changed("name = \"general\"", "name = \"control-plane\""), @r#"
    cluster.toml:27:8: `workers[0].name` is "control-plane", which is the control plane's [KS-SPEC-NAME]
      write another name
    "#);
    assert_snapshot!(changed("name = \"marketplace\"", "name = \"kubernetes\""), @r#"
    cluster.toml:40:8: `services[1].name` is "kubernetes", which is the API server's own service [KS-SPEC-NAME]
      write another name
    "#);
    assert_snapshot!(changed("\"books\"", "\"a-name-that-goes-on-for-far-too-long\""), @r#"
    cluster.toml:3:8: `name` ("a-name-that-goes-on-for-far-too-long") is 36 characters long, and may be 32 [KS-SPEC-NAME]
      write "a-name-that-goes-on-for-far-too"
    "#);
    assert_snapshot!(changed("\"books\"", "\"\""), @r#"
    cluster.toml:3:8: `name` ("") is empty [KS-SPEC-NAME]
      write a name like "books"
    "#);
}

#[test]
fn images_nodes_and_platforms_must_fit_together() {
    let arm = AWS
        .replace("t3.medium", "t4g.medium")
        .replace("[\"linux/amd64\", \"linux/arm64\"]", "[\"linux/amd64\"]");
    assert_snapshot!(mistakes(&arm), @r#"
    cluster.toml:35:13: `services[0].platforms` lacks linux/arm64, which the nodes of pool general are (t4g.medium): the image would not run there [KS-SPEC-ARCH]
      add "linux/arm64", or leave platforms out for both
    cluster.toml:43:13: `services[1].platforms` lacks linux/arm64, which the nodes of pool general are (t4g.medium): the image would not run there [KS-SPEC-ARCH]
      add "linux/arm64", or leave platforms out for both
    "#);
    let image = "region = \"ap-northeast-1\"\nimage = \"ami-0123456789abcdef0\"";
    let text = AWS.replace("region = \"ap-northeast-1\"", image);
    assert_eq!(mistakes(&text), "no mistakes");
    assert_snapshot!(mistakes(&text.replacen("t3.medium", "t4g.medium", 1)), @r#"
    cluster.toml:9:9: `provider.image` ami-0123456789abcdef0 is one image, and t3.medium is amd64 while t4g.medium is arm64 [KS-SPEC-ARCH]
      leave it out for Debian 13, or write "ssm:/parameter/{arch}"
    "#);
    assert_snapshot!(changed("[\"linux/amd64\", \"linux/arm64\"]", "[]"), @"
    cluster.toml:35:13: `services[0].platforms` is empty [KS-SPEC-PLATFORM]
      name one, or leave it out for both
    ");
    assert_snapshot!(changed("[\"linux/amd64\", \"linux/arm64\"]", "[\"arm64\", \"linux/amd64\", \"linux/amd64\"]"), @r#"
    cluster.toml:35:14: `services[0].platforms[0]` is "arm64", which is no platform that images are built for [KS-SPEC-PLATFORM]
      did you mean "linux/arm64"?
    cluster.toml:35:38: `services[0].platforms` has linux/amd64 twice [KS-SPEC-DUPLICATE]
      keep one of the two
    "#);
}

#[test]
fn image_references_need_a_tag_and_no_digest() {
    let with = |image: &str| changed("\"jinbi/marketplace:v1\"", &format!("{image:?}"));
    for good in ["localhost:5000/marketplace:v1", "ghcr.io/jinbi/marketplace:v1", "marketplace:v1"] {
        assert_eq!(with(good), "no mistakes");
    }
    assert_snapshot!(with("localhost:5000/marketplace"), @r#"
    cluster.toml:42:9: `services[1].image` is "localhost:5000/marketplace", which has no tag [KS-SPEC-IMAGE]
      write for example "localhost:5000/marketplace:v1"
    "#);
    assert_snapshot!(with(&format!("jinbi/marketplace@sha256:{}", "0".repeat(64))), @r#"
    cluster.toml:42:9: `services[1].image` is "jinbi/marketplace@sha256:0000000000000000000000000000000000000000000000000000000000000000", which has a digest, and the image is built here [KS-SPEC-IMAGE]
      write a tag, for example "jinbi/marketplace:v1"
    "#);
    assert_snapshot!(with("jinbi/market place:v1"), @r#"
    cluster.toml:42:9: `services[1].image` is "jinbi/market place:v1", which is no image reference [KS-SPEC-IMAGE]
      write for example "jinbi/marketplace:v1"
    "#);
}

#[test]
fn regions_and_zones_are_known_or_answered_for_by_an_endpoint() {
    let with = |region: &str| changed("\"ap-northeast-1\"", region);
    assert_snapshot!(with("\"ap-northeast-1a\""), @r#"
    cluster.toml:8:10: `provider.region` is "ap-northeast-1a", which is no region that this version knows [KS-SPEC-REGION]
      that is a zone: write region = "ap-northeast-1" and zone = "ap-northeast-1a"
    "#);
    assert_snapshot!(with("\"tokyo\""), @r#"
    cluster.toml:8:10: `provider.region` is "tokyo", which is no region that this version knows [KS-SPEC-REGION]
      write for example "ap-northeast-1"; one that this version does not know needs `provider.endpoint`
    "#);
    assert_eq!(with("\"eu-west-1\"\nzone = \"eu-west-1b\""), "no mistakes");
    assert_eq!(with("\"us-west-2\"\nzone = \"us-west-2-lax-1a\""), "no mistakes");
    assert_eq!(with("\"eu-new-1\"\nendpoint = \"https://ec2.example.com\""), "no mistakes");
    assert_snapshot!(with("\"eu-west-1\"\nzone = \"eu-west-11\""), @r#"
    cluster.toml:9:8: `provider.zone` is "eu-west-11", which is no zone of eu-west-1 [KS-SPEC-ZONE]
      write for example "eu-west-1a", or leave it out: the first zone that offers the instance types is taken
    "#);
}

#[test]
fn checks_are_http_requests_through_a_node_port() {
    assert_snapshot!(changed("node_port = 30997\n", ""), @"
    cluster.toml:46:9: `services[1].check` cannot be made: marketplace has no node_port, and a check goes through it [KS-SPEC-CHECK]
      remove the check, or make it an HTTP service with a node_port
    ");
    assert_snapshot!(changed("protocol = \"grpc\"", "protocol = \"grpc\"\ncheck.contains = \"x\""), @"
    cluster.toml:38:1: `services[0].check` cannot be made: recommendations speaks gRPC, and a check is an HTTP request [KS-SPEC-CHECK]
      remove the check, or make it an HTTP service with a node_port
    ");
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let text = LAB.replace("http://198.18.0.2:8080/apt", "http://me:hunter2@198.18.0.2:8080/apt");
    let told = mistakes(&text);
    assert_snapshot!(told, @"
    cluster.toml:33:12: `sources.packages` has a user or a password in it [KS-SPEC-URL]
      write the URL without; a spec is no place for secrets
    ");
    assert!(!told.contains("hunter2"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            mistakes(&text);
        }

        #[test]
        fn no_toml_like_text_makes_it_panic(lines in proptest::collection::vec(
            "(\\[{0,2}(network|workers|services|provider|sources)(\\.[a-z]{1,4})?\\]{0,2}|[a-z_]{1,12} = (\"[^\"]{0,12}\"|[0-9]{1,30}|\\[[0-9, ]{0,6}\\]|true|\\{ a = 1 \\}))", 0..20)) {
            mistakes(&lines.join("\n"));
        }

        #[test]
        fn no_mutation_of_an_example_makes_it_panic(at in 0..LAB.len(), length in 0..40_usize, with in "\\PC{0,8}") {
            let start = (0..=at).rev().find(|at| LAB.is_char_boundary(*at)).unwrap();
            let end = (start + length).min(LAB.len());
            let end = (end..=LAB.len()).find(|at| LAB.is_char_boundary(*at)).unwrap();
            mistakes(&format!("{}{with}{}", &LAB[..start], &LAB[end..]));
        }
    }
}
