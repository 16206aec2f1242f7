//! What optimisation did, for people.

use std::fmt;

/// A rule and how often it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The rule's name.
    pub rule: &'static str,
    /// How often it was applied.
    pub times: usize,
}

/// A rewrite of the e-graph that is part of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// What was rewritten, with the numbers of the graph before the e-graph stage: `%12, %15`.
    pub before: String,
    /// What took its place: the operators' names.
    pub after: String,
    /// Flops of what was rewritten.
    pub flops_before: f64,
    /// Flops of what took its place.
    pub flops_after: f64,
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
    /// Its cost in nanoseconds of the model machine.
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
    /// Why there was none although it was asked for.
    pub skipped: Option<String>,
    /// What the e-graph stage found.
    pub found: Vec<Finding>,
    /// The candidates of extraction, the chosen one first.
    pub candidates: Vec<Candidate>,
}

/// `1.9 MFLOP`
fn flop(value: f64) -> String {
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
        for finding in &self.found {
            writeln!(
                f,
                "  {}: {} → {}, {} → {}",
                finding.rule,
                finding.before,
                finding.after,
                flop(finding.flops_before),
                flop(finding.flops_after)
            )?;
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
                "  e-graph: {stop} after {} rounds with {} nodes in {} classes; {} of {} rules fired:",
                s.iterations,
                s.nodes,
                s.classes,
                s.fired.len(),
                s.tried
            )?;
            list(f, &s.fired)?;
        }
        if let Some(why) = &self.skipped {
            writeln!(f, "  no search: {why}")?;
        }
        if let Some((chosen, others)) = self.candidates.split_first() {
            write!(f, "  chosen: {} at {}", chosen.name, time(chosen.cost))?;
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
        Ok(())
    }
}
