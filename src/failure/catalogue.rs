//! What `kubestrap explain` says about each code.

/// A paragraph about a code, or `None` for one that does not exist. Codes of the spec share a page.
pub fn explain(code: &str) -> Option<&'static str> {
    let code = code.to_uppercase();
    let page = PAGES.iter().find(|(known, _)| *known == code).map(|(_, page)| *page);
    page.or_else(|| code.starts_with("KS-SPEC").then_some(SPEC))
}

const SPEC: &str = "The spec file has mistakes. All of them are listed, each with line, column and remedy; \
nothing was touched. `kubestrap init` prints a commented spec to compare with.";

const PAGES: &[(&str, &str)] = &[
    (
        "KS-CRED",
        "EC2 did not accept the credentials, or there are none. They are looked for as every AWS tool does: \
environment, then the profile in the spec (provider.profile) or AWS_PROFILE, then the instance role. Expired single \
sign-on sessions are renewed with `aws sso login`.",
    ),
    ("KS-EC2-FORBIDDEN", "The credentials are valid, and their policy does not allow the operation named."),
    (
        "KS-EC2-UNREACHABLE",
        "Nothing answers at the EC2 endpoint. For a spec with provider.kind = \"lab\" the lab is not \
running: `kubestrap lab start`.",
    ),
    (
        "KS-EC2-CAPACITY",
        "EC2 has no machines of this type in this zone now, or a quota is used up. What was made so far \
stays; another run goes on from there.",
    ),
    (
        "KS-EC2-IN-USE",
        "EC2 does not delete what something else uses. The message names the user where EC2 tells it.",
    ),
    (
        "KS-EC2-DUPLICATE",
        "A resource of this name exists and does not carry this cluster's id. kubestrap never adopts \
what it did not make.",
    ),
    ("KS-EC2-DEADLINE", "A state was not reached in time. Nothing is lost: run the command again."),
    ("KS-EC2-REFUSED", "EC2 refused a request for the reason that it gives."),
    ("KS-SSH-MISSING", "kubestrap uses the OpenSSH client of this machine."),
    (
        "KS-SSH-SILENT",
        "The node did not answer on SSH. Either it does not boot (see its console), or a security group \
does not admit your address (network.admin_cidrs), or the subnet has no route to the internet gateway.",
    ),
    (
        "KS-SSH-HOST-KEY",
        "Host keys are pinned: a temporary one goes in by user data, is replaced on the first login, and \
the new one is pinned. Another key means another machine, or somebody in between.",
    ),
    ("KS-SSH-DENIED", "The node answers and refuses the cluster's SSH key for this login name."),
    ("KS-NODE-PHASE", "A script failed on a node. Every script can be run again; the next `up` does."),
    ("KS-API-UNREACHABLE", "The Kubernetes API server does not answer from here."),
    (
        "KS-API-DEADLINE",
        "Something in the cluster did not become ready in time. The evidence is what the API server \
showed last.",
    ),
    (
        "KS-PLAN-FOREIGN",
        "Something holds a name that this cluster needs and does not carry its id. A cluster's id is \
made of its name, the account and the region, and is on every resource as the tag kubestrap:cluster-id.",
    ),
    (
        "KS-NET-UNPROVEN",
        "From the spec follow the flows that the cluster needs. The planned security groups were \
evaluated against them as EC2 would, and at least one packet does not pass. Nothing was launched.",
    ),
    ("KS-PLAN-IMMUTABLE", "This property cannot be changed while the resource exists."),
    (
        "KS-PLAN-SHRINK",
        "The cloud has a node of this cluster that the spec does not name. kubestrap does not remove \
nodes with workloads on its own.",
    ),
    (
        "KS-PLAN-NOT-RUNNING",
        "An instance of the cluster is stopped or on its way out; only a person can say what is meant.",
    ),
    ("KS-PLAN-CONTROL-PLANE-LOST", "The only control plane instance is gone, and etcd's data with it."),
    ("KS-LOCK", "Another kubestrap is at work on this cluster from this machine."),
    (
        "KS-CONSENT",
        "The command shows what it will do and asks. Without a terminal say it beforehand: --yes.",
    ),
    ("KS-INTERRUPTED", "Ctrl-C stops at a step boundary; the next run goes on from there."),
    ("KS-LEFT", "After deleting, everything was listed again, and something is left. The message names it."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_any_case_and_unknown_ones_are_not() {
        assert!(explain("ks-cred").is_some());
        assert!(explain("KS-SPEC-UNKNOWN-KEY").is_some());
        assert_eq!(explain("KS-NOPE"), None);
    }
}
