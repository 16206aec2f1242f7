//! Local improvement of a choice.

use smallvec::SmallVec;

use super::{Choice, Choices, EPSILON, NONE};

/// Sweeps over the classes in use.
const SWEEPS: usize = 4;

impl Choices<'_> {
    /// Changes one class at a time while that makes the whole cheaper. Classes not in use yet take what `default` says.
    pub(super) fn improve(&self, choice: &Choice, default: &Choice) -> Choice {
        let Some(mut order) = self.order(choice) else { return choice.clone() };
        let mut choices = default.clone();
        for &class in &order {
            choices[class as usize] = choice[class as usize];
        }
        let count = self.classes.len();
        let (users, position, seen) = (vec![0; count], vec![NONE; count], vec![0; count]);
        let mut trial =
            Trial { of: self, choice: choices, users, position, seen, searches: 0, stack: vec![] };
        self.roots.iter().for_each(|&r| {
            trial.acquire(r);
        });
        for _ in 0..SWEEPS {
            let mut improved = false;
            trial.position.fill(NONE);
            order.iter().enumerate().for_each(|(i, &class)| trial.position[class as usize] = i as u32);
            for &class in order.iter().rev() {
                for i in 0..self.classes[class as usize].len() as u32 {
                    improved |= trial.users[class as usize] > 0 && trial.change(&[(class, i)]);
                }
            }
            // Nothing is known of the order any more.
            trial.position.fill(NONE);
            for group in self.slices.iter().rev() {
                improved |= trial.change(group);
            }
            if !improved {
                break;
            }
            order = self.order(&trial.choice).expect("changes keep it acyclic");
        }
        trial.choice
    }
}

/// A choice under improvement.
struct Trial<'a> {
    of: &'a Choices<'a>,
    choice: Choice,
    users: Vec<u32>,
    /// The place of each class in the order at the start of the sweep, which goes from the last to the first.
    position: Vec<u32>,
    /// The last search that came by.
    seen: Vec<u32>,
    searches: u32,
    stack: Vec<u32>,
}

impl Trial<'_> {
    /// Uses a class once more; what that costs.
    fn acquire(&mut self, class: u32) -> f64 {
        let mut added = 0.0;
        self.stack.push(class);
        while let Some(class) = self.stack.pop() {
            self.users[class as usize] += 1;
            if self.users[class as usize] == 1 {
                let node = self.of.node(&self.choice, class);
                added += node.cost;
                self.stack.extend(&node.children);
            }
        }
        added
    }

    /// Uses a class once less; what that saves.
    fn release(&mut self, class: u32) -> f64 {
        let mut saved = 0.0;
        self.stack.push(class);
        while let Some(class) = self.stack.pop() {
            self.users[class as usize] -= 1;
            if self.users[class as usize] == 0 {
                let node = self.of.node(&self.choice, class);
                saved += node.cost;
                self.stack.extend(&node.children);
            }
        }
        saved
    }

    fn replace(&mut self, class: u32, node: u32) -> f64 {
        let of = self.of;
        let old = of.node(&self.choice, class);
        let new = &of.classes[class as usize][node as usize];
        let mut change = new.cost - old.cost;
        for &c in &new.children {
            change += self.acquire(c);
        }
        for &c in &old.children {
            change -= self.release(c);
        }
        self.choice[class as usize] = node;
        change
    }

    /// Takes other nodes for classes that are in use, if that makes the whole cheaper and keeps it acyclic.
    fn change(&mut self, group: &[(u32, u32)]) -> bool {
        let mut before: SmallVec<[(u32, u32); 4]> = SmallVec::new();
        let mut change = 0.0;
        for &(class, node) in group {
            let old = self.choice[class as usize];
            let complete = |c: &u32| self.choice[*c as usize] != NONE;
            let fits = node != old && self.users[class as usize] > 0;
            if fits && self.of.classes[class as usize][node as usize].children.iter().all(complete) {
                change += self.replace(class, node);
                before.push((class, old));
            }
        }
        if change < -EPSILON && !before.iter().any(|b| self.reaches_itself(b.0)) {
            return true;
        }
        for (class, old) in before.into_iter().rev() {
            self.replace(class, old);
        }
        false
    }

    /// Is the class now among its own operands? Those that came before it at the start of the sweep have not changed since,
    /// so they do not lead back.
    fn reaches_itself(&mut self, class: u32) -> bool {
        self.searches += 1;
        let of = self.of;
        let mut stack = std::mem::take(&mut self.stack);
        stack.extend(&of.node(&self.choice, class).children);
        let mut found = false;
        while let Some(c) = stack.pop() {
            found |= c == class;
            let is_before = self.position[c as usize] < self.position[class as usize];
            if !found && !is_before && self.seen[c as usize] != self.searches {
                self.seen[c as usize] = self.searches;
                stack.extend(&of.node(&self.choice, c).children);
            }
        }
        self.stack = stack;
        found
    }
}
