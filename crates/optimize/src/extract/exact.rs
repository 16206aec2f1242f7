//! Exact search, by branch and bound.
//!
//! A state is a choice for some classes. What it costs at least: the chosen nodes, and the cheapest node of each class that
//! is required whatever else is chosen. Changing one class at a time does not find what this finds: that a value used twice
//! pays only if both its users change.

use smallvec::SmallVec;

use super::{Choice, Choices, EPSILON, NONE, Node};

/// More classes are not searched.
const CLASSES: usize = 512;
/// The search ends after so many states of up to 64 classes; more classes take longer for each.
pub(super) const STATES: usize = 2000;

/// A set of classes.
type Set = SmallVec<[u64; CLASSES / 64]>;

fn insert(set: &mut Set, i: usize) {
    set[i / 64] |= 1 << (i % 64);
}

fn unite(set: &mut Set, other: &Set) {
    set.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
}

/// The members of a set that are not in another.
fn without<'s>(set: &'s Set, other: &'s Set) -> impl Iterator<Item = usize> + 's {
    set.iter().zip(other).enumerate().flat_map(|(word, (a, b))| {
        let mut left = a & !b;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (bit < 64).then_some(word * 64 + bit)
        })
    })
}

/// A node that may be chosen; classes are numbered from the roots.
struct Alternative {
    node: u32,
    cost: f64,
    children: SmallVec<[usize; 3]>,
}

impl Choices<'_> {
    /// A choice that is cheaper than the one given, if the e-graph is small and a search finds one; the cheapest of all
    /// unless the search is cut short, after so many states.
    pub fn exact(&self, incumbent: &Choice, states: usize) -> Option<Choice> {
        let mut number = vec![NONE; self.classes.len()];
        let mut classes: Vec<u32> = vec![];
        let mut visit = |class: u32, classes: &mut Vec<u32>| {
            let n = &mut number[class as usize];
            if *n == NONE {
                *n = classes.len() as u32;
                classes.push(class);
            }
            *n as usize
        };
        self.roots.iter().for_each(|&r| {
            visit(r, &mut classes);
        });
        let mut alternatives: Vec<Vec<Alternative>> = vec![];
        while alternatives.len() < classes.len() {
            if classes.len() > CLASSES {
                return None;
            }
            let class = classes[alternatives.len()];
            let nodes = &self.classes[class as usize];
            let useful = (0..nodes.len()).filter(|&i| !is_dominated(nodes, i, class));
            alternatives.push(
                useful
                    .map(|i| Alternative {
                        node: i as u32,
                        cost: nodes[i].cost,
                        children: nodes[i].children.iter().map(|&c| visit(c, &mut classes)).collect(),
                    })
                    .collect(),
            );
        }
        let cost = |&class: &u32| self.node(incumbent, class).cost;
        let best = self.order(incumbent)?.iter().map(cost).sum();
        let states = states / alternatives.len().div_ceil(64).max(1);
        let mut search = Search::new(alternatives, best, states);
        let mut required = search.empty();
        self.roots.iter().for_each(|&r| unite(&mut required, &search.needs[number[r as usize] as usize]));
        let least = without(&required, &search.empty()).map(|c| search.least[c]).sum();
        search.decide(&required, least);
        let found = search.found?;
        let mut choice = incumbent.clone();
        for (i, &class) in classes.iter().enumerate().filter(|(i, _)| found[*i] != NONE) {
            choice[class as usize] = search.alternatives[i][found[i] as usize].node;
        }
        Some(choice)
    }
}

/// Is another node as cheap and content with some of this one's operands? Of equal ones, the first is kept.
fn is_dominated(nodes: &[Node], i: usize, class: u32) -> bool {
    let node = &nodes[i];
    node.children.contains(&class)
        || nodes.iter().enumerate().any(|(j, other)| {
            let fits =
                |a: &Node, b: &Node| a.cost <= b.cost && a.children.iter().all(|c| b.children.contains(c));
            j != i && fits(other, node) && (j < i || !fits(node, other))
        })
}

