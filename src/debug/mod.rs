//! Questions over store and trace.

pub mod ancestry;
pub mod history;
pub mod rev;
