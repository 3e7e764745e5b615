//! Edit history of one document.
