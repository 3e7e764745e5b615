//! The reducers of a tree.

use std::sync::Arc;

use settle_query::design::ReduceSource;
use settle_script::{Program, Scripts};

/// What a tree keeps partial reductions for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reducers {
    pub(super) list: Arc<[ReduceSource]>,
    /// What runs those in JavaScript.
    pub(super) scripts: Option<(Scripts, Program)>,
}

impl Reducers {
    /// `scripts` may be `None` where none of the reducers is in JavaScript.
    pub fn new(list: Arc<[ReduceSource]>, scripts: Option<(Scripts, Program)>) -> Self {
        Self { list, scripts }
    }
}
