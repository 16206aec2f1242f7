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

#[test]
fn networks_of_convolutions_and_dense_layers() {
    has(
        "alexnet",
        &[
            ("features/0/weight", &[64, 3, 11, 11]),
            ("features/10/bias", &[256]),
            ("classifier/1/weight", &[9216, 4096]),
            ("classifier/6/bias", &[1000]),
        ],
    );
    has(
        "vgg16",
        &[
            ("features/0/weight", &[64, 3, 3, 3]),
            ("features/28/bias", &[512]),
            ("classifier/0/weight", &[25088, 4096]),
            ("classifier/6/weight", &[4096, 1000]),
        ],
    );
}

#[test]
fn modules_that_squeeze() {
    has(
        "squeezenet1.0",
        &[
            ("features/0/weight", &[96, 3, 7, 7]),
            ("features/3/squeeze/weight", &[16, 96, 1, 1]),
            ("features/10/expand1x1/bias", &[256]),
            ("features/12/expand3x3/weight", &[256, 64, 3, 3]),
            ("classifier/1/weight", &[1000, 512, 1, 1]),
        ],
    );
    has(
        "squeezenet1.1",
        &[
            ("features/0/weight", &[64, 3, 3, 3]),
            ("features/4/squeeze/weight", &[16, 128, 1, 1]),
            ("features/7/expand3x3/weight", &[128, 32, 3, 3]),
            ("features/12/expand1x1/weight", &[256, 64, 1, 1]),
        ],
    );
}

#[test]
fn dense_blocks() {
    has(
        "densenet121",
        &[
            ("features/conv0/weight", &[64, 3, 7, 7]),
            ("features/norm0/running_var", &[64]),
            ("features/denseblock1/denselayer1/conv1/weight", &[128, 64, 1, 1]),
            ("features/denseblock3/denselayer24/norm1/weight", &[992]),
            ("features/transition2/conv/weight", &[256, 512, 1, 1]),
            ("features/denseblock4/denselayer16/conv2/weight", &[32, 128, 3, 3]),
            ("features/norm5/bias", &[1024]),
            ("classifier/weight", &[1024, 1000]),
        ],
    );
}

#[test]
fn inception_modules() {
    has(
        "googlenet",
        &[
            ("conv1/conv/weight", &[64, 3, 7, 7]),
            ("inception3a/branch1/bn/running_var", &[64]),
            ("inception3a/branch2/0/conv/weight", &[96, 192, 1, 1]),
            ("inception3a/branch3/1/conv/weight", &[32, 16, 3, 3]),
            ("inception5b/branch4/1/conv/weight", &[128, 832, 1, 1]),
            ("aux1/conv/conv/weight", &[128, 512, 1, 1]),
            ("aux2/fc1/weight", &[2048, 1024]),
            ("fc/weight", &[1024, 1000]),
        ],
    );
    has(
        "inception-v3",
        &[
            ("Conv2d_1a_3x3/conv/weight", &[32, 3, 3, 3]),
            ("Mixed_5b/branch_pool/conv/weight", &[32, 192, 1, 1]),
            ("Mixed_6a/branch3x3dbl_3/conv/weight", &[96, 96, 3, 3]),
            ("Mixed_6e/branch7x7dbl_5/conv/weight", &[192, 192, 1, 7]),
            ("Mixed_7a/branch7x7x3_4/bn/bias", &[192]),
            ("Mixed_7c/branch3x3dbl_3b/conv/weight", &[384, 384, 3, 1]),
            ("AuxLogits/conv1/conv/weight", &[768, 128, 5, 5]),
            ("AuxLogits/fc/bias", &[1000]),
        ],
    );
}
