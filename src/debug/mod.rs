//! Questions over store and trace.
