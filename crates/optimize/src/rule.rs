//! Rules: what may be rewritten into what, as data.

use std::sync::OnceLock;

use bespoke_graph::{Graph, NodeId, Op};

use crate::{
    Config, Minimise, Rounding,
    example::Example,
    pattern::{self, Match, Names, Pattern},
    view::{Children, Class, KINDS, Kinds, Term, View},
};

/// Attributes of an operator on the right-hand side, from the matched nodes. `None` if the rule does not apply.
pub type Attributes = fn(&Match<'_>) -> Option<Op>;
/// A rewrite of one node that no pattern expresses.
pub type Rewrite = fn(&dyn View, Class, &Op, &Children) -> Option<Term>;
/// Rewrites that are found by looking at a whole graph, by what they replace; classes of terms are numbers of nodes.
pub type Proposals = fn(&Graph) -> Vec<(NodeId, Term)>;

/// How a rule finds its place.
#[derive(Clone, Copy)]
pub enum Form {
    /// By patterns.
    Pattern {
        /// What is rewritten.
        lhs: &'static str,
        /// Into what.
        rhs: &'static str,
    },
    /// By a function that is called with each node of an operator.
    Function {
        /// The operators' names as in patterns.
        roots: &'static [&'static str],
        /// Gives what the node is rewritten into.
        rewrite: Rewrite,
    },
    /// By a look at the whole graph as it enters the e-graph, before any rewriting.
    Whole {
        /// Gives what is rewritten into what.
        propose: Proposals,
    },
}

/// A rule.
#[derive(Clone, Copy)]
pub struct Rule {
    /// `topic/what`.
    pub name: &'static str,
    /// How it finds its place and what it makes of it.
    pub form: Form,
    /// When it may be applied, beyond the pattern.
    pub condition: Option<fn(&Match<'_>) -> bool>,
    /// Operators of the right-hand side that are computed, by label.
    pub attributes: &'static [(&'static str, Attributes)],
    /// How the result may differ.
    pub rounding: Rounding,
    /// Is the result better in every graph? Then it is applied without an e-graph.
    pub always: bool,
    /// Is it left out of the e-graph, where it would only find again what is there already?
    pub local: bool,
    /// Is it for formulas of floats only? Then it is applied where operations are counted: it turns formulas round
    /// without making them cheaper, which e-graphs of programs have no room for.
    pub formulas: bool,
    /// A value that the rule rewrites, of random shape.
    pub example: fn(&mut Example) -> NodeId,
    /// A value that looks like the example, but that the rule must leave alone.
    pub near_miss: Option<fn(&mut Example) -> NodeId>,
    /// Why it holds, or what it is good for.
    pub why: &'static str,
}

/// A rule by patterns, that reassociates and is not always better, until told otherwise.
pub const fn rule(name: &'static str, lhs: &'static str, rhs: &'static str) -> Rule {
    Rule {
        name,
        form: Form::Pattern { lhs, rhs },
        condition: None,
        attributes: &[],
        rounding: Rounding::Reassociates,
        always: false,
        local: false,
        formulas: false,
        example: |_| panic!("a rule has an example"),
        near_miss: None,
        why: "",
    }
}

/// A rule by a function on the nodes of an operator.
pub const fn function(name: &'static str, roots: &'static [&'static str], rewrite: Rewrite) -> Rule {
    Rule { form: Form::Function { roots, rewrite }, ..rule(name, "", "") }
}

/// A rule by a look at the whole graph.
pub const fn whole(name: &'static str, propose: Proposals) -> Rule {
    Rule { form: Form::Whole { propose }, ..rule(name, "", "") }
}

impl Rule {
    /// Does the configuration allow it?
    pub fn is_allowed(&self, config: &Config) -> bool {
        self.rounding <= config.rounding && (!self.formulas || config.minimise != Minimise::Time)
    }

    /// Equal bits.
    pub const fn exact(self) -> Rule {
        Rule { rounding: Rounding::Exact, ..self }
    }

    /// Only for finite values.
    pub const fn assumes_finite(self) -> Rule {
        Rule { rounding: Rounding::AssumesFinite, ..self }
    }

    /// Better in every graph.
    pub const fn always(self) -> Rule {
        Rule { always: true, ..self }
    }

    /// Better in every graph, and of no use in an e-graph.
    pub const fn local(self) -> Rule {
        Rule { always: true, local: true, ..self }
    }

    /// For formulas only.
    pub const fn formulas(self) -> Rule {
        Rule { formulas: true, ..self }
    }

    /// Only if this holds.
    pub const fn when(self, condition: fn(&Match<'_>) -> bool) -> Rule {
        Rule { condition: Some(condition), ..self }
    }

    /// With these operators on the right-hand side.
    pub const fn with(self, attributes: &'static [(&'static str, Attributes)]) -> Rule {
        Rule { attributes, ..self }
    }

    /// A value that it rewrites.
    pub const fn example(self, example: fn(&mut Example) -> NodeId) -> Rule {
        Rule { example, ..self }
    }

    /// A value that looks like the example, but that it must leave alone. A rule that can refuse has one.
    pub const fn near_miss(self, near_miss: fn(&mut Example) -> NodeId) -> Rule {
        Rule { near_miss: Some(near_miss), ..self }
    }

    /// Why it holds, or what it is good for.
    pub const fn why(self, why: &'static str) -> Rule {
        Rule { why, ..self }
    }

    /// Its patterns, or the operators that it is a function on.
    pub fn text(&self) -> String {
        match self.form {
            Form::Pattern { lhs, rhs } => format!("{lhs} → {rhs}"),
            Form::Function { roots, .. } => format!("({} …)", roots.join(" …), (")),
            Form::Whole { .. } => "a look at the whole graph".to_owned(),
        }
    }
}

