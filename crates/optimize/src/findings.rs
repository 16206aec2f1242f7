//! The rewrites that are part of a choice, as groups of values that came in place of others.

use bespoke_graph::{Graph, NodeId, Operator};
use bespoke_tensor::Type;

use crate::{
    Config, Finding, cost,
    extract::{Choice, Choices},
    rule,
    saturate::Saturated,
};

/// What a choice changes, in the order of computation. A value of the graph given that is there still, but computed in
/// another way, is the last of its group: others that use it are groups of their own.
pub fn findings(
    graph: &Graph,
    saturated: &Saturated,
    choices: &Choices<'_>,
    choice: &Choice,
    config: &Config,
) -> Vec<Finding> {
    let Some(order) = choices.order(choice) else { return vec![] };
    let count = choices.classes.len();
    let (mut used, mut is_given) = (vec![false; count], vec![false; count]);
    order.iter().for_each(|&class| used[class as usize] = true);
    let live = graph.live();
    let class = |id: NodeId| choices.given[id.index()] as usize;
    let is_computed = |id: &NodeId| live[id.index()] && !graph.node(*id).inputs.is_empty();
    graph.ids().filter(is_computed).for_each(|id| is_given[class(id)] = true);
    let is_new = |class: usize| used[class] && choices.node(choice, class as u32).origin > 0;
    let is_gone = |id: &NodeId| is_computed(id) && !used[class(*id)];

    let mut groups = Groups::new(count);
    for &class in order.iter().filter(|&&c| is_new(c as usize)) {
        for &child in &choices.node(choice, class).children {
            if is_new(child as usize) && !is_given[child as usize] {
                groups.unite(class as usize, child as usize);
            }
        }
    }
    let replaced: Vec<NodeId> =
        graph.ids().filter(|id| is_gone(id) || is_computed(id) && is_new(class(*id))).collect();
    for &id in &replaced {
        graph.node(id).inputs.iter().filter(|i| is_gone(i)).for_each(|&i| groups.unite(class(id), class(i)));
    }

    let mut number = vec![None; count];
    let mut findings: Vec<Finding> = vec![];
    for &class in order.iter().filter(|&&c| is_new(c as usize)) {
        let group = groups.find(class as usize);
        let number = *number[group].get_or_insert(findings.len());
        if number == findings.len() {
            findings.push(Finding::default());
        }
        let (finding, node) = (&mut findings[number], choices.node(choice, class));
        let rule = rule::all()[saturated.applications[node.origin as usize - 1].rule].rule.name;
        if !finding.rules.contains(&rule) {
            finding.rules.push(rule);
        }
        finding.after.push(choices.op(node).name());
        finding.flops_after += choices.flops(choice, class);
        finding.cost_after += node.cost;
    }
    for id in replaced {
        if let Some(number) = number[groups.find(class(id))] {
            let (finding, node) = (&mut findings[number], graph.node(id));
            let types: Vec<Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
            finding.before.push((id, node.op.name()));
            finding.flops_before += cost::flops(&node.op, &types, &node.ty);
            finding.cost_before += cost::of_node(config, &node.op, &types, &node.ty);
        }
    }
    findings
}

/// Disjoint sets (Tarjan 1975), without ranks.
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Groups {
        Groups((0..count).collect())
    }

    fn find(&mut self, mut x: usize) -> usize {
        while self.0[x] != x {
            self.0[x] = self.0[self.0[x]];
            x = self.0[x];
        }
        x
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[b] = a;
    }
}
