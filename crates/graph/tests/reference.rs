//! The operator reference has every operator.

#[test]
fn no_operator_is_missing_in_the_reference() {
    let text = include_str!("../../../docs/operators.md");
    // A section's title, or the first column of a table.
    let described = |name: &str| {
        let quoted = format!("`{name}`");
        text.lines()
            .any(|l| l.starts_with("## ") && l.contains(&quoted) || l.starts_with(&format!("| {quoted}")))
    };
    let missing: Vec<&str> = bespoke_graph::Op::names().into_iter().filter(|n| !described(n)).collect();
    assert!(missing.is_empty(), "docs/operators.md lacks {missing:?}");
}
