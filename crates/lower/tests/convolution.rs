//! In which form convolutions run.

use bespoke_graph::{Graph, NodeId, op};
use bespoke_lower::{Config, Panels, Program, Reading, Side, Work, lower, verify};

/// The program of a convolution with its gradients as further outputs.
fn program(x: &str, kernel: &str, convolution: op::Convolution, gradients: bool) -> Program {
    let mut g = Graph::new();
    let x = g.input("x", x.parse().unwrap()).unwrap();
    let kernel = g.input("kernel", kernel.parse().unwrap()).unwrap();
    let y = g.must(convolution, &[x, kernel]);
    g.set_output("y", y).unwrap();
    if gradients {
        let seed = g.input("seed", g.ty(y)).unwrap();
        let found: Vec<Option<NodeId>> = bespoke_graph::Operator::vjp(&g.node(y).op.clone(), &mut g, y, seed);
        for (i, d) in found.into_iter().enumerate() {
            g.set_output(&format!("d{i}"), d.unwrap()).unwrap();
        }
    }
    let program = lower(&g, Config::default()).unwrap();
    assert_eq!(verify(&program), Vec::<String>::new(), "{program}");
    program
}

fn same(padding: usize) -> op::Convolution {
    op::Convolution::new(&[1, 1], &[padding, padding])
}

fn contractions(program: &Program) -> Vec<&bespoke_lower::Contraction> {
    let found = program.launches.iter().filter_map(|l| match &l.work {
        Work::Contraction(c) => Some(c),
        _ => None,
    });
    found.collect()
}

/// What the only contraction gathers, its products and whether the result is written in place.
fn form(x: &str, kernel: &str, convolution: op::Convolution) -> (Option<Side>, usize, bool) {
    let program = program(x, kernel, convolution, false);
    let [c] = contractions(&program)[..] else { panic!("{program}") };
    let gathered = |reading: &Reading| matches!(reading, Reading::Gathered(_));
    let sides = [(Side::Rows, gathered(&c.left)), (Side::Columns, gathered(&c.right))];
    (sides.iter().find(|s| s.1).map(|s| s.0), c.extents.batch, c.out.is_some())
}

#[test]
fn images_are_gathered_as_columns_where_rows_are_long_and_features_few() {
    let columns = (Some(Side::Columns), 8, true);
    assert_eq!(form("f32[8,3,32,32]", "f32[6,3,5,5]", same(0)), columns);
    assert_eq!(form("f32[8,32,32,32]", "f32[5,32,1,1]", same(0)), columns);
}

#[test]
fn images_are_gathered_as_rows_where_features_fill_columns() {
    let rows = (Some(Side::Rows), 1, false);
    assert_eq!(form("f32[4,64,7,7]", "f32[64,64,3,3]", same(1)), rows);
    assert_eq!(form("f32[4,16,28,28]", "f32[32,16,3,3]", op::Convolution::new(&[2, 2], &[1, 1])), rows);
    // The result is as the product is.
    assert_eq!(form("f32[64,16,5,5]", "f32[120,16,5,5]", same(0)), (Some(Side::Rows), 1, true));
}

#[test]
fn images_of_groups_with_strides_are_packed_one_by_one() {
    let grouped = op::Convolution { groups: 2, ..op::Convolution::new(&[2, 2], &[0, 0]) };
    let program = program("f32[8,32,33,33]", "f32[64,16,3,3]", grouped, false);
    let [c] = contractions(&program)[..] else { panic!("{program}") };
    assert!(matches!(c.b, Panels::Packed(..)) && c.out.is_some(), "{program}");
    assert_eq!((c.extents.batch, c.extents.m, c.extents.k, c.extents.n, c.run), (16, 32, 144, 256, 16));
    // Packed for one image at a time: nothing as large as all panels is in memory.
    assert!(program.arena_bytes < 1 << 16, "{program}");
}

#[test]
fn gradients_are_contractions_too_and_share_the_padded_image() {
    let program = program("f32[8,6,28,28]", "f32[16,6,5,5]", same(2), true);
    assert_eq!(contractions(&program).len(), 3, "{program}");
    let fills = program.launches.iter().filter(|l| l.name().contains("_fill")).count();
    assert_eq!(fills, 2, "the operand and the cotangent are padded once: {program}");
}

#[test]
fn depthwise_and_tiny_ones_stay_loops() {
    let depthwise = op::Convolution { groups: 8, ..same(1) };
    assert!(contractions(&program("f32[2,8,16,16]", "f32[8,1,3,3]", depthwise, false)).is_empty());
    assert!(contractions(&program("f32[1,1,5,5]", "f32[4,1,3,3]", same(1), false)).is_empty());
}
