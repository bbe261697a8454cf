//! Questions over store and trace.

pub mod ancestry;
pub mod blame;
pub mod history;
pub mod query;
pub mod rev;
