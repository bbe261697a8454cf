//! Questions over store and trace.

pub mod history;
pub mod rev;
