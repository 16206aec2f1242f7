//! What a model consists of, as a table.

use std::fmt;

use bespoke_graph::{Graph as Ir, Op};

use crate::Graph;

/// Layers, shapes, parameters and work.
#[derive(Clone, Debug)]
pub struct Summary {
    rows: Vec<[String; 4]>,
    /// The number of all parameters that training changes, as papers and PyTorch count them.
    pub parameters: usize,
    /// The number of what belongs to the model too, but gradients do not change: running statistics, frozen parameters.
    pub untrained: usize,
    /// Floating-point operations of one forward pass.
    pub flop: f64,
}

/// Floating-point operations of all live nodes: two a term of a product, one an element of a function or term of a
/// reduction.
pub fn flop(graph: &Ir) -> f64 {
    let live = graph.live();
    let nodes = graph.ids().filter(|id| live[id.index()]);
    nodes.map(|id| node_flop(graph, id)).sum()
}

fn node_flop(graph: &Ir, id: bespoke_graph::NodeId) -> f64 {
    let node = graph.node(id);
    let elements = node.ty.elements() as f64;
    match &node.op {
        Op::Dot(dot) => {
            let lhs = graph.ty(node.inputs[0]).shape;
            2.0 * elements * dot.contract.0.iter().map(|&d| lhs[d] as f64).product::<f64>()
        }
        Op::Convolution(_) => {
            let kernel = graph.ty(node.inputs[1]).shape;
            2.0 * elements * kernel[1..].iter().map(|&d| d as f64).product::<f64>()
        }
        Op::WindowReduce(reduce) => elements * reduce.windows.elements() as f64,
        Op::WindowArg(arg) => elements * arg.windows.elements() as f64,
        Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Cumulative(_) => elements,
        Op::ArgSort(sort) => elements * (node.ty.shape[sort.axis] as f64).max(2.0).log2(),
        Op::Reduce(_) | Op::ArgReduce(_) => graph.ty(node.inputs[0]).elements() as f64,
        Op::ScatterAdd(_) => graph.ty(node.inputs[node.inputs.len() - 1]).elements() as f64,
        // The results of one loop are computed at once: counted with the first.
        Op::Scan(_) if graph.ids().take(id.index()).any(|other| graph.are_siblings(other, id)) => 0.0,
        Op::Scan(scan) => scan.length as f64 * flop(&scan.body),
        Op::Custom(custom) => flop(&custom.body),
        _ => 0.0,
    }
}

/// Masks of pruned weights are no parameters.
fn is_mask(parameter: &crate::Parameter) -> bool {
    parameter.ty.dtype == bespoke_tensor::DType::Bool
}

/// Figures with a unit: `1.07 MFLOP`.
pub fn flop_text(flop: f64) -> String {
    let (scale, unit) = match flop {
        f if f >= 1e12 => (1e12, "TFLOP"),
        f if f >= 1e9 => (1e9, "GFLOP"),
        f if f >= 1e6 => (1e6, "MFLOP"),
        f if f >= 1e3 => (1e3, "kFLOP"),
        _ => (1.0, "FLOP"),
    };
    format!("{:.*} {unit}", if scale > 1.0 { 2 } else { 0 }, flop / scale)
}

/// `535,818`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

impl Summary {
    /// Of a model. The work of a layer is that of all nodes up to its result that no layer before needed.
    pub fn of(graph: &Graph) -> Summary {
        let inner = graph.inner.borrow();
        let ir = &inner.graph;
        let flop = ir.ids().map(|id| node_flop(ir, id)).sum();
        let mut counted = vec![false; ir.len()];
        let mut rows = vec![];
        for (name, node) in ir.inputs().filter(|input| Some(input.1) != inner.training) {
            rows.push([name.to_owned(), ir.ty(node).to_string(), String::new(), String::new()]);
        }
        for layer in &inner.layers {
            let mut stack = vec![layer.node];
            let mut work = 0.0;
            while let Some(id) = stack.pop() {
                if !std::mem::replace(&mut counted[id.index()], true) {
                    work += node_flop(ir, id);
                    stack.extend(ir.node(id).inputs.iter());
                }
            }
            rows.push([
                layer.name.clone(),
                layer.output.to_string(),
                thousands(layer.parameters),
                flop_text(work),
            ]);
        }
        let count = |trainable: bool| {
            let counted = inner.parameters.iter().filter(|p| p.trainable == trainable && !is_mask(p));
            counted.map(|p| p.ty.elements()).sum()
        };
        Summary { rows, parameters: count(true), untrained: count(false), flop }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["layer", "output", "parameters", "work"].map(str::to_owned);
        let width = |column: usize| {
            self.rows.iter().chain([&titles]).map(|r| r[column].chars().count()).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3)];
        let mut line = |r: &[String; 4]| {
            let [a, b, c, d] = widths;
            let text = format!("{:<a$}  {:<b$}  {:>c$}  {:>d$}", r[0], r[1], r[2], r[3]);
            writeln!(f, "{}", text.trim_end())
        };
        line(&titles)?;
        for row in &self.rows {
            line(row)?;
        }
        writeln!(f, "work: {}", flop_text(self.flop))?;
        if self.untrained > 0 {
            writeln!(f, "not trained: {}", thousands(self.untrained))?;
        }
        write!(f, "parameters: {}", thousands(self.parameters))
    }
}
