//! Codes of credentials and of EC2.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-CRED",
        "EC2 did not accept the credentials, or there are none. They are looked for as every AWS tool does: \
         environment, then the profile in the spec (provider.profile) or AWS_PROFILE, then the instance \
         role. Single sign-on profiles are not read: `eval \"$(aws configure export-credentials --format env)\"` \
         hands their keys over. A clock that is wrong by \
         minutes makes signatures invalid too.",
    ),
    (
        "KS-CRED-ACCOUNT",
        "The credentials are valid and belong to an account that provider.allowed_account_ids does not \
         list. The list exists to keep a cluster out of the wrong account, so nothing was touched. Switch \
         the profile, or add the account if it is meant.",
    ),
    (
        "KS-EC2-FORBIDDEN",
        "The credentials are valid, and a policy does not allow the operation named: that of the user or \
         role, a permission boundary, or one of the organisation. The same is said of an image or snapshot \
         that is not shared with the account. Have the operation allowed, then run the command again.",
    ),
    (
        "KS-EC2-UNREACHABLE",
        "Nothing answers at the EC2 endpoint, or what answers is no EC2. For a spec with provider.kind = \
         \"lab\" the lab is not running: `kubestrap lab start`. For AWS it is the network, a proxy, or a \
         mistake in provider.endpoint.",
    ),
    (
        "KS-EC2-CAPACITY",
        "EC2 has no machines of this type in this zone now, or a quota of the account is used up. What was \
         made so far stays. Choose another provider.zone or instance type, or have the quota raised; \
         another run goes on from there.",
    ),
    (
        "KS-EC2-IN-USE",
        "EC2 does not delete what something else uses: a network interface of a load balancer in the \
         subnet, or a rule of a foreign security group that names one of the cluster's. The message names \
         the user where EC2 tells it. Remove that, then run the command again.",
    ),
    (
        "KS-EC2-DUPLICATE",
        "A resource of this name or range exists and does not carry this cluster's id. kubestrap never \
         adopts what it did not make. Rename the cluster in the spec, or remove what holds the name.",
    ),
    (
        "KS-EC2-DEADLINE",
        "A state was not reached in time: an instance that does not start, a deletion that does not end. \
         EC2 is slow now and then. Nothing is lost: run the command again, and if it stops at the same \
         place look at the resource in the EC2 console.",
    ),
    (
        "KS-EC2-REFUSED",
        "EC2 refused a request for the reason that the message gives, with EC2's own code. Mostly a value \
         of the spec is not possible in this region or account: an image that does not exist there, a type \
         that the zone does not offer; RequestLimitExceeded asks for patience. Nothing was done by that \
         request; mend the spec and run the command again.",
    ),
];
