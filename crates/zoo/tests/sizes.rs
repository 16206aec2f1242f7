//! Which sizes networks for images take, and what else of them a query leaves out.

use bespoke_nn::Graph;
use bespoke_zoo::{Options, find};

/// The least side that each takes.
const LEAST: &[(&str, usize)] =
    &[("alexnet", 63), ("alexnet-grouped", 67), ("googlenet", 31), ("inception-v3", 75)];

#[test]
fn images_that_are_too_small_are_refused_with_the_least_side() {
    for &(name, least) in LEAST {
        let architecture = find(name).unwrap();
        let summary = |size: usize| architecture.summary(&Options { size, ..architecture.small });
        summary(least).unwrap();
        for size in [least - 1, 1, 0] {
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
        for width in [0.0, 1e-3, 0.33, -1.0, f64::NAN] {
            assert!(
                architecture.summary(&Options { width, ..small }).is_ok(),
                "{}: {width}",
                architecture.name
            );
        }
        for options in [
            Options { width: f64::INFINITY, ..small },
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
