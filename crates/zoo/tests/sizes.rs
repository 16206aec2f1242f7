//! Which sizes networks for images take, and what else of them a query leaves out.

use bespoke_compiler::{Config, compile};
use bespoke_nn::{F32, Graph, Module, Sgd, Trainer};
use bespoke_zoo::{Options, find, fractalnet::FractalNet, googlenet::GoogLeNet, wideresnet::WideResNet};

/// The least side that each takes.
const LEAST: [(&str, usize); 10] = [
    ("alexnet", 63),
    ("alexnet-grouped", 67),
    ("densenet121", 29),
    ("fractalnet", 32),
    ("googlenet", 31),
    ("inception-v3", 75),
    ("nin", 6),
    ("squeezenet1.0", 29),
    ("squeezenet1.1", 25),
    ("vgg16", 32),
];

#[test]
fn images_that_are_too_small_are_refused_with_the_least_side() {
    for (name, least) in LEAST {
        let architecture = find(name).unwrap();
        let summary = |size: usize| architecture.summary(&Options { size, ..architecture.small });
        summary(least).unwrap();
        for size in [least - 1, 1] {
            let message = summary(size).unwrap_err().to_string();
            let expected = format!("{name}: expected images [N,C,H,W] of at least {least}×{least} pixels");
            assert!(message.contains(&expected), "{message}");
            assert!(message.contains(&format!("got f32[4,3,{size},{size}]")), "{message}");
        }
    }
}

#[test]
fn odd_sizes_and_widths_are_built_or_refused() {
    for architecture in bespoke_zoo::ARCHITECTURES {
        let small = architecture.small;
        for width in [1e-3, 0.33] {
            assert!(
                architecture.summary(&Options { width, ..small }).is_ok(),
                "{}: {width}",
                architecture.name
            );
        }
        for options in [
            Options { size: usize::MAX, ..small },
            Options { channels: usize::MAX, ..small },
            Options { classes: usize::MAX, ..small },
        ] {
            // An error or a model, but no panic.
            let _ = architecture.summary(&options);
        }
    }
}

