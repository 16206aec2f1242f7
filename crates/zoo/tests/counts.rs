//! Parameters at the published sizes: as many as the papers, or torchvision, say.

use bespoke_nn::{F32, Graph, Module, Summary};
use bespoke_zoo::{Options, find, googlenet::GoogLeNet, inception3::InceptionV3};

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
        ("alexnet", 61_100_840),
        ("densenet121", 7_978_856),
        ("googlenet", 13_004_888),
        ("inception-v3", 27_161_264),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
        ("squeezenet1.0", 1_248_424),
        ("squeezenet1.1", 1_235_496),
        ("vgg16", 138_357_544),
    ] {
        assert_eq!(parameters(name), count, "{name}");
    }
}

#[test]
fn counts_are_the_papers() {
    for (name, count) in [
        ("alexnet-grouped", 60_965_224),
        // 38.6 M, 4.2 M, 36.5 M and 2.7 M.
        ("fractalnet", 38_647_114),
        ("mobilenet-v1", 4_231_976),
        ("wide-resnet-28-10", 36_479_194),
        ("wide-resnet-16-4", 2_748_890),
        // The sums over the layers that papers and authors' files list.
        ("neocognitron", 29_722),
        ("nin", 966_986),
        ("preact-resnet18", 11_172_170),
        ("unet", 31_030_658),
    ] {
        assert_eq!(parameters(name), count, "{name}");
    }
}

#[test]
fn heads_are_counted_where_they_are() {
    let parameters = |net: &dyn Module, size: usize| {
        let g = Graph::new();
        net.forward(g.input("image", F32, [1, 3, size, size]));
        Summary::of(&g).parameters
    };
    assert_eq!(parameters(&GoogLeNet::new(1.0, 1000), 224), 6_624_904);
    assert_eq!(parameters(&InceptionV3 { width: 1.0, classes: 1000 }, 299), 23_834_568);
}

#[test]
fn running_statistics_are_counted_apart() {
    let resnet = find("resnet18").unwrap();
    let text = resnet.summary(&resnet.defaults).unwrap().to_string();
    assert!(text.ends_with("\nnot trained: 9,600\nparameters: 11,689,512"), "{text}");
}
