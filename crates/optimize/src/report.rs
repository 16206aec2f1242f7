//! What optimisation did, for people.

use std::{collections::BTreeMap, fmt};

use bespoke_graph::NodeId;

use crate::{Minimise, Rematerialised, optimize::Found};

/// A rule and how often it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The rule's name.
    pub rule: &'static str,
    /// How often it was applied.
    pub times: usize,
}

/// Rewrites of the e-graph that are part of the result.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Finding {
    /// The rules that were applied, innermost first.
    pub rules: Vec<&'static str>,
    /// What was rewritten, with operators and the numbers of the graph before the e-graph stage.
    pub before: Vec<(NodeId, &'static str)>,
    /// The operators that took its place.
    pub after: Vec<&'static str>,
    /// Flops of what was rewritten.
    pub flops_before: f64,
    /// Flops of what took its place.
    pub flops_after: f64,
    /// The [cost](Report::costs) of what was rewritten, each value by itself.
    pub cost_before: f64,
    /// The cost of what took its place.
    pub cost_after: f64,
    /// The nodes that were rewritten in the same way in equal regions, as those of `before`.
    pub again: Vec<Vec<NodeId>>,
}

impl Finding {
    /// What is saved of the cost, at all places.
    pub fn saved(&self) -> f64 {
        (self.cost_before - self.cost_after) * (self.again.len() + 1) as f64
    }

    /// Is it the same, but for the place?
    fn is_like(&self, other: &Finding) -> bool {
        let operators = |f: &Finding| f.before.iter().map(|b| b.1).collect::<Vec<_>>();
        let figures = |f: &Finding| [f.flops_before, f.flops_after, f.cost_before, f.cost_after];
        self.rules == other.rules
            && self.after == other.after
            && operators(self) == operators(other)
            && figures(self) == figures(other)
    }
}

/// Operators that are only another view, or none at all; not named where there are others.
const VIEWS: [&str; 3] = ["broadcast", "reshape", "constant"];
/// So many nodes of a finding are named.
const NAMED: usize = 6;

/// `linear/compose: %12 dot, %15 dot → one dot; 1.9 MFLOP → 0.4 MFLOP`, and ` (×36)` if that was found so often.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let computes = |op: &&'static str| !VIEWS.contains(op);
        let all = !self.before.iter().any(|b| computes(&b.1));
        let before: Vec<_> = self.before.iter().filter(|b| all || computes(&b.1)).collect();
        let mut names: Vec<String> = before.iter().take(NAMED).map(|b| format!("{} {}", b.0, b.1)).collect();
        if before.len() > NAMED {
            names.push(format!("{} more", before.len() - NAMED));
        }
        let mut after: Vec<(&str, usize)> = vec![];
        let all = !self.after.iter().any(&computes);
        for op in self.after.iter().filter(|op| all || computes(op)) {
            match after.iter_mut().find(|a| a.0 == *op) {
                Some(a) => a.1 += 1,
                None => after.push((op, 1)),
            }
        }
        let after = match after[..] {
            [(op, 1)] => format!("one {op}"),
            _ => {
                let counted =
                    |&(op, n): &(&str, usize)| if n > 1 { format!("{n} {op}") } else { op.to_owned() };
                after.iter().map(counted).collect::<Vec<_>>().join(", ")
            }
        };
        let flops = [flop(self.flops_before), flop(self.flops_after)].join(" → ");
        write!(f, "{}: {} → {after}; {flops}", self.rules.join(", "), names.join(", "))?;
        match self.again.len() {
            0 => Ok(()),
            n => write!(f, " (×{})", n + 1),
        }
    }
}

/// Why rewriting stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// No rule gives anything new.
    Saturated,
    /// The rounds were used up.
    Iterations,
    /// The e-graph has grown to its bound.
    Growth,
}

impl Stop {
    /// As the rest of a sentence.
    fn text(self) -> &'static str {
        match self {
            Stop::Saturated => "saturated",
            Stop::Iterations => "cut short by the bound of rounds",
            Stop::Growth => "cut short by the bound of nodes",
        }
    }
}

/// What happened in the e-graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Saturation {
    /// Rounds of rewriting.
    pub iterations: usize,
    /// Nodes at the end.
    pub nodes: usize,
    /// Classes of equal values at the end.
    pub classes: usize,
    /// Why it ended, and how often for this reason: of each region that is different, once.
    pub stops: BTreeMap<Stop, usize>,
    /// The number of rules tried.
    pub tried: usize,
    /// How often each rule was applied to anything new.
    pub fired: Vec<Fired>,
}

/// A whole graph that could have been the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// How it was found.
    pub name: &'static str,
    /// Its [cost](Report::costs); in nanoseconds of this machine, if it was measured.
    pub cost: f64,
    /// What it consists of, by operator.
    pub parts: Vec<Share>,
}

/// The nodes of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The operator.
    pub op: &'static str,
    /// How many there are.
    pub nodes: usize,
    /// Their [cost](Report::costs).
    pub cost: f64,
}