struct Search {
    alternatives: Vec<Vec<Alternative>>,
    /// The least cost of a node, by class.
    least: Vec<f64>,
    /// What each class needs whatever is chosen, itself too.
    needs: Vec<Set>,
    /// The alternatives chosen; none where it is open.
    chosen: Vec<u32>,
    /// The cost to beat.
    best: f64,
    found: Option<Vec<u32>>,
    /// That may still be visited.
    states: usize,
    /// The last search for a cycle that came by.
    seen: Vec<u32>,
    searches: u32,
}

impl Search {
    fn new(alternatives: Vec<Vec<Alternative>>, best: f64, states: usize) -> Search {
        let count = alternatives.len();
        let least = |of: &Vec<Alternative>| of.iter().map(|c| c.cost).fold(f64::INFINITY, f64::min);
        // Where there is one, there is nothing to decide.
        let chosen = alternatives.iter().map(|c| if c.len() == 1 { 0 } else { NONE }).collect();
        let mut search = Search {
            least: alternatives.iter().map(least).collect(),
            needs: vec![],
            chosen,
            best,
            found: None,
            states,
            seen: vec![0; count],
            searches: 0,
            alternatives,
        };
        search.find_needs();
        search
    }

    fn empty(&self) -> Set {
        SmallVec::from_elem(0, self.alternatives.len().div_ceil(64))
    }

    /// The largest sets such that a class needs itself and what all its alternatives need.
    fn find_needs(&mut self) {
        let count = self.alternatives.len();
        let all = SmallVec::from_elem(!0, count.div_ceil(64));
        self.needs = vec![all; count];
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for class in (0..count).rev() {
                let mut common: Option<Set> = None;
                for alternative in &self.alternatives[class] {
                    let mut needs = self.empty();
                    alternative.children.iter().for_each(|&c| unite(&mut needs, &self.needs[c]));
                    match &mut common {
                        None => common = Some(needs),
                        Some(common) => common.iter_mut().zip(&needs).for_each(|(a, b)| *a &= b),
                    }
                }
                let mut needs = common.expect("a class has a node");
                insert(&mut needs, class);
                if needs != self.needs[class] {
                    self.needs[class] = needs;
                    changed = true;
                }
            }
        }
    }

    /// Chooses for the first open class that is required, and so on; `least` is what that costs at least.
    fn decide(&mut self, required: &Set, least: f64) {
        let none = self.empty();
        let open = without(required, &none).find(|&c| self.chosen[c] == NONE);
        let Some(class) = open else {
            self.best = least;
            self.found = Some(self.chosen.clone());
            return;
        };
        let mut branches: Vec<(f64, u32, Set)> = vec![];
        for i in 0..self.alternatives[class].len() {
            let alternative = &self.alternatives[class][i];
            let mut all = required.clone();
            alternative.children.iter().for_each(|&c| unite(&mut all, &self.needs[c]));
            let new: f64 = without(&all, required).map(|c| self.least[c]).sum();
            let least = least - self.least[class] + alternative.cost + new;
            if least < self.best - EPSILON && !self.leads_back(class, i) {
                branches.push((least, i as u32, all));
            }
        }
        branches.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (least, i, required) in branches {
            if self.states == 0 || least >= self.best - EPSILON {
                break;
            }
            self.states -= 1;
            self.chosen[class] = i;
            self.decide(&required, least);
            self.chosen[class] = NONE;
        }
    }

    /// Do the chosen nodes below an alternative lead back to its class?
    fn leads_back(&mut self, class: usize, alternative: usize) -> bool {
        self.searches += 1;
        let mut stack = self.alternatives[class][alternative].children.to_vec();
        while let Some(c) = stack.pop() {
            if c == class {
                return true;
            }
            if self.chosen[c] != NONE && self.seen[c] != self.searches {
                self.seen[c] = self.searches;
                stack.extend(&self.alternatives[c][self.chosen[c] as usize].children);
            }
        }
        false
    }
}
