//! `docs/metrics.md` lists every metric, with its labels and what it says.

use sundbro_gateway::sight::{Metric, catalogue};

use crate::page::holds_table;

#[test]
fn docs_metrics_lists_every_metric() {
    let row = |metric: &&Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        format!("| `{}` | {} | {labels} | {} |\n", metric.name, metric.kind.name(), metric.help)
    };
    let rows: String = catalogue().iter().map(row).collect();
    let head = "| metric | kind | labels | what it says |\n|---|---|---|---|\n";
    holds_table("metrics.md", "## All of them", &format!("{head}{rows}"));
}
