//! The user that an image asks for, and the user that its pod gets.

/// The user of a pod if the image's user cannot be kept. The same as fsGroup.
pub const DEFAULT_USER: i64 = 65532;

/// Kubernetes' bound of `runAsUser`.
const MAX_UID: i64 = i32::MAX as i64;

/// Longer than any user name that Linux allows (32 characters).
pub const MAX_NAME: usize = 64;

/// An image config's `User`, without the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageUser {
    /// A user id from 1 to 2147483647.
    Numeric(i64),
    /// `0` or `root`.
    Root,
    /// The config names no user, which runtimes take for root.
    Unset,
    /// A name. Its number is in the image's `/etc/passwd`, which is not read here.
    Named(String),
    /// The config could not be read, or no runtime would understand its user.
    Unreadable,
}

impl ImageUser {
    /// Parses `user`, `uid`, `user:group`, `uid:gid`, `uid:group` or `user:gid`, the forms of the
    /// [OCI image config](https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md).
    #[must_use]
    pub fn parse(user: &str) -> Self {
        let mut parts = user.split(':');
        let name = parts.next().unwrap_or_default();
        if parts.nth(1).is_some() {
            return Self::Unreadable;
        }
        if name.is_empty() {
            return Self::Unset;
        }
        if name == "root" {
            return Self::Root;
        }
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return match name.parse() {
                Ok(0) => Self::Root,
                Ok(uid) if uid <= MAX_UID => Self::Numeric(uid),
                _ => Self::Unreadable,
            };
        }
        let first_fits = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if first_fits && name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_graphic()) {
            Self::Named(name.to_owned())
        } else {
            Self::Unreadable
        }
    }
}

/// Returns the pod's `runAsUser`: the image's numeric user if it has one, or else [`DEFAULT_USER`]. A pod
/// with `runAsNonRoot` and a root or named user would hang in `CreateContainerConfigError`.
#[must_use]
pub fn pod_user(user: &ImageUser) -> i64 {
    match user {
        ImageUser::Numeric(uid) => *uid,
        ImageUser::Root | ImageUser::Unset | ImageUser::Named(_) | ImageUser::Unreadable => DEFAULT_USER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let named = |name: &str| ImageUser::Named(name.to_owned());
        for (text, expected) in [
            ("", ImageUser::Unset),
            (":1000", ImageUser::Unset),
            ("0", ImageUser::Root),
            ("00", ImageUser::Root),
            ("0:1000", ImageUser::Root),
            ("root", ImageUser::Root),
            ("root:wheel", ImageUser::Root),
            ("1000", ImageUser::Numeric(1000)),
            ("1000:", ImageUser::Numeric(1000)),
            ("01000:0", ImageUser::Numeric(1000)),
            ("1000:staff", ImageUser::Numeric(1000)),
            ("2147483647", ImageUser::Numeric(2_147_483_647)),
            ("2147483648", ImageUser::Unreadable),
            ("99999999999999999999", ImageUser::Unreadable),
            ("-1", ImageUser::Unreadable),
            ("+1", ImageUser::Unreadable),
            ("1000:1000:1000", ImageUser::Unreadable),
            ("nginx", named("nginx")),
            ("nginx:nginx", named("nginx")),
            ("1000x", named("1000x")),
            ("a b", ImageUser::Unreadable),
            ("a\nb", ImageUser::Unreadable),
            ("jürgen", ImageUser::Unreadable),
        ] {
            assert_eq!(ImageUser::parse(text), expected, "{text:?}");
        }
        assert_eq!(ImageUser::parse(&"a".repeat(65)), ImageUser::Unreadable);
    }

    #[test]
    fn only_a_number_is_kept() {
        assert_eq!(pod_user(&ImageUser::Numeric(1)), 1);
        for user in
            [ImageUser::Root, ImageUser::Unset, ImageUser::Named("nginx".into()), ImageUser::Unreadable]
        {
            assert_eq!(pod_user(&user), 65532, "{user:?}");
        }
    }
}
