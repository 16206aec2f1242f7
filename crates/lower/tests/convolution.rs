//! In which form convolutions run.

use bespoke_graph::{Graph, NodeId, op};
use bespoke_lower::{Panels, Program, Work, lower, verify};

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
    let program = lower(&g).unwrap();
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

#[test]
fn images_are_packed_one_by_one_and_the_result_lies_in_place() {
    let program = program("f32[8,6,32,32]", "f32[16,6,5,5]", same(0), false);
    let [c] = contractions(&program)[..] else { panic!("{program}") };
    assert!(matches!(c.b, Panels::Packed(..)) && c.out.is_some(), "{program}");
    assert_eq!((c.extents.batch, c.extents.m, c.extents.k, c.extents.n, c.run), (8, 16, 150, 784, 28));
    // Packed for one image at a time: nothing as large as all panels is in memory.
    assert!(program.arena_bytes < 1 << 16, "{program}");
}

#[test]
fn short_rows_are_columns_of_one_product() {
    let program = program("f32[4,64,7,7]", "f32[64,64,3,3]", same(1), false);
    let [c] = contractions(&program)[..] else { panic!("{program}") };
    assert_eq!((c.extents.batch, c.extents.n, c.run), (1, 4 * 49, 4 * 49), "{program}");
}

#[test]
fn a_kernel_of_one_by_one_has_one_run_an_image() {
    let program = program("f32[4,64,14,14]", "f32[32,64,1,1]", same(0), false);
    let [c] = contractions(&program)[..] else { panic!("{program}") };
    assert_eq!(c.run, 14 * 14, "{program}");
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
