//! Open files: what the system allows this process, against what the config wants.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides miners' connections: listeners, pools, epoll, logs, the state file.
const OTHERS: u64 = 256;

/// Raises this process's limit of open files as far as it may go itself. Returns the limit then; `None`: there is none.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        return maximum;
    }
    current
}

/// What to tell an operator whose limit is too low for so many connections.
pub fn open_files_warning(limit: Option<u64>, connections: usize) -> Option<String> {
    let limit = limit?;
    let wanted = connections as u64 + OTHERS;
    (limit < wanted).then(|| {
        format!(
            "this process may open {limit} files, limits.connections = {connections} needs {wanted}: beyond that, \
             miners wait to be accepted; raise it (systemd: LimitNOFILE={wanted}) or lower limits.connections"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_that_is_too_low_is_worth_a_word() {
        assert_eq!(open_files_warning(None, 100_000), None);
        assert_eq!(open_files_warning(Some(1_048_576), 100_000), None);
        assert!(open_files_warning(Some(1024), 100_000).unwrap().contains("LimitNOFILE=100256"));
    }
}
