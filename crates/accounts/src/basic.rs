//! The `Authorization` header of the Basic kind.
//!
//! Source: RFC 7617. Names hold no colon, passwords may.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::limits::{NAME_BYTES_MAX, PASSWORD_BYTES_MAX};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn is_basic(authorization: &[u8]) -> bool {
    credentials(authorization).is_some()
}

/// Name and password; `None` when they cannot be read.
pub(crate) fn decode(authorization: &[u8]) -> Option<(String, String)> {
    let encoded = credentials(authorization)?.trim_ascii();
    if encoded.len() > (NAME_BYTES_MAX + PASSWORD_BYTES_MAX) * 2 {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// What stands behind `Bearer`; `None` for another kind.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&str> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    let token = scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)?;
    std::str::from_utf8(token.trim_ascii()).ok()
}

fn credentials(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, credentials) = authorization.split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then_some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_contain_colons() {
        let encoded = BASE64.encode("ada:a:b:c");
        let header = format!("bAsIc  {encoded}");
        assert_eq!(decode(header.as_bytes()), Some(("ada".to_owned(), "a:b:c".to_owned())));
    }

    #[test]
    fn what_is_not_basic_or_not_readable_yields_nothing() {
        for header in ["", "Basic", "Bearer YTpi", "Basic !!", "Basic YQ==", "Basic //8="] {
            assert_eq!(decode(header.as_bytes()), None, "{header}");
        }
    }
}
