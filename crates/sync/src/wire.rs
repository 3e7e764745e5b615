//! The JSON that travels between replicators and databases.
