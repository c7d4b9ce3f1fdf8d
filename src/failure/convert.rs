//! From typed errors to failures: where codes, exit codes and remedies are chosen.

use super::{Exit, Failure};
use crate::engine::{RunError, StepError};
use crate::image;
use crate::kube::CheckFailure;
use crate::plan::PlanError;
use crate::ports::{CloudError, ClusterError, InstanceState, RemoteError};
use crate::spec::SpecErrors;

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        let message = error.to_string();
        match error {
            CloudError::Credentials { .. } => Failure::new("KS-CRED", Exit::Credentials, message)
                .remedy("aws sts get-caller-identity    # must succeed with the profile of the spec; then run this again"),
            CloudError::Forbidden { operation, .. } => Failure::new("KS-EC2-FORBIDDEN", Exit::Credentials, message)
                .remedy(format!("allow ec2:{operation} in the policy of these credentials")),
            CloudError::Unreachable { endpoint, .. } => {
                let local = ["127.0.0.1", "localhost", "198.18."].iter().any(|host| endpoint.contains(host));
                Failure::new("KS-EC2-UNREACHABLE", Exit::Failed, message).remedy(if local {
                    "kubestrap lab start".to_owned()
                } else {
                    format!("check the network and the endpoint: curl -sv {endpoint}")
                })
            }
            CloudError::Capacity { .. } => Failure::new("KS-EC2-CAPACITY", Exit::Partial, message)
                .remedy("choose another zone (provider.zone) or instance type, or raise the quota; then run it again"),
            CloudError::InUse { .. } => Failure::new("KS-EC2-IN-USE", Exit::Partial, message)
                .remedy("remove what still uses it, then run it again"),
            CloudError::Duplicate { .. } => Failure::new("KS-EC2-DUPLICATE", Exit::Failed, message)
                .remedy("rename the cluster in the spec, or remove what holds the name"),
            CloudError::Deadline { .. } => {
                Failure::new("KS-EC2-DEADLINE", Exit::Partial, message).remedy("run it again: it goes on from here")
            }
            CloudError::Refused { .. } => Failure::new("KS-EC2-REFUSED", Exit::Failed, message),
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let message = error.to_string();
        match error {
            RemoteError::NoSsh => {
                Failure::new("KS-SSH-MISSING", Exit::Failed, message).remedy("apt-get install openssh-client")
            }
            RemoteError::NeverAnswered { node, .. } => Failure::new("KS-SSH-SILENT", Exit::Partial, message).remedy(format!(
                "see that {node} boots and that network.admin_cidrs holds your address (curl https://checkip.amazonaws.com); `kubestrap up` opens the groups for a new one, and goes on from here"
            )),
            RemoteError::HostKey { node, .. } => Failure::new("KS-SSH-HOST-KEY", Exit::Failed, message)
                .evidence("somebody else may be answering at this address: nothing was sent to it")
                .evidence("or the cluster was made anew from another machine, which has its host keys")
                .remedy(format!("take the cluster's folder from the machine that ran `up`; a worker that was replaced on purpose: terminate the instance of {node} and run `up`")),
            RemoteError::NotPinned { looked_in, .. } => Failure::new("KS-SSH-LOST", Exit::Failed, message)
                .evidence(format!("looked in {looked_in}"))
                .remedy("restore the cluster's folder from the machine that launched it, or kubestrap down and up"),
            RemoteError::Denied { .. } => Failure::new("KS-SSH-DENIED", Exit::Failed, message)
                .remedy("set ssh.user to the login name of the image, or restore the cluster's SSH key"),
            RemoteError::Failed { tail, log, .. } => {
                let mut failure = Failure::new("KS-NODE-PHASE", Exit::Partial, message);
                failure.evidence = tail;
                failure.remedy(format!("the whole output is in {log}; mend the cause and run it again: it goes on from here"))
            }
            RemoteError::Local { .. } => Failure::new("KS-LOCAL", Exit::Failed, message),
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error {
            ClusterError::Unreachable { .. } => Failure::new("KS-API-UNREACHABLE", Exit::Partial, message)
                .remedy("see that network.admin_cidrs holds your address (curl https://checkip.amazonaws.com), then kubestrap up; or kubestrap diagnose dns"),
            ClusterError::Unauthorized { .. } => {
                Failure::new("KS-API-UNAUTHORIZED", Exit::Credentials, message)
                    .remedy("delete the kept kubeconfig, which `kubestrap status` names: the next command fetches a fresh one")
            }
            ClusterError::Refused { .. } => Failure::new("KS-API-REFUSED", Exit::Partial, message),
            ClusterError::Deadline { evidence, .. } => {
                let mut failure = Failure::new("KS-API-DEADLINE", Exit::Partial, message);
                failure.evidence = evidence;
                failure.remedy("kubestrap diagnose dns    # then run it again: it goes on from here")
            }
            ClusterError::Malformed { .. } => Failure::new("KS-MANIFEST", Exit::Failed, message),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let message = error.to_string();
        match error {
            PlanError::Foreign(found) => {
                let mut failure = Failure::new("KS-PLAN-FOREIGN", Exit::Failed, message);
                failure.evidence = found.iter().map(|it| format!("{} {} is named {}", it.kind, it.id, it.name)).collect();
                failure.remedy("rename the cluster in the spec, or remove these")
            }
            PlanError::NotProven(proof) => {
                let mut failure = Failure::new("KS-NET-UNPROVEN", Exit::Usage, message);
                failure.evidence = proof.counterexamples.iter().map(ToString::to_string).collect();
                failure.remedy("widen the spec's network section as the counterexamples say")
            }
            PlanError::Immutable { .. } => Failure::new("KS-PLAN-IMMUTABLE", Exit::Failed, message)
                .remedy("put the old value back, or `kubestrap down` first"),
            PlanError::Unexpected { id, .. } => Failure::new("KS-PLAN-SHRINK", Exit::Failed, message).remedy(format!(
                "put the node back into the spec, or take it away: kubectl drain and kubectl delete node, then aws ec2 terminate-instances --instance-ids {id}"
            )),
            PlanError::NotRunning { state: InstanceState::Stopped, id, .. } => {
                Failure::new("KS-PLAN-NOT-RUNNING", Exit::Failed, message).remedy(format!(
                    "aws ec2 start-instances --instance-ids {id}    # or terminate it, and run this again"
                ))
            }
            PlanError::NotRunning { .. } => Failure::new("KS-PLAN-NOT-RUNNING", Exit::Failed, message)
                .remedy("wait until it is stopped or terminated, and run this again"),
            PlanError::Twice { .. } => Failure::new("KS-PLAN-TWICE", Exit::Failed, message)
                .remedy("aws ec2 terminate-instances --instance-ids ID    # the one that `kubectl get nodes -o wide` does not show"),
            PlanError::ControlPlaneLost { .. } => Failure::new("KS-PLAN-CONTROL-PLANE-LOST", Exit::Failed, message)
                .remedy("kubestrap down, then kubestrap up"),
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Cloud(error) => error.into(),
            StepError::Remote(error) => error.into(),
            StepError::Silent { error, console } => {
                let mut failure = Failure::from(*error);
                failure
                    .evidence
                    .extend(console.iter().map(|line| format!("its console: {}", line.trim_end())));
                failure
            }
            StepError::Cluster(error) => error.into(),
            StepError::Local(message) => Failure::new("KS-LOCAL", Exit::Failed, message),
            StepError::Missing { .. } => Failure::new("KS-BUG", Exit::Failed, error.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Failed { first, others, done } => {
                let step = first.step.to_string();
                let mut failure = Failure::from(first.error);
                failure.message = format!("{step}: {}", failure.message);
                failure
                    .evidence
                    .extend(others.iter().map(|other| format!("also {}: {}", other.step, other.error)));
                if done > 0 && failure.exit == Exit::Failed {
                    failure.exit = Exit::Partial;
                }
                failure
            }
            RunError::Interrupted { done, left } => Failure::new(
                "KS-INTERRUPTED",
                Exit::Interrupted,
                format!("interrupted after {done} steps, {left} are left"),
            )
            .remedy("run the same command again: it goes on from here"),
        }
    }
}

/// Errors of images carry their own remedies; each kind has one code.
macro_rules! image_failure {
    ($error:ty, $code:literal, $exit:expr) => {
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::new($code, $exit, error.to_string()).remedy(error.remedy())
            }
        }
    };
}

image_failure!(image::build::BuildError, "KS-IMAGE-BUILD", Exit::Failed);
image_failure!(image::AssembleError, "KS-IMAGE-BINARY", Exit::Failed);
image_failure!(image::RegistryError, "KS-IMAGE-REGISTRY", Exit::Failed);
image_failure!(image::NotCovered, "KS-IMAGE-PLATFORM", Exit::Failed);
image_failure!(image::NameError, "KS-IMAGE-NAME", Exit::Usage);

impl From<CheckFailure> for Failure {
    fn from(error: CheckFailure) -> Self {
        let mut failure = Failure::new("KS-CHECK", Exit::Failed, error.to_string());
        failure.evidence = error.evidence;
        failure.remedy("kubestrap diagnose dns")
    }
}

impl From<SpecErrors> for Failure {
    fn from(errors: SpecErrors) -> Self {
        let mut failure = Failure::new("KS-SPEC", Exit::Usage, errors.to_string());
        failure.mistakes = Some(Box::new(errors));
        failure
    }
}
