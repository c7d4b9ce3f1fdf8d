//! Planning: `(Spec, Observed) -> Plan`, pure and deterministic.
