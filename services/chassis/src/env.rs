//! Settings from the environment. A wrong value stops the start and names its variable.

use std::time::Duration;

/// A variable whose value cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}={value:?} is not {expected}; unset it to use {default}")]
pub struct EnvError {
    /// Name of the variable.
    pub variable: &'static str,
    /// What it held.
    pub value: String,
    /// What it must hold.
    pub expected: &'static str,
    /// What is used when it is not set.
    pub default: String,
}

/// Reads one variable; a lookup function keeps tests away from the process environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process environment as a lookup. An empty value counts as not set.
pub fn process(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// A port from 1 to 65535.
pub fn port(lookup: Lookup<'_>, variable: &'static str, default: u16) -> Result<u16, EnvError> {
    let Some(value) = lookup(variable) else {
        return Ok(default);
    };
    match value.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(EnvError {
            variable,
            value,
            expected: "a port from 1 to 65535",
            default: default.to_string(),
        }),
    }
}

/// A whole number of milliseconds.
pub fn millis(lookup: Lookup<'_>, variable: &'static str, default: Duration) -> Result<Duration, EnvError> {
    let Some(value) = lookup(variable) else {
        return Ok(default);
    };
    match value.parse() {
        Ok(millis) => Ok(Duration::from_millis(millis)),
        Err(_) => Err(EnvError {
            variable,
            value,
            expected: "a whole number of milliseconds",
            default: default.as_millis().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_port_names_its_variable() {
        let error = port(&|_| Some("tcp://10.96.0.7:5000".into()), "PORT", 5000).unwrap_err().to_string();
        assert_eq!(
            error,
            "PORT=\"tcp://10.96.0.7:5000\" is not a port from 1 to 65535; unset it to use 5000"
        );
        assert!(port(&|_| Some("0".into()), "PORT", 5000).is_err());
        assert!(port(&|_| Some("65536".into()), "PORT", 5000).is_err());
    }

    #[test]
    fn defaults_apply_when_unset() {
        assert_eq!(port(&|_| None, "PORT", 5000).unwrap(), 5000);
        assert_eq!(millis(&|_| None, "DRAIN_MS", Duration::from_secs(3)).unwrap(), Duration::from_secs(3));
        assert_eq!(
            millis(&|_| Some("0".into()), "DRAIN_MS", Duration::from_secs(3)).unwrap(),
            Duration::ZERO
        );
    }
}
