//! Codes of a run as a whole and of this machine.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-USAGE",
        "The command line asks for something that does not exist. Nothing was touched. `kubestrap help` \
         lists the commands, and error codes are written as the errors show them.",
    ),
    (
        "KS-SPEC",
        "The spec file has mistakes. All of them are listed, each with line, column and remedy; nothing was \
         touched. `kubestrap explain` knows the code of each, and `kubestrap init --file new.toml` writes a \
         commented spec to compare with.",
    ),
    (
        "KS-INIT-EXISTS",
        "`init` never overwrites a file, because a spec is the only record of what a cluster is to be. Name \
         another with --file, or move the old one away.",
    ),
    (
        "KS-CONSENT",
        "The command shows what it will do and asks; the answer was not yes, or without a terminal there \
         was nobody to ask. Nothing was changed. In a script, and with -o json, say it beforehand: --yes.",
    ),
    (
        "KS-LOCK",
        "Another kubestrap is at work on this cluster from this machine, and two would undo each other's \
         steps. Wait until it ends. The lock goes with its process: one that crashed leaves nothing behind.",
    ),
    (
        "KS-INTERRUPTED",
        "Ctrl-C stops at a step boundary: what had begun was finished, what had not was left; a second one \
         leaves at once. The same command goes on from there.",
    ),
    (
        "KS-NOT-CONVERGED",
        "Every step succeeded, and what exists is still not what the spec asks for. Usually somebody else \
         changed the cluster's resources during the run; the evidence names the steps that are left. Run \
         `kubestrap up` again, and if the same steps stay, look for a tool that keeps undoing them.",
    ),
    (
        "KS-NO-CLUSTER",
        "The cloud has no such cluster. A cluster is found by its name, the account and the region, so that \
         the spec may name another than the one meant, or the credentials may be of another account. \
         `kubestrap up` makes it.",
    ),
    (
        "KS-NO-NODE",
        "The cluster has no node of this name. Nodes are called after their pools, as in general-1; \
         `kubestrap status` lists them.",
    ),
    (
        "KS-LEFT",
        "After deleting, everything was listed again, and something that carries the cluster's id is left: \
         the evidence names it. Usually something outside of the cluster uses it, or it was made while \
         `down` ran. Free it and run `kubestrap down` again.",
    ),
    (
        "KS-LOCAL",
        "Something on this machine failed: a file that cannot be written, a full disk, a program that \
         cannot be run. The message is the system's. kubestrap keeps its files under \
         ~/.local/state/kubestrap (or XDG_STATE_HOME), and they must be writable.",
    ),
    (
        "KS-BUG",
        "A step needed a fact that no step before it had made known: the plan's order is wrong, which is a \
         fault in kubestrap. Nothing is lost, and running the command again may get past it, since facts \
         are then read from the cloud. Please report it with the message.",
    ),
];
