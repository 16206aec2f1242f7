//! What optimisation did, for people.

use std::fmt;

use bespoke_graph::NodeId;

use crate::{Rematerialised, optimize::Found};

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
    /// The nodes that were rewritten in the same way in equal regions, as those of `before`.
    pub again: Vec<Vec<NodeId>>,
}

/// `linear/compose: %12 dot, %15 dot → dot, dot; 1.9 MFLOP → 0.4 MFLOP`, and ` (×36)` if that was found so often.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before: Vec<String> = self.before.iter().map(|(id, op)| format!("{id} {op}")).collect();
        let flops = [flop(self.flops_before), flop(self.flops_after)].join(" → ");
        write!(f, "{}: {} → {}; {flops}", self.rules.join(", "), before.join(", "), self.after.join(", "))?;
        match self.again.len() {
            0 => Ok(()),
            n => write!(f, " (×{})", n + 1),
        }
    }
}

/// Why rewriting stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No rule gives anything new.
    Saturated,
    /// The rounds were used up.
    Iterations,
    /// The e-graph has grown to its bound.
    Growth,
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
    /// Why it ended.
    pub stop: Stop,
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
    /// Its cost in nanoseconds: of the model machine, each node by itself, if it was not measured.
    pub cost: f64,
}

/// What optimisation did. Printed, it reads as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Nodes of the graph given and of the result.
    pub nodes: [usize; 2],
    /// Flops of the graph given and of the result.
    pub flops: [f64; 2],
    /// Cost in nanoseconds of the model machine: as given, after tier 0, at the end.
    pub costs: [f64; 3],
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
                if one.stop != Stop::Saturated {
                    sum.stop = one.stop;
                }
                for new in &one.fired {
                    match sum.fired.iter_mut().find(|f| f.rule == new.rule) {
                        Some(f) => f.times += new.times,
                        None => sum.fired.push(new.clone()),
                    }
                }
            }
        }
        for new in &found.candidates {
            let cost = new.cost * places.len() as f64;
            match self.candidates.iter_mut().find(|c| c.name == new.name) {
                Some(c) => c.cost += cost,
                None => self.candidates.push(Candidate { name: new.name, cost }),
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
            self.found.push(finding);
        }
    }
}

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

/// `12.3 µs`
fn time(nanoseconds: f64) -> String {
    if nanoseconds >= 1e6 {
        format!("{:.2} ms", nanoseconds / 1e6)
    } else {
        format!("{:.2} µs", nanoseconds / 1e3)
    }
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
            "modelled time {} → {} by local rules → {} by search",
            time(self.costs[0]),
            time(self.costs[1]),
            time(self.costs[2])
        )?;
        if let Some(done) = &self.rematerialised {
            writeln!(f, "  {done}")?;
        }
        if self.loops[0] > 0 {
            let [before, after] = self.loops;
            writeln!(
                f,
                "  loops taken apart: {before} → {after}; what needs no earlier step is computed for all at once"
            )?;
        }
        for finding in &self.found {
            writeln!(f, "  {finding}")?;
        }
        if !self.always.is_empty() || self.folded > 0 {
            writeln!(f, "  local rules, {} values folded:", self.folded)?;
            list(f, &self.always)?;
        }
        if let Some(s) = &self.saturation {
            let stop = match s.stop {
                Stop::Saturated => "saturated",
                Stop::Iterations => "stopped at the bound of rounds",
                Stop::Growth => "stopped at the bound of nodes",
            };
            writeln!(
                f,
                "  e-graph{}: {stop} after {} rounds with {} nodes in {} classes; {} of {} rules fired{}",
                match self.regions {
                    0 => String::new(),
                    n => format!(" of {n} regions, {} of them different", self.distinct),
                },
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
            write!(f, "  best: {} at {}", chosen.name, time(chosen.cost))?;
            for (i, other) in others.iter().enumerate() {
                write!(
                    f,
                    "{} {} at {}",
                    if i == 0 { "; beaten:" } else { "," },
                    other.name,
                    time(other.cost)
                )?;
            }
            writeln!(f)?;
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