#[test]
fn sizes_of_nothing_and_widths_that_are_no_factor_are_named() {
    for architecture in bespoke_zoo::ARCHITECTURES {
        let (name, small) = (architecture.name, architecture.small);
        let refused = |options: Options, expected: &str| {
            let message = architecture.summary(&options).unwrap_err().to_string();
            assert!(message.contains(&format!("{name}: expected {expected}")), "{message}");
        };
        refused(Options { size: 0, ..small }, "a size of at least 1, got 0");
        refused(Options { channels: 0, ..small }, "channels of at least 1, got 0");
        refused(Options { classes: 0, ..small }, "classes of at least 1, got 0");
        refused(Options { size: 1 << 21, ..small }, "a size of at most 1048576, got 2097152");
        refused(Options { width: 1001.0, ..small }, "a width of at most 1000, got 1001");
        for (width, got) in
            [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")]
        {
            let expected = format!("a width that is a finite number above 0, got {got}");
            refused(Options { width, ..small }, &expected);
        }
    }
}

#[test]
fn resnets_take_images_of_any_size_and_small_ones_by_another_stem() {
    let architecture = find("resnet18").unwrap();
    for (size, kernel) in [(1, 3), (32, 3), (63, 3), (64, 7), (65, 7)] {
        let g = Graph::new();
        architecture.build(&g, &Options { size, ..architecture.small });
        g.finish().unwrap();
        assert_eq!(g.parameters()[0].ty.shape[2..], [kernel, kernel], "{size}");
    }
}

#[test]
fn a_unet_answers_the_middle_or_pads() {
    let unet = find("unet").unwrap();
    let side = |size: usize| {
        let g = Graph::new();
        let output = unet.build(&g, &Options { size, classes: 3, ..unet.small }).output;
        g.finish().map(|_| output.shape().to_vec()).map_err(|e| e.to_string())
    };
    assert_eq!(side(572), Ok(vec![2, 3, 388, 388]));
    assert_eq!(side(188), Ok(vec![2, 3, 4, 4]));
    assert_eq!(side(32), Ok(vec![2, 3, 32, 32]));
    for (size, sides) in [(172, "188, 204, 220 …"), (190, "188, 204, 220 …")] {
        let message = side(size).unwrap_err();
        let expected = format!("images [N,C,H,W] of sides {sides}, got f32[2,1,{size},{size}]");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn networks_that_there_are_not_are_refused() {
    let refused = |net: &dyn Module, text: &str| {
        let g = Graph::new();
        net.forward(g.input("x", F32, [2, 3, 32, 32]));
        let message = g.finish().unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    };
    let wide = WideResNet { depth: 28, factor: 1, dropout: 0.0, width: 1.0, classes: 10 };
    for depth in [0, 4, 9, 29] {
        let text = format!("wide-resnet: expected a depth of 10, 16, 22 …, got {depth}");
        refused(&WideResNet { depth, ..wide }, &text);
    }
    for columns in [0, 9] {
        let text = format!("fractalnet: expected 1 to 8 columns, got {columns}");
        refused(&FractalNet { columns, ..FRACTAL }, &text);
    }
}

/// Small, and so that no input of a join would be left.
const FRACTAL: FractalNet = FractalNet {
    features: [4; 5],
    columns: 3,
    doubling: false,
    dropout: [0.0; 5],
    drop_path: 1.0,
    classes: 10,
};

#[test]
fn drop_path_leaves_one_path_at_least() {
    let g = Graph::new();
    let logits = g.input("x", F32, [4, 3, 32, 32]).apply(&FRACTAL);
    let trainer = Trainer::new((logits * logits).mean(), Sgd::new(0.0));
    let (step, _) = trainer.graphs().unwrap();
    let mut program = compile(&step, &Config::default(), &mut |_| ()).unwrap();
    for (name, value) in trainer.start_values().unwrap() {
        program.set_state(&name, &value).unwrap();
    }
    let x = &bespoke_zoo::sample_inputs(&step)[0].1;
    let mut loss = || program.run(&[("x", x)]).unwrap().get("loss").unwrap().get(0).to_f64();
    let mut losses: Vec<f64> = (0..8).map(|_| loss()).collect();
    assert!(losses.iter().all(|l| l.is_finite() && *l > 0.0), "{losses:?}");
    // Other paths are drawn in each step.
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert!(losses.len() > 4, "{losses:?}");
}

#[test]
fn values_that_are_no_images_are_refused() {
    for architecture in bespoke_zoo::ARCHITECTURES {
        // An error or a model, but no panic.
        let _ = architecture.summary(&Options { batch: 1, size: 1, channels: 1, ..architecture.small });
    }
    let nets: [&dyn Module; 2] = [&FRACTAL, &GoogLeNet::new(0.1, 10)];
    for net in nets {
        let g = Graph::new();
        assert!(net.forward(g.input("x", F32, [2, 3, 32])).node().is_none());
        let message = g.finish().unwrap_err().to_string();
        assert!(message.contains("expected images [N,C,H,W]"), "{message}");
        assert!(net.forward(Graph::new().input("x", F32, [])).node().is_none());
    }
}

#[test]
fn heads_are_for_training_alone() {
    for (name, prefix) in [("googlenet", "aux"), ("inception-v3", "Aux")] {
        let architecture = find(name).unwrap();
        let model = architecture.model_with(&architecture.small).unwrap();
        let heads = |graph: &bespoke_graph::Graph| {
            graph.states().iter().filter(|s| s.name.starts_with(prefix)).count()
        };
        assert!(heads(&model.training) > 0, "{name}");
        assert_eq!(heads(&model.query), 0, "{name}");
        // The loss on held-out data is the model's own.
        let g = Graph::new();
        let parts = architecture.build(&g, &architecture.small);
        let own = g.query_graph(&[("loss", parts.loss)]).unwrap();
        assert_eq!(heads(&own), 0, "{name}");
    }
}
