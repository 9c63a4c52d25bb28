//! What computes: the executor, and the reference evaluator that tests hold it against.

pub mod cpu;
pub mod oracle;
