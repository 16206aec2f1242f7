//! Names of parameters are those of torchvision's state dictionaries, with `/` for `.`.

use bespoke_nn::Graph;
use bespoke_zoo::find;

/// Has the model these parameters, with these extents?
#[track_caller]
fn has(model: &str, expected: &[(&str, &[usize])]) {
    let architecture = find(model).unwrap();
    let g = Graph::new();
    architecture.build(&g, &architecture.defaults);
    let parameters = g.parameters();
    for (name, extents) in expected {
        let found = parameters.iter().find(|p| p.name == *name);
        let found = found.unwrap_or_else(|| panic!("{model} has no {name}, but {parameters:#?}"));
        assert_eq!(found.ty.shape[..], **extents, "{model}: {name}");
    }
}

#[test]
fn resnets() {
    has(
        "resnet18",
        &[
            ("conv1/weight", &[64, 3, 7, 7]),
            ("bn1/running_mean", &[64]),
            ("layer1/1/conv2/weight", &[64, 64, 3, 3]),
            ("layer2/0/downsample/0/weight", &[128, 64, 1, 1]),
            ("layer2/0/downsample/1/bias", &[128]),
            ("fc/weight", &[512, 1000]),
            ("fc/bias", &[1000]),
        ],
    );
    has(
        "resnet50",
        &[
            ("layer1/0/conv3/weight", &[256, 64, 1, 1]),
            ("layer1/0/downsample/0/weight", &[256, 64, 1, 1]),
            ("layer4/2/bn3/weight", &[2048]),
        ],
    );
}