/// Adds up by operator.
pub(crate) fn add_share(parts: &mut Vec<Share>, more: Share) {
    match parts.iter_mut().find(|p| p.op == more.op) {
        Some(part) => (part.nodes, part.cost) = (part.nodes + more.nodes, part.cost + more.cost),
        None => parts.push(more),
    }
}

/// What optimisation did. Printed, it reads as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Nodes of the graph given and of the result.
    pub nodes: [usize; 2],
    /// Flops of the graph given and of the result.
    pub flops: [f64; 2],
    /// Of what is minimised, nanoseconds of the model machine or operations: as given, after tier 0, at the end.
    pub costs: [f64; 3],
    /// What costs are of.
    pub minimise: Minimise,
    /// Rules of tier 0.
    pub always: Vec<Fired>,
    /// Values computed in advance.
    pub folded: usize,
    /// The e-graph stage, if there was one.
    pub saturation: Option<Saturation>,
    /// Regions that were searched on their own, if it was not the whole graph.
    pub regions: usize,
    /// So many of them are different; the others are equal to one of these but for names.
    pub distinct: usize,
    /// What the e-graph stage found.
    pub found: Vec<Finding>,
    /// The candidates of extraction, the cheapest first; summed over regions, of which each has its own choice.
    pub candidates: Vec<Candidate>,
    /// What candidates took when they were run, in nanoseconds, the fastest first, if that was asked for.
    pub measured: Vec<Candidate>,
    /// What is computed again to save memory, if that was asked for.
    pub rematerialised: Option<Rematerialised>,
    /// If loops were taken apart: how many there were, and how many are left.
    pub loops: [usize; 2],
    /// What was done to the bodies of scans.
    pub bodies: Vec<Report>,
}

impl Report {
    /// Adds what was done to the body of a scan.
    pub(crate) fn add_body(&mut self, body: Report) {
        self.bodies.push(body);
    }

    /// Adds the search of a region, and where its result is used: what the nodes are called there.
    pub(crate) fn add(&mut self, found: &Found, places: &[&[NodeId]]) {
        match &mut self.saturation {
            None => self.saturation = Some(found.saturation.clone()),
            Some(sum) => {
                let one = &found.saturation;
                sum.iterations = sum.iterations.max(one.iterations);
                sum.nodes += one.nodes;
                sum.classes += one.classes;
                one.stops.iter().for_each(|(&stop, n)| *sum.stops.entry(stop).or_default() += n);
                for new in &one.fired {
                    match sum.fired.iter_mut().find(|f| f.rule == new.rule) {
                        Some(f) => f.times += new.times,
                        None => sum.fired.push(new.clone()),
                    }
                }
            }
        }
        for new in &found.candidates {
            let at = self.candidates.iter().position(|c| c.name == new.name).unwrap_or_else(|| {
                self.candidates.push(Candidate { name: new.name, cost: 0.0, parts: vec![] });
                self.candidates.len() - 1
            });
            let sum = &mut self.candidates[at];
            sum.cost += new.cost * places.len() as f64;
            for part in &new.parts {
                let (nodes, cost) = (part.nodes * places.len(), part.cost * places.len() as f64);
                add_share(&mut sum.parts, Share { op: part.op, nodes, cost });
            }
        }
        self.candidates.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        let Some((first, others)) = places.split_first() else { return };
        for finding in &found.findings {
            let mut finding = finding.clone();
            let at = |names: &&[NodeId]| {
                finding.before.iter().map(|b| names[b.0.index()]).collect::<Vec<NodeId>>()
            };
            finding.again = others.iter().map(at).collect();
            finding.before.iter_mut().for_each(|b| b.0 = first[b.0.index()]);
            match self.found.iter_mut().find(|f| f.is_like(&finding)) {
                Some(same) => {
                    same.again.push(finding.before.iter().map(|b| b.0).collect());
                    same.again.append(&mut finding.again);
                }
                None => self.found.push(finding),
            }
        }
        self.found.sort_by(|a, b| b.saved().total_cmp(&a.saved()));
    }
}

/// So many findings are printed.
const FINDINGS: usize = 10;

/// `1.9 MFLOP`
pub(crate) fn flop(value: f64) -> String {
    let (scale, unit) = match value {
        v if v >= 1e9 => (1e9, "GFLOP"),
        v if v >= 1e6 => (1e6, "MFLOP"),
        v if v >= 1e3 => (1e3, "kFLOP"),
        _ => (1.0, "FLOP"),
    };
    format!("{:.1} {unit}", value / scale)
}

/// What something costs.
pub(crate) fn amount(cost: f64, minimise: Minimise) -> String {
    match minimise {
        Minimise::Time => time(cost),
        Minimise::Operations | Minimise::Elementary => format!("{cost:.1}"),
    }
}

/// `12.3 µs`
fn time(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 {
        format!("{nanoseconds:.1} ns")
    } else if nanoseconds >= 1e6 {
        format!("{:.2} ms", nanoseconds / 1e6)
    } else {
        format!("{:.2} µs", nanoseconds / 1e3)
    }
}

/// What costs less is not worth a word.
const SMALLEST: f64 = 0.05;

fn is_equal(a: &Candidate, b: &Candidate) -> bool {
    (a.cost - b.cost).abs() < SMALLEST
}

