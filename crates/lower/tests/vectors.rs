//! Kernels of windows, lines and convolutions are vector loops, not scalar ones.

use bespoke_graph::{
    Graph, Windows,
    op::{Convolution, Cumulative, Extremum, WindowArg, WindowReduce},
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Type};

/// The loops of each kernel that has any arithmetic on many elements, and its text.
fn kernels(g: &Graph) -> Vec<String> {
    let program = bespoke_lower::lower(g, bespoke_lower::Config::default()).unwrap();
    assert_eq!(bespoke_lower::verify(&program), Vec::<String>::new(), "{program}");
    let text = program.to_string();
    text.split("kernel ").skip(1).map(str::to_owned).collect()
}

/// Windows of 3 × 3, one apart, over the last two axes.
fn windows() -> Windows {
    let mut w = Windows::new(&[1, 1, 3, 3], &[1; 4]);
    w.padding = vec![(0, 0), (0, 0), (1, 1), (1, 1)];
    w
}

#[test]
fn no_kernel_of_windows_lines_or_convolutions_is_scalar() {
    let image = Type::new(DType::F32, [2, 8, 24, 24]);
    type Build = fn(&mut Graph, bespoke_graph::NodeId) -> bespoke_graph::NodeId;
    let depthwise: Build = |g, x| {
        let kernel = g.input("kernel", Type::new(DType::F32, [8, 1, 3, 3])).unwrap();
        let convolution = Convolution {
            padding: vec![(1, 1); 2],
            stride: vec![1; 2],
            input_dilation: vec![1; 2],
            kernel_dilation: vec![1; 2],
            groups: 8,
        };
        g.must(convolution, &[x, kernel])
    };
    let cases: [(&str, Build); 5] = [
        ("maximum", |g, x| g.must(WindowReduce { combine: Combine::Max, windows: windows() }, &[x])),
        ("sum", |g, x| g.must(WindowReduce { combine: Combine::Sum, windows: windows() }, &[x])),
        ("position", |g, x| g.must(WindowArg { extremum: Extremum::Max, windows: windows() }, &[x])),
        ("cumulative", |g, x| g.must(Cumulative { combine: Combine::Sum, axis: 1, reverse: false }, &[x])),
        ("depthwise", depthwise),
    ];
    for (name, build) in cases {
        let mut g = Graph::new();
        let x = g.input("x", image).unwrap();
        let y = build(&mut g, x);
        g.set_output("y", y).unwrap();
        for kernel in kernels(&g) {
            assert!(kernel.contains("vector("), "{name}: {kernel}");
        }
        if !g.ty(y).dtype.is_float() {
            continue;
        }
        let loss = g.sum_all(y);
        let square = g.times(loss, loss);
        let d = bespoke_autodiff::grad(&mut g, square, &[x]).unwrap()[0];
        g.set_output("d", d).unwrap();
        for kernel in kernels(&g) {
            let head = kernel.lines().next().unwrap();
            // One number needs no vector, and maxima of windows that overlap may be of one place.
            let is_serial = head.contains("f32[1] write)") || head.contains("scatter_add");
            assert!(kernel.contains("vector(") || is_serial, "gradient of {name}: {kernel}");
        }
    }
}
