//! What somebody may want to do.

/// A kind of permission; the types below are the only ones.
pub trait Action: sealed::Sealed {
    const NAME: &'static str;
    const OPERATION: Operation;
    /// The reply to someone who is not signed in: CouchDB's words.
    const REFUSAL: &'static str;
    /// The reply to someone who is, and may not.
    const FORBIDDEN: &'static str;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $refusal:literal, $forbidden:literal;)*) => {
        /// The same as the types, for rules that are written as a match. From the least to the most.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;
            impl sealed::Sealed for $name {}
            impl Action for $name {
                const NAME: &'static str = stringify!($name);
                const OPERATION: Operation = Operation::$name;
                const REFUSAL: &'static str = $refusal;
                const FORBIDDEN: &'static str = $forbidden;
            }
        )*
    };
}

actions! {
    /// Documents, changes, information of one database.
    Read: "You are not authorized to access this db.", "You are not allowed to access this db.";
    /// Changing documents of one database; reading comes with it.
    Write: "You are not authorized to access this db.", "You are not allowed to access this db.";
    /// Design documents, security object, purging, compaction of one database.
    Administer: "You are not a db or server admin.", "You are not a db or server admin.";
    /// Figures of the server, which name no database.
    ReadMetrics:
        "You are not a server admin or read-only metrics user",
        "You are not a server admin or read-only metrics user";
    /// Seeing what the server is and has: its databases, tasks.
    Inspect: "You are not a server admin.", "You are not a server admin.";
    /// Creating and dropping databases, changing configuration.
    AdministerServer: "You are not a server admin.", "You are not a server admin.";
}

mod sealed {
    #[expect(unnameable_types, reason = "so that no other crate can add an action")]
    pub trait Sealed {}
}
