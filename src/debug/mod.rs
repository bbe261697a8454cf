//! Questions over store and trace.

pub mod rev;
