//! Which part is which attachment.
//!
//! A document says of some attachments that they follow. CouchDB takes the parts in the order of the
//! document and does not look at their names; clients that put them in another order name them. So: a part
//! with the name of an attachment that is still expected is that one; a part without a name, or with a
//! name that no attachment has, is the first that is still expected, if parts before it went by order too.

use super::{MultipartError, PartHeaders};

#[derive(Debug)]
pub struct Followers {
    /// In the order of the document; `None` for those that came.
    names: Vec<Option<String>>,
}

impl Followers {
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().map(Some).collect() }
    }

    /// The index, in the order of the document, of the attachment that a part holds.
    pub fn claim(&mut self, part: &PartHeaders) -> Result<usize, MultipartError> {
        if let Some(name) = part.file() {
            let named = self.names.iter().position(|it| it.as_deref() == Some(&*name));
            if let Some(at) = named {
                self.names[at] = None;
                return Ok(at);
            }
        }
        let first = self.names.iter().position(Option::is_some);
        let first = first.ok_or(MultipartError::UnexpectedPart)?;
        self.names[first] = None;
        Ok(first)
    }

    /// To be asked when there are no more parts.
    pub fn all_came(&self) -> Result<(), MultipartError> {
        match self.names.iter().flatten().next() {
            None => Ok(()),
            Some(name) => Err(MultipartError::MissingPart { name: name.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: Option<&str>) -> PartHeaders {
        let line = name.map(|name| format!("Content-Disposition: attachment; filename=\"{name}\""));
        PartHeaders::parse(line.unwrap_or_default().as_bytes()).unwrap()
    }

    fn claims(parts: &[Option<&str>]) -> Result<Vec<usize>, MultipartError> {
        let mut followers = Followers::new(["a", "b", "c"].map(str::to_owned));
        let claims = parts.iter().map(|name| followers.claim(&part(*name)));
        let claims = claims.collect::<Result<_, _>>()?;
        followers.all_came()?;
        Ok(claims)
    }

    #[test]
    fn parts_go_by_name_and_without_one_by_order() {
        assert_eq!(claims(&[None, None, None]), Ok(vec![0, 1, 2]));
        assert_eq!(claims(&[Some("c"), Some("a"), Some("b")]), Ok(vec![2, 0, 1]));
        assert_eq!(claims(&[Some("b"), None, None]), Ok(vec![1, 0, 2]));
        assert_eq!(claims(&[Some("x"), Some("y"), Some("z")]), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_part_too_many_or_too_few_is_named() {
        assert_eq!(claims(&[None; 4]), Err(MultipartError::UnexpectedPart));
        let missing = MultipartError::MissingPart { name: "b".to_owned() };
        assert_eq!(claims(&[Some("a"), Some("c")]), Err(missing));
    }
}
