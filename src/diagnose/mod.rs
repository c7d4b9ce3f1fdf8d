//! Diagnosis: collect Evidence from the cluster and the cloud, then judge it with pure rules.
