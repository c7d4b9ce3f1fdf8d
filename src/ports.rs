//! What the cluster outside this process can be asked and told: narrow ports, one adapter each.
