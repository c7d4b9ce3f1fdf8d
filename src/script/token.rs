//! Bootstrap tokens: what a worker shows to be let in.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A kubeadm bootstrap token, `abcdef.0123456789abcdef`. Its id is no secret, the rest is.
#[derive(Clone)]
pub struct BootstrapToken {
    /// The part before the dot: names the token's Secret in kube-system.
    pub id: String,
    secret: SecretString,
}

impl BootstrapToken {
    /// How long a token can be used unless it is deleted before: the joins take minutes.
    pub const LIFETIME: &'static str = "30m0s";

    /// A new token from a source of random numbers fit for secrets, which is the caller's to choose.
    pub fn generate(mut random: impl FnMut() -> u32) -> Self {
        let mut characters = |count| -> String { (0..count).map(|_| character(&mut random)).collect() };
        Self { id: characters(6), secret: SecretString::from(characters(16)) }
    }

    /// The whole token.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.id, self.secret.expose_secret())
    }
}

/// One of `a`-`z`, `0`-`9`, each as likely as the others.
fn character(random: &mut impl FnMut() -> u32) -> char {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    loop {
        // Six bits; the values past the alphabet would favour its start, so they are drawn again.
        let index = (random() >> 26) as usize;
        if let Some(character) = ALPHABET.get(index) {
            return char::from(*character);
        }
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.[redacted]", self.id)
    }
}
