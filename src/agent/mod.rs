//! Running an agent: pseudo-terminal, namespace, cgroup, signals.
