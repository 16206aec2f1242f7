//! The text of every stage of the small models. A changed snapshot is looked at before it is accepted.

use bespoke::{
    compiler::{Artifact, Config, Isa, clear_cache, compile},
    graph::{self, Op},
    inspect,
    nn::{Conv, F32, Graph, I32, Norm, Sgd, Trainer},
    optimize, zoo,
};

/// The texts of the stages of a model's training step, in order, with these vectors: nothing runs, so that any
/// machine will do.
fn stages(name: &str, batch: usize, isa: Isa) -> Vec<(&'static str, String)> {
    let model = zoo::find(name).expect("a model").model(batch).expect("it is well formed");
    let mut texts = vec![("graph", model.forward.to_string()), ("backward", backward(&model.training))];
    let config = Config { keep_text: true, isa, ..Config::default() };
    // Other tests may have compiled the same graph.
    clear_cache();
    let compiled = compile(&model.training, &config, &mut |event| match &event.artifact {
        Artifact::Graph(_) => {}
        Artifact::Optimized(graph, _) => texts.push(("optimized", graph.to_string())),
        Artifact::Program(program) => {
            texts.push(("lowered", program.to_string()));
            texts.push(("memory", inspect::memory(program)));
        }
        Artifact::Code(code) if is_reference_machine() => {
            texts.push(("clif", inspect::clif(code)));
            texts.push(("asm", inspect::asm(code)));
        }
        Artifact::Code(_) => {}
    });
    assert!(compiled.is_ok() || !isa.is_available(), "{:?}", compiled.err());
    texts
}

/// Machine code depends on what the machine can do: that of one kind is pinned.
fn is_reference_machine() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// The joint graph with what it says as formulas.
fn backward(graph: &graph::Graph) -> String {
    let config = optimize::Config { egraph: false, ..Default::default() };
    let (simple, _) = optimize::optimize(graph, &config).expect("it is well formed");
    format!("{}\n\n{graph}", inspect::formulas(&simple).join("\n"))
}

#[test]
fn linear() {
    for (stage, text) in stages("linear", 1, Isa::Portable) {
        insta::assert_snapshot!(format!("linear_{stage}"), text);
    }
}

#[test]
fn mlp() {
    for (stage, text) in stages("mlp", 8, Isa::Avx512) {
        insta::assert_snapshot!(format!("mlp_{stage}"), text);
    }
}

/// What only training needs is not in a query: dropout, heads on the way, statistics of the batch and what follows them.
#[test]
fn queries() {
    let g = Graph::new();
    let x = g.input("x", F32, [4, 2, 6, 6]);
    let label = g.input("label", I32, [4]);
    let h = x.conv2d(3, 3, Conv::new().bias(false)).batch_norm(Norm::new()).relu();
    let early = g.named("early", || h.flatten().dense(5));
    let logits = g.named("head", || h.global_avg_pool().dropout(0.5).dense(5));
    let loss = logits.cross_entropy(label).mean() + early.cross_entropy(label).mean() * 0.3;
    let query = g.query_graph(&[("logits", logits)]).expect("it is well formed");
    insta::assert_snapshot!("query", query.to_string());
    let (step, measured) = Trainer::new(loss, Sgd::new(0.1)).graphs().expect("it is well formed");
    assert!(
        step.to_string().contains("random_bits")
            && step.to_string().contains("next \"batch_norm0/running_mean\"")
    );
    assert!(!measured.to_string().contains("random_bits") && !measured.to_string().contains("next "));

    for name in ["googlenet", "inception-v3", "preact-resnet18", "fractalnet", "vae"] {
        let model = zoo::find(name).expect("a model");
        let query = model.model_with(&model.small).expect("it is well formed").query;
        let text = query.to_string();
        for absent in ["random_bits", "next ", "aux", "label", "sgd/"] {
            assert!(!text.contains(absent), "{name}: {absent}");
        }
        // Whatever is reduced of the batch would be a statistic of it.
        let batch = model.small.batch;
        for id in query.ids() {
            if let Op::Reduce(reduce) = &query.node(id).op {
                let from = query.ty(query.node(id).inputs[0]);
                assert!(from.shape[0] != batch || !reduce.axes.contains(&0), "{name}: {}", query.node(id).ty);
            }
        }
    }
}