/// A rule ready to match.
pub struct Compiled {
    /// The rule.
    pub rule: &'static Rule,
    /// The kinds of operators that it rewrites.
    pub kinds: Kinds,
    body: Body,
}

enum Body {
    Pattern { lhs: Box<Pattern>, rhs: Box<Pattern>, names: Names },
    Function { rewrite: Rewrite },
    Whole,
}

impl Compiled {
    /// Reads the patterns.
    ///
    /// # Panics
    /// If they are none.
    pub fn new(rule: &'static Rule) -> Compiled {
        let mut names = Names::default();
        match rule.form {
            Form::Pattern { lhs, rhs } => {
                let lhs = Box::new(pattern::parse(lhs, &mut names));
                let rhs = Box::new(pattern::parse(rhs, &mut names));
                let Pattern::Node { kinds, .. } = *lhs else { panic!("`{}` rewrites everything", rule.name) };
                Compiled { rule, kinds, body: Body::Pattern { lhs, rhs, names } }
            }
            Form::Function { roots, rewrite } => {
                let head = |name: &&'static str| {
                    pattern::head(name).unwrap_or_else(|| panic!("there is no operator `{name}`")).0
                };
                let kinds =
                    roots.iter().map(head).flat_map(|kinds| kinds.iter().collect::<Vec<_>>()).collect();
                Compiled { rule, kinds, body: Body::Function { rewrite } }
            }
            Form::Whole { .. } => Compiled { rule, kinds: Kinds::default(), body: Body::Whole },
        }
    }

    /// Calls `found` with each result of applying the rule at `class`, until it returns false. Rules that look at whole graphs
    /// have none.
    pub fn search(&self, view: &dyn View, class: Class, found: &mut dyn FnMut(Term) -> bool) {
        if self.rule.formulas && !view.ty(class).dtype.is_float() {
            return;
        }
        match &self.body {
            Body::Pattern { lhs, rhs, names } => pattern::search(view, lhs, names, class, &mut |m| {
                if self.rule.condition.is_some_and(|holds| !holds(&m)) {
                    return true;
                }
                let compute = |m: &Match<'_>, label: &str| {
                    self.rule.attributes.iter().find(|a| a.0 == label).map(|a| (a.1)(m))
                };
                m.instantiate(rhs, &compute).is_none_or(&mut *found)
            }),
            Body::Function { rewrite } => {
                for i in 0..view.count(class) {
                    if !self.kinds.contains(view.kind(class, i)) {
                        continue;
                    }
                    let (op, children) = view.node(class, i);
                    if let Some(term) = rewrite(view, class, op, &children)
                        && !found(term)
                    {
                        return;
                    }
                }
            }
            Body::Whole => {}
        }
    }
}

/// All rules, in a fixed order.
pub fn all() -> &'static [Compiled] {
    static ALL: OnceLock<Vec<Compiled>> = OnceLock::new();
    ALL.get_or_init(|| crate::rules::topics().into_iter().flatten().map(Compiled::new).collect())
}

/// For each kind of operator, the positions in [`all`] of the rules that are always better for it.
pub fn always() -> &'static [Vec<usize>] {
    static ALWAYS: OnceLock<Vec<Vec<usize>>> = OnceLock::new();
    ALWAYS.get_or_init(|| {
        let mut by_kind = vec![vec![]; KINDS];
        for (i, compiled) in all().iter().enumerate().filter(|(_, c)| c.rule.always) {
            compiled.kinds.iter().for_each(|k| by_kind[k as usize].push(i));
        }
        by_kind
    })
}

/// What there is to know about a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleInfo {
    /// `topic/what`.
    pub name: &'static str,
    /// Its patterns, `lhs → rhs`, or the operators that it is a function on.
    pub text: String,
    /// How the result may differ.
    pub rounding: Rounding,
    /// Is it applied without an e-graph, since the result is better in every graph?
    pub always: bool,
    /// Why it holds, or what it is good for.
    pub why: &'static str,
    /// A graph whose output `root` the rule rewrites.
    pub example: Graph,
    /// A graph whose output `root` looks like that, but is left alone; of rules that can refuse.
    pub near_miss: Option<Graph>,
}

/// All rules, in the order in which they are tried.
pub fn rules() -> Vec<RuleInfo> {
    let info = |compiled: &Compiled| {
        let rule = compiled.rule;
        let text = rule.text();
        let Rule { name, rounding, always, why, .. } = *rule;
        RuleInfo {
            name,
            text,
            rounding,
            always,
            why,
            example: graph_of(rule.example, 1),
            near_miss: rule.near_miss.map(|n| graph_of(n, 1)),
        }
    };
    all().iter().map(info).collect()
}

/// A graph with an example as output `root`.
pub fn graph_of(value: fn(&mut Example) -> NodeId, seed: u64) -> Graph {
    let mut example = Example::new(seed);
    let root = value(&mut example);
    example.graph.set_output("root", root).expect("it is the only output");
    example.graph
}
