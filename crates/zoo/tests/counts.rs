//! Parameters at the published sizes: as many as the papers, or torchvision, say.

use bespoke_zoo::{Options, find};

fn parameters(name: &str) -> usize {
    let architecture = find(name).unwrap();
    architecture.summary(&Options { batch: 1, ..architecture.defaults }).unwrap().parameters
}

#[test]
fn counts_are_those_of_the_names() {
    assert_eq!(parameters("mlp"), 535_818);
    assert_eq!(parameters("lenet5"), 61_706);
}

#[test]
fn counts_are_torchvisions() {
    for (name, count) in [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ] {
        assert_eq!(parameters(name), count, "{name}");
    }
}

#[test]
fn running_statistics_are_counted_apart() {
    let resnet = find("resnet18").unwrap();
    let text = resnet.summary(&resnet.defaults).unwrap().to_string();
    assert!(text.ends_with("\nnot trained: 9,600\nparameters: 11,689,512"), "{text}");
}
