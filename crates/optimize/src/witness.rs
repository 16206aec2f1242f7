//! What a rule looked at: of the many spellings that classes hold, the one that it rewrote.

use std::cell::RefCell;

use bespoke_graph::Op;
use bespoke_tensor::{Scalar, Type};

use crate::{
    rule::Compiled,
    view::{Children, Class, Kinds, Term, View},
};

/// Spellings that are tried at most.
const TRIES: usize = 1000;

/// A view in which a class has one node.
struct Chosen<'a> {
    view: &'a dyn View,
    /// The classes whose nodes were looked at, with the node shown.
    choice: RefCell<Vec<(Class, usize)>>,
}

impl Chosen<'_> {
    fn shown(&self, class: Class) -> usize {
        let mut choice = self.choice.borrow_mut();
        match choice.iter().find(|c| c.0 == class) {
            Some(c) => c.1,
            None => {
                choice.push((class, 0));
                0
            }
        }
    }
}

impl View for Chosen<'_> {
    fn ty(&self, class: Class) -> Type {
        self.view.ty(class)
    }

    fn splat(&self, class: Class) -> Option<Scalar> {
        self.view.splat(class)
    }

    fn count(&self, class: Class) -> usize {
        self.view.count(class).min(1)
    }

    fn node(&self, class: Class, _: usize) -> (&Op, Children) {
        self.view.node(class, self.shown(class))
    }

    fn kind(&self, class: Class, _: usize) -> u16 {
        self.view.kind(class, self.shown(class))
    }

    fn has(&self, class: Class, kinds: &Kinds) -> bool {
        self.view.has(class, kinds)
    }

    fn find(&self, op: &Op, children: &[Class]) -> Option<Class> {
        self.view.find(op, children)
    }

    fn is_shared(&self, class: Class) -> bool {
        self.view.is_shared(class)
    }
}

/// An expression of the class that the rule rewrites into the term; the class itself if none is found soon.
pub fn witness(rule: &Compiled, view: &dyn View, class: Class, term: &Term) -> Term {
    let mut choice: Vec<(Class, usize)> = vec![];
    for _ in 0..TRIES {
        let chosen = Chosen { view, choice: RefCell::new(choice) };
        let mut fits = false;
        rule.search(&chosen, class, &mut |t| {
            fits |= t == *term;
            !fits
        });
        choice = chosen.choice.into_inner();
        if fits {
            return spell(view, class, &choice, &mut vec![]);
        }
        // The next choice, as with the digits of a number; what is looked at last changes first.
        while choice.last().is_some_and(|&(c, i)| i + 1 >= view.count(c)) {
            choice.pop();
        }
        match choice.last_mut() {
            Some(last) => last.1 += 1,
            None => break,
        }
    }
    Term::Class(class)
}

/// The class with the nodes that were looked at.
fn spell(view: &dyn View, class: Class, choice: &[(Class, usize)], above: &mut Vec<Class>) -> Term {
    match choice.iter().find(|c| c.0 == class) {
        Some(&(_, i)) if !above.contains(&class) => {
            above.push(class);
            let (op, children) = view.node(class, i);
            let operands = children.iter().map(|&c| spell(view, c, choice, above)).collect();
            above.pop();
            Term::Node(op.clone(), operands)
        }
        _ => Term::Class(class),
    }
}
