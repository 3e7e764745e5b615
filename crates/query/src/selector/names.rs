//! Members of an object that are asked for, found in one pass.

use std::collections::HashMap;

use settle_model::json::{members, unescape};

use super::path::{FieldPath, Found, find, is_key};

/// Names that are compared one by one, and whose finds need no memory of their own.
const NAMES_INLINE: usize = 8;

/// Names of members, each with a slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    list: Vec<Box<str>>,
    slots: HashMap<Box<str>, usize>,
}

/// What an object has under the names, by slot.
pub(crate) type Slots<'s, 'a> = &'s [Option<&'a [u8]>];

impl Names {
    /// The slot of the name that `path` begins with; 0 for the path of the value itself.
    pub(crate) fn slot(&mut self, path: &FieldPath) -> usize {
        let Some(first) = path.parts().first() else { return 0 };
        if let Some(&slot) = self.slots.get(first) {
            return slot;
        }
        let slot = self.list.len();
        self.list.push(first.clone());
        self.slots.insert(first.clone(), slot);
        slot
    }

    /// Gives `then` what `value` has under the names; `None` if it is no object.
    pub(crate) fn gather<'a, T>(
        &self,
        value: &'a [u8],
        then: impl FnOnce(Option<Slots<'_, 'a>>) -> T,
    ) -> T {
        if value.first() != Some(&b'{') {
            return then(None);
        }
        let mut inline = [None; NAMES_INLINE];
        if let Some(slots) = inline.get_mut(..self.list.len()) {
            self.fill(value, slots);
            return then(Some(slots));
        }
        let mut slots = vec![None; self.list.len()];
        self.fill(value, &mut slots);
        then(Some(&slots))
    }

    fn fill<'a>(&self, object: &'a [u8], slots: &mut [Option<&'a [u8]>]) {
        let mut missing = slots.len();
        if missing == 0 {
            return;
        }
        for (key, member) in members(object) {
            let slot = if slots.len() <= NAMES_INLINE {
                self.list.iter().position(|name| is_key(key, name))
            } else {
                self.slots.get(&*unescape(key)).copied()
            };
            if let Some(slot) = slot
                && slots[slot].replace(member).is_none()
            {
                missing -= 1;
                if missing == 0 {
                    return;
                }
            }
        }
    }
}

/// What `path`, whose name has this slot, leads to from `value`, whose members are in `slots`.
pub(crate) fn find_in<'a>(
    path: &FieldPath,
    slot: usize,
    value: &'a [u8],
    slots: Option<Slots<'_, 'a>>,
) -> Found<'a> {
    match (path.parts(), slots) {
        ([], _) => Found::Value(value),
        ([_, rest @ ..], Some(slots)) => match slots[slot] {
            Some(member) => find(member, rest),
            None => Found::Missing,
        },
        (parts, None) => find(value, parts),
    }
}