/// Why a candidate lost: `beaten: greedy at 3.40 ms, 0.1 ms dearer: 2 more dot (+0.2 ms), 1 less add (−0.1 ms)`.
fn lost(other: &Candidate, chosen: &Candidate, amount: &dyn Fn(f64) -> String) -> String {
    // The operators of which there are more or less, or others.
    let mut differs: Vec<(&str, isize, f64)> = vec![];
    for (parts, sign) in [(&other.parts, 1), (&chosen.parts, -1)] {
        for part in parts {
            let (nodes, cost) = (part.nodes as isize * sign, part.cost * sign as f64);
            match differs.iter_mut().find(|d| d.0 == part.op) {
                Some(d) => (d.1, d.2) = (d.1 + nodes, d.2 + cost),
                None => differs.push((part.op, nodes, cost)),
            }
        }
    }
    differs.retain(|d| d.2.abs() >= SMALLEST);
    differs.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    let one = |&(op, nodes, cost): &(&str, isize, f64)| {
        let nodes = match nodes {
            0 => format!("other {op}"),
            n => format!("{} {} {op}", n.abs(), if n > 0 { "more" } else { "less" }),
        };
        format!("{nodes} ({}{})", if cost < 0.0 { '−' } else { '+' }, amount(cost.abs()))
    };
    let named: Vec<String> = differs.iter().take(4).map(one).collect();
    let [cost, dearer] = [other.cost, other.cost - chosen.cost].map(amount);
    format!("beaten: {} at {cost}, {dearer} dearer: {}", other.name, named.join(", "))
}

fn list(f: &mut fmt::Formatter<'_>, fired: &[Fired]) -> fmt::Result {
    for chunk in fired.chunks(4) {
        let texts: Vec<String> = chunk.iter().map(|r| format!("{} ×{}", r.rule, r.times)).collect();
        writeln!(f, "    {}", texts.join(", "))?;
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |cost| amount(cost, self.minimise);
        writeln!(
            f,
            "nodes {} → {}, {} → {}",
            self.nodes[0],
            self.nodes[1],
            flop(self.flops[0]),
            flop(self.flops[1])
        )?;
        writeln!(
            f,
            "{} {} → {} by local rules → {} by search",
            if self.minimise == Minimise::Time { "modelled time" } else { "operations" },
            amount(self.costs[0]),
            amount(self.costs[1]),
            amount(self.costs[2])
        )?;
        if let Some(done) = &self.rematerialised {
            writeln!(f, "  {done}")?;
        }
        if self.loops[0] > 0 {
            let [before, after] = self.loops;
            writeln!(f, "  loops taken apart: {before} → {after}; all steps are computed at once")?;
        }
        let (named, others) = self.found.split_at(self.found.len().min(FINDINGS));
        for finding in named {
            writeln!(f, "  {finding}")?;
        }
        if !others.is_empty() {
            let count: usize = others.iter().map(|o| o.again.len() + 1).sum();
            let saved: f64 = others.iter().map(Finding::saved).sum();
            let verb = if saved < 0.0 { "take" } else { "save" };
            let more = if saved < 0.0 { " more, which others need" } else { "" };
            writeln!(f, "  and {count} more that {verb} {}{more}", amount(saved.abs()))?;
        }
        if !self.always.is_empty() || self.folded > 0 {
            writeln!(f, "  local rules, {} values folded:", self.folded)?;
            list(f, &self.always)?;
        }
        if let Some(s) = &self.saturation {
            let stops: Vec<String> = s
                .stops
                .iter()
                .map(|(stop, n)| match self.regions {
                    0 => stop.text().to_owned(),
                    _ => format!("{n} {}", stop.text()),
                })
                .collect();
            writeln!(
                f,
                "  e-graph{}: {} after {} rounds with {} nodes in {} classes; {} of {} rules fired{}",
                match self.regions {
                    0 => String::new(),
                    n => format!(" of {n} regions, {} of them different", self.distinct),
                },
                stops.join(", "),
                s.iterations,
                s.nodes,
                s.classes,
                s.fired.len(),
                s.tried,
                if s.fired.is_empty() { "" } else { ":" }
            )?;
            list(f, &s.fired)?;
        }
        if let Some((chosen, others)) = self.candidates.split_first() {
            writeln!(f, "  best: {} at {}", chosen.name, amount(chosen.cost))?;
            for other in others.iter().filter(|o| !is_equal(o, chosen)) {
                writeln!(f, "    {}", lost(other, chosen, &amount))?;
            }
            let equal: Vec<&str> = others.iter().filter(|o| is_equal(o, chosen)).map(|o| o.name).collect();
            if !equal.is_empty() {
                writeln!(f, "    no cheaper: {}", equal.join(", "))?;
            }
        }
        if !self.measured.is_empty() {
            let times: Vec<String> =
                self.measured.iter().map(|m| format!("{} {}", m.name, time(m.cost))).collect();
            writeln!(f, "  measured: {}", times.join(", "))?;
        }
        for (i, body) in self.bodies.iter().enumerate() {
            writeln!(f, "  body @{i} of a scan:")?;
            for line in body.to_string().lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
