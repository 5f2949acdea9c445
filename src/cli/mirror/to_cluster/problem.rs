//! Errors of the cluster as problems with a code, an exit code and what to do next.

use crate::cli::Outcome;
use crate::cli::ui::{Problem, Ui};
use crate::cluster::client::{Cluster, ClusterError};

/// An error of the cluster.
pub fn cluster_problem(error: &ClusterError) -> Problem {
    let text = error.to_string();
    match error {
        ClusterError::Property(reason) => {
            let problem = Problem::usage(format!("a setting of the client: {reason}"));
            if ["SSL", "ssl", "SCRAM", "OAUTHBEARER"].iter().any(|word| reason.contains(word)) {
                return problem
                    .hint("TLS and SCRAM need a build that has them: cargo install logdir --features cluster-tls");
            }
            problem
        }
        ClusterError::Unreachable { .. } => Problem::new("unreachable", text).hint(
            "name brokers with --to-cluster HOST:PORT; how they are spoken to (security.protocol, sasl.*) with -X or \
             --command-config",
        ),
        ClusterError::Fenced(_) => Problem::new("fenced", text)
            .hint("two mirrors of one source cannot run at once: let the other one finish, or give this one a --name"),
        ClusterError::Unsettled { topic, stable, .. } => Problem::new("error", text).hint(format!(
            "progress may lie behind it: wait until it is over, and run again; or end it: kafka-transactions.sh \
             --bootstrap-server HOST:PORT abort --topic {topic} --partition 0 --start-offset {stable}"
        )),
        _ => Problem::new("error", text),
    }
}

/// As [`cluster_problem`], for `?`.
pub fn failed(error: ClusterError) -> anyhow::Error {
    cluster_problem(&error).into()
}

/// Refuses to write.
pub fn refused(text: impl Into<String>) -> Problem {
    Problem::new("refused", text).outcome(Outcome::Refused)
}

/// Shows what librdkafka has said meanwhile.
pub fn show_said(cluster: &Cluster, ui: &mut Ui) {
    for line in cluster.said().take() {
        ui.warning(Problem::new("notice", line));
    }
}
