//! The instructions of a function before its values have registers, and which they get.
//!
//! A value is in one register, or in one place on the stack, for all its life. Where registers are too few, those stay that are
//! used most, weighted by the loops around; constants go first, for an instruction can read them from memory.

use iced_x86::Code;
use rustc_hash::FxHashMap;

/// A value that is to get a register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Virtual(u32);

impl Virtual {
    /// Its position among all.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The kind of register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Addresses and counters, 64 bits.
    General,
    /// Lanes.
    Vector,
    /// A bit a lane.
    Mask,
}

/// What lies at `base + index · scale + displacement`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Memory {
    /// An address.
    pub base: Virtual,
    /// A number and 1, 2, 4 or 8.
    pub index: Option<(Virtual, u32)>,
    /// Bytes.
    pub displacement: i32,
}

/// Which lanes an instruction that reads or writes memory must leave out in the last step of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// None: it does not step through memory.
    Whole,
    /// Those of lanes from the first on, of 32 bits or less.
    Words,
    /// Those of the lower half of the lanes, of 64 bits.
    Lower,
    /// Those of the upper half of the lanes, of 64 bits.
    Upper,
}

/// How an instruction is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The operands in order: result, sources, memory or number; what writes memory begins with it.
    Plain,
    /// The same, but the first source is overwritten by the result.
    Tied,
    /// `first · second + third`, of f64 if so, which overwrites one of them.
    MulAdd { double: bool },
    /// A constant comes into its register.
    Constant,
    /// The address of the buffer of this number.
    Argument,
    /// 1 if the comparison of both sources, as the instruction `set…` tells it, else 0.
    Compare,
    /// The second source if the first is not 0, else the third.
    Choose,
    /// Quotient of the first source and the number, both not negative.
    Quotient,
    /// Their remainder.
    Remainder,
}

/// An instruction.
#[derive(Clone, Debug)]
pub struct Op {
    /// Which; what kind of operands it takes is told by [`Code::op_code`].
    pub code: Code,
    /// How it is made.
    pub form: Form,
    /// What it sets.
    pub to: Option<Virtual>,
    /// What it reads.
    pub from: Vec<Virtual>,
    /// Memory that it reads, or writes if it sets nothing.
    pub memory: Option<Memory>,
    /// A number.
    pub number: Option<i64>,
    /// Only lanes of this mask; others become zero where it sets a vector.
    pub mask: Option<Virtual>,
    /// Lanes to leave out in the last step.
    pub tail: Tail,
}

/// The end of a loop's range.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Known.
    Number(i64),
    /// An argument.
    Value(Virtual),
}

/// A loop.
#[derive(Debug)]
pub struct Loop {
    /// The counter.
    pub var: Virtual,
    /// Its first value.
    pub begin: Bound,
    /// One past its last value.
    pub end: Bound,
    /// Several iterations at once: what is left over runs with a mask.
    pub lanes: bool,
    /// Is nothing left over?
    pub exact: bool,
    /// What is done.
    pub body: Vec<Item>,
}

/// An instruction or a loop.
#[derive(Debug)]
pub enum Item {
    /// An instruction.
    Op(Op),
    /// A loop.
    Loop(Loop),
}

/// What is known of a value.
#[derive(Debug)]
pub struct Known {
    /// The kind of its register.
    pub class: Class,
    /// Its bytes, if it is a constant: of one lane, or of all.
    pub constant: Option<Vec<u8>>,
}

/// All values of a function.
#[derive(Default, Debug)]
pub struct Values {
    all: Vec<Known>,
    constants: FxHashMap<Vec<u8>, Virtual>,
}

impl Values {
    /// A new one.
    pub fn declare(&mut self, class: Class) -> Virtual {
        self.all.push(Known { class, constant: None });
        Virtual(self.all.len() as u32 - 1)
    }

    /// A constant vector; and whether it is new.
    pub fn constant(&mut self, bytes: Vec<u8>) -> (Virtual, bool) {
        if let Some(&v) = self.constants.get(&bytes) {
            return (v, false);
        }
        let v = self.declare(Class::Vector);
        self.all[v.index()].constant = Some(bytes.clone());
        self.constants.insert(bytes, v);
        (v, true)
    }

    /// What is known of it.
    pub fn known(&self, v: Virtual) -> &Known {
        &self.all[v.index()]
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (Virtual, &Known)> {
        self.all.iter().enumerate().map(|(i, k)| (Virtual(i as u32), k))
    }
}

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nobody uses it.
    Nowhere,
    /// In this register of its class.
    Register(usize),
    /// In memory: on the stack, or among the constants.
    Memory,
}

/// When a value lives: from its first definition up to where it is no longer needed.
#[derive(Clone, Copy, Debug)]
struct Life {
    start: usize,
    end: usize,
    weight: f64,
    /// The sources whose registers suit best, where nobody needs them any more.
    hints: [Option<Virtual>; 3],
}

/// How many times as often the body of a loop runs as what is around it.
const TRIPS: f64 = 8.0;

