//! Headers of parts, and the boundary between them.

use settle_model::time::Entropy;

use super::MultipartError;
use crate::limits::BOUNDARY_MAX;

/// What stands between parts, without its hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// From a header such as `multipart/related; boundary="abc"`.
    pub fn of_content_type(content_type: &str) -> Result<Self, MultipartError> {
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let is_multipart = kind
            .trim_start()
            .get(..10)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case("multipart/"));
        if !is_multipart {
            return Err(MultipartError::NoBoundary);
        }
        let boundary = Parameters(parameters).get("boundary").ok_or(MultipartError::NoBoundary)?;
        let allowed = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let fits = (1..=BOUNDARY_MAX).contains(&boundary.len());
        if !fits || !boundary.bytes().all(allowed) || boundary.ends_with(' ') {
            return Err(MultipartError::BadBoundary);
        }
        Ok(Self(boundary))
    }

    /// 32 random hex digits, which stand in no attachment.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        Self(hex::encode(random))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Parameters of a header's value, behind the first semicolon: `name=value; name="quoted \" value"`.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a>(pub &'a str);

impl Parameters<'_> {
    pub fn get(&self, name: &str) -> Option<String> {
        let mut rest = self.0;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ';']);
            let (found, value) = rest.split_once('=')?;
            let (value, left) = next_value(value.trim_start());
            if found.trim().eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = left;
        }
    }
}

fn next_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim_end().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            // Browsers escape a quote and nothing else; a backslash before other characters is one.
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                value.extend(characters.next().map(|(_, escaped)| escaped));
            }
            _ => value.push(character),
        }
    }
    (value, "")
}

/// The headers of one part, names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHeaders {
    headers: Vec<(String, String)>,
}

impl PartHeaders {
    /// From lines between CRLFs.
    pub(super) fn parse(lines: &[u8]) -> Result<Self, MultipartError> {
        let text = std::str::from_utf8(lines).map_err(|_| MultipartError::BadPartHeader)?;
        let lines = text.split("\r\n").filter(|line| !line.is_empty());
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').ok_or(MultipartError::BadPartHeader)?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        });
        Ok(Self { headers: headers.collect::<Result<_, _>>()? })
    }

    /// `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn content_type(&self) -> Option<&str> {
        self.get("content-type")
    }

    /// Whether the part's bytes are gzipped.
    pub fn is_gzip(&self) -> bool {
        self.get("content-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip"))
    }

    /// The name of a form's field.
    pub fn field(&self) -> Option<String> {
        self.disposition("name")
    }

    /// The name of a file.
    pub fn file(&self) -> Option<String> {
        self.disposition("filename")
    }

    fn disposition(&self, parameter: &str) -> Option<String> {
        let (_, parameters) = self.get("content-disposition")?.split_once(';')?;
        Parameters(parameters).get(parameter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_may_be_quoted_and_stand_behind_other_parameters() {
        let of = |header| Boundary::of_content_type(header).map(|boundary| boundary.0);
        assert_eq!(of("multipart/related;boundary=\"a b\"").unwrap(), "a b");
        assert_eq!(of("Multipart/Mixed; type=\"a;b=c\"; BOUNDARY=x").unwrap(), "x");
        assert_eq!(of("multipart/related; boundary=\"a\\\"b\"; x=y").unwrap(), "a\"b");
        assert_eq!(of("multipart/related"), Err(MultipartError::NoBoundary));
        assert_eq!(of("application/json; boundary=x"), Err(MultipartError::NoBoundary));
        assert_eq!(of("multipart/related; boundary="), Err(MultipartError::BadBoundary));
        assert_eq!(of("multipart/related; boundary=é"), Err(MultipartError::BadBoundary));
    }

    #[test]
    fn names_are_read_as_browsers_and_couchdb_write_them() {
        let of = |value: &str| {
            let line = format!("Content-Disposition: {value}");
            let headers = PartHeaders::parse(line.as_bytes()).unwrap();
            (headers.field(), headers.file())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("attachment; filename=\"dir/ü.txt\""), (None, some("dir/ü.txt")));
        let form = "form-data; name=\"_attachments\"; filename=\"a\\\"b;c.txt\"";
        assert_eq!(of(form), (some("_attachments"), some("a\"b;c.txt")));
        assert_eq!(of("form-data; name=x"), (some("x"), None));
        assert_eq!(of("attachment; filename=\"C:\\temp\\x\""), (None, some("C:\\temp\\x")));
        assert_eq!(of("attachment"), (None, None));
    }
}
