//! What a run notes on demand, beside its result: durations, and which values turned out equal. By default nothing.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{rule, trace::Trace};

/// A part of optimisation.
#[derive(Clone, Copy)]
pub enum Part {
    /// Rules that are always better, and constants.
    Local,
    /// Rewriting in the e-graph.
    Saturation,
    /// The choice of the cheapest graph.
    Extraction,
}

/// What is noted, where that is asked for.
#[derive(Default)]
pub struct Notes {
    /// Durations.
    pub clock: Option<Clock>,
    /// Equal values.
    pub trace: Option<Trace>,
}

/// Durations so far.
pub struct Clock {
    parts: [Duration; 3],
    /// Searches and their time, by the rule's position in [`rule::all`].
    rules: Vec<(usize, Duration)>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { parts: [Duration::ZERO; 3], rules: vec![(0, Duration::ZERO); rule::all().len()] }
    }
}

impl Notes {
    /// Notes of the same kinds for a part of the work; they start empty.
    pub fn fork(&self) -> Notes {
        let trace = self.trace.as_ref().map(|_| Trace::default());
        Notes { clock: self.clock.as_ref().map(|_| Clock::default()), trace }
    }

    /// Adds the durations of a part of the work.
    pub fn join(&mut self, part: &Notes) {
        if let (Some(all), Some(part)) = (&mut self.clock, &part.clock) {
            all.parts.iter_mut().zip(&part.parts).for_each(|(a, p)| *a += *p);
            for (a, p) in all.rules.iter_mut().zip(&part.rules) {
                *a = (a.0 + p.0, a.1 + p.1);
            }
        }
    }

    /// The time, if it matters.
    pub fn start(&self) -> Option<Instant> {
        self.clock.as_ref().map(|_| Instant::now())
    }

    /// Adds what a part took since its [`start`](Notes::start).
    pub fn stop(&mut self, part: Part, start: Option<Instant>) {
        if let (Some(clock), Some(start)) = (&mut self.clock, start) {
            clock.parts[part as usize] += start.elapsed();
        }
    }

    /// Adds what a rule took, by its position in [`rule::all`], in so many searches.
    pub fn stop_rule(&mut self, rule: usize, searches: usize, start: Option<Instant>) {
        if let (Some(clock), Some(start)) = (&mut self.clock, start) {
            clock.rules[rule].0 += searches;
            clock.rules[rule].1 += start.elapsed();
        }
    }
}

/// What a rule took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTime {
    /// The rule's name.
    pub rule: &'static str,
    /// How often a match was looked for.
    pub searches: usize,
    /// How long that and its rewrites took.
    pub time: Duration,
}

/// How long optimisation took, by the clock; what is done on several threads at once is added up. These differ from run to
/// run, so a [`Report`](crate::Report) knows nothing of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the graph given to the result.
    pub total: Duration,
    /// Rules that are always better, and constants.
    pub local: Duration,
    /// Rewriting in the e-graph.
    pub saturation: Duration,
    /// The choice of the cheapest graph.
    pub extraction: Duration,
    /// The rules that were looked for, the most expensive first.
    pub rules: Vec<RuleTime>,
}

impl Timings {
    pub(crate) fn new(total: Duration, clock: &Clock) -> Timings {
        let [local, saturation, extraction] = clock.parts;
        let rules = rule::all().iter().zip(&clock.rules).filter(|(_, r)| r.0 > 0);
        let mut rules: Vec<RuleTime> =
            rules.map(|(c, &(searches, time))| RuleTime { rule: c.rule.name, searches, time }).collect();
        rules.sort_by_key(|r| std::cmp::Reverse(r.time));
        Timings { total, local, saturation, extraction, rules }
    }
}

/// The ten most expensive rules are named.
impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.3} ms", time.as_secs_f64() * 1e3);
        let [total, local, saturation, extraction] =
            [self.total, self.local, self.saturation, self.extraction].map(ms);
        writeln!(f, "{total}: local rules {local}, saturation {saturation}, extraction {extraction}")?;
        let (named, others) = self.rules.split_at(self.rules.len().min(10));
        for rule in named {
            writeln!(f, "  {}: {} in {} searches", rule.rule, ms(rule.time), rule.searches)?;
        }
        if !others.is_empty() {
            let time = others.iter().map(|r| r.time).sum();
            writeln!(f, "  {} others: {}", others.len(), ms(time))?;
        }
        Ok(())
    }
}