/// Places of all values, for so many registers of each class. `given` are there at the start.
pub fn allocate(
    values: &Values,
    body: &[Item],
    given: [Virtual; 2],
    registers: impl Fn(Class) -> usize,
) -> Vec<Place> {
    let mut lives = Lives { values, all: vec![None; values.all.len()], position: 2, weight: 1.0 };
    let mut used = vec![];
    given.into_iter().for_each(|v| lives.touch(v, 0, &mut used));
    lives.walk(body, &mut used);
    let mut order: Vec<(Virtual, Life)> =
        lives.all.iter().enumerate().filter_map(|(i, l)| Some((Virtual(i as u32), (*l)?))).collect();
    for (v, life) in &mut order {
        if values.known(*v).constant.is_some() {
            life.weight *= 0.25;
        }
    }
    order.sort_by_key(|(v, life)| (life.start, *v));
    let mut places = vec![Place::Nowhere; values.all.len()];
    for class in [Class::General, Class::Vector, Class::Mask] {
        let of_class = order.iter().filter(|(v, _)| values.known(*v).class == class);
        scan(of_class, registers(class), &mut places);
    }
    places
}

/// Gives registers in the order in which values begin to live.
fn scan<'a>(order: impl Iterator<Item = &'a (Virtual, Life)>, registers: usize, places: &mut [Place]) {
    let mut free = vec![true; registers];
    let mut active: Vec<(Virtual, Life, usize)> = vec![];
    for &(v, life) in order {
        active.retain(|a| {
            let lives = a.1.end > life.start;
            free[a.2] |= !lives;
            lives
        });
        let hinted = life.hints.into_iter().flatten().find_map(|h| match places[h.index()] {
            Place::Register(r) if free[r] => Some(r),
            _ => None,
        });
        let register = hinted.or_else(|| free.iter().position(|&f| f)).or_else(|| {
            let (i, least) =
                active.iter().enumerate().min_by(|a, b| a.1.1.weight.total_cmp(&b.1.1.weight))?;
            if least.1.weight >= life.weight {
                return None;
            }
            let (loser, _, register) = active.swap_remove(i);
            places[loser.index()] = Place::Memory;
            Some(register)
        });
        let Some(register) = register else {
            places[v.index()] = Place::Memory;
            continue;
        };
        free[register] = false;
        places[v.index()] = Place::Register(register);
        active.push((v, life, register));
    }
}

struct Lives<'a> {
    values: &'a Values,
    all: Vec<Option<Life>>,
    /// Of the next instruction, times two: it reads before it writes.
    position: usize,
    /// Of an instruction here.
    weight: f64,
}

impl Lives<'_> {
    /// Walks through a body. `used`: what is used in it.
    fn walk(&mut self, body: &[Item], used: &mut Vec<Virtual>) {
        for item in body {
            match item {
                Item::Op(op) => self.op(op, used),
                Item::Loop(l) => self.walk_loop(l, used),
            }
        }
    }

    fn op(&mut self, op: &Op, used: &mut Vec<Virtual>) {
        let at = self.position;
        self.position += 2;
        let addresses = op.memory.iter().flat_map(|m| [Some(m.base), m.index.map(|i| i.0)]).flatten();
        for v in addresses.chain(op.mask) {
            self.touch(v, at, used);
        }
        for (i, &v) in op.from.iter().enumerate() {
            // What overwrites its result before it has read a source must not share a register with that.
            let late = match op.form {
                Form::Tied => i > 0,
                Form::Compare | Form::Choose | Form::Quotient | Form::Remainder => true,
                Form::Plain | Form::MulAdd { .. } | Form::Constant | Form::Argument => false,
            };
            self.touch(v, at + usize::from(late), used);
        }
        if let Some(to) = op.to {
            self.touch(to, at + 1, used);
            // Of a product the sum first: it takes the two others from anywhere.
            let order = if matches!(op.form, Form::MulAdd { .. }) { [2, 0, 1] } else { [0, 1, 2] };
            if let Some(life) = &mut self.all[to.index()]
                && life.start == at + 1
            {
                let class = self.values.known(to).class;
                let alike = |v: &Virtual| self.values.known(*v).class == class;
                life.hints = order.map(|i| op.from.get(i).copied().filter(alike));
            }
        }
    }

    fn touch(&mut self, v: Virtual, at: usize, used: &mut Vec<Virtual>) {
        let life =
            self.all[v.index()].get_or_insert(Life { start: at, end: at, weight: 0.0, hints: [None; 3] });
        life.end = life.end.max(at + 1);
        life.weight += self.weight;
        used.push(v);
    }

    fn walk_loop(&mut self, l: &Loop, used: &mut Vec<Virtual>) {
        let start = self.position;
        let mut inside = vec![];
        let bounds = [l.begin, l.end].into_iter().filter_map(|b| match b {
            Bound::Value(v) => Some(v),
            Bound::Number(_) => None,
        });
        self.position += 2;
        for v in bounds.chain([l.var]) {
            self.touch(v, start, &mut inside);
        }
        self.weight *= TRIPS;
        self.walk(&l.body, &mut inside);
        let end = self.position;
        self.position += 2;
        self.touch(l.var, end, &mut inside);
        self.weight /= TRIPS;
        inside.sort_unstable();
        inside.dedup();
        // What comes from outside is needed in every iteration.
        for &v in &inside {
            if let Some(life) = &mut self.all[v.index()]
                && (life.start < start || v == l.var || bound_is(l, v))
            {
                life.end = life.end.max(end + 1);
            }
        }
        used.extend(inside);
    }
}

fn bound_is(l: &Loop, v: Virtual) -> bool {
    [l.begin, l.end].into_iter().any(|b| matches!(b, Bound::Value(x) if x == v))
}
